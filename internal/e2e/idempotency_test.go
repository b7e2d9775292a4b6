package e2e_test

import (
	"regexp"
	"strings"
	"sync"
	"testing"
)

func TestIdempotencyKeyMakesARegistrationOne(t *testing.T) {
	t.Parallel()
	s := service(t)
	c := client{base: s.url}
	body := map[string]string{"username": newName(), "password": password, "nickname": "Twice"}
	var first, second opened
	c.do(t, "POST", "/api/v1/users", body, "Idempotency-Key", "k1").want(t, 201).into(t, &first)
	c.do(t, "POST", "/api/v1/users", body, "Idempotency-Key", "k1").want(t, 201).into(t, &second)
	if first.User != second.User || first.Token == second.Token {
		t.Errorf("repeated, it answered %+v and then %+v", first, second)
	}
	client{base: s.url, token: first.Token}.profile(t)
	client{base: s.url, token: second.Token}.profile(t)

	changed := map[string]string{"username": body["username"], "password": password, "nickname": "Other"}
	c.do(t, "POST", "/api/v1/users", changed, "Idempotency-Key", "k1").refused(t, 422, "idempotency_mismatch")
	guessed := map[string]string{"username": body["username"], "password": "wrong " + password, "nickname": "Twice"}
	if a := c.do(t, "POST", "/api/v1/users", guessed, "Idempotency-Key", "k1"); a.status < 400 || a.status > 499 || a.has("token") {
		t.Errorf("a replay with another password was answered %d: %s", a.status, a.body)
	}
	c.do(t, "POST", "/api/v1/users", body, "Idempotency-Key", "k2").refused(t, 409, "username_taken")
}

func TestIdempotencyKeyMakesAChangeOne(t *testing.T) {
	t.Parallel()
	s := service(t)
	c, _ := register(t, s.url, newName())
	patch := func(nickname, key string) answer {
		t.Helper()
		return c.do(t, "PATCH", "/api/v1/profile", map[string]string{"nickname": nickname}, "Idempotency-Key", key)
	}
	var first, later, again user
	patch("First", "a").want(t, 200).into(t, &first)
	patch("Later", "b").want(t, 200).into(t, &later)
	patch("First", "a").want(t, 200).into(t, &again)
	if again != first {
		t.Errorf("a replay answered %+v, want what was answered first, %+v", again, first)
	}
	if got := c.profile(t); got != later {
		t.Errorf("the replay changed the record to %+v, want %+v", got, later)
	}
	patch("Another", "a").refused(t, 422, "idempotency_mismatch")
	patch("Bad key", "with space").refused(t, 400, "malformed")
	if got := c.profile(t); got != later {
		t.Errorf("a refused write changed the record to %+v", got)
	}
	stranger, _ := register(t, s.url, newName())
	stranger.do(t, "PATCH", "/api/v1/profile", map[string]string{"nickname": "Own"}, "Idempotency-Key", "a").want(t, 200)
	if got := stranger.profile(t).Nickname; got != "Own" {
		t.Errorf("another user's key of the same name answered with %q", got)
	}
}

func TestIdempotencyKeyHoldsAmongRequestsAtOnce(t *testing.T) {
	t.Parallel()
	s := service(t)
	c, before := register(t, s.url, newName())
	const body = `{"nickname":"Once"}`
	var all sync.WaitGroup
	answers, errs := make([]answer, 8), make([]error, 8)
	for i := range answers {
		all.Go(func() {
			answers[i], errs[i] = c.send(t.Context(), "PATCH", "/api/v1/profile", strings.NewReader(body),
				"Content-Type", "application/json", "Idempotency-Key", "same")
		})
	}
	all.Wait()
	for i, a := range answers {
		if errs[i] != nil {
			t.Fatal(errs[i])
		}
		var u user
		a.want(t, 200).into(t, &u)
		if u.Version != before.User.Version+1 {
			t.Errorf("answered with version %d, want %d", u.Version, before.User.Version+1)
		}
	}
	if got := c.profile(t).Version; got != before.User.Version+1 {
		t.Errorf("the record has version %d, want one change after %d", got, before.User.Version)
	}
}

func TestIdempotencyKeyAnswersADeletionOfTheSession(t *testing.T) {
	t.Parallel()
	s := service(t)
	c, _ := register(t, s.url, newName())
	for range 2 { // the second after the answer to the first was lost
		c.do(t, "DELETE", "/api/v1/sessions/current", nil, "Idempotency-Key", "bye").want(t, 204)
	}
	c.do(t, "DELETE", "/api/v1/sessions/current", nil, "Idempotency-Key", "again").refused(t, 401, "unauthenticated")
}

// formKey is the hidden field that makes a form sent twice one write.
var formKey = regexp.MustCompile(`name="form_key" value="([^"]+)"`)

func TestFormSentTwiceIsOneRegistration(t *testing.T) {
	t.Parallel()
	s := service(t)
	c := client{base: s.url}
	fields := account(newName())
	page := c.do(t, "GET", "/register", nil).want(t, 200)
	fields.Set("form_key", found(formKey, string(page.body)))
	for range 2 { // a double click
		a := c.submit(t, "/register", fields).want(t, 303)
		c.do(t, "GET", "/profile", nil, "Cookie", "gatehouse="+a.cookie(t, "gatehouse").Value).want(t, 200)
	}
	again := c.do(t, "GET", "/register", nil).want(t, 200)
	fields.Set("form_key", found(formKey, string(again.body)))
	if a := c.submit(t, "/register", fields).want(t, 409); !a.has("has this name already") {
		t.Errorf("another form with the same name is answered %s", a.body)
	}
}
