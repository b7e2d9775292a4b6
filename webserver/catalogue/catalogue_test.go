package catalogue_test

import (
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"gatehouse/webserver/catalogue"
)

func read(t *testing.T, files map[string]string) (*catalogue.Catalogue, error) {
	t.Helper()
	fs := make(fstest.MapFS)
	for name, data := range files {
		fs[name] = &fstest.MapFile{Data: []byte(data)}
	}
	return catalogue.Read(fs)
}

func TestTextFillsInValues(t *testing.T) {
	t.Parallel()
	c, err := read(t, map[string]string{"en.json": `{"a":"{x} and {y}, {x}","b":"plain"}`})
	if err != nil {
		t.Fatal(err)
	}
	l := c.Match("")
	if got := l.Text("a", "x", "{y}", "y", "2"); got != "{y} and 2, {y}" {
		t.Errorf("got %q", got)
	}
	if got := l.Text("b"); got != "plain" {
		t.Errorf("got %q", got)
	}
	if got := l.Text("missing"); got != "missing" {
		t.Errorf("got %q", got)
	}
}

func TestMatchChoosesTheLanguageThatTheReaderLikesBest(t *testing.T) {
	t.Parallel()
	c, err := read(t, map[string]string{"de.json": `{"a":"Deutsch"}`, "en.json": `{"a":"English"}`, "pt-BR.json": `{"a":"português"}`})
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]string{
		"": "English", "de": "Deutsch", "de-AT,en;q=0.5": "Deutsch", "en-GB": "English", "fr, de;q=0.8, en;q=0.9": "English",
		"pt": "português", "xx": "English", "*": "English", ";;;": "English", "de" + strings.Repeat(",de", 200): "English",
	}
	for accept, want := range tests {
		if got := c.Match(accept).Text("a"); got != want {
			t.Errorf("%q: %q, want %q", accept, got, want)
		}
	}
	if got := c.Match("pt-BR").Tag(); got != "pt-BR" {
		t.Errorf("tag %q", got)
	}
}

func TestLanguagesMustHaveTheSameTexts(t *testing.T) {
	t.Parallel()
	tests := map[string]map[string]string{
		"missing text":  {"en.json": `{"a":"x","b":"x"}`, "de.json": `{"a":"x"}`},
		"other text":    {"en.json": `{"a":"x"}`, "de.json": `{"b":"x"}`},
		"text too many": {"en.json": `{"a":"x"}`, "de.json": `{"a":"x","b":"x"}`},
		"no English":    {"de.json": `{"a":"x"}`},
		"no language":   {"en.json": `{"a":"x"}`, "not a language.json": `{"a":"x"}`},
		"no JSON":       {"en.json": `{"a":`},
		"nothing":       {},
	}
	for name, files := range tests {
		if _, err := read(t, files); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestShippedTextsAreWhole(t *testing.T) {
	t.Parallel()
	c, err := catalogue.New()
	if err != nil {
		t.Fatal(err)
	}
	l := c.Match("en")
	for _, key := range l.Keys() {
		text := l.Text(key)
		if strings.TrimSpace(text) != text || text == "" {
			t.Errorf("%s: %q", key, text)
		}
		if open := regexp.MustCompile(`[{}<>&]`).FindString(regexp.MustCompile(`\{[a-z]+\}`).ReplaceAllString(text, "")); open != "" {
			t.Errorf("%s: %q holds %q", key, text, open)
		}
	}
}
