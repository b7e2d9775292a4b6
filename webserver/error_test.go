package webserver_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/protocol"
	"gatehouse/webserver"
)

// replying answers every call with the same body.
func replying(body string) protocol.Caller {
	return protocol.CallerFunc(func(context.Context, protocol.Request) (protocol.Reply, error) {
		return protocol.Reply{Subject: "1", Body: json.RawMessage(body)}, nil
	})
}

// failures is every failure that tier 2 or the link can answer with, and
// what a program is told.
var failures = []struct {
	err    error
	status int
	code   string
	retry  string
}{
	{&protocol.Error{Code: protocol.Invalid}, 422, "invalid", ""},
	{&protocol.Error{Code: protocol.Invalid, Reason: "nickname_too_long"}, 422, "nickname_too_long", ""},
	{&protocol.Error{Code: protocol.Invalid, Reason: "nickname_too_long", Fields: []protocol.Field{{Field: "nickname"}}}, 422, "invalid", ""},
	{&protocol.Error{Code: protocol.Invalid, Reason: "malformed"}, 400, "malformed", ""},
	{&protocol.Error{Code: protocol.Invalid, Reason: "too_large"}, 413, "too_large", ""},
	{&protocol.Error{Code: protocol.Invalid, Reason: "Not A Word <b>"}, 422, "invalid", ""},
	{&protocol.Error{Code: protocol.Invalid, Reason: strings.Repeat("w", 65)}, 422, "invalid", ""},
	{&protocol.Error{Code: protocol.Unauthenticated}, 401, "unauthenticated", ""},
	{&protocol.Error{Code: protocol.Unauthenticated, Reason: "invalid_credentials"}, 401, "invalid_credentials", ""},
	{&protocol.Error{Code: protocol.Unauthenticated, Reason: "second_factor_required"}, 401, "second_factor_required", ""},
	{&protocol.Error{Code: protocol.Forbidden}, 403, "forbidden", ""},
	{&protocol.Error{Code: protocol.Forbidden, Reason: "wrong_password"}, 403, "wrong_password", ""},
	{&protocol.Error{Code: protocol.Forbidden, Reason: "registration_closed"}, 403, "registration_closed", ""},
	{&protocol.Error{Code: protocol.NotFound}, 404, "not_found", ""},
	{&protocol.Error{Code: protocol.Conflict}, 409, "conflict", ""},
	{&protocol.Error{Code: protocol.Conflict, Reason: "username_taken"}, 409, "username_taken", ""},
	{&protocol.Error{Code: protocol.Conflict, Reason: "idempotency_mismatch"}, 422, "idempotency_mismatch", ""},
	{&protocol.Error{Code: protocol.Exhausted}, 429, "exhausted", "1"},
	{&protocol.Error{Code: protocol.Exhausted, Reason: "too_many_attempts", RetryAfter: 30 * time.Second}, 429, "too_many_attempts", "30"},
	{&protocol.Error{Code: protocol.Overloaded, RetryAfter: 1001 * time.Millisecond}, 503, "overloaded", "2"},
	{&protocol.Error{Code: protocol.Overloaded, Reason: "link_busy", RetryAfter: time.Millisecond}, 503, "overloaded", "1"},
	{&protocol.Error{Code: protocol.Unavailable}, 503, "unavailable", "1"},
	{&protocol.Error{Code: protocol.Unavailable, Reason: "goaway"}, 503, "unavailable", "1"},
	{&protocol.Error{Code: protocol.Timeout}, 503, "unavailable", "1"},
	{&protocol.Error{Code: protocol.UnknownOutcome}, 503, "unknown_outcome", "1"},
	{&protocol.Error{Code: protocol.UnknownOutcome, Reason: "connection_lost"}, 503, "unknown_outcome", "1"},
	{&protocol.Error{Code: protocol.Internal}, 500, "internal", ""},
	{&protocol.Error{Code: protocol.Internal, Reason: "bad_reply"}, 500, "internal", ""},
	{&protocol.Error{Code: protocol.Internal, Reason: "crosstalk"}, 500, "internal", ""},
	{&protocol.Error{Code: protocol.NotFound, Reason: "unknown_type"}, 500, "internal", ""},
	{&protocol.Error{Code: protocol.Unauthenticated, Reason: "wrong_link_key"}, 500, "internal", ""},
	{&protocol.Error{Code: protocol.Unauthenticated, Reason: "auth_expected"}, 500, "internal", ""},
	{&protocol.Error{Code: protocol.Invalid, Reason: "unsupported_version"}, 500, "internal", ""},
	{&protocol.Error{Code: "teapot"}, 500, "internal", ""},
	{&protocol.Error{Code: "", Reason: "username_taken"}, 500, "internal", ""},
	{errors.New("something else"), 500, "internal", ""},
	{fmt.Errorf("wrapped: %w", protocol.NotFound), 404, "not_found", ""},
	{fmt.Errorf("wrapped: %w", &protocol.Error{Code: protocol.Forbidden}), 403, "forbidden", ""},
	{context.DeadlineExceeded, 503, "unknown_outcome", "1"}, // of a write; see below for reads
}

func TestFailuresHaveOneStatusAndCode(t *testing.T) {
	t.Parallel()
	for _, tt := range failures {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			s := newSite(t)
			s.fake.fail("update_profile", tt.err)
			a := s.api("PATCH", "/profile", `{"nickname":"x"}`).want(t, tt.status)
			if p := a.problem(t); p.Code != tt.code {
				t.Errorf("code %q, want %q", p.Code, tt.code)
			}
			if got := a.Header.Get("Retry-After"); got != tt.retry {
				t.Errorf("Retry-After %q, want %q", got, tt.retry)
			}
			if got := a.Header.Get("Www-Authenticate"); (got != "") != (tt.status == 401) {
				t.Errorf("WWW-Authenticate %q", got)
			}
			if got := s.logged(); got["code"] != tt.code || got["status"] != float64(tt.status) {
				t.Errorf("logged %v", got)
			}
		})
	}
}

func TestFailuresOfAPageHaveTheSameStatus(t *testing.T) {
	t.Parallel()
	for _, tt := range failures {
		t.Run(fmt.Sprint(tt.err), func(t *testing.T) {
			s := newSite(t)
			s.fake.fail("get_profile", tt.err)
			a := s.get("/profile")
			if tt.code == "unauthenticated" {
				a.to(t, "/login?next=%2Fprofile")
				return
			}
			a.want(t, tt.status)
			if words := parse(t, a).all("h1")[0].text(); strings.Contains(words, "error.") || words == "" {
				t.Errorf("heading %q", words)
			}
			if a.sets("gatehouse") {
				t.Error("the session cookie was touched")
			}
		})
	}
}

func TestFailureOfAFormIsShownWithTheForm(t *testing.T) {
	t.Parallel()
	for _, tt := range failures {
		s := newSite(t)
		s.fake.fail("update_profile", tt.err)
		a := s.post("/profile", "nickname", "Countess")
		if tt.code == "unauthenticated" {
			a.to(t, "/login?next=%2Fprofile")
			continue
		}
		a.want(t, tt.status)
		if shown := strings.Contains(a.body, `value="Countess"`); !shown && tt.status != 500 && tt.status != 404 && tt.status != 400 {
			t.Errorf("%v: what was typed is lost", tt.err)
		}
	}
}

func TestDeadlineOfAReadLeavesNothingUnknown(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fake.fail("get_profile", fmt.Errorf("read: %w", context.DeadlineExceeded))
	if p := s.api("GET", "/profile", "").want(t, 503).problem(t); p.Code != "unavailable" {
		t.Errorf("code %q", p.Code)
	}
	s.get("/profile").want(t, 503)
}

func TestInternalDetailsStayInTheLog(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	secret := "dial root:hunter2@10.0.0.7"
	for _, err := range []error{
		errors.New(secret),
		&protocol.Error{Code: protocol.Internal, Reason: "hunter2_reason", Cause: errors.New(secret), Fields: []protocol.Field{{Field: "hunter2", Detail: secret}}},
		&protocol.Error{Code: protocol.Unavailable, Reason: "hunter2", Cause: errors.New(secret), Fields: []protocol.Field{{Field: "x", Detail: secret}}},
		&protocol.Error{Code: protocol.Invalid, Cause: errors.New(secret)},
	} {
		s.fake.fail("get_profile", err)
		for _, a := range []answer{s.get("/profile"), s.api("GET", "/profile", "")} {
			if strings.Contains(a.body+fmt.Sprint(a.Header), "hunter2") {
				t.Errorf("%v shows in %s", err, a.body)
			}
		}
	}
	s.fake.fail("get_profile", errors.New(secret))
	s.get("/profile").want(t, 500)
	if got := s.logged(); got["error"] != secret || got["level"] != "ERROR" {
		t.Errorf("logged %v", got)
	}
}

func TestBackendThatRepliesNonsenseIsADefect(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"user":{"id":17}}`, `[]`, `{`, ``, `{"user":"x"}`} {
		server, err := webserver.New(webserver.Config{Backend: replying(body)})
		if err != nil {
			t.Fatal(err)
		}
		s := newSite(t)
		s.Server = server
		s.get("/profile").want(t, 500)
		if p := s.api("GET", "/profile", "").want(t, 500).problem(t); p.Code != "internal" {
			t.Errorf("%s: code %q", body, p.Code)
		}
	}
}

func TestUnknownAddressesAndMethodsAreToldInTheRightForm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tests := []struct {
		method, path  string
		status        int
		code, allowed string
	}{
		{"GET", "/nothing", 404, "not_found", ""},
		{"GET", "/profile/", 404, "not_found", ""},
		{"POST", "/nothing", 404, "not_found", ""},
		{"GET", "/static/", 404, "not_found", ""},
		{"GET", "/static/style.css", 404, "not_found", ""},
		{"GET", "/u/", 404, "not_found", ""},
		{"GET", "/api/", 404, "not_found", ""},
		{"GET", "/api/v1/nothing", 404, "not_found", ""},
		{"GET", "/api/v2/profile", 404, "not_found", ""},
		{"DELETE", "/login", 405, "method_not_allowed", "GET, HEAD, POST"},
		{"POST", "/", 405, "method_not_allowed", "GET, HEAD"},
		{"PUT", "/api/v1/profile", 405, "method_not_allowed", "DELETE, GET, HEAD, PATCH"},
		{"POST", "/api/v1/auth/verify", 405, "method_not_allowed", "GET, HEAD"},
		{"OPTIONS", "/api/v1/profile", 405, "method_not_allowed", "GET, HEAD, POST, PUT, PATCH, DELETE"},
		{"TRACE", "/profile", 405, "method_not_allowed", "GET, HEAD, POST, PUT, PATCH, DELETE"},
		{"CONNECT", "/profile", 405, "method_not_allowed", "GET, HEAD, POST, PUT, PATCH, DELETE"},
		{"BREW", "/profile", 405, "method_not_allowed", "GET, HEAD, POST, PUT, PATCH, DELETE"},
	}
	for _, tt := range tests {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			a := s.do(tt.method, tt.path, "").want(t, tt.status)
			if got := a.Header.Get("Allow"); got != tt.allowed {
				t.Errorf("Allow %q, want %q", got, tt.allowed)
			}
			if strings.HasPrefix(tt.path, "/api/") {
				if p := a.problem(t); p.Code != tt.code {
					t.Errorf("code %q", p.Code)
				}
			} else {
				parse(t, a)
			}
			if got := s.logged(); got["route"] != "unmatched" && tt.path != "/static/style.css" || got["code"] != tt.code {
				t.Errorf("logged %v", got)
			}
		})
	}
}

func TestEveryClassOfRequestHasItsDeadline(t *testing.T) {
	tests := []struct {
		packetType, method, path, body, kind string
		want                                 time.Duration
	}{
		{"get_profile", "GET", "/profile", "", "", 3 * time.Second},
		{"get_user", "GET", "/u/ada", "", "", 3 * time.Second},
		{"get_profile", "GET", "/api/v1/profile", "", "", 1500 * time.Millisecond},
		{"verify", "GET", "/api/v1/auth/verify", "", "", 1500 * time.Millisecond},
		{"update_profile", "POST", "/profile", "nickname=x", formType, 2500 * time.Millisecond},
		{"update_profile", "PATCH", "/api/v1/profile", `{"nickname":"x"}`, jsonType, 2500 * time.Millisecond},
		{"end_other_sessions", "DELETE", "/api/v1/sessions", "", "", 2500 * time.Millisecond},
		{"login", "POST", "/login", "username=a&password=b", formType, 5 * time.Second},
		{"register", "POST", "/api/v1/users", `{"username":"a","password":"b"}`, jsonType, 5 * time.Second},
		{"change_password", "POST", "/security/password", "current_password=a&new_password=b", formType, 5 * time.Second},
		{"delete_account", "DELETE", "/api/v1/profile", `{"password":"x"}`, jsonType, 5 * time.Second},
		{"verify", "PUT", "/api/v1/profile/picture", "x", "image/png", 1500 * time.Millisecond},
		{"set_picture", "PUT", "/api/v1/profile/picture", "picture", "image/png", 10 * time.Second},
	}
	for _, tt := range tests {
		t.Run(tt.method+tt.path, func(t *testing.T) {
			picture := string(png(t, 4, 4))
			synctest.Test(t, func(t *testing.T) {
				s := newSite(t, withPictures(newMemory()))
				s.fake.wait = func(ctx context.Context, packetType string) error {
					if packetType != tt.packetType {
						return nil
					}
					<-ctx.Done()
					return ctx.Err()
				}
				start := time.Now()
				body := strings.ReplaceAll(tt.body, "picture", picture)
				a := s.do(tt.method, tt.path, body, "Content-Type", tt.kind, "Cookie", s.cookie()).want(t, 503)
				if took := time.Since(start); took != tt.want {
					t.Errorf("gave up after %v, want %v", took, tt.want)
				}
				if a.Header.Get("Retry-After") == "" {
					t.Error("no Retry-After")
				}
			})
		})
	}
}

func TestClientThatGoesAwayIsNoDefect(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	ctx, cancel := context.WithCancel(context.Background())
	s.fake.wait = func(ctx context.Context, _ string) error {
		cancel()
		<-ctx.Done()
		return ctx.Err()
	}
	r, err := http.NewRequestWithContext(ctx, "GET", "/profile", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", s.cookie())
	s.serve(r).want(t, 503)
}
