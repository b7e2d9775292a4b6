// Package catalogue is every text that a person reads, by language. It does
// not know on which page, or for which failure, a text is shown.
package catalogue

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/language"
)

// files holds one file of texts for each language, named by its BCP 47 tag.
//
//go:embed *.json
var files embed.FS

// fallback is the language of a reader who asks for none that is here. Its
// keys are the ones that every other language must have.
const fallback = "en"

// Catalogue is the texts of all languages.
type Catalogue struct {
	languages []Language // the fallback first
	matcher   language.Matcher
}

// New reads the embedded texts. It fails when a language lacks a text or has
// one that no other has, so that nobody ever reads a bare key.
func New() (*Catalogue, error) { return read(files) }

func read(files fs.FS) (*Catalogue, error) {
	names, err := fs.Glob(files, "*.json")
	if err != nil {
		return nil, fmt.Errorf("list languages: %w", err)
	}
	c := new(Catalogue)
	for _, name := range names {
		l, err := readLanguage(files, name)
		if err != nil {
			return nil, err
		}
		if l.Tag() == fallback {
			c.languages = slices.Insert(c.languages, 0, l)
			continue
		}
		c.languages = append(c.languages, l)
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	tags := make([]language.Tag, len(c.languages))
	for i, l := range c.languages {
		tags[i] = l.tag
	}
	c.matcher = language.NewMatcher(tags)
	return c, nil
}

func readLanguage(files fs.FS, name string) (Language, error) {
	data, err := fs.ReadFile(files, name)
	if err != nil {
		return Language{}, fmt.Errorf("read texts: %w", err)
	}
	var l Language
	if err := json.Unmarshal(data, &l.texts); err != nil {
		return Language{}, fmt.Errorf("read texts of %s: %w", name, err)
	}
	l.tag, err = language.Parse(strings.TrimSuffix(name, ".json"))
	if err != nil {
		return Language{}, fmt.Errorf("read texts of %s: %w", name, err)
	}
	return l, nil
}

// check tells a language whose keys are not those of the fallback.
func (c *Catalogue) check() error {
	if len(c.languages) == 0 || c.languages[0].Tag() != fallback {
		return fmt.Errorf("read texts: no %s.json", fallback)
	}
	want := c.languages[0].Keys()
	for _, l := range c.languages[1:] {
		have := l.Keys()
		for _, key := range want {
			if _, ok := slices.BinarySearch(have, key); !ok {
				return fmt.Errorf("read texts of %s: no text %q", l.Tag(), key)
			}
		}
		if len(have) != len(want) {
			return fmt.Errorf("read texts of %s: %d texts where %s has %d", l.Tag(), len(have), fallback, len(want))
		}
	}
	return nil
}

// maxAccept bounds the Accept-Language header that is parsed, in bytes. No
// browser sends a longer one.
const maxAccept = 256

// Match returns the language that suits an Accept-Language header best.
func (c *Catalogue) Match(accept string) Language {
	if len(c.languages) == 1 || accept == "" || len(accept) > maxAccept {
		return c.languages[0]
	}
	wanted, _, err := language.ParseAcceptLanguage(accept)
	if err != nil {
		return c.languages[0]
	}
	_, i, _ := c.matcher.Match(wanted...)
	return c.languages[i]
}

// Language is the texts of one language.
type Language struct {
	tag   language.Tag
	texts map[string]string
}

// Tag returns the language's BCP 47 tag, for the lang attribute of a page.
func (l Language) Tag() string { return l.tag.String() }

// Keys returns the keys of all texts, sorted.
func (l Language) Keys() []string { return slices.Sorted(maps.Keys(l.texts)) }

// Text returns the text of a key. The pairs are names and values: every
// {name} in the text becomes the value. A key without a text is returned as
// it is; a test sees to it that no such key is in use.
func (l Language) Text(key string, pairs ...string) string {
	text, ok := l.texts[key]
	if !ok {
		return key
	}
	if len(pairs) == 0 {
		return text
	}
	braced := make([]string, len(pairs))
	for i, p := range pairs {
		if i%2 == 0 {
			p = "{" + p + "}"
		}
		braced[i] = p
	}
	return strings.NewReplacer(braced...).Replace(text)
}
