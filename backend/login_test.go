package backend_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/backend/password"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

func login(t *testing.T, s *service, client protocol.Client, name string, password packet.Secret) (packet.SessionReply, error) {
	t.Helper()
	return ask(t, s, packet.Login, protocol.Meta{Client: client}, packet.LoginRequest{Named: packet.Named{Username: name}, Password: password})
}

func retryAfter(t *testing.T, err error) time.Duration {
	t.Helper()
	var e *protocol.Error
	if !errors.As(err, &e) || e.RetryAfter <= 0 {
		t.Fatalf("no time after which to try again: %v", err)
	}
	return e.RetryAfter
}

func TestLoginMakesASessionBesideTheOthers(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	s.clock.pass(time.Hour)
	rep, err := login(t, s, s.client(), "ADA", goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	if rep.Token == "" || rep.Token == ada.token {
		t.Error("login made no token of its own")
	}
	if want := s.clock.now().Add(30 * 24 * time.Hour).Truncate(time.Microsecond); !rep.ExpiresAt.Equal(want) {
		t.Errorf("session expires at %v, want %v", rep.ExpiresAt, want)
	}
	if toJSON(t, rep.User) != toJSON(t, s.profile(t, ada)) {
		t.Errorf("logged in as %s, want %s", toJSON(t, rep.User), toJSON(t, s.profile(t, ada)))
	}
	if !s.alive(t, ada) || !s.alive(t, &person{token: rep.Token}) {
		t.Error("one of the two sessions is not live")
	}
}

func TestLoginIgnoresTheIdempotencyKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	first := must(t, s, packet.Login, ada.meta("k1"), ada.credentials())
	second := must(t, s, packet.Login, ada.meta("k1"), ada.credentials())
	if first.Token == second.Token {
		t.Error("a repeated login was answered with the token of the first")
	}
}

func TestPasswordIsVerifiedExactlyButForItsNormalForm(t *testing.T) {
	t.Parallel()
	s := start(t)
	req := registration("ada")
	req.Password = "violet k\u00e9ttle planet 47 "
	must(t, s, packet.Register, protocol.Meta{Client: s.client()}, req)
	for password, want := range map[packet.Secret]string{
		"violet k\u00e9ttle planet 47 ":  "ok",
		"violet ke\u0301ttle planet 47 ": "ok", // the same in two code points
		"violet k\u00e9ttle planet 47":   "unauthenticated/invalid_credentials",
		"Violet k\u00e9ttle planet 47 ":  "unauthenticated/invalid_credentials",
		"violet kettle planet 47 ":       "unauthenticated/invalid_credentials",
		"":                               "unauthenticated/invalid_credentials",
	} {
		_, err := login(t, s, s.client(), "ada", password)
		if got := outcome(err); got != want {
			t.Errorf("login with %q: %s, want %s", string(password), got, want)
		}
	}
}

// TestRefusedLoginsDoNotTellWhoExists compares everything that could tell:
// the answer, and the work done for it.
func TestRefusedLoginsDoNotTellWhoExists(t *testing.T) {
	t.Parallel()
	var worked atomic.Int64
	s := start(t, func(cfg *setup) {
		cfg.hash.Trace.Worked = func(context.Context, time.Duration) { worked.Add(1) }
	})
	s.join(t, "ada")
	s.disable(t, s.join(t, "bob"))
	for _, test := range []struct {
		name, username string
		password       packet.Secret
	}{
		{"wrong password", "ada", wrongPassword},
		{"empty password", "ada", ""},
		{"impossible password", "ada", "\x00"},
		{"unknown user", "nobody-here", goodPassword},
		{"impossible name", "\u212aate \x00", goodPassword},
		{"no name", "", goodPassword},
		{"disabled user, right password", "bob", goodPassword},
		{"disabled user, wrong password", "bob", wrongPassword},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := worked.Load()
			_, err := login(t, s, s.client(), test.username, test.password)
			var e *protocol.Error
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			if e.Code != protocol.Unauthenticated || e.Reason != "invalid_credentials" || e.Fields != nil || e.RetryAfter != 0 || e.Cause != nil {
				t.Errorf("answer %+v differs from that to any other refused login", e)
			}
			if n := worked.Load() - before; n != 1 {
				t.Errorf("%d hashes were computed, want 1", n)
			}
		})
	}
}

func TestFailedLoginsOfOneAddressAreLimited(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.join(t, "ada")
	bad := protocol.Client{IP: "192.0.2.9"}
	for i := range 10 { // whether the user exists or not
		_, err := login(t, s, bad, []string{"ada", "nobody"}[i%2]+fmt.Sprint(i/4), wrongPassword)
		wantOutcome(t, err, "unauthenticated/invalid_credentials")
	}
	_, err := login(t, s, bad, "ada", goodPassword)
	wantOutcome(t, err, "exhausted/too_many_attempts")
	if _, err := login(t, s, s.client(), "ada", goodPassword); err != nil {
		t.Errorf("login from elsewhere: %v", err)
	}
	s.clock.pass(retryAfter(t, err))
	if _, err := login(t, s, bad, "ada", goodPassword); err != nil {
		t.Errorf("login after the time told: %v", err)
	}
}

func TestFailuresAtOneAccountAreLimitedWhetherItExistsOrNot(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"ada", "nobody-here", "bob"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			s.join(t, "ada")
			s.disable(t, s.join(t, "bob"))
			for range 20 {
				_, err := login(t, s, s.client(), name, wrongPassword)
				wantOutcome(t, err, "unauthenticated/invalid_credentials")
			}
			_, err := login(t, s, s.client(), name, goodPassword)
			wantOutcome(t, err, "exhausted/too_many_attempts")
			if wait := retryAfter(t, err); wait != 3*time.Minute {
				t.Errorf("told to wait %v, want 3m0s", wait)
			}
		})
	}
}

func TestKnownDeviceIsNotLockedOutByOthers(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	for range 40 {
		login(t, s, s.client(), "ada", wrongPassword)
		login(t, s, ada.client, "ada", wrongPassword) // even from the victim's own address
	}
	_, err := login(t, s, s.client(), "ada", goodPassword)
	wantOutcome(t, err, "exhausted/too_many_attempts")

	known := ada.client
	known.Device = string(ada.device)
	rep, err := login(t, s, known, "Ada", goodPassword)
	if err != nil {
		t.Fatalf("login on a known device: %v", err)
	}
	if rep.Device != ada.device {
		t.Error("a known device was given another token")
	}
}

func TestKnownDeviceIsLimitedByItsOwnFailuresAlone(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	known, other := ada.client, ada.client
	known.Device, other.Device = string(ada.device), string(s.again(t, ada).device)
	for range 10 {
		_, err := login(t, s, known, "ada", wrongPassword)
		wantOutcome(t, err, "unauthenticated/invalid_credentials")
	}
	_, err := login(t, s, known, "ada", goodPassword)
	wantOutcome(t, err, "exhausted/too_many_attempts")
	if _, err := login(t, s, other, "ada", goodPassword); err != nil {
		t.Errorf("login on another known device at the same address: %v", err)
	}
	if _, err := login(t, s, ada.client, "ada", goodPassword); err != nil {
		t.Errorf("login on a device that is not known: %v", err)
	}
}

func TestDeviceIsKnownToItsOwnerOnly(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, bob := s.join(t, "ada"), s.join(t, "bob")
	must(t, s, packet.DeleteAccount, ada.meta(""), packet.DeleteAccountRequest{Authenticated: ada.auth(), Password: ada.password})
	s.join(t, "ada") // somebody else now
	former := s.client()
	former.Device = string(ada.device)
	if rep, err := login(t, s, former, "ada", goodPassword); err != nil || rep.Device == ada.device {
		t.Errorf("login of the name's new owner: %v, and it kept the former owner's token: %v", err, rep.Device == ada.device)
	}
	for range 20 {
		login(t, s, s.client(), "ada", wrongPassword)
	}
	for name, device := range map[string]packet.Secret{"a former owner's": ada.device, "another user's": bob.device} {
		client := s.client()
		client.Device = string(device)
		_, err := login(t, s, client, "ada", wrongPassword)
		if got := outcome(err); got != "exhausted/too_many_attempts" {
			t.Errorf("%s device was let try: %s", name, got)
		}
	}
	client := s.client()
	client.Device = string(ada.device)
	if rep, err := login(t, s, client, "bob", goodPassword); err != nil || rep.Device == ada.device {
		t.Errorf("login of bob on ada's device: %v, and it kept ada's token: %v", err, rep.Device == ada.device)
	}
}

func TestGuessesAtTheSameMomentAreLimitedAsIfInTurn(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.join(t, "ada")
	var answered, limited atomic.Int64
	var group sync.WaitGroup
	for range 60 {
		group.Go(func() {
			switch _, err := login(t, s, protocol.Client{IP: "192.0.2.9"}, "ada", wrongPassword); outcome(err) {
			case "unauthenticated/invalid_credentials":
				answered.Add(1)
			case "exhausted/too_many_attempts":
				limited.Add(1)
			default:
				t.Errorf("guess: %v", err)
			}
		})
	}
	group.Wait()
	if answered.Load() != 10 || limited.Load() != 50 {
		t.Errorf("%d of 60 guesses were answered, want 10", answered.Load())
	}
}

// TestRightPasswordAmongTooManyGuessesIsNotTold lets the budget be used up
// while the right password is being hashed: had the answer come all the same,
// more guesses at one moment would yield more answers.
func TestRightPasswordAmongTooManyGuessesIsNotTold(t *testing.T) {
	t.Parallel()
	var meanwhile atomic.Pointer[func()]
	s := start(t, func(cfg *setup) {
		cfg.hash.Trace.Waited = func(context.Context, time.Duration) {
			if f := meanwhile.Swap(nil); f != nil {
				(*f)()
			}
		}
	})
	ada := s.join(t, "ada")
	guess := func(f func()) { meanwhile.Store(&f) }

	client := s.client()
	guess(func() {
		for range 10 {
			login(t, s, client, "ada", wrongPassword)
		}
	})
	_, err := login(t, s, client, "ada", goodPassword)
	wantOutcome(t, err, "exhausted/too_many_attempts")

	guess(func() {
		for range 10 {
			changePassword(t, s, ada, wrongPassword, otherPassword)
		}
	})
	wantOutcome(t, changePassword(t, s, ada, goodPassword, otherPassword), "exhausted/too_many_attempts")
	_, err = login(t, s, s.client(), "ada", goodPassword)
	wantOutcome(t, err, "ok")
}

func TestLoginIsRefusedWhenHashingIsOverloaded(t *testing.T) {
	t.Parallel()
	working, release := make(chan bool, 100), make(chan bool)
	s := start(t, func(cfg *setup) {
		cfg.hash.Workers, cfg.hash.MaxWait = 1, time.Millisecond
		cfg.hash.Trace.Waited = func(context.Context, time.Duration) { working <- true; <-release }
	})
	var group sync.WaitGroup
	group.Go(func() {
		_, err := login(t, s, s.client(), "ada", goodPassword)
		for errors.Is(err, protocol.Overloaded) { // the worker may be slow to begin
			_, err = login(t, s, s.client(), "ada", goodPassword)
		}
		wantOutcome(t, err, "unauthenticated/invalid_credentials")
	})
	<-working
	client := s.client()
	_, err := login(t, s, client, "ada", goodPassword)
	wantOutcome(t, err, "overloaded")
	retryAfter(t, err)
	_, err = ask(t, s, packet.Register, protocol.Meta{Client: client}, registration("grace"))
	wantOutcome(t, err, "overloaded")
	close(release)
	group.Wait()
	for range 20 { // neither refusal was counted against the address
		if _, err := ask(t, s, packet.Register, protocol.Meta{Client: client}, registration("")); outcome(err) == "exhausted/too_many_attempts" {
			t.Fatal("a registration refused for overload was counted")
		}
	}
}

// weaker is what a service had hashed with before its parameters were raised.
func weaker(cfg *setup) { cfg.hash.Params.Memory = 32 }

func TestLoginRenewsACredentialOfOtherParameters(t *testing.T) {
	t.Parallel()
	old := start(t, weaker)
	ada := old.join(t, "ada")
	s := old.beside(t)
	rep, err := login(t, s, s.client(), "ada", goodPassword)
	if err != nil {
		t.Fatal(err)
	}
	_, stored, err := s.store.Store.CredentialByName(t.Context(), "ada")
	if err != nil {
		t.Fatal(err)
	}
	if c, err := password.Decode(stored); err != nil || c.Params.Memory != 64 {
		t.Errorf("credential has m=%d (%v), want the current 64", c.Params.Memory, err)
	}
	if now := s.profile(t, ada); toJSON(t, rep.User) != toJSON(t, now) {
		t.Errorf("login answered %s, and the record is %s", toJSON(t, rep.User), toJSON(t, now))
	}
	if _, err := login(t, s, s.client(), "ada", goodPassword); err != nil {
		t.Errorf("login with the renewed credential: %v", err)
	}
}

func TestLoginSucceedsWhereTheCredentialCannotBeRenewed(t *testing.T) {
	t.Parallel()
	old := start(t, weaker)
	old.join(t, "ada")
	s := old.beside(t)
	s.store.next("Update", func(func() error) error { return user.ErrUnavailable })
	rep, err := login(t, s, s.client(), "ada", goodPassword)
	if err != nil || rep.User.Version != 1 || !s.alive(t, &person{token: rep.Token}) {
		t.Errorf("login: version %d, %v", rep.User.Version, err)
	}
}

func TestSessionOpenedWhileThePasswordChangesIsDead(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	s.store.before("PutSession", func() {
		must(t, s, packet.ChangePassword, ada.meta(""), packet.ChangePasswordRequest{
			Authenticated: ada.auth(), CurrentPassword: goodPassword, NewPassword: otherPassword})
	})
	rep, err := login(t, s, s.client(), "ada", goodPassword) // the thief, just in time
	if err != nil {
		t.Fatal(err)
	}
	if s.alive(t, &person{name: "thief", token: rep.Token}) {
		t.Error("a session of the old password lives on after the password was changed")
	}
	if !s.alive(t, ada) {
		t.Error("the session that changed the password ended")
	}
	if all := must(t, s, packet.ListSessions, ada.meta(""), ada.auth()).Sessions; len(all) != 1 {
		t.Errorf("%d sessions are listed, want the one that is live", len(all))
	}
}

func TestLoginOfAUserWhoIsDeletedMeanwhileIsRefusedLikeAnyOther(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	s.store.before("PutSession", func() {
		must(t, s, packet.DeleteAccount, ada.meta(""), packet.DeleteAccountRequest{Authenticated: ada.auth(), Password: goodPassword})
	})
	_, err := login(t, s, s.client(), "ada", goodPassword)
	wantOutcome(t, err, "unauthenticated/invalid_credentials")
}
