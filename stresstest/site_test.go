package stresstest_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/stresstest"
)

var sessionKey = []byte("a key of generated sessions\n")

// user is a user as the API shows them.
type user struct {
	ID         string  `json:"id"`
	Username   string  `json:"username"`
	Nickname   string  `json:"nickname"`
	PictureURL *string `json:"picture_url"`
	Version    int     `json:"version"`
}

// site plays a webserver with generated accounts, in memory. It answers at
// once and rightly, except where a test puts itself before it.
type site struct {
	before func(w http.ResponseWriter, r *http.Request) (answered bool)

	mu      sync.Mutex      // guards the fields below
	users   map[int]*user   // by number
	tokens  map[string]bool // those made by logins
	logins  int
	edits   int
	logouts int
}

func newSite(users int) *site {
	s := &site{users: map[int]*user{}, tokens: map[string]bool{}}
	for n := 1; n <= users; n++ {
		s.users[n] = &user{ID: strconv.Itoa(n), Username: stresstest.Username(n), Nickname: stresstest.Nickname(n)}
	}
	return s
}

func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if s.before != nil && s.before(w, r) {
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /api/v1/sessions":
		s.login(w, r)
	case "GET /api/v1/profile":
		if u := s.user(r); u == nil {
			refuse(w, http.StatusUnauthorized, "unauthenticated")
		} else {
			answer(w, http.StatusOK, u)
		}
	case "PATCH /api/v1/profile":
		s.update(w, r)
	case "GET /profile":
		s.page(w, r)
	case "GET /api/v1/sessions":
		s.list(w, r)
	case "DELETE /api/v1/sessions/current":
		s.logout(w, r)
	case "GET /api/v1/auth/verify":
		s.verify(w, r)
	default:
		refuse(w, http.StatusNotFound, "not_found")
	}
}

func (s *site) login(w http.ResponseWriter, r *http.Request) {
	var body struct{ Username, Password string }
	if json.NewDecoder(r.Body).Decode(&body) != nil || r.Header.Get("Content-Type") != "application/json" {
		refuse(w, http.StatusBadRequest, "malformed")
		return
	}
	n, _ := strconv.Atoi(strings.TrimPrefix(body.Username, "user"))
	s.mu.Lock()
	defer s.mu.Unlock()
	u := s.users[n]
	if u == nil || body.Password != fmt.Sprintf("gatehouse-load-%d", n%256) {
		refuse(w, http.StatusUnauthorized, "invalid_credentials")
		return
	}
	token := tokenOf(n)
	s.tokens[token] = true
	s.logins++
	answer(w, http.StatusCreated, map[string]any{"token": token, "user": u, "device": "d"})
}

// tokenOf makes a token as a backend does.
func tokenOf(n int) string {
	raw := binary.BigEndian.AppendUint64(nil, uint64(n))
	raw = append(raw, make([]byte, 32)...)
	rand.Read(raw[8:])
	return base64.RawURLEncoding.EncodeToString(raw)
}

// user returns a copy of whoever the request's token is of, or nil.
func (s *site) user(r *http.Request) *user {
	n := number(r)
	s.mu.Lock()
	defer s.mu.Unlock()
	u, token := s.users[n], bearer(r)
	if u == nil || !s.tokens[token] && token != stresstest.Token(sessionKey, n) {
		return nil
	}
	shown := *u
	return &shown
}

// bearer is the token of a request, from its header or its cookie.
func bearer(r *http.Request) string {
	if c, err := r.Cookie("gatehouse"); err == nil {
		return c.Value
	}
	return strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
}

func (s *site) page(w http.ResponseWriter, r *http.Request) {
	u := s.user(r)
	if u == nil {
		http.Redirect(w, r, "/login", http.StatusSeeOther)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!DOCTYPE html><p class=name>%s</p><a href=\"/u/%s\">@%s</a><input value=%q>",
		html.EscapeString(u.Nickname), u.Username, u.Username, html.EscapeString(u.Nickname))
}

func (s *site) list(w http.ResponseWriter, r *http.Request) {
	if s.user(r) == nil {
		refuse(w, http.StatusUnauthorized, "unauthenticated")
		return
	}
	answer(w, http.StatusOK, map[string]any{"sessions": []map[string]any{
		{"id": "17", "current": false}, {"id": stresstest.SessionID(bearer(r)), "current": true}}})
}

func (s *site) logout(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.tokens[bearer(r)] {
		refuse(w, http.StatusUnauthorized, "unauthenticated")
		return
	}
	delete(s.tokens, bearer(r))
	s.logouts++
	w.WriteHeader(http.StatusNoContent)
}

func (s *site) verify(w http.ResponseWriter, r *http.Request) {
	u := s.user(r)
	if u == nil {
		refuse(w, http.StatusUnauthorized, "unauthenticated")
		return
	}
	w.Header().Set("X-Gatehouse-User", u.Username)
	w.Header().Set("X-Gatehouse-User-Id", u.ID)
	w.Header().Set("X-Gatehouse-Nickname", url.PathEscape(u.Nickname))
}

// number returns the number of the account that the request's token names.
func number(r *http.Request) int {
	raw, err := base64.RawURLEncoding.DecodeString(bearer(r))
	if err != nil || len(raw) != 40 {
		return 0
	}
	return int(binary.BigEndian.Uint64(raw))
}

func (s *site) update(w http.ResponseWriter, r *http.Request) {
	nickname, ok := nicknameOf(r)
	u := s.user(r)
	if !ok || u == nil {
		refuse(w, http.StatusUnprocessableEntity, "invalid")
		return
	}
	answer(w, http.StatusOK, s.apply(number(r), nickname))
}

func nicknameOf(r *http.Request) (string, bool) {
	var body struct{ Nickname string }
	err := json.NewDecoder(r.Body).Decode(&body)
	return body.Nickname, err == nil && body.Nickname != ""
}

// apply sets the nickname of an account and returns the user after it.
func (s *site) apply(n int, nickname string) user {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.edits++
	s.users[n].Nickname = nickname
	s.users[n].Version++
	return *s.users[n]
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]any{"status": status, "code": code, "detail": "because the test says so"})
}

// pipes is a network in memory, on which a bubble's clock can be right: a
// goroutine that waits for it is seen to wait.
type pipes struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case p.conns <- far:
		return near, nil
	case <-p.done:
		return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.IPAddr{} }

// serve answers on a network in memory until the test ends.
func serve(t *testing.T, h http.Handler) *pipes {
	t.Helper()
	p := newPipes()
	server := &http.Server{Handler: h}
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(p) })
	t.Cleanup(func() {
		server.Shutdown(context.Background()) // waits for handlers, which Close does not
		serving.Wait()
	})
	return p
}

// run runs cfg against h, in a bubble.
func run(t *testing.T, h http.Handler, cfg stresstest.Config) *stresstest.Report {
	t.Helper()
	report, err := try(t, t.Context(), h, cfg)
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	return report
}

func try(t *testing.T, ctx context.Context, h http.Handler, cfg stresstest.Config) (*stresstest.Report, error) {
	t.Helper()
	if cfg.Target == "" {
		cfg.Target = "http://site.test"
	}
	return stresstest.Run(ctx, cfg.Bubbled(serve(t, h).dial))
}

func mix(t *testing.T, text string) stresstest.Mix {
	t.Helper()
	m, err := stresstest.ParseMix(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func dist(t *testing.T, text string) stresstest.Dist {
	t.Helper()
	d, err := stresstest.ParseDist(text)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func slo(t *testing.T, text string) stresstest.SLO {
	t.Helper()
	s, err := stresstest.ParseSLO(text)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// counted dials p and counts how often.
func counted(p *pipes, dialled *atomic.Int64) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled.Add(1)
		return p.dial(ctx, network, address)
	}
}
