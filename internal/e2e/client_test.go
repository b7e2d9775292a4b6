package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// A client is a program that uses the JSON API, with a session or without.
type client struct {
	base  string
	token string
	// http is http.DefaultClient where it is nil.
	http *http.Client
}

// An answer is a whole HTTP response.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// send makes a request. Headers are given as name and value in turns.
func (c client) send(ctx context.Context, method, path string, body io.Reader, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return answer{}, err
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	hc := c.http
	if hc == nil {
		hc = plain
	}
	resp, err := hc.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return answer{}, fmt.Errorf("read the body of %s %s: %w", method, path, err)
	}
	return answer{resp.StatusCode, resp.Header, data}, nil
}

// plain follows no redirects, so that tests see them.
var plain = &http.Client{
	Timeout:       patience,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// do makes a request with a JSON body, or with none where body is nil, which
// must be answered.
func (c client) do(t testing.TB, method, path string, body any, headers ...string) answer {
	t.Helper()
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			t.Fatal(err)
		}
		reader = bytes.NewReader(text)
		headers = append([]string{"Content-Type", "application/json"}, headers...)
	}
	a, err := c.send(t.Context(), method, path, reader, headers...)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return a
}

// want fails the test unless the answer has the status.
func (a answer) want(t testing.TB, status int) answer {
	t.Helper()
	if a.status != status {
		t.Fatalf("answered %d, want %d: %s", a.status, status, a.body)
	}
	return a
}

// into decodes a JSON answer.
func (a answer) into(t testing.TB, v any) {
	t.Helper()
	if kind := a.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("content type %q, want application/json", kind)
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		t.Fatalf("decode %s: %v", a.body, err)
	}
}

// problem is the body of a refusal, RFC 9457.
type problem struct {
	Type, Title, Detail, Code string
	Status                    int
	RequestID                 string `json:"request_id"`
	Errors                    []struct{ Field, Reason, Detail string }
}

// refused fails the test unless the answer is a whole problem document with
// the status and code.
func (a answer) refused(t testing.TB, status int, code string) problem {
	t.Helper()
	p, err := a.problem()
	if err != nil {
		t.Fatal(err)
	}
	if a.status != status || p.Code != code {
		t.Fatalf("refused with %d %s, want %d %s: %s", a.status, p.Code, status, code, a.body)
	}
	return p
}

// problem reads a problem document and tells what is wrong with it.
func (a answer) problem() (p problem, err error) {
	if kind := a.header.Get("Content-Type"); kind != "application/problem+json" {
		return p, fmt.Errorf("answered %d with content type %q, want a problem document: %s", a.status, kind, a.body)
	}
	if err := json.Unmarshal(a.body, &p); err != nil {
		return p, fmt.Errorf("decode problem %s: %w", a.body, err)
	}
	if p.Type == "" || p.Title == "" || p.Detail == "" || p.Code == "" || p.Status != a.status ||
		p.RequestID == "" || p.RequestID != a.header.Get("X-Request-Id") {
		return p, fmt.Errorf("the problem document is not whole: %s, X-Request-Id %q", a.body, a.header.Get("X-Request-Id"))
	}
	return p, nil
}

// user is a person's own view of their record.
type user struct {
	ID, Username, Nickname string
	PictureURL             *string `json:"picture_url"`
	Version                int
	CreatedAt              time.Time `json:"created_at"`
}

// opened is the answer to a registration or login.
type opened struct {
	Token     string
	ExpiresAt time.Time `json:"expires_at"`
	User      user
	Device    string
}

// password is one that nobody is refused for.
const password = "seven green lanterns at dusk"

// names counts the accounts of this test program.
var names atomic.Int64

// newName returns a username that no other test has.
func newName() string { return fmt.Sprintf("person%d", names.Add(1)) }

// register makes an account and returns a client with its first session.
func register(t testing.TB, base, name string) (client, opened) {
	t.Helper()
	var o opened
	client{base: base}.do(t, "POST", "/api/v1/users", map[string]string{"username": name, "password": password}).want(t, 201).into(t, &o)
	return client{base: base, token: o.Token}, o
}

// login makes one more session of an account.
func login(t testing.TB, base, name, password string) (client, opened) {
	t.Helper()
	var o opened
	client{base: base}.do(t, "POST", "/api/v1/sessions", map[string]string{"username": name, "password": password}).want(t, 201).into(t, &o)
	return client{base: base, token: o.Token}, o
}

// profile returns the record of whose session it is.
func (c client) profile(t testing.TB) (u user) {
	t.Helper()
	c.do(t, "GET", "/api/v1/profile", nil).want(t, 200).into(t, &u)
	return u
}

// metrics returns the sum of the samples of each metric of a process, over
// all their labels.
func metrics(t testing.TB, p *process) map[string]float64 {
	t.Helper()
	sums := map[string]float64{}
	body := string(client{base: p.admin}.do(t, "GET", "/metrics", nil).want(t, 200).body)
	for _, match := range sample.FindAllStringSubmatch(body, -1) {
		var value float64
		if _, err := fmt.Sscan(match[2], &value); err != nil {
			t.Fatalf("read metric %s: %v", match[0], err)
		}
		sums[match[1]] += value
	}
	return sums
}

// sample is one line of the text format of Prometheus that is no comment.
var sample = regexp.MustCompile(`(?m)^([a-z_]+)(?:\{.*\})? (\S+)$`)

// has tells whether the answer's body contains every word.
func (a answer) has(words ...string) bool {
	for _, w := range words {
		if !strings.Contains(string(a.body), w) {
			return false
		}
	}
	return true
}
