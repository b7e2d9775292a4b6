package webserver

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"strconv"
	"time"
)

//go:embed pages/*.html
var pageFiles embed.FS

// page is a template with the type of what it shows.
type page[T any] struct {
	name     string
	template *template.Template
}

// pages is every page there is.
type pages struct {
	login    page[loginView]
	register page[registerView]
	profile  page[profileView]
	security page[securityView]
	user     page[userView]
	failure  page[failureView]
}

func loadPages() (*pages, error) {
	var err error
	p := &pages{
		login:    openPage[loginView]("login", &err),
		register: openPage[registerView]("register", &err),
		profile:  openPage[profileView]("profile", &err),
		security: openPage[securityView]("security", &err),
		user:     openPage[userView]("user", &err),
		failure:  openPage[failureView]("failure", &err),
	}
	return p, err
}

// openPage reads a page's template with the layout around it. It leaves the
// first error of several calls in err.
func openPage[T any](name string, err *error) page[T] {
	t, parseErr := template.ParseFS(pageFiles, "pages/layout.html", "pages/"+name+".html")
	if parseErr != nil && *err == nil {
		*err = fmt.Errorf("read page %s: %w", name, parseErr)
	}
	return page[T]{name: name, template: t}
}

// framed is what a template is executed with.
type framed[T any] struct {
	frame
	View T
}

// write renders a page and sends it. Rendering goes to a buffer first, so
// that a failure halfway becomes an error page and not half a page.
func (p page[T]) write(s *Server, w http.ResponseWriter, r *http.Request, status int, f form, view T) error {
	start := time.Now()
	shown := framed[T]{frame: s.frame(r, f), View: view}
	if own, ok := any(view).(interface{ title() string }); ok {
		shown.Title = own.title()
	} else {
		shown.Title = shown.T(pageTitles[p.name])
	}
	if status == http.StatusOK {
		if key := s.takeFlash(w, r); key != "" {
			shown.Flash = shown.T(key)
		}
	}
	var b bytes.Buffer
	if err := p.template.ExecuteTemplate(&b, "layout", shown); err != nil {
		return fmt.Errorf("render page %s: %w", p.name, err)
	}
	s.hooks.Stage("render", p.name, time.Since(start))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(status)
	// A client that has gone away is no failure of ours.
	_, _ = w.Write(b.Bytes())
	return nil
}

// pageTitles are the titles of the pages that are not named by what they
// show.
var pageTitles = map[string]string{
	"login":    "page.login",
	"register": "page.register",
	"profile":  "page.profile",
	"security": "page.security",
}

// failureView is a failure that is the whole page.
type failureView struct {
	Heading, Detail, RequestID string
	// Typed tells that something was submitted, which the browser still has.
	Typed bool
	// Ours tells that the fault is on this side.
	Ours bool
}

func (v failureView) title() string { return v.Heading }

func (s *Server) errorPage(w http.ResponseWriter, r *http.Request, status int, heading, detail string) {
	ev := eventOf(r.Context())
	view := failureView{
		Heading: heading, Detail: detail, RequestID: ev.id,
		Typed: r.Method == http.MethodPost, Ours: status >= http.StatusInternalServerError,
	}
	if err := s.pages.failure.write(s, w, r, status, form{}, view); err != nil {
		ev.err = err
		http.Error(w, heading, status)
	}
}

// reform answers a form that was refused. It tells false where the failure
// is not about the form and must be answered as any other.
func (s *Server) reform(w http.ResponseWriter, r *http.Request, f *form, err error) (status int, ok bool) {
	e := asError(r, err)
	ev := eventOf(r.Context())
	status, code := f.refuse(ev.language, e)
	if status == 0 {
		return 0, false
	}
	ev.code = code
	if status >= http.StatusInternalServerError {
		ev.err = err
	}
	setRetryAfter(w.Header(), e, answerTo(e))
	return status, true
}
