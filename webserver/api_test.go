package webserver_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

type newSession struct {
	Token, Device string
	ExpiresAt     time.Time   `json:"expires_at"`
	User          packet.User `json:"user"`
}

func TestAPIRegistersAndLogsIn(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	made := decode[newSession](t, s.do("POST", "/api/v1/users", `{"username":"Grace","password":"nanoseconds of wire","nickname":null}`, "Content-Type", jsonType).want(t, 201))
	if made.Token == "" || made.ExpiresAt.IsZero() || made.User.Username != "grace" || made.User.ID == 0 {
		t.Errorf("registration answered %+v", made)
	}
	a := s.do("POST", "/api/v1/sessions", `{"username":"grace","password":"nanoseconds of wire"}`, "Content-Type", "application/json; charset=UTF-8",
		"X-Gatehouse-Device", "known", "Idempotency-Key", "ignored", "Cookie", "gatehouse-device=not+this").want(t, 201)
	login := decode[newSession](t, a)
	if login.Token == "" || login.Device != "device-of-grace" || login.Token == made.Token {
		t.Errorf("login answered %+v", login)
	}
	if len(a.Cookies()) != 0 {
		t.Error("the API sets cookies")
	}
	call := s.fake.called("login")[0]
	if call.Client.Device != "known" || call.IdempotencyKey != "" {
		t.Errorf("login called with %+v", call.Meta)
	}
	s.do("GET", "/api/v1/profile", "", "Authorization", "bearer "+login.Token).want(t, 200).has(t, `"username":"grace"`)
}

func TestAPIShowsAUserInTheDocumentedForm(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.api("GET", "/profile", "").want(t, 200)
	want := `{"id":"1001","username":"ada","nickname":"ada","picture_url":null,"version":1,"created_at":"2026-03-01T12:00:00Z"}` + "\n"
	if a.body != want {
		t.Errorf("got %s, want %s", a.body, want)
	}
	if user := s.do("GET", "/api/v1/users/ADA", "").want(t, 200); user.body != `{"username":"ada","nickname":"ada","picture_url":null}`+"\n" {
		t.Errorf("public user: %s", user.body)
	}
	s.do("GET", "/api/v1/users/nobody", "").want(t, 404).problem(t)
}

func TestAPIChangesTheNickname(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	user := decode[packet.User](t, s.api("PATCH", "/profile", `{"nickname":"Ada 👑"}`, "Idempotency-Key", "k1").want(t, 200))
	if user.Nickname != "Ada 👑" || user.Version != 2 {
		t.Errorf("answered %+v", user)
	}
	if key := s.fake.called("update_profile")[0].IdempotencyKey; key != "k1" {
		t.Errorf("idempotency key %q", key)
	}
	p := s.api("PATCH", "/profile", `{"nickname":""}`).want(t, 422).problem(t)
	if p.Code != "invalid" || len(p.Errors) != 1 || p.Errors[0].Field != "nickname" || p.Errors[0].Reason != "nickname_empty" ||
		p.Errors[0].Detail != "must hold at least one visible character" {
		t.Errorf("problem %+v", p)
	}
}

func TestAPIListsAndEndsSessions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for range 3 {
		s.do("POST", "/api/v1/sessions", `{"username":"ada","password":"`+adaPassword+`"}`, "Content-Type", jsonType, "User-Agent", "curl/8").want(t, 201)
	}
	type sessions struct{ Sessions []packet.Session }
	list := decode[sessions](t, s.api("GET", "/sessions", "").want(t, 200)).Sessions
	if len(list) != 4 || !list[0].Current || list[1].Current || list[1].UserAgent != "curl/8" || list[1].IP != "192.0.2.1" {
		t.Fatalf("sessions %+v", list)
	}
	s.api("DELETE", "/sessions/"+list[1].ID, "", "Idempotency-Key", "a").want(t, 204)
	if p := s.api("DELETE", "/sessions/"+list[1].ID, "").want(t, 404).problem(t); p.Code != "not_found" {
		t.Errorf("code %q", p.Code)
	}
	s.api("DELETE", "/sessions", "", "Idempotency-Key", "b").want(t, 204)
	if list := decode[sessions](t, s.api("GET", "/sessions", "").want(t, 200)).Sessions; len(list) != 1 {
		t.Errorf("%d sessions left", len(list))
	}
	s.api("DELETE", "/sessions/current", "", "Idempotency-Key", "c").want(t, 204)
	s.api("GET", "/sessions", "").want(t, 401)
	for packetType, key := range map[string]string{"end_session": "a", "end_other_sessions": "b", "logout": "c"} {
		if got := s.fake.called(packetType)[0].IdempotencyKey; got != key {
			t.Errorf("%s: idempotency key %q, want %q", packetType, got, key)
		}
	}
}

func TestAPIEmptyListIsAList(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fake.mux = protocol.NewMux(
		protocol.Handler{Type: "list_sessions", Caller: replying(`{"sessions":null}`)},
		protocol.Handler{Type: "get_profile", Caller: replying(`{"user":{"id":"1"}}`)},
	)
	if a := s.api("GET", "/sessions", "").want(t, 200); a.body != "{\"sessions\":[]}\n" {
		t.Errorf("got %s", a.body)
	}
	s.api("GET", "/profile/export", "").want(t, 200).has(t, `"sessions":[]`)
}

func TestAPIExportsAllThatIsKept(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.api("GET", "/profile/export", "").want(t, 200)
	if got := a.Header.Get("Content-Disposition"); got != `attachment; filename="gatehouse-export.json"` {
		t.Errorf("disposition %q", got)
	}
	export := decode[struct {
		ExportedAt time.Time `json:"exported_at"`
		User       packet.User
		Sessions   []packet.Session
	}](t, a)
	if export.User.Username != "ada" || len(export.Sessions) != 1 || export.ExportedAt.IsZero() {
		t.Errorf("export %+v", export)
	}
}

func TestAPIChangesThePassword(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	p := s.api("PUT", "/password", `{"current_password":"no","new_password":"difference engine"}`).want(t, 403).problem(t)
	if p.Code != "wrong_password" {
		t.Errorf("code %q", p.Code)
	}
	a := s.api("PUT", "/password", `{"current_password":"`+adaPassword+`","new_password":"difference engine"}`, "Idempotency-Key", "k").want(t, 204)
	if a.body != "" {
		t.Errorf("body %q", a.body)
	}
	s.do("POST", "/api/v1/sessions", `{"username":"ada","password":"difference engine"}`, "Content-Type", jsonType).want(t, 201)
}

func TestAPIDeletesTheAccount(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	if p := s.api("DELETE", "/profile", `{"password":"no"}`).want(t, 403).problem(t); p.Code != "wrong_password" {
		t.Errorf("code %q", p.Code)
	}
	s.api("DELETE", "/profile", `{"password":"`+adaPassword+`"}`, "Idempotency-Key", "k").want(t, 204)
	s.api("GET", "/profile", "").want(t, 401)
	if key := s.fake.called("delete_account")[1].IdempotencyKey; key != "k" {
		t.Errorf("idempotency key %q", key)
	}
}

func TestAPIVerifyTellsAProxyWhoItIs(t *testing.T) {
	t.Parallel()
	s := newSite(t, under("https://login.example.org"))
	s.api("PATCH", "/profile", `{"nickname":"Ada/é 👑\u0085"}`).want(t, 200)
	for _, credentials := range [][]string{{"Authorization", s.bearer()}, {"Cookie", "__Host-gatehouse=" + string(s.token)},
		{"Cookie", "__Host-gatehouse=" + string(s.token), "Authorization", "Basic dXNlcjpwYXNz"}} {
		a := s.do("GET", "/api/v1/auth/verify", "", credentials...).want(t, 200)
		h := a.Header
		if h.Get("X-Gatehouse-User") != "ada" || h.Get("X-Gatehouse-User-Id") != "1001" ||
			h.Get("X-Gatehouse-Nickname") != "Ada%2F%C3%A9%20%F0%9F%91%91%C2%85" || a.body != "" {
			t.Errorf("headers %v, body %q", h, a.body)
		}
	}
	p := s.do("GET", "/api/v1/auth/verify", "").want(t, 401).problem(t)
	if p.Code != "unauthenticated" {
		t.Errorf("code %q", p.Code)
	}
	a := s.do("GET", "/api/v1/auth/verify?redirect=1", "").want(t, 302)
	if got := a.Header.Get("Location"); got != "https://login.example.org/login" {
		t.Errorf("Location %q", got)
	}
	// A backend that is away is not a session that has ended.
	s.fake.gone(&protocol.Error{Code: protocol.Unavailable})
	s.do("GET", "/api/v1/auth/verify?redirect=1", "", "Authorization", s.bearer()).want(t, 503)
}

func TestBearerTokenNeverFallsBackToTheCookie(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	dead := strings.Repeat("A", 54)
	for _, authorization := range []string{"Bearer " + dead, "Bearer", "Bearer ", "bearer garbage", "BEARER  " + dead} {
		a := s.do("GET", "/api/v1/profile", "", "Cookie", s.cookie(), "Authorization", authorization).want(t, 401)
		if got := a.Header.Get("Www-Authenticate"); !strings.HasPrefix(got, "Bearer") {
			t.Errorf("%q: WWW-Authenticate %q", authorization, got)
		}
	}
	s.do("GET", "/api/v1/profile", "", "Cookie", s.cookie()).want(t, 200)
	// Pages know no bearer tokens.
	s.do("GET", "/profile", "", "Authorization", s.bearer()).to(t, "/login?next=%2Fprofile")
}

func TestEveryRouteOfASessionAsksForOne(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	public := map[string]bool{"POST /users": true, "POST /sessions": true, "GET /users/{username}": true}
	for _, route := range s.Routes() {
		path, ok := strings.CutPrefix(route[1], "/api/v1")
		if !ok || public[route[0]+" "+path] {
			continue
		}
		if p := s.do(route[0], route[1], `{"x":`, "Content-Type", "text/plain").want(t, 401).problem(t); p.Code != "unauthenticated" {
			t.Errorf("%v: code %q", route, p.Code)
		}
	}
	if n := len(s.fake.calls); n != 0 {
		t.Errorf("%d calls were made", n)
	}
}

func TestIdempotencyKeyIsChecked(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, bad := range []string{"", "with space", "tab\t", "ümlaut", strings.Repeat("k", 256)} {
		for _, route := range [][3]string{{"PATCH", "/profile", `{"nickname":"x"}`}, {"DELETE", "/sessions", ""}, {"DELETE", "/profile/picture", ""}} {
			p := s.api(route[0], route[1], route[2], "Idempotency-Key", bad).want(t, 400).problem(t)
			if p.Code != "malformed" || p.Errors[0].Field != "Idempotency-Key" {
				t.Errorf("%q: %+v", bad, p)
			}
		}
	}
	s.api("PATCH", "/profile", `{"nickname":"x"}`, "Idempotency-Key", "a", "Idempotency-Key", "b").want(t, 400)
	s.api("PATCH", "/profile", `{"nickname":"x"}`, "Idempotency-Key", strings.Repeat("~", 255)).want(t, 200)
	if n := len(s.fake.called("update_profile")); n != 1 {
		t.Errorf("%d calls", n)
	}
}

func TestAPIWritesWithTheCookieTakeNoForms(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, route := range s.Routes() {
		if !strings.HasPrefix(route[1], "/api/v1") || route[0] == "GET" {
			continue
		}
		for _, kind := range []string{formType, "multipart/form-data; boundary=x", "text/plain"} {
			path := strings.ReplaceAll(route[1], "{id}", "1")
			a := s.do(route[0], path, "nickname=x", "Content-Type", kind, "Cookie", s.cookie())
			if a.StatusCode != http.StatusUnsupportedMediaType && a.StatusCode != http.StatusNotFound {
				t.Errorf("%v with %s: status %d", route, kind, a.StatusCode)
			}
		}
	}
	for _, c := range s.fake.calls {
		if c.Type != "verify" {
			t.Errorf("%s was called", c.Type)
		}
	}
}
