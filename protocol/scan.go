package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Bounds of any JSON text that is accepted from outside.
const (
	// MaxDepth is how deep objects and arrays may be nested.
	MaxDepth = 16
	// MaxMembers is how many members one object may have.
	MaxMembers = 128
)

// CheckJSON tells what is wrong with a JSON text. It asks for more than
// encoding/json does, so that no two readers can understand one text in two
// ways (I-JSON, RFC 7493): one value and nothing after it, valid UTF-8, no
// lone surrogates, no object with two keys that are equal or differ only in
// case, at most MaxDepth levels and MaxMembers members. The error says at
// which byte.
func CheckJSON(data []byte) error {
	s := scanner{data: data}
	s.space()
	if err := s.value(1); err != nil {
		return err
	}
	return s.end()
}

// scanner walks a JSON text once, checking it as CheckJSON says. The stack
// of keys is shared by the objects being scanned: each uses what lies above
// the length it found.
type scanner struct {
	data []byte
	pos  int
	keys [][]byte
}

func (s *scanner) fail(format string, args ...any) error {
	return fmt.Errorf("at byte %d: %s", s.pos, fmt.Sprintf(format, args...))
}

// peek returns the byte at the position, or 0 at the end; a NUL is valid
// nowhere, so that the two need not be told apart.
func (s *scanner) peek() byte {
	if s.pos < len(s.data) {
		return s.data[s.pos]
	}
	return 0
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\r', '\n':
			s.pos++
		default:
			return
		}
	}
}

// end checks that nothing but space follows.
func (s *scanner) end() error {
	s.space()
	if s.pos != len(s.data) {
		return s.fail("something follows the value")
	}
	return nil
}

// value scans the value that starts at the position.
func (s *scanner) value(depth int) error {
	if depth > MaxDepth {
		return s.fail("nested deeper than %d levels", MaxDepth)
	}
	switch c := s.peek(); {
	case c == '{':
		return s.object(depth, nil)
	case c == '[':
		return s.array(depth)
	case c == '"':
		return s.str()
	case c == '-' || '0' <= c && c <= '9':
		return s.number()
	case c == 't':
		return s.literal("true")
	case c == 'f':
		return s.literal("false")
	case c == 'n':
		return s.literal("null")
	case s.pos >= len(s.data):
		return s.fail("the text ends where a value should be")
	default:
		return s.fail("no value starts with %q", c)
	}
}

func (s *scanner) literal(word string) error {
	if !bytes.HasPrefix(s.data[s.pos:], []byte(word)) {
		return s.fail("a value that is none of JSON's")
	}
	s.pos += len(word)
	return nil
}

// object scans an object and calls visit, where it is not nil, with each key
// and the bytes of its value.
func (s *scanner) object(depth int, visit func(key, value []byte) error) error {
	base := len(s.keys)
	defer func() { s.keys = s.keys[:base] }()
	s.pos++ // the opening brace
	s.space()
	if s.peek() == '}' {
		s.pos++
		return nil
	}
	for {
		key, err := s.key(base)
		if err != nil {
			return err
		}
		start := s.pos
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if visit != nil {
			if err := visit(key, s.data[start:s.pos]); err != nil {
				return err
			}
		}
		if more, err := s.more('}'); err != nil || !more {
			return err
		}
	}
}

// key scans a key and the colon after it, and compares it with the keys
// that the object already has, which are those from base on.
func (s *scanner) key(base int) ([]byte, error) {
	if s.peek() != '"' {
		return nil, s.fail("an object's key should be a string")
	}
	start := s.pos
	if err := s.str(); err != nil {
		return nil, err
	}
	key, err := unquote(s.data[start:s.pos])
	if err != nil {
		return nil, s.fail("%v", err)
	}
	for _, other := range s.keys[base:] {
		if bytes.EqualFold(other, key) {
			return nil, s.fail("key %q stands twice, in the same or in another case", key)
		}
	}
	if len(s.keys)-base == MaxMembers {
		return nil, s.fail("an object has more than %d members", MaxMembers)
	}
	s.keys = append(s.keys, key)
	s.space()
	if s.peek() != ':' {
		return nil, s.fail("no colon after key %q", key)
	}
	s.pos++
	s.space()
	return key, nil
}

// more scans what stands after an element: a comma, or the closing byte.
func (s *scanner) more(closing byte) (bool, error) {
	s.space()
	switch s.peek() {
	case ',':
		s.pos++
		s.space()
		return true, nil
	case closing:
		s.pos++
		return false, nil
	}
	return false, s.fail("neither a comma nor %q after an element", closing)
}

func (s *scanner) array(depth int) error {
	s.pos++ // the opening bracket
	s.space()
	if s.peek() == ']' {
		s.pos++
		return nil
	}
	for {
		if err := s.value(depth + 1); err != nil {
			return err
		}
		if more, err := s.more(']'); err != nil || !more {
			return err
		}
	}
}

// str scans a string.
func (s *scanner) str() error {
	s.pos++ // the opening quote
	for s.pos < len(s.data) {
		switch c := s.data[s.pos]; {
		case c == '"':
			s.pos++
			return nil
		case c == '\\':
			if err := s.escape(); err != nil {
				return err
			}
		case c < ' ':
			return s.fail("control character %#02x in a string", c)
		case c < utf8.RuneSelf:
			s.pos++
		default:
			r, size := utf8.DecodeRune(s.data[s.pos:])
			if r == utf8.RuneError && size <= 1 {
				return s.fail("invalid UTF-8")
			}
			s.pos += size
		}
	}
	return s.fail("a string does not end")
}

// escape scans an escape sequence, both halves of one that is a pair.
func (s *scanner) escape() error {
	s.pos++ // the backslash
	switch c := s.peek(); c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		s.pos++
		return nil
	case 'u':
	default:
		return s.fail("no escape sequence \\%c", c)
	}
	r, err := s.hex4()
	if err != nil {
		return err
	}
	switch {
	case 0xdc00 <= r && r < 0xe000:
		return s.fail("the second half of a surrogate pair stands alone")
	case r < 0xd800 || 0xe000 <= r:
		return nil
	}
	if !bytes.HasPrefix(s.data[s.pos:], []byte(`\u`)) {
		return s.fail("the first half of a surrogate pair stands alone")
	}
	s.pos++
	r, err = s.hex4()
	if err == nil && (r < 0xdc00 || 0xe000 <= r) {
		err = s.fail("a surrogate pair has no second half")
	}
	return err
}

// hex4 scans the u of an escape and the four digits after it.
func (s *scanner) hex4() (rune, error) {
	s.pos++ // the u
	var r rune
	for range 4 {
		c := s.peek()
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, s.fail("\\u without four hexadecimal digits")
		}
		r = r<<4 | rune(c)
		s.pos++
	}
	return r, nil
}

// number scans a number as RFC 8259 section 6 writes them.
func (s *scanner) number() error {
	if s.peek() == '-' {
		s.pos++
	}
	leadingZero := s.peek() == '0'
	n := s.digits()
	if n == 0 || leadingZero && n > 1 {
		return s.fail("a number is malformed")
	}
	if s.peek() == '.' {
		s.pos++
		if s.digits() == 0 {
			return s.fail("a number has no digit after its point")
		}
	}
	if c := s.peek(); c == 'e' || c == 'E' {
		s.pos++
		if c := s.peek(); c == '+' || c == '-' {
			s.pos++
		}
		if s.digits() == 0 {
			return s.fail("a number has no digit in its exponent")
		}
	}
	return nil
}

func (s *scanner) digits() int {
	start := s.pos
	for s.pos < len(s.data) && '0' <= s.data[s.pos] && s.data[s.pos] <= '9' {
		s.pos++
	}
	return s.pos - start
}

// unquote returns the bytes that a scanned string stands for: a part of
// quoted itself where there is nothing to unescape.
func unquote(quoted []byte) ([]byte, error) {
	if bytes.IndexByte(quoted, '\\') < 0 {
		return quoted[1 : len(quoted)-1], nil
	}
	var text string
	if err := json.Unmarshal(quoted, &text); err != nil {
		return nil, fmt.Errorf("unescape a string: %w", err)
	}
	return []byte(text), nil
}
