package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// root is that of the module, seen from this folder.
const root = "../.."

// TestEveryMutantFitsTheCode fails when the code that a mutant changes was
// changed itself, so that the mutant must follow.
func TestEveryMutantFitsTheCode(t *testing.T) {
	t.Parallel()
	names := map[string]bool{}
	for _, m := range slices.Concat(cacheMutants, linkMutants) {
		if names[m.name] {
			t.Errorf("there are two mutants %q", m.name)
		}
		names[m.name] = true
		l, err := newLab(root)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := l.overlay(m); err != nil {
			t.Errorf("%s: %v", m.name, err)
		}
		l.close()
	}
}

// TestFiveMutantsAreKilled tries those that take the least time. All are tried
// by make mutants.
func TestFiveMutantsAreKilled(t *testing.T) {
	t.Parallel()
	l, err := newLab(root)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for _, name := range []string{
		"memory: a mark leaves the lease",
		"memory: unmark keeps what came in its place",
		"an id is used again after a timeout",
		"a lost write counts as not sent",
		"a write that is under way counts as not sent",
	} {
		chosen, err := choose([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		if verdict, _, err := l.try(t.Context(), chosen[0]); err != nil || verdict == "" {
			t.Errorf("%s: verdict %q, error %v", name, verdict, err)
		}
	}
}

// module makes a module with a function and a test of it that calls it with
// one number only.
func module(t *testing.T) (root string) {
	t.Helper()
	root = t.TempDir()
	for file, text := range map[string]string{
		"go.mod": "module tried\n\ngo 1.26\n",
		"a/a.go": "package a\n\nfunc Abs(n int) int {\n\tif n < 0 {\n\t\treturn -n\n\t}\n\treturn n\n}\n",
		"a/a_test.go": "package a\n\nimport \"testing\"\n\nfunc TestAbs(t *testing.T) {\n\tif Abs(2) != 2 {\n\t\tt.Error(\"wrong\")\n\t}\n}\n\n" +
			"func TestFails(t *testing.T) { t.Error(\"always\") }\n",
	} {
		path := filepath.Join(root, file)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestVerdictsOnMutantsOfASmallModule(t *testing.T) {
	t.Parallel()
	root := module(t)
	l, err := newLab(root)
	if err != nil {
		t.Fatal(err)
	}
	defer l.close()
	for name, test := range map[string]struct {
		old, new, run string
		verdict, err  string
	}{
		"a bug that the test finds":     {"\treturn n\n", "\treturn 0\n", "^TestAbs$", "killed", ""},
		"a crash":                       {"\treturn n\n", "\tpanic(n)\n", "^TestAbs$", "killed", ""},
		"a bug that no test finds":      {"return -n", "return n", "^TestAbs$", "", ""},
		"a text that is not there":      {"return m", "return n", "^TestAbs$", "", "0 times"},
		"a text that is there twice":    {"return", "return", "^TestAbs$", "", "2 times"},
		"what does not compile":         {"return -n", "return m", "^TestAbs$", "", "undefined: m"},
		"a test that is not there":      {"return -n", "return n", "^TestSqrt$", "", "no test"},
		"a test that fails in any case": {"return -n", "return n", "^TestFails$", "", "fails without the mutant"},
	} {
		verdict, _, err := l.try(t.Context(), mutant{name: name, edits: []edit{{"a/a.go", test.old, test.new}}, pkg: "a", test: test.run})
		if verdict != test.verdict || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: verdict %q, error %v", name, verdict, err)
		}
	}
	text, err := os.ReadFile(filepath.Join(root, "a", "a.go"))
	if err != nil || !strings.Contains(string(text), "return -n") {
		t.Errorf("the tree was changed: %s (%v)", text, err)
	}
}

// TestDocumentNamesTestsThatExist reads the tests that the document on
// reliability names.
func TestDocumentNamesTestsThatExist(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile(filepath.Join(root, "docs", "reliability.md"))
	if err != nil {
		t.Fatal(err)
	}
	var tests strings.Builder
	err = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		tests.Write(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(string(doc), -1)
	if len(names) < 15 {
		t.Fatalf("the document names %d tests", len(names))
	}
	for _, name := range names {
		if !strings.Contains(tests.String(), "func "+name+"(t *testing.T)") {
			t.Errorf("there is no test %s", name)
		}
	}
}
