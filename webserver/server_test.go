package webserver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/protocol"
	"gatehouse/webserver"
	"gatehouse/webserver/picture"
)

func TestSettingsThatContradictEachOtherAreRefused(t *testing.T) {
	t.Parallel()
	fake := newFake()
	tests := map[string]webserver.Config{
		"no backend":          {},
		"no such kind":        {Backend: fake, Registration: "sometimes"},
		"host without URL":    {Backend: fake, OnlyPublicHost: true},
		"URL without host":    {Backend: fake, PublicURL: &url.URL{Scheme: "https"}},
		"URL without scheme":  {Backend: fake, PublicURL: &url.URL{Host: "example.org"}},
		"URL with a path":     {Backend: fake, PublicURL: &url.URL{Scheme: "https", Host: "example.org", Path: "/login"}},
		"URL of other scheme": {Backend: fake, PublicURL: &url.URL{Scheme: "ftp", Host: "example.org"}},
	}
	for name, config := range tests {
		if _, err := webserver.New(config); err == nil || !strings.HasPrefix(err.Error(), "make webserver: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := webserver.New(webserver.Config{Backend: fake}); err != nil {
		t.Errorf("the least settings: %v", err)
	}
}

func TestPanicEndsOneRequestAndNotTheConnection(t *testing.T) {
	t.Parallel()
	panics := 0
	s := newSite(t, func(c *webserver.Config) { c.Hooks.Panic = func() { panics++ } })
	var mu sync.Mutex
	broken := true
	s.fake.wait = func(context.Context, string) error {
		mu.Lock()
		defer mu.Unlock()
		if broken {
			panic("a defect with secrets")
		}
		return nil
	}
	server := httptest.NewServer(s)
	defer server.Close()
	get := func(path string, wantStatus int, wantReused bool) string {
		t.Helper()
		var reused bool
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
		r, err := http.NewRequestWithContext(ctx, "GET", server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Cookie", s.cookie())
		response, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		data, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != wantStatus || reused != wantReused {
			t.Errorf("%s: status %d, reused %v", path, response.StatusCode, reused)
		}
		return string(data)
	}
	page := get("/profile", 500, false)
	if strings.Contains(page, "secrets") || !strings.Contains(page, "Something went wrong on our side") {
		t.Errorf("page %s", page)
	}
	if body := get("/api/v1/profile", 500, true); !strings.Contains(body, `"code":"internal"`) {
		t.Errorf("problem %s", body)
	}
	mu.Lock()
	broken = false
	mu.Unlock()
	get("/profile", 200, true)
	if panics != 2 || !strings.Contains(s.log.String(), "a defect with secrets") || !strings.Contains(s.log.String(), "goroutine") {
		t.Errorf("%d panics told, log %s", panics, s.log)
	}
}

// aborting is an answer that cannot be written.
type aborting struct{ *httptest.ResponseRecorder }

func (a aborting) Write([]byte) (int, error) { panic("connection broke") }

func TestPanicAfterTheAnswerBeganEndsTheConnection(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	defer func() {
		if p := recover(); p != http.ErrAbortHandler {
			t.Errorf("panic %v", p)
		}
		if got := s.logged(); !strings.Contains(got["error"].(string), "connection broke") {
			t.Errorf("logged %v", got)
		}
	}()
	s.ServeHTTP(aborting{httptest.NewRecorder()}, httptest.NewRequest("GET", "/login", nil))
}

// cursed is a picture that panics when it is read.
type cursed struct{ *memory }

func (cursed) Open(context.Context, string) (picture.Object, error) {
	return picture.Object{Body: cursedBody{}, ContentType: "image/png"}, nil
}

type cursedBody struct{ io.ReadSeekCloser }

func (cursedBody) Close() error { return nil }

func TestPanicLeavesNothingOfTheAnswerThatWasBegun(t *testing.T) {
	t.Parallel()
	s := newSite(t, withPictures(cursed{newMemory()}))
	a := s.do("GET", "/pictures/"+strings.Repeat("0", 64), "").want(t, 500)
	parse(t, a)
	if h := a.Header; h.Get("Cache-Control") != "no-store" || h.Get("Etag") != "" || h.Get("Content-Disposition") != "" ||
		strings.Contains(h.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("headers %v", h)
	}
}

// dated is an answer on a connection whose deadlines can be set.
type dated struct {
	*httptest.ResponseRecorder
	read, write time.Time
	err         error
}

func (d *dated) SetReadDeadline(at time.Time) error  { d.read = at; return d.err }
func (d *dated) SetWriteDeadline(at time.Time) error { d.write = at; return d.err }

func TestUploadGivesASlowClientTime(t *testing.T) {
	t.Parallel()
	s := newSite(t, withPictures(newMemory()))
	serve := func(method, path string, err error) *dated {
		w := &dated{ResponseRecorder: httptest.NewRecorder(), err: err}
		r := httptest.NewRequest(method, path, bytes.NewReader(png(t, 4, 4)))
		r.Header.Set("Content-Type", "image/png")
		r.Header.Set("Authorization", s.bearer())
		s.ServeHTTP(w, r)
		return w
	}
	// 2 MiB at 10 KiB a second.
	least := time.Now().Add(204 * time.Second)
	if w := serve("PUT", "/api/v1/profile/picture", nil); w.Code != 200 || w.read.Before(least) || !w.write.After(w.read) {
		t.Errorf("status %d, reads until %v, writes until %v", w.Code, w.read, w.write)
	}
	if w := serve("GET", "/api/v1/profile", nil); !w.read.IsZero() || !w.write.IsZero() {
		t.Error("a request that is no upload got more time")
	}
	if w := serve("PUT", "/api/v1/profile/picture", errors.New("closed")); w.Code != 500 {
		t.Errorf("status %d", w.Code)
	}
}

func TestHTTPServerHasLimits(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	h := newSite(t)
	server := webserver.NewHTTPServer(h, slog.New(slog.NewTextHandler(&log, nil)))
	if server.ReadHeaderTimeout != 5*time.Second || server.ReadTimeout != 10*time.Second || server.WriteTimeout != 15*time.Second ||
		server.IdleTimeout != 60*time.Second || server.MaxHeaderBytes != 16<<10 || server.HTTP2.MaxConcurrentStreams != 100 {
		t.Errorf("limits %+v", server)
	}
	if p := server.Protocols; !p.HTTP1() || !p.HTTP2() || p.UnencryptedHTTP2() {
		t.Errorf("protocols %v", p)
	}
	if server.Handler != http.Handler(h) {
		t.Error("another handler")
	}
	server.ErrorLog.Print("TLS handshake error")
	if !strings.Contains(log.String(), "level=WARN") || !strings.Contains(log.String(), "TLS handshake error") {
		t.Errorf("log %s", &log)
	}
}

func TestEveryRequestIsObservedOnce(t *testing.T) {
	t.Parallel()
	var seen []webserver.Observation
	stages := make(map[string]int)
	s := newSite(t, withPictures(newMemory()), func(c *webserver.Config) {
		c.Hooks = webserver.Hooks{
			Request: func(o webserver.Observation) { seen = append(seen, o) },
			Stage:   func(stage, op string, _ time.Duration) { stages[stage+" "+op]++ },
		}
	})
	tests := []struct {
		method, target string
		want           webserver.Observation
		user           any
		level          string
	}{
		{"GET", "/u/ada", webserver.Observation{Route: "/u/{username}", Method: "GET", Status: 200}, nil, "INFO"},
		{"GET", "/profile?token=x", webserver.Observation{Route: "/profile", Method: "GET", Status: 200}, "1001", "INFO"},
		{"HEAD", "/profile", webserver.Observation{Route: "/profile", Method: "HEAD", Status: 200}, "1001", "INFO"},
		{"DELETE", "/api/v1/sessions/7", webserver.Observation{Route: "/api/v1/sessions/{id}", Method: "DELETE", Status: 404}, "1001", "INFO"},
		{"GET", "/", webserver.Observation{Route: "/", Method: "GET", Status: 303}, nil, "INFO"},
		{"GET", "/wp-login.php", webserver.Observation{Route: "unmatched", Method: "GET", Status: 404}, nil, "INFO"},
		{"BREW", "/profile", webserver.Observation{Route: "unmatched", Method: "OTHER", Status: 405}, nil, "INFO"},
		{"GET", s.AssetURL("style.css"), webserver.Observation{Route: "/static/{file}", Method: "GET", Status: 200}, nil, "DEBUG"},
		{"GET", "/static/none.css", webserver.Observation{Route: "/static/{file}", Method: "GET", Status: 404}, nil, "INFO"},
	}
	for _, tt := range tests {
		seen = nil
		a := s.do(tt.method, tt.target, "", "Cookie", s.cookie())
		if len(seen) != 1 {
			t.Fatalf("%s %s: observed %d times", tt.method, tt.target, len(seen))
		}
		if seen[0].Duration <= 0 {
			t.Error("it took no time")
		}
		seen[0].Duration = 0
		if seen[0] != tt.want {
			t.Errorf("%s %s: observed %+v, want %+v", tt.method, tt.target, seen[0], tt.want)
		}
		got := s.logged()
		if got["route"] != tt.want.Route || got["user_id"] != tt.user || got["level"] != tt.level ||
			got["request_id"] != a.Header.Get("X-Request-Id") || got["client_ip"] != "192.0.2.1" || got["trace"] == "" {
			t.Errorf("%s %s: logged %v", tt.method, tt.target, got)
		}
	}
	if strings.Contains(s.log.String(), "token=x") || strings.Contains(s.log.String(), "wp-login") {
		t.Error("addresses are logged")
	}
	s.upload(png(t, 4, 4)).to(t, "/profile")
	for _, stage := range []string{"render user", "render profile", "render failure", "picture process", "picture store"} {
		if stages[stage] == 0 {
			t.Errorf("stage %q was not told: %v", stage, stages)
		}
	}
}

func TestLogNamesAUserOnlyWhereTheSessionIsLive(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	// A token is a claim: here one of ada's, made up.
	s.fake.fail("get_profile", &protocol.Error{Code: protocol.Unauthenticated})
	s.get("/profile")
	if got := s.logged(); got["user_id"] != nil || got["code"] != "unauthenticated" {
		t.Errorf("logged %v", got)
	}
	s.visit("/login", "username", "ada", "password", adaPassword)
	if got := s.logged(); got["user_id"] != "1001" {
		t.Errorf("logged %v", got)
	}
	s.visit("/login", "username", "ada", "password", "wrong")
	if got := s.logged(); got["user_id"] != nil || got["code"] != "invalid_credentials" {
		t.Errorf("logged %v", got)
	}
}

func TestAClientThatHangsUpIsNoFailureOfTheServer(t *testing.T) {
	ctx, hangUp := context.WithCancel(t.Context())
	var seen webserver.Observation
	s, err := webserver.New(webserver.Config{
		Backend: protocol.CallerFunc(func(ctx context.Context, _ protocol.Request) (protocol.Reply, error) {
			hangUp()
			return protocol.Reply{}, &protocol.Error{Code: protocol.Timeout, Cause: ctx.Err()}
		}),
		Hooks: webserver.Hooks{Request: func(o webserver.Observation) { seen = o }},
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequestWithContext(ctx, "GET", "/u/ada", nil)
	s.ServeHTTP(httptest.NewRecorder(), r)
	if seen.Status != 499 {
		t.Errorf("noted as %d", seen.Status)
	}
}
