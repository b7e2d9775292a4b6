package matrix

import (
	"bytes"
	"errors"
)

// Marks between which a document holds the tables.
const (
	sectionBegin = "<!-- matrix begin -->"
	sectionEnd   = "<!-- matrix end -->"
)

// ErrNoSection refuses a document that has no place for the tables, or not
// exactly one.
var ErrNoSection = errors.New("want one section between the lines " + sectionBegin + " and " + sectionEnd)

// ReplaceSection returns a document with tables in place of what stands
// between its two marks. An empty document becomes the section alone.
func ReplaceSection(document, tables []byte) ([]byte, error) {
	section := "\n\n" + string(bytes.TrimSpace(tables)) + "\n\n"
	if len(bytes.TrimSpace(document)) == 0 {
		return []byte(sectionBegin + section + sectionEnd + "\n"), nil
	}
	if bytes.Count(document, []byte(sectionBegin)) != 1 || bytes.Count(document, []byte(sectionEnd)) != 1 {
		return nil, ErrNoSection
	}
	before, rest, _ := bytes.Cut(document, []byte(sectionBegin))
	_, after, ok := bytes.Cut(rest, []byte(sectionEnd))
	if !ok {
		return nil, ErrNoSection
	}
	return []byte(string(before) + sectionBegin + section + sectionEnd + string(after)), nil
}
