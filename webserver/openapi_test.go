package webserver_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"sort"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"

	"gatehouse/protocol"
)

// described loads the API's description as the server serves it.
func described(t *testing.T, s *site) (*openapi3.T, routers.Router) {
	t.Helper()
	a := s.do("GET", "/api/openapi.yaml", "").want(t, 200)
	if got := a.Header.Get("Content-Type"); got != "application/yaml; charset=utf-8" {
		t.Errorf("content type %q", got)
	}
	doc, err := openapi3.NewLoader().LoadFromData([]byte(a.body))
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	router, err := legacy.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return doc, router
}

func TestDescriptionNamesEveryRouteAndNoOther(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	doc, _ := described(t, s)
	var want, have []string
	for _, route := range s.Routes() {
		if strings.HasPrefix(route[1], "/api/v1") {
			want = append(want, route[0]+" "+route[1])
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			have = append(have, method+" "+path)
		}
	}
	sort.Strings(want)
	sort.Strings(have)
	if strings.Join(want, "\n") != strings.Join(have, "\n") {
		t.Errorf("described:\n%s\nanswered:\n%s", strings.Join(have, "\n"), strings.Join(want, "\n"))
	}
}

// exchange is a request and how it is to be answered.
type exchange struct {
	method, path, kind, body string
	status                   int
	fail                     *protocol.Error // of every call
	anonymous                bool
	unsound                  bool // the request itself is not as described
}

func TestEveryRouteAnswersAsDescribed(t *testing.T) {
	t.Parallel()
	picture := string(png(t, 4, 4))
	sound := []exchange{
		{method: "POST", path: "/users", kind: jsonType, body: `{"username":"grace","password":"nanoseconds of wire"}`, status: 201, anonymous: true},
		{method: "POST", path: "/sessions", kind: jsonType, body: `{"username":"ada","password":"` + adaPassword + `"}`, status: 201, anonymous: true},
		{method: "GET", path: "/users/ada", status: 200, anonymous: true},
		{method: "GET", path: "/sessions", status: 200},
		{method: "GET", path: "/profile", status: 200},
		{method: "GET", path: "/profile/export", status: 200},
		{method: "PATCH", path: "/profile", kind: jsonType, body: `{"nickname":"Countess"}`, status: 200},
		{method: "PUT", path: "/profile/picture", kind: "image/png", body: picture, status: 200},
		{method: "DELETE", path: "/profile/picture", status: 200},
		{method: "PUT", path: "/password", kind: jsonType, body: `{"current_password":"` + adaPassword + `","new_password":"difference engine"}`, status: 204},
		{method: "GET", path: "/auth/verify", status: 200},
		{method: "GET", path: "/auth/verify?redirect=1", status: 302, anonymous: true},
		{method: "DELETE", path: "/sessions", status: 204},
		{method: "DELETE", path: "/sessions/7", status: 404},
		{method: "DELETE", path: "/sessions/current", status: 204},
		{method: "DELETE", path: "/profile", kind: jsonType, body: `{"password":"` + adaPassword + `"}`, status: 204},
	}
	openapi3filter.RegisterBodyDecoder("image/png", openapi3filter.FileBodyDecoder)
	_, router := described(t, newSite(t))
	tried := make(map[string]bool)
	for _, e := range sound {
		check(t, router, e)
		tried[e.method+" "+strings.SplitN(e.path, "?", 2)[0]] = true
		for _, failing := range refusals(e) {
			check(t, router, failing)
		}
	}
	if len(tried) != 15 { // DELETE /sessions/7 stands for /sessions/{id}
		t.Errorf("%d operations tried: %v", len(tried), tried)
	}
}

// refusals makes of an exchange that succeeds those that do not.
func refusals(e exchange) []exchange {
	var list []exchange
	change := func(status int, f func(*exchange)) {
		other := e
		other.status = status
		f(&other)
		list = append(list, other)
	}
	change(500, func(e *exchange) { e.fail = &protocol.Error{Code: protocol.Internal} })
	change(503, func(e *exchange) { e.fail = &protocol.Error{Code: protocol.Unavailable} })
	if !e.anonymous {
		change(401, func(e *exchange) { e.fail = &protocol.Error{Code: protocol.Unauthenticated} })
		change(401, func(e *exchange) { e.anonymous = true })
	}
	if e.method == "GET" {
		return list
	}
	// Where no body is described, none is looked at.
	change(415, func(e *exchange) { e.kind, e.body, e.unsound = "text/plain", "x", e.kind != "" })
	change(422, func(e *exchange) { e.fail = &protocol.Error{Code: protocol.Conflict, Reason: "idempotency_mismatch"} })
	if e.kind == jsonType {
		change(400, func(e *exchange) { e.body, e.unsound = `{"x":`, true })
		change(413, func(e *exchange) { e.body, e.unsound = strings.Repeat(" ", 65<<10), true })
		change(422, func(e *exchange) { e.body, e.unsound = `{}`, true })
		change(422, func(e *exchange) {
			e.fail = &protocol.Error{Code: protocol.Invalid, Fields: []protocol.Field{{Field: "x", Reason: "y", Detail: "z"}}}
		})
	}
	return list
}

// check makes an exchange and compares request and answer with the
// description.
func check(t *testing.T, router routers.Router, e exchange) {
	t.Helper()
	s := newSite(t, under("http://example.com"), withPictures(newMemory()))
	if e.fail != nil {
		s.fake.gone(e.fail)
		if e.path == "/auth/verify?redirect=1" {
			e.anonymous = false
		}
	}
	r := httptest.NewRequest(e.method, "http://example.com/api/v1"+e.path, strings.NewReader(e.body))
	if e.kind != "" {
		r.Header.Set("Content-Type", e.kind)
	}
	if !e.anonymous {
		r.Header.Set("Authorization", s.bearer())
	}
	name := e.method + " " + e.path
	route, parameters, err := router.FindRoute(r)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	input := &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true}}
	if err := openapi3filter.ValidateRequest(context.Background(), input); (err != nil) != e.unsound {
		t.Errorf("%s: is the request as described? %v", name, err)
	}
	r.Body = io.NopCloser(strings.NewReader(e.body))
	a := s.serve(r)
	if a.StatusCode != e.status {
		t.Errorf("%s: status %d, want %d: %s", name, a.StatusCode, e.status, a.body)
		return
	}
	if err := asDescribed(input, a.StatusCode, a.Header, a.body); err != nil {
		t.Errorf("%s: status %d is not as described: %v", name, a.StatusCode, err)
	}
	if a.StatusCode == http.StatusNoContent && a.body != "" {
		t.Errorf("%s: 204 with a body", name)
	}
	// The comparison itself must be able to fail.
	if asDescribed(input, 418, a.Header, a.body) == nil || asDescribed(input, a.StatusCode, http.Header{}, a.body) == nil ||
		a.body != "" && asDescribed(input, a.StatusCode, a.Header, `{"id":7,"sessions":7,"token":7,"username":7,"status":"x"}`) == nil {
		t.Errorf("%s: status %d: what is wrong is as described, too", name, a.StatusCode)
	}
}

// asDescribed compares an answer with the description.
func asDescribed(input *openapi3filter.RequestValidationInput, status int, header http.Header, body string) error {
	return openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: status, Header: header,
		Body: io.NopCloser(strings.NewReader(body)), Options: input.Options,
	})
}
