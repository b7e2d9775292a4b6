package webserver

import (
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gatehouse/webserver/catalogue"
)

// frame is what every page has around its content.
type frame struct {
	language catalogue.Language
	assets   *assets
	form     form

	Title       string
	Section     string // first element of the path, which the navigation marks
	Flash       string
	Key         string // makes this rendering of a form unlike any other
	SignedIn    bool
	CanRegister bool
}

func (s *Server) frame(r *http.Request, f form) frame {
	key := f.key
	if key == "" {
		key = randomHex(16)
	}
	return frame{
		language: eventOf(r.Context()).language, assets: s.assets, form: f, Key: key,
		Section:  section(r.URL.Path),
		SignedIn: s.browserToken(r) != "", CanRegister: s.registration != RegistrationClosed,
	}
}

// section returns the part of the service that a path is in.
func section(path string) string {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	return first
}

// Lang returns the language of the page's texts.
func (f frame) Lang() string { return f.language.Tag() }

// T returns a text in the page's language.
func (f frame) T(key string, pairs ...string) string { return f.language.Text(key, pairs...) }

// Asset returns the address of a static file.
func (f frame) Asset(name string) string { return f.assets.url(name) }

// Problem says what is wrong with the form as a whole, if anything.
func (f frame) Problem() string { return f.form.problem }

// field is one input with its label and what is said about it.
type field struct {
	Name, Label, Type, Value, Autocomplete, Hint, Error string
	// Show and Hide are what the button says that shows a password.
	Show, Hide string
	// Accept is the content types that a file may have.
	Accept string
	// Plain text is neither capitalised nor checked for its spelling.
	Plain               bool
	Required, Autofocus bool
}

// Describe returns the ids of the texts about the field, for aria-describedby.
func (f field) Describe() string {
	switch {
	case f.Hint != "" && f.Error != "":
		return f.Name + "-hint " + f.Name + "-error"
	case f.Error != "":
		return f.Name + "-error"
	case f.Hint != "":
		return f.Name + "-hint"
	}
	return ""
}

// labels are the labels of the fields, in the order of the forms.
var labels = []struct{ name, key string }{
	{"username", "form.username"},
	{"nickname", "form.nickname"},
	{"current_password", "form.current_password"},
	{"new_password", "form.new_password"},
	{"password", "form.password"},
	{"invite", "form.invite"},
	{"picture", "form.picture"},
}

// Field returns an input for a template: what was typed into it before, if
// that is no secret, and what is wrong with it. The flags are "required" and
// "autofocus".
func (f frame) Field(name, kind, autocomplete, hint string, flags ...string) field {
	in := field{
		Name: name, Type: kind, Autocomplete: autocomplete, Hint: hint, Error: f.form.errors[name],
		Required: slices.Contains(flags, "required"), Autofocus: slices.Contains(flags, "autofocus"),
	}
	for _, l := range labels {
		if l.name == name {
			in.Label = f.T(l.key)
		}
	}
	switch kind {
	case "password":
		in.Show, in.Hide = f.T("button.show"), f.T("button.hide")
	case "file":
		in.Accept = "image/jpeg,image/png,image/webp,image/gif"
	default:
		in.Value, in.Plain = f.form.value(name), name != "nickname"
	}
	return in
}

// fieldProblem is one line of the list above a form that was refused.
type fieldProblem struct{ Name, Label, Text string }

// FieldProblems returns what is wrong with the form's fields, in their order.
func (f frame) FieldProblems() []fieldProblem {
	var list []fieldProblem
	for _, l := range labels {
		if text := f.form.errors[l.name]; text != "" {
			list = append(list, fieldProblem{l.name, f.T(l.key), text})
		}
	}
	return list
}

// Time formats a time for a person. A browser with scripts shows it in its
// own zone.
func (f frame) Time(t time.Time) string { return t.UTC().Format("2 Jan 2006, 15:04 UTC") }

// Day formats the day of a time for a person.
func (f frame) Day(t time.Time) string { return t.UTC().Format("2 Jan 2006") }

// Stamp formats a time for the datetime attribute.
func (f frame) Stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// Initial returns what stands in for a picture: a name's first character.
func (f frame) Initial(name string) string {
	_, size := utf8.DecodeRuneInString(name)
	return name[:size]
}
