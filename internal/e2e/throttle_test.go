package e2e_test

import (
	"strconv"
	"testing"
)

// attempt tries to log in with a password and, where it has one, the token of
// a known device.
func (c client) attempt(t testing.TB, name, password, device string) answer {
	t.Helper()
	return c.do(t, "POST", "/api/v1/sessions", map[string]string{"username": name, "password": password}, "X-Gatehouse-Device", device)
}

func TestGuessingEndsAndTheOwnerStaysIn(t *testing.T) {
	t.Parallel()
	s := start(t, "serve", "--hash-params", "argon2id:m=7168,t=1,p=1", "--limit-failed-logins", "off", "--limit-account-failures", "3/1h")
	name := newName()
	c, o := register(t, s.url, name)
	stranger := client{base: s.url}
	for range 3 {
		stranger.attempt(t, name, "wrong "+password, "").refused(t, 401, "invalid_credentials")
	}
	a := stranger.attempt(t, name, password, "") // the right one is of no more use
	a.refused(t, 429, "too_many_attempts")
	if wait, err := strconv.Atoi(a.header.Get("Retry-After")); err != nil || wait < 1 {
		t.Errorf("Retry-After is %q", a.header.Get("Retry-After"))
	}
	stranger.attempt(t, name, password, o.Device).want(t, 201)
	c.profile(t)
}

func TestGuessingFromOneAddressEnds(t *testing.T) {
	t.Parallel()
	s := start(t, "serve", "--hash-params", "argon2id:m=7168,t=1,p=1") // with the limits as they come
	for i := range 10 {
		client{base: s.url}.attempt(t, "nobody"+strconv.Itoa(i), password, "").refused(t, 401, "invalid_credentials")
	}
	a := client{base: s.url}.attempt(t, "nobody", password, "")
	a.refused(t, 429, "too_many_attempts")
	page := client{base: s.url}.submit(t, "/login", account("nobody")).want(t, 429)
	if !page.has(`role="alert"`, "too many") || page.header.Get("Retry-After") == "" {
		t.Errorf("the page is %s", page.body)
	}
}

func TestRegistrationCanBeClosed(t *testing.T) {
	t.Parallel()
	s := start(t, append([]string{"serve", "--registration", "closed"}, cheap...)...)
	c := client{base: s.url}
	c.do(t, "POST", "/api/v1/users", map[string]string{"username": newName(), "password": password}).refused(t, 403, "registration_closed")
	c.do(t, "GET", "/register", nil).want(t, 403)
	if page := c.do(t, "GET", "/login", nil).want(t, 200); page.has(`href="/register"`) {
		t.Error("the login page still offers to register")
	}
}
