package webserver

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"mime"
	"net/http"
	"strings"
	"unicode/utf8"

	"gatehouse/protocol"
	"gatehouse/webserver/catalogue"
)

// formKey is the hidden field that makes one rendering of a form different
// from every other.
const formKey = "form_key"

// form is what was typed into a page's form, and what is wrong with it.
type form struct {
	values map[string]string
	// problem says what is wrong with the form as a whole, and errors what is
	// wrong with its fields; both are for people.
	problem string
	errors  map[string]string
	key     string
}

// parseForm reads the fields of a form from the request's body; the query
// never counts. A field that is missing is empty, one that comes twice is
// refused, because two readers could choose differently.
func parseForm(r *http.Request, names ...string) (form, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || kind != "application/x-www-form-urlencoded" {
		return form{}, errType
	}
	if err := r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return form{}, errTooLarge
		}
		return form{}, malformed("body", "must be a form in the encoding application/x-www-form-urlencoded")
	}
	f := form{values: make(map[string]string, len(names))}
	for _, name := range append(names, formKey) {
		values := r.PostForm[name]
		if len(values) > 1 {
			return form{}, malformed(name, "must not come twice")
		}
		if len(values) == 0 {
			continue
		}
		// A password with its bytes replaced would be another password.
		if !utf8.ValidString(values[0]) {
			return form{}, malformed(name, "must be UTF-8")
		}
		f.values[name] = values[0]
	}
	if key := f.values[formKey]; wellFormedID(key) {
		f.key = key
	}
	return f, nil
}

// value returns what was typed into a field.
func (f form) value(name string) string { return f.values[name] }

// text returns what was typed into a field of one word, without the spaces
// around it that keyboards of telephones leave.
func (f form) text(name string) string { return strings.TrimSpace(f.values[name]) }

// idempotencyKey makes a key of a form's rendering and its content: the same
// form submitted twice is one write, and the same form with something else
// typed into it is another. Because the rendering's key is random and kept
// nowhere, nothing can be learnt about the content from the result.
func (f form) idempotencyKey(content ...string) string {
	if f.key == "" {
		return ""
	}
	h := sha256.New()
	for _, part := range append([]string{f.key}, content...) {
		sum := sha256.Sum256([]byte(part))
		h.Write(sum[:])
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// refuse fills in what is wrong with a form that the backend refused, and
// tells the status to show it with. It tells 0 for a failure that is not
// about the form.
func (f *form) refuse(l catalogue.Language, e *protocol.Error) (status int, code string) {
	a := answerTo(e)
	switch a.code {
	case "unauthenticated", "internal", "not_found", "malformed":
		return 0, a.code
	}
	f.errors = make(map[string]string)
	for _, field := range e.Fields {
		f.errors[field.Field] = strings.TrimSpace(f.errors[field.Field] + " " + fieldText(l, field))
	}
	_, f.problem = a.words(l, e)
	switch a.code {
	case "username_taken":
		f.errors["username"] = l.Text("field.username_taken")
	case "unknown_outcome":
		// The same key again makes trying again safe.
		return a.status, a.code
	}
	f.key = ""
	return a.status, a.code
}
