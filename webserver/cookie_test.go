package webserver_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
)

func TestCookiesFitTheScheme(t *testing.T) {
	for _, tt := range []struct {
		public, prefix string
		secure         bool
	}{{"http://127.0.0.1:8080", "", false}, {"https://login.example.org", "__Host-", true}} {
		synctest.Test(t, func(t *testing.T) { // so that the age is exact
			s := newSite(t, under(tt.public))
			a := s.visit("/login", "username", "ada", "password", adaPassword).to(t, "/profile")
			b := s.do("POST", "/profile", "nickname=x", "Content-Type", formType, "Cookie", tt.prefix+s.cookie()).to(t, "/profile")
			cookies := append(a.Cookies(), b.Cookies()...)
			ages := map[string]int{"gatehouse": 720 * 3600, "gatehouse-device": 365 * 24 * 3600, "gatehouse-flash": 60}
			if len(cookies) != len(ages) {
				t.Errorf("%d cookies", len(cookies))
			}
			for _, c := range cookies {
				age, known := ages[strings.TrimPrefix(c.Name, tt.prefix)]
				if !known || c.MaxAge != age || c.Secure != tt.secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
					t.Errorf("%s: %s", tt.public, c)
				}
			}
			out := s.do("POST", "/logout", "", "Cookie", tt.prefix+s.cookie()).to(t, "/login").set(t, tt.prefix+"gatehouse")
			if out.MaxAge != -1 || out.Secure != tt.secure || out.Path != "/" || !out.HttpOnly {
				t.Errorf("removal would not match: %s", out)
			}
		})
	}
}

func TestCookieOfTheOtherSchemeCountsForNothing(t *testing.T) {
	t.Parallel()
	secure := newSite(t, under("https://login.example.org"))
	secure.get("/profile").to(t, "/login?next=%2Fprofile")
	secure.do("GET", "/profile", "", "Cookie", "__Host-"+secure.cookie()).want(t, 200)
	plain := newSite(t)
	plain.do("GET", "/profile", "", "Cookie", "__Host-"+plain.cookie()).to(t, "/login?next=%2Fprofile")
}

func TestDeviceCookieIsSentAlongAtLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tests := map[string]string{
		"known-device":           "known-device",
		strings.Repeat("d", 255): strings.Repeat("d", 255),
		strings.Repeat("d", 256): "",
	}
	for sent, want := range tests {
		s.do("POST", "/login", "username=ada&password=x", "Content-Type", formType, "Cookie", "gatehouse-device="+sent, "X-Gatehouse-Device", "not this")
		calls := s.fake.called("login")
		if got := calls[len(calls)-1].Client.Device; got != want {
			t.Errorf("device %q, want %q", got, want)
		}
	}
	s.do("POST", "/api/v1/sessions", `{"username":"ada","password":"x"}`, "Content-Type", jsonType, "X-Gatehouse-Device", "with space")
	calls := s.fake.called("login")
	if got := calls[len(calls)-1].Client.Device; got != "" {
		t.Errorf("device %q", got)
	}
}

// TestSecretsNeverShow looks for passwords and tokens wherever a request
// leaves traces.
func TestSecretsNeverShow(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	const password, wrong, invite, code = "CANARY-password-1", "CANARY-wrong-2", "CANARY-invite-3", "CANARY-code-4"
	var shown strings.Builder
	see := func(a answer) answer {
		h := a.Header.Clone()
		h.Del("Set-Cookie")
		fmt.Fprintln(&shown, a.body, h)
		return a
	}
	session := see(s.visit("/register", "username", "grace", "password", password, "invite", invite)).set(t, "gatehouse").Value
	see(s.visit("/register", "username", "g", "password", password, "invite", invite))
	see(s.visit("/login", "username", "grace", "password", wrong))
	cookie := "gatehouse=" + session
	for _, form := range [][2]string{
		{"/security/password", encode("current_password", wrong, "new_password", wrong)},
		{"/security/delete", encode("password", wrong)},
		{"/login", encode("username", "nobody", "password", wrong)},
	} {
		see(s.do("POST", form[0], form[1], "Content-Type", formType, "Cookie", cookie))
	}
	see(s.do("GET", "/security", "", "Cookie", cookie))
	see(s.do("GET", "/login?password="+wrong, ""))
	see(s.do("POST", "/api/v1/sessions", `{"username":"grace","password":"`+wrong+`","code":"`+code+`"}`, "Content-Type", jsonType))
	see(s.do("POST", "/api/v1/sessions", `{"username":"grace","password":["`+wrong+`"]}`, "Content-Type", jsonType))
	see(s.do("GET", "/api/v1/profile", "", "Authorization", "Bearer "+session))
	s.fake.wait = nil
	s.fake.fail("login", fmt.Errorf("a defect"))
	see(s.visit("/login", "username", "grace", "password", wrong))
	for _, text := range []string{shown.String(), s.log.String()} {
		if i := strings.Index(text, "CANARY"); i >= 0 {
			t.Errorf("a secret shows: %s", text[i:min(len(text), i+80)])
		}
		if strings.Contains(text, session) {
			t.Error("a token shows")
		}
	}
}
