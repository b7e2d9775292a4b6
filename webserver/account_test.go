package webserver_test

import (
	"regexp"
	"strings"
	"testing"

	"gatehouse/protocol"
	"gatehouse/webserver"
)

func TestHomeSendsStrangersToTheLoginAndOthersToTheirProfile(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.do("GET", "/", "").to(t, "/login")
	s.get("/").to(t, "/profile")
}

func TestRegistrationMakesASessionAndSaysWelcomeOnce(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.visit("/register", "username", "Grace", "password", "nanoseconds of wire", "nickname", " Grace Hopper ").to(t, "/profile")
	session, flash := a.set(t, "gatehouse"), a.set(t, "gatehouse-flash")
	page := s.do("GET", "/profile", "", "Cookie", "gatehouse="+session.Value+"; gatehouse-flash="+flash.Value).want(t, 200)
	page.has(t, "Welcome!", "@grace", "Grace Hopper<")
	if c := page.set(t, "gatehouse-flash"); c.MaxAge >= 0 {
		t.Errorf("the message stays: %v", c)
	}
	s.do("GET", "/profile", "", "Cookie", "gatehouse="+session.Value).want(t, 200).hasNot(t, "Welcome!")
}

func TestRegistrationThatIsRefusedKeepsWhatWasTypedButNotThePassword(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tests := []struct {
		name, username, password string
		status                   int
		want                     []string
	}{
		{"short password", "grace", "pa55", 422, []string{`id="password-error"`, `aria-describedby="password-hint password-error"`}},
		{"short username", "g", "long enough password", 422, []string{`id="username-error"`, `href="#username"`}},
		{"taken", "ada", "long enough password", 409, []string{`id="username-error"`, "Somebody has this name already"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := s.visit("/register", "username", tt.username, "password", tt.password, "nickname", "Amazing Grace").want(t, tt.status)
			a.has(t, tt.want...).has(t, `role="alert"`, `aria-invalid="true"`, "<title>Error: ", `value="`+tt.username+`"`, `value="Amazing Grace"`)
			a.hasNot(t, tt.password)
			if a.sets("gatehouse") {
				t.Error("a session was set")
			}
		})
	}
}

func TestRegistrationThatIsClosedOffersNothing(t *testing.T) {
	t.Parallel()
	s := newSite(t, func(c *webserver.Config) { c.Registration = webserver.RegistrationClosed })
	s.do("GET", "/login", "").want(t, 200).hasNot(t, "/register")
	s.do("GET", "/register", "").want(t, 403).has(t, "Registration is closed").hasNot(t, "<form method=\"post\" action=\"/register\"")
	// What is shown is only a hint: the backend decides.
	s.fake.fail("register", &protocol.Error{Code: protocol.Forbidden, Reason: "registration_closed"})
	s.visit("/register", "username", "grace", "password", "long enough password").want(t, 403).has(t, "New accounts are not being made")
}

func TestRegistrationByInvitationAsksForTheCode(t *testing.T) {
	t.Parallel()
	newSite(t).do("GET", "/register", "").hasNot(t, `name="invite"`)
	s := newSite(t, func(c *webserver.Config) { c.Registration = webserver.RegistrationInvite })
	s.do("GET", "/register", "").want(t, 200).has(t, `name="invite"`)
	s.visit("/register", "username", "grace", "password", "long enough password", "invite", "abc").to(t, "/profile")
	if body := string(s.fake.called("register")[0].Body); !strings.Contains(body, `"invite":"abc"`) {
		t.Errorf("no invitation in %s", body)
	}
}

var hiddenKey = regexp.MustCompile(`name="form_key" value="([^"]+)"`)

// formKey returns the hidden key of a form in a page.
func formKey(t *testing.T, a answer) string {
	t.Helper()
	found := hiddenKey.FindStringSubmatch(a.body)
	if found == nil {
		t.Fatalf("no form key in %s", a.body)
	}
	return found[1]
}

func TestOneRenderingOfTheFormIsOneRegistration(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	key, other := formKey(t, s.do("GET", "/register", "")), formKey(t, s.do("GET", "/register", ""))
	if key == other {
		t.Fatal("two renderings have the same key")
	}
	s.fake.fail("register", &protocol.Error{Code: protocol.Unavailable})
	submit := func(key, nickname string) string {
		s.visit("/register", "username", "grace", "password", "long enough password", "nickname", nickname, "form_key", key)
		calls := s.fake.called("register")
		return calls[len(calls)-1].IdempotencyKey
	}
	first := submit(key, "Grace")
	if first == "" || strings.Contains(first, key) || len(first) > protocol.MaxIdempotencyKey {
		t.Errorf("idempotency key %q", first)
	}
	if again := submit(key, "Grace"); again != first {
		t.Error("the same submission twice has two idempotency keys")
	}
	if changed := submit(key, "Grace H."); changed == first {
		t.Error("another nickname has the same idempotency key")
	}
	if fresh := submit(other, "Grace"); fresh == first {
		t.Error("another rendering has the same idempotency key")
	}
	if none := submit("", "Grace"); none != "" {
		t.Errorf("without a form key: idempotency key %q", none)
	}
}

func TestUnknownOutcomeKeepsTheFormKeySoThatTryingAgainIsSafe(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	fields := []string{"username", "grace", "password", "long enough password", "form_key", "some-key"}
	s.fake.fail("register", &protocol.Error{Code: protocol.UnknownOutcome})
	a := s.visit("/register", fields...).want(t, 503).has(t, "we do not know yet whether it was saved", `value="grace"`)
	if got := formKey(t, a); got != "some-key" {
		t.Errorf("form key %q, want that of the first try", got)
	}
	s.fake.fail("register", &protocol.Error{Code: protocol.Conflict, Reason: "username_taken"})
	if got := formKey(t, s.visit("/register", fields...).want(t, 409)); got == "some-key" {
		t.Error("the key of a refused form is used again")
	}
}

func TestLoginSetsTheSessionAndTheDevice(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.visit("/login", "username", " ADA ", "password", adaPassword).to(t, "/profile")
	if c := a.set(t, "gatehouse-device"); c.Value != "device-of-ada" {
		t.Errorf("device cookie %v", c)
	}
	s.do("GET", "/profile", "", "Cookie", "gatehouse="+a.set(t, "gatehouse").Value).want(t, 200).has(t, "@ada")
}

func TestLoginRejectsWrongPasswordAndUnknownUserAlike(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	wrong := s.visit("/login", "username", "ada", "password", "not that one").want(t, 401)
	wrong.has(t, "Username or password is not right", `value="ada"`, `role="alert"`).hasNot(t, "not that one")
	unknown := s.visit("/login", "username", "ana", "password", "not that one").want(t, 401)
	if strings.ReplaceAll(wrong.body, "ada", "ana") != unknown.body {
		t.Error("the pages differ in more than the name")
	}
	if wrong.sets("gatehouse") || unknown.sets("gatehouse") {
		t.Error("a session was set or removed")
	}
}

func TestLoginThatIsRefusedSaysWhatToDo(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	tests := []struct {
		err    *protocol.Error
		status int
		retry  string
		want   string
	}{
		{&protocol.Error{Code: protocol.Exhausted, Reason: "too_many_attempts", RetryAfter: 90e9}, 429, "90", "Please try again after 90 s."},
		{&protocol.Error{Code: protocol.Overloaded, RetryAfter: 1500e6}, 503, "2", "try again after 2 s."},
		{&protocol.Error{Code: protocol.Unavailable}, 503, "1", "cannot be reached"},
		{&protocol.Error{Code: protocol.Timeout}, 503, "1", "cannot be reached"},
		{&protocol.Error{Code: protocol.Unauthenticated, Reason: "second_factor_required"}, 401, "", "second factor"},
	}
	for _, tt := range tests {
		s.fake.fail("login", tt.err)
		a := s.visit("/login?next=/security", "username", "ada", "password", adaPassword).want(t, tt.status)
		a.has(t, tt.want, `value="ada"`, `action="/login?next=%2Fsecurity"`).hasNot(t, adaPassword)
		if got := a.Header.Get("Retry-After"); got != tt.retry {
			t.Errorf("%s: Retry-After %q, want %q", tt.err.Code, got, tt.retry)
		}
	}
}

func TestLoginPageSendsOnWhoHasASession(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.get("/login?next=/security").to(t, "/security")
	// Neither a dead session nor a backend that is away hides the form.
	s.do("GET", "/login", "", "Cookie", "gatehouse="+strings.Repeat("A", 54)).want(t, 200).has(t, `name="password"`)
	s.fake.gone(&protocol.Error{Code: protocol.Unavailable})
	s.get("/login").want(t, 200).has(t, `name="password"`)
}

func TestLoginEndsTheSessionThatItReplaces(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.post("/login", "username", "ada", "password", adaPassword).to(t, "/profile")
	s.get("/profile").to(t, "/login?next=%2Fprofile")
	s.do("GET", "/profile", "", "Cookie", "gatehouse="+a.set(t, "gatehouse").Value).want(t, 200)
}

func TestLogoutEndsTheSessionAndClearsTheBrowser(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.post("/logout").to(t, "/login")
	if c := a.set(t, "gatehouse"); c.MaxAge >= 0 || c.Value != "" {
		t.Errorf("session cookie stays: %v", c)
	}
	if got := a.Header.Get("Clear-Site-Data"); got != `"cache", "storage"` {
		t.Errorf("Clear-Site-Data %q", got)
	}
	s.get("/profile").to(t, "/login?next=%2Fprofile")
	s.do("GET", "/login", "", "Cookie", "gatehouse-flash="+a.set(t, "gatehouse-flash").Value).has(t, "You are logged out.")
	// Logging out twice is no failure, and without a session neither.
	s.post("/logout").to(t, "/login")
	s.visit("/logout").to(t, "/login")
}

func TestLogoutKeepsTheCookieWhileTheSessionCannotBeEnded(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.fake.gone(&protocol.Error{Code: protocol.Unavailable})
	if a := s.post("/logout").want(t, 503); a.sets("gatehouse") {
		t.Error("the cookie was removed and the session lives")
	}
}

func TestLogoutIsPostOnly(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	a := s.get("/logout").want(t, 405).has(t, "<h1>")
	if got := a.Header.Get("Allow"); got != "POST" {
		t.Errorf("Allow %q", got)
	}
	if len(s.fake.called("logout")) != 0 {
		t.Error("a GET logged out")
	}
}

func TestFlashMessageWaitsForAPageThatSucceeds(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	flash := "; gatehouse-flash=saved"
	for _, a := range []answer{
		s.do("POST", "/profile", "nickname=", "Content-Type", formType, "Cookie", s.cookie()+flash).want(t, 422),
		s.do("GET", "/nothing", "", "Cookie", s.cookie()+flash).want(t, 404),
	} {
		if a.hasNot(t, "Your profile is saved."); a.sets("gatehouse-flash") {
			t.Error("the message is lost")
		}
	}
	s.do("GET", "/profile", "", "Cookie", s.cookie()+flash).want(t, 200).has(t, "Your profile is saved.")
}

func TestFlashMessagesAreNamesAndNotWords(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.get("/profile", "Cookie", "gatehouse-flash=You+have+won").want(t, 200).hasNot(t, "have", `role="status"`)
}
