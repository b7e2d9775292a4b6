package webserver_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"gatehouse/protocol/packet"
	"gatehouse/webserver"
)

// The account that every site has.
const (
	adaName     = "ada"
	adaPassword = "analytical engine"
)

// site is a server with a fake tier 2 behind it and one account in it.
type site struct {
	*webserver.Server
	t     *testing.T
	fake  *fakeBackend
	log   *logBuffer
	token packet.Secret // of a session of ada's
}

// logBuffer is a log that several goroutines may write.
type logBuffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// newSite returns a site with the default settings but for the changes.
func newSite(t *testing.T, changes ...func(*webserver.Config)) *site {
	t.Helper()
	fake, log := newFake(), new(logBuffer)
	config := webserver.Config{Backend: fake, Log: slog.New(slog.NewJSONHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	for _, change := range changes {
		change(&config)
	}
	server, err := webserver.New(config)
	if err != nil {
		t.Fatal(err)
	}
	return &site{Server: server, t: t, fake: fake, log: log, token: fake.account(adaName, adaPassword)}
}

// under sets the public URL.
func under(address string) func(*webserver.Config) {
	return func(c *webserver.Config) {
		u, err := url.Parse(address)
		if err != nil {
			panic(err)
		}
		c.PublicURL = u
	}
}

// answer is what a site answered.
type answer struct {
	*http.Response
	body string
}

// do makes a request with headers, given as names and values in turn.
func (s *site) do(method, target, body string, headers ...string) answer {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
			continue
		}
		r.Header.Add(headers[i], headers[i+1])
	}
	return s.serve(r)
}

func (s *site) serve(r *http.Request) answer {
	s.t.Helper()
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	response := w.Result()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return answer{response, string(body)}
}

// get asks for a page as ada.
func (s *site) get(target string, headers ...string) answer {
	return s.do("GET", target, "", append(headers, "Cookie", s.cookie())...)
}

// post submits a form as ada; the fields are names and values in turn.
func (s *site) post(target string, fields ...string) answer {
	return s.do("POST", target, encode(fields...), "Content-Type", formType, "Cookie", s.cookie())
}

// visit submits a form without a session.
func (s *site) visit(target string, fields ...string) answer {
	return s.do("POST", target, encode(fields...), "Content-Type", formType)
}

const (
	formType = "application/x-www-form-urlencoded"
	jsonType = "application/json"
)

func encode(fields ...string) string {
	values := make(url.Values)
	for i := 0; i < len(fields); i += 2 {
		values.Add(fields[i], fields[i+1])
	}
	return values.Encode()
}

func (s *site) cookie() string { return "gatehouse=" + string(s.token) }

func (s *site) bearer() string { return "Bearer " + string(s.token) }

// api makes an API request as ada.
func (s *site) api(method, target, body string, headers ...string) answer {
	headers = append(headers, "Authorization", s.bearer())
	if body != "" {
		headers = append(headers, "Content-Type", jsonType)
	}
	return s.do(method, "/api/v1"+target, body, headers...)
}

// problem is a problem document.
type problem struct {
	Type, Title, Detail, Code string
	Status                    int
	RequestID                 string `json:"request_id"`
	Errors                    []struct{ Field, Reason, Detail string }
}

// problem checks that an answer is a sound problem document and returns it.
func (a answer) problem(t *testing.T) problem {
	t.Helper()
	if got := a.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("content type %q, want a problem document; status %d, body %s", got, a.StatusCode, a.body)
	}
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil {
		t.Fatalf("decode problem %s: %v", a.body, err)
	}
	if p.Status != a.StatusCode || p.Type != "urn:gatehouse:problem:"+p.Code || p.Code == "" ||
		p.RequestID != a.Header.Get("X-Request-Id") || p.Title == "" || p.Detail == "" ||
		strings.HasPrefix(p.Title, "error.") || strings.HasPrefix(p.Detail, "error.") {
		t.Errorf("problem is not whole: %+v, status %d", p, a.StatusCode)
	}
	return p
}

// decode decodes the JSON body of an answer.
func decode[T any](t *testing.T, a answer) T {
	t.Helper()
	var v T
	if got := a.Header.Get("Content-Type"); got != "application/json" {
		t.Fatalf("content type %q, want application/json; status %d, body %s", got, a.StatusCode, a.body)
	}
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("decode %s: %v", a.body, err)
	}
	return v
}

// want checks the status of an answer.
func (a answer) want(t *testing.T, status int) answer {
	t.Helper()
	if a.StatusCode != status {
		t.Fatalf("status %d, want %d; body: %s", a.StatusCode, status, a.main())
	}
	return a
}

// to checks that an answer sends the browser to a page with a GET.
func (a answer) to(t *testing.T, location string) answer {
	t.Helper()
	a.want(t, http.StatusSeeOther)
	if got := a.Header.Get("Location"); got != location {
		t.Fatalf("sent to %q, want %q", got, location)
	}
	return a
}

// main returns the part of the body worth showing when a test fails.
func (a answer) main() string {
	if _, rest, ok := strings.Cut(a.body, "<main"); ok {
		return "<main" + rest
	}
	return a.body
}

// has checks that all the texts are in the body.
func (a answer) has(t *testing.T, texts ...string) answer {
	t.Helper()
	for _, text := range texts {
		if !strings.Contains(a.body, text) {
			t.Errorf("no %q in %s", text, a.main())
		}
	}
	return a
}

// hasNot checks that none of the texts is in the body.
func (a answer) hasNot(t *testing.T, texts ...string) answer {
	t.Helper()
	for _, text := range texts {
		if strings.Contains(a.body, text) {
			t.Errorf("%q in %s", text, a.main())
		}
	}
	return a
}

// set returns the cookie of that name that an answer sets, or fails.
func (a answer) set(t *testing.T, name string) *http.Cookie {
	t.Helper()
	for _, c := range a.Cookies() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no cookie %q set, only %v", name, a.Cookies())
	return nil
}

// sets tells whether an answer sets or removes a cookie of that name.
func (a answer) sets(name string) bool {
	for _, c := range a.Cookies() {
		if c.Name == name {
			return true
		}
	}
	return false
}

// logged returns the log's last event.
func (s *site) logged() map[string]any {
	s.t.Helper()
	lines := strings.Split(strings.TrimSpace(s.log.String()), "\n")
	var event map[string]any
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &event); err != nil {
		s.t.Fatalf("decode log: %v", err)
	}
	return event
}

// fuzzed makes a request of arbitrary text, or returns nil where no HTTP
// server would have made one of it.
func fuzzed(method, target, body string) *http.Request {
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(method + " " + target + " HTTP/1.1\r\nHost: example.com\r\n\r\n")))
	if err != nil {
		return nil
	}
	r.RemoteAddr, r.Body = "192.0.2.1:1234", io.NopCloser(strings.NewReader(body))
	return r
}
