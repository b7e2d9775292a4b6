package webserver_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"

	"gatehouse/protocol"
)

func TestProfileShowsTheRecord(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.get("/profile").want(t, 200).has(t, "@ada", `href="/u/ada"`, `<form method="post" action="/logout">`, "1 Mar 2026")
}

func TestProfileChangesTheNickname(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.post("/profile", "nickname", " Countess 👑 of Lovelace ").to(t, "/profile")
	s.get("/profile", "Cookie", "gatehouse-flash="+a.set(t, "gatehouse-flash").Value).has(t, "Your profile is saved.", "Countess 👑 of Lovelace<")
}

func TestProfileThatIsRefusedShowsWhatWasTyped(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	long := strings.Repeat("n", 65)
	s.post("/profile", "nickname", long).want(t, 422).has(t, `value="`+long+`"`, `id="nickname-error"`, "at most 64 characters", "@ada")
	s.post("/profile", "nickname", "").want(t, 422).has(t, `id="nickname-error"`, "at least one visible character")
}

func TestProfileThatCouldNotBeSavedLosesNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fake.fail("update_profile", &protocol.Error{Code: protocol.UnknownOutcome})
	s.post("/profile", "nickname", "Countess").want(t, 503).has(t, `value="Countess"`, "we do not know yet whether it was saved")
	// Not even the profile can be read: the page says that the browser has it.
	s.fake.gone(&protocol.Error{Code: protocol.Unavailable})
	a := s.post("/profile", "nickname", "Countess").want(t, 503).has(t, "What you typed is not lost", "cannot be reached")
	if a.sets("gatehouse") || a.Header.Get("Retry-After") == "" {
		t.Errorf("session touched or no Retry-After: %v", a.Header)
	}
}

func TestWriteThatUsedUpItsTimeStillShowsTheForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t)
		s.fake.wait = func(ctx context.Context, packetType string) error {
			if packetType == "update_profile" {
				<-ctx.Done()
			}
			return ctx.Err()
		}
		s.post("/profile", "nickname", "Countess").want(t, 503).has(t, `value="Countess"`, "@ada", "we do not know yet whether it was saved")
	})
}

func TestBackendThatIsGoneGivesAPageAndKeepsTheSession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fake.gone(&protocol.Error{Code: protocol.Unavailable})
	for _, path := range []string{"/profile", "/security", "/u/ada"} {
		a := s.get(path).want(t, 503).has(t, "<h1>Not available at the moment</h1>", "<header", s.AssetURL("style.css"))
		if a.sets("gatehouse") {
			t.Errorf("%s: the session cookie was touched", path)
		}
	}
}

func TestPagesAskStrangersToLogInAndComeBack(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tests := []struct{ method, path, want string }{
		{"GET", "/profile", "/login?next=%2Fprofile"},
		{"GET", "/profile?x=1&y=2", "/login?next=%2Fprofile%3Fx%3D1%26y%3D2"},
		{"GET", "/security", "/login?next=%2Fsecurity"},
		{"POST", "/profile", "/login?next=%2Fprofile"},
		{"POST", "/profile/picture/remove", "/login?next=%2Fprofile"},
		{"POST", "/security/password", "/login?next=%2Fsecurity"},
		{"POST", "/security/sessions/end", "/login?next=%2Fsecurity"},
		{"POST", "/security/sessions/end-others", "/login?next=%2Fsecurity"},
		{"POST", "/security/delete", "/login?next=%2Fsecurity"},
	}
	for _, tt := range tests {
		a := s.do(tt.method, tt.path, "nickname=x&id=1&password=x", "Content-Type", formType).to(t, tt.want)
		if a.sets("gatehouse") {
			t.Errorf("%s %s: touches a cookie that was not sent", tt.method, tt.path)
		}
		// A cookie that is no token, or of no session, is removed.
		for _, dead := range []string{"garbage", strings.Repeat("A", 54)} {
			a := s.do(tt.method, tt.path, "nickname=x&id=1&password=x", "Content-Type", formType, "Cookie", "gatehouse="+dead).to(t, tt.want)
			if c := a.set(t, "gatehouse"); c.MaxAge >= 0 {
				t.Errorf("%s %s: dead cookie stays: %v", tt.method, tt.path, c)
			}
		}
	}
}

func TestPublicProfileShowsNoMoreThanThePublicRecord(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.do("GET", "/u/ADA", "").want(t, 200).has(t, "<h1>ada</h1>", "@ada")
	s.do("GET", "/u/nobody", "").want(t, 404).has(t, "<h1>Not found</h1>")
}

func TestNicknamesAreEscapedOnEveryPage(t *testing.T) {
	t.Parallel()
	for _, nickname := range []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `{{.T "x"}}`, `👩‍🚀 née Ünïcode`, "'; DROP TABLE users"} {
		s := newSite(t)
		s.post("/profile", "nickname", nickname).to(t, "/profile")
		for _, path := range []string{"/profile", "/u/ada"} {
			a := s.get(path).want(t, 200).hasNot(t, "<script>alert", "<img src=x")
			if text := parse(t, a).text(); !strings.Contains(text, nickname) {
				t.Errorf("%s: nickname %q reads otherwise in %q", path, nickname, text)
			}
		}
	}
}

func TestSecurityListsSessionsAndEndsThem(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	phone := s.visit("/login", "username", "ada", "password", adaPassword)
	calls := s.fake.called("login")
	if len(calls) != 1 {
		t.Fatal("no login")
	}
	page := s.get("/security").want(t, 200)
	page.has(t, "Firefox on Linux", "192.0.2.1", "This device", "Unknown device", "End all other sessions", "Last seen")
	var id string
	for _, in := range parse(t, page).all("input") {
		if in.attr["name"] == "id" {
			id = in.attr["value"]
		}
	}
	s.post("/security/sessions/end", "id", id).to(t, "/security")
	s.do("GET", "/profile", "", "Cookie", "gatehouse="+phone.set(t, "gatehouse").Value).to(t, "/login?next=%2Fprofile")
	s.get("/security").want(t, 200).hasNot(t, "Unknown device", "End all other sessions")
	// Ended meanwhile is ended.
	s.post("/security/sessions/end", "id", id).to(t, "/security")
}

func TestSecurityEndsAllOtherSessions(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	other := s.visit("/login", "username", "ada", "password", adaPassword).set(t, "gatehouse").Value
	s.post("/security/sessions/end-others").to(t, "/security")
	s.do("GET", "/profile", "", "Cookie", "gatehouse="+other).to(t, "/login?next=%2Fprofile")
	s.get("/profile").want(t, 200)
}

func TestSecurityChangesThePassword(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	wrong := s.post("/security/password", "current_password", "not that one", "new_password", "difference engine").want(t, 403)
	wrong.has(t, `id="current_password-error"`, "This is not your password").hasNot(t, "not that one", "difference engine", "<details open")
	short := s.post("/security/password", "current_password", adaPassword, "new_password", "pa55").want(t, 422)
	short.has(t, `id="new_password-error"`, "too short").hasNot(t, "pa55", adaPassword)
	s.post("/security/password", "current_password", adaPassword, "new_password", "difference engine").to(t, "/security")
	s.visit("/login", "username", "ada", "password", "difference engine").to(t, "/profile")
	s.visit("/login", "username", "ada", "password", adaPassword).want(t, 401)
}

func TestSecurityDeletesTheAccount(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.get("/security").has(t, "for good. Nobody can bring it back.").hasNot(t, "<details open")
	s.post("/security/delete", "password", "not that one").want(t, 403).has(t, "<details open", `id="password-error"`).hasNot(t, "not that one")
	a := s.post("/security/delete", "password", adaPassword).to(t, "/login")
	if c := a.set(t, "gatehouse"); c.MaxAge >= 0 {
		t.Errorf("session cookie stays: %v", c)
	}
	s.do("GET", "/u/ada", "").want(t, 404)
	s.do("GET", "/login", "", "Cookie", "gatehouse-flash="+a.set(t, "gatehouse-flash").Value).has(t, "Your account is deleted.")
}
