package webserver_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"gatehouse/webserver/catalogue"
)

// keyLike matches what looks like the key of a text.
var keyLike = regexp.MustCompile(`^(nav|page|form|hint|button|text|session|device|flash|field|error)\.[a-z0-9_.]+$`)

// quoted matches the keys in a template.
var quoted = regexp.MustCompile(`"([a-z]+\.[a-z0-9_.]+)"`)

// usedKeys returns everything in the sources that looks like a key, with
// where it stands.
func usedKeys(t *testing.T) map[string]string {
	t.Helper()
	used := make(map[string]string)
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, source := range sources {
		if strings.HasSuffix(source, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), source, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
				if text, err := strconv.Unquote(lit.Value); err == nil && keyLike.MatchString(text) {
					used[text] = source
				}
			}
			return true
		})
	}
	templates, err := filepath.Glob("pages/*.html")
	if err != nil || len(templates) == 0 {
		t.Fatalf("find templates: %v, %v", templates, err)
	}
	for _, template := range templates {
		data, err := os.ReadFile(template)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range quoted.FindAllStringSubmatch(string(data), -1) {
			if keyLike.MatchString(found[1]) {
				used[found[1]] = template
			}
		}
	}
	return used
}

func TestEveryTextIsUsedAndEveryUsedTextExists(t *testing.T) {
	t.Parallel()
	texts, err := catalogue.New()
	if err != nil {
		t.Fatal(err)
	}
	language, used := texts.Match(""), usedKeys(t)
	for key, where := range used {
		if !slices.Contains(language.Keys(), key) {
			t.Errorf("%s uses %q, which the catalogue has not", where, key)
		}
	}
	for _, key := range language.Keys() {
		if used[key] == "" {
			t.Errorf("nothing uses the text %q", key)
		}
	}
	if len(used) < 100 {
		t.Errorf("only %d keys found", len(used))
	}
}

// Words for people stand in the catalogue and nowhere else.
func TestTemplatesHoldNoWords(t *testing.T) {
	t.Parallel()
	templates, err := filepath.Glob("pages/*.html")
	if err != nil {
		t.Fatal(err)
	}
	markup := regexp.MustCompile(`(?s)\{\{.*?\}\}|<[^>]*>`)
	word := regexp.MustCompile(`[A-Za-z]{2,}`)
	for _, template := range templates {
		data, err := os.ReadFile(template)
		if err != nil {
			t.Fatal(err)
		}
		for _, found := range word.FindAllString(markup.ReplaceAllString(string(data), " "), -1) {
			if found != "Gatehouse" {
				t.Errorf("%s: %q is not in the catalogue", template, found)
			}
		}
	}
}
