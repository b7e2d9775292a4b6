package backend_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/backend"
	"gatehouse/backend/cache"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// withAndWithoutCache runs a test on a service of each kind: the promises of
// a cache are kept by operators too.
func withAndWithoutCache(t *testing.T, f func(t *testing.T, s *service)) {
	t.Parallel()
	t.Run("no cache", func(t *testing.T) {
		t.Parallel()
		f(t, start(t, unlimited))
	})
	t.Run("cache", func(t *testing.T) {
		t.Parallel()
		f(t, start(t, cached(newCache(t), &lookups{})))
	})
}

// op makes a call as an operator and returns how it went.
func op[Req, Rep any](t *testing.T, s *service, m protocol.Method[Req, Rep], req Req) (Rep, error) {
	t.Helper()
	return ask(t, s.Operator(), m, protocol.Meta{}, req)
}

func (p *person) named() packet.Named { return packet.Named{Username: p.name} }

func TestOperatorAddsAUserWhoCanLogIn(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, s *service) {
		if _, err := ask(t, s, packet.GetUser, protocol.Meta{}, packet.Named{Username: "ada"}); outcome(err) != "not_found" {
			t.Fatalf("before: %v", err) // which a cache remembers
		}
		rep, err := op(t, s, packet.OpAddUser, packet.OpAddUserRequest{Named: packet.Named{Username: "Ada"}, Nickname: "Countess", Password: goodPassword})
		if err != nil {
			t.Fatal(err)
		}
		if u := rep.User; u.Username != "ada" || u.Nickname != "Countess" || u.Disabled || u.ID == 0 || u.Version != 1 {
			t.Errorf("added %+v", u)
		}
		got := must(t, s, packet.GetUser, protocol.Meta{}, packet.Named{Username: "ada"})
		if got.Nickname != "Countess" {
			t.Errorf("read back %+v", got)
		}
		in := must(t, s, packet.Login, protocol.Meta{Client: s.client()}, packet.LoginRequest{Named: packet.Named{Username: "ada"}, Password: goodPassword})
		if in.User.ID != rep.User.ID {
			t.Errorf("logged in as %d, want %d", in.User.ID, rep.User.ID)
		}
	})
}

func TestOperatorAddsWhereRegistrationIsClosed(t *testing.T) {
	t.Parallel()
	s := start(t, func(cfg *setup) { cfg.backend.Closed = true })
	rep, err := op(t, s, packet.OpAddUser, packet.OpAddUserRequest{Named: packet.Named{Username: "ada"}, Password: goodPassword})
	if err != nil || rep.User.Nickname != "ada" {
		t.Errorf("added %+v, %v", rep.User, err)
	}
}

func TestOperatorObeysTheRulesForFields(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	for _, test := range []struct {
		username, nickname string
		password           packet.Secret
		want               string
	}{
		{"x", "", goodPassword, "invalid/username_length [username:username_length]"},
		{"admin", "", goodPassword, "invalid/username_reserved [username:username_reserved]"},
		{"grace", "\u202eecarg", goodPassword, "invalid/nickname_characters [nickname:nickname_characters]"},
		{"grace", "", "short", "invalid/password_too_short [password:password_too_short]"},
		{"grace", "", "", "invalid/password_too_short [password:password_too_short]"},
		{"a b", "", "password1", "invalid/username_characters [username:username_characters password:password_common]"},
		{"ADA", "", goodPassword, "conflict/username_taken"},
	} {
		_, err := op(t, s, packet.OpAddUser, packet.OpAddUserRequest{Named: packet.Named{Username: test.username}, Nickname: test.nickname, Password: test.password})
		wantOutcome(t, err, test.want)
	}
	_, err := op(t, s, packet.OpSetPassword, packet.OpSetPasswordRequest{Named: ada.named(), Password: "short"})
	wantOutcome(t, err, "invalid/password_too_short [password:password_too_short]")
	if !s.alive(t, ada) {
		t.Error("a refused password ended the session")
	}
	if rep, err := op(t, s, packet.OpListUsers, packet.OpListUsersRequest{}); err != nil || len(rep.Users) != 1 {
		t.Errorf("there are %+v, %v, want ada alone", rep.Users, err)
	}
}

func TestDisabledUserIsOutAtOnceAndEnabledInAgain(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, s *service) {
		ada, bob := s.join(t, "ada"), s.join(t, "bob")
		s.profile(t, ada) // which a cache remembers
		rep, err := op(t, s, packet.OpDisableUser, packet.Named{Username: "ADA"})
		if err != nil || !rep.User.Disabled || rep.User.Version != 2 {
			t.Fatalf("disabled %+v, %v", rep.User, err)
		}
		if s.alive(t, ada) {
			t.Error("the session of a disabled user is answered")
		}
		_, err = ask(t, s, packet.Login, protocol.Meta{Client: s.client()}, ada.credentials())
		wantOutcome(t, err, "unauthenticated/invalid_credentials")
		if !s.alive(t, bob) {
			t.Error("somebody else's session ended")
		}
		if _, err := op(t, s, packet.OpDisableUser, ada.named()); err != nil {
			t.Errorf("disabled again: %v", err)
		}
		rep, err = op(t, s, packet.OpEnableUser, ada.named())
		if err != nil || rep.User.Disabled || rep.User.Version != 4 {
			t.Fatalf("enabled %+v, %v", rep.User, err)
		}
		if s.alive(t, ada) {
			t.Error("a session that was ended came back")
		}
		if again := s.again(t, ada); !s.alive(t, again) || s.profile(t, again).Version != 4 {
			t.Error("the enabled user is not in")
		}
	})
}

func TestOperatorSetsAPasswordAndEndsAllSessions(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, s *service) {
		ada := s.join(t, "ada")
		other := s.again(t, ada)
		s.profile(t, ada)
		if _, err := op(t, s, packet.OpSetPassword, packet.OpSetPasswordRequest{Named: ada.named(), Password: otherPassword}); err != nil {
			t.Fatal(err)
		}
		if s.alive(t, ada) || s.alive(t, other) {
			t.Error("a session outlived the password")
		}
		_, err := ask(t, s, packet.Login, protocol.Meta{Client: s.client()}, ada.credentials())
		wantOutcome(t, err, "unauthenticated/invalid_credentials")
		ada.password = otherPassword
		s.again(t, ada)
	})
}

func TestOperatorEndsSessionsAndNothingElse(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, s *service) {
		ada, bob := s.join(t, "ada"), s.join(t, "bob")
		s.profile(t, ada)
		if _, err := op(t, s, packet.OpEndSessions, ada.named()); err != nil {
			t.Fatal(err)
		}
		if s.alive(t, ada) || !s.alive(t, bob) {
			t.Errorf("alive are ada %v, bob %v; want bob", s.alive(t, ada), s.alive(t, bob))
		}
		s.again(t, ada)
	})
}

func TestOperatorDeletesAnAccountAndItsNameIsFree(t *testing.T) {
	withAndWithoutCache(t, func(t *testing.T, s *service) {
		ada := s.join(t, "ada")
		must(t, s, packet.SetPicture, ada.meta(""), packet.SetPictureRequest{Authenticated: ada.auth(), Picture: keyA})
		must(t, s, packet.GetUser, protocol.Meta{}, ada.named())
		rep, err := op(t, s, packet.OpDeleteUser, ada.named())
		if err != nil || rep.Previous != keyA {
			t.Fatalf("deleted: %+v, %v", rep, err)
		}
		if s.alive(t, ada) {
			t.Error("the session of a deleted user is answered")
		}
		_, err = ask(t, s, packet.GetUser, protocol.Meta{}, ada.named())
		wantOutcome(t, err, "not_found")
		_, err = op(t, s, packet.OpDeleteUser, ada.named())
		wantOutcome(t, err, "not_found/no_such_user")
		if again := s.join(t, "ada"); again.id == ada.id {
			t.Error("an id was used twice")
		}
	})
}

func TestOperatorIsToldThatThereIsNoSuchUser(t *testing.T) {
	t.Parallel()
	s := start(t)
	nobody := packet.Named{Username: "nobody-here"}
	for _, m := range []protocol.Method[packet.Named, packet.OpUserReply]{packet.OpDisableUser, packet.OpEnableUser, packet.OpEndSessions} {
		_, err := op(t, s, m, nobody)
		wantOutcome(t, err, "not_found/no_such_user")
	}
	_, err := op(t, s, packet.OpShowUser, nobody)
	wantOutcome(t, err, "not_found/no_such_user")
	_, err = op(t, s, packet.OpSetPassword, packet.OpSetPasswordRequest{Named: nobody, Password: goodPassword})
	wantOutcome(t, err, "not_found/no_such_user")
}

func TestOperatorsPagesHoldEveryAccountOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	var want []string
	for i := range packet.MaxListed + 7 {
		name := fmt.Sprintf("person-%03d", i)
		err := s.store.Create(t.Context(), user.User{ID: int64(1000 - i), Username: name, Nickname: name, Version: 1, AuthEpoch: 1, CreatedAt: s.clock.now()}, []byte("x"), nil)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, name)
	}
	for _, limit := range []int{0, 1, 50, len(want) - 7, len(want), 1 << 40, -1} {
		var got []string
		for after, more := "", true; more; {
			rep, err := op(t, s, packet.OpListUsers, packet.OpListUsersRequest{After: after, Limit: limit})
			if err != nil {
				t.Fatal(err)
			}
			if most := packet.MaxListed; len(rep.Users) == 0 || len(rep.Users) > most || limit > 0 && len(rep.Users) > limit {
				t.Fatalf("limit %d: a page of %d", limit, len(rep.Users))
			}
			for _, u := range rep.Users {
				got = append(got, u.Username)
				after = u.Username
			}
			more = rep.More
		}
		if !slices.Equal(got, want) {
			t.Errorf("limit %d: %d accounts, want %d in order: %v", limit, len(got), len(want), got)
		}
	}
	rep, err := op(t, s, packet.OpListUsers, packet.OpListUsersRequest{After: "PERSON-2050"})
	if err != nil || len(rep.Users) != 1 || rep.Users[0].Username != "person-206" || rep.More {
		t.Errorf("after a name in capitals that nobody has: %+v, %v", rep, err)
	}
}

func TestOperatorSeesTheLiveSessions(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited)
	ada := s.join(t, "ada")
	s.clock.pass(time.Hour)
	later := s.again(t, ada)
	rep, err := op(t, s, packet.OpShowUser, ada.named())
	if err != nil || len(rep.Sessions) != 2 || rep.More {
		t.Fatalf("%+v, %v", rep, err)
	}
	if first := rep.Sessions[0]; first.IP != later.client.IP || first.UserAgent != later.client.UserAgent || first.Current {
		t.Errorf("the last seen is %+v", first)
	}
	if rep.User.ID != ada.id || rep.User.Username != "ada" {
		t.Errorf("the user is %+v", rep.User)
	}
	if strings.Contains(toJSON(t, rep), string(later.token)) {
		t.Error("a token is shown")
	}
	s.clock.pass(backend.DefaultIdle - time.Minute)
	if rep, err := op(t, s, packet.OpShowUser, ada.named()); err != nil || len(rep.Sessions) != 1 {
		t.Errorf("of which one has ended: %+v, %v", rep.Sessions, err)
	}
}

// TestLongestRepliesToOperatorsFitIntoAFrame fills every field with what
// becomes longest in JSON.
func TestLongestRepliesToOperatorsFitIntoAFrame(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited, func(cfg *setup) { cfg.backend.Limits.PerUser = packet.MaxShown + 20 })
	nickname := strings.Repeat("<", user.MaxNickname) // each is written \u003c
	for i := range packet.MaxListed + 1 {
		name := fmt.Sprintf("%s-%03d", strings.Repeat("a", user.MaxUsername-4), i)
		err := s.store.Create(t.Context(), user.User{ID: int64(1<<62 + i), Username: name, Nickname: nickname, Picture: keyA, Version: 1 << 62, AuthEpoch: 1, CreatedAt: s.clock.now()}, []byte("x"), nil)
		if err != nil {
			t.Fatal(err)
		}
	}
	reply, err := raw(t, s.Operator(), packet.OpListUsers.Type, protocol.Meta{}, packet.OpListUsersRequest{})
	if err != nil || len(reply.Body) > protocol.MaxReplyFrame-1024 {
		t.Errorf("a page of %d bytes, %v", len(reply.Body), err)
	}
	ada := s.join(t, "ada")
	for range packet.MaxShown + 5 {
		client := s.client()
		client.UserAgent = strings.Repeat("<", 255)
		must(t, s, packet.Login, protocol.Meta{Client: client}, ada.credentials())
	}
	reply, err = raw(t, s.Operator(), packet.OpShowUser.Type, protocol.Meta{}, ada.named())
	if err != nil || len(reply.Body) > protocol.MaxReplyFrame-1024 || !strings.Contains(string(reply.Body), `"more":true`) {
		t.Errorf("an account of %d bytes, %v", len(reply.Body), err)
	}
}

func TestOperatorsChangeWinsAgainstOneThatCameBetween(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	s.store.before("Update", func() {
		must(t, s, packet.UpdateProfile, ada.meta(""), packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "Countess"})
	})
	rep, err := op(t, s, packet.OpDisableUser, ada.named())
	if err != nil || rep.User.Nickname != "Countess" || !rep.User.Disabled || rep.User.Version != 3 {
		t.Errorf("disabled %+v, %v", rep.User, err)
	}
	if s.alive(t, ada) {
		t.Error("the session is answered")
	}
}

// TestOperatorsChangeMarksTheCache asks another backend on the same cache,
// which remembers the record, and loses the change's unmark.
func TestOperatorsChangeMarksTheCache(t *testing.T) {
	t.Parallel()
	c := newCache(t)
	s := start(t, cached(c, &lookups{}))
	other := s.beside(t, cached(c, &lookups{}))
	ada := s.join(t, "ada")
	s.profile(t, ada)
	marked := false
	s.store.before("Update", func() {
		entries, err := c.Lease(t.Context(), backend.UserKey(ada.id))
		marked = err == nil && entries[0].State == cache.Marked
	})
	if _, err := op(t, s, packet.OpEndSessions, ada.named()); err != nil {
		t.Fatal(err)
	}
	if !marked {
		t.Error("the record was not marked when it was changed")
	}
	if other.alive(t, ada) {
		t.Error("another backend still answers the session")
	}
}

func TestOperatorIsToldWhichBackendItIs(t *testing.T) {
	t.Parallel()
	about := packet.OpAboutReply{Version: "1.2.3", Database: "sqlite:/data/gatehouse.db"}
	s := start(t, func(cfg *setup) { cfg.backend.About = about })
	if got, err := op(t, s, packet.OpAbout, packet.Empty{}); err != nil || got != about {
		t.Errorf("told %+v, %v", got, err)
	}
}

func TestOperatorHasTheUsualPacketsToo(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.join(t, "ada")
	if got := must(t, s.Operator(), packet.GetUser, protocol.Meta{}, packet.Named{Username: "ada"}); got.Username != "ada" {
		t.Errorf("got %+v", got)
	}
	_, err := raw(t, s.Operator(), "op_nothing", protocol.Meta{}, struct{}{})
	wantOutcome(t, err, "not_found/unknown_type")
}
