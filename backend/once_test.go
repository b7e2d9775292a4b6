package backend_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"gatehouse/backend"
	"gatehouse/backend/session"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// keyed is one kind of write on behalf of a session, made with an
// idempotency key.
type keyed struct {
	name, typ string
	// body is the request of p; other is a session of theirs that may be ended.
	body func(t *testing.T, s *service, p, other *person) map[string]any
	// differs changes a body so that it asks for something else; nil where
	// the type says it all.
	differs func(body map[string]any)
	// ends tells that the write ends the session that makes it.
	ends bool
}

func keyedWrites() []keyed {
	tokenOnly := func(_ *testing.T, _ *service, p, _ *person) map[string]any { return map[string]any{"token": p.token} }
	return []keyed{
		{name: "update_profile", typ: packet.UpdateProfile.Type,
			body: func(_ *testing.T, _ *service, p, _ *person) map[string]any {
				return map[string]any{"token": p.token, "nickname": "Countess"}
			},
			differs: func(body map[string]any) { body["nickname"] = "Lovelace" }},
		{name: "set_picture", typ: packet.SetPicture.Type,
			body: func(_ *testing.T, _ *service, p, _ *person) map[string]any {
				return map[string]any{"token": p.token, "picture": keyA}
			},
			differs: func(body map[string]any) { body["picture"] = keyB }},
		{name: "change_password", typ: packet.ChangePassword.Type,
			body: func(_ *testing.T, _ *service, p, _ *person) map[string]any {
				return map[string]any{"token": p.token, "current_password": goodPassword, "new_password": otherPassword}
			}},
		{name: "end_other_sessions", typ: packet.EndOtherSessions.Type, body: tokenOnly},
		{name: "end_session of another", typ: packet.EndSession.Type,
			body: func(t *testing.T, s *service, p, other *person) map[string]any {
				return map[string]any{"token": p.token, "id": s.sessionID(t, other)}
			},
			differs: func(body map[string]any) { body["id"] = "1" }},
		{name: "end_session of oneself", typ: packet.EndSession.Type, ends: true,
			body: func(t *testing.T, s *service, p, _ *person) map[string]any {
				return map[string]any{"token": p.token, "id": s.sessionID(t, p)}
			},
			differs: func(body map[string]any) { body["id"] = "1" }},
		{name: "logout", typ: packet.Logout.Type, body: tokenOnly, ends: true},
		{name: "delete_account", typ: packet.DeleteAccount.Type, ends: true,
			body: func(_ *testing.T, _ *service, p, _ *person) map[string]any {
				return map[string]any{"token": p.token, "password": goodPassword}
			}},
	}
}

// eachKeyed runs f for each kind of write with a person of its own, who has a
// picture and two sessions.
func eachKeyed(t *testing.T, s *service, f func(t *testing.T, w keyed, p, other *person)) {
	for _, w := range keyedWrites() {
		t.Run(w.name, func(t *testing.T) {
			p := s.join(t, fmt.Sprintf("user-%d", s.people.Load()))
			setPicture(t, s, p, keyB)
			f(t, w, p, s.again(t, p))
		})
	}
}

func TestEveryWriteOfASessionIsAmongTheKeyed(t *testing.T) {
	t.Parallel()
	tested := map[string]bool{}
	for _, w := range keyedWrites() {
		tested[w.typ] = true
	}
	for _, typ := range backend.Types() {
		switch typ {
		case packet.Register.Type, packet.Login.Type: // they make a session
		case packet.Verify.Type, packet.GetProfile.Type, packet.GetUser.Type, packet.ListSessions.Type, packet.PicturesInUse.Type: // reads
		default:
			if !tested[typ] {
				t.Errorf("%s is not among the keyed writes", typ)
			}
		}
	}
}

// state is all that is kept of a person.
func (s *service) state(t *testing.T, id int64) string {
	t.Helper()
	u, credential, err := s.store.Store.CredentialByID(t.Context(), id)
	if err != nil && !errors.Is(err, user.ErrNotFound) {
		t.Fatal(err)
	}
	all, err := s.store.Store.Sessions(t.Context(), id, 100)
	if err != nil {
		t.Fatal(err)
	}
	return toJSON(t, []any{u, credential, all})
}

// lasting is what of a reply a repetition must show too: all but which
// picture is left over, which is told once.
func lasting(t *testing.T, body json.RawMessage) string {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal(body, &members); err != nil {
		t.Fatal(err)
	}
	delete(members, "previous")
	return toJSON(t, members)
}

func TestSameKeyAndBodyIsDoneOnceAndAnsweredAlike(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited)
	eachKeyed(t, s, func(t *testing.T, w keyed, p, other *person) {
		body := w.body(t, s, p, other)
		before := s.state(t, p.id)
		first, err := raw(t, s, w.typ, p.meta("k1"), body)
		if err != nil {
			t.Fatal(err)
		}
		after := s.state(t, p.id)
		if after == before {
			t.Fatal("the write changed nothing")
		}
		for range 3 {
			again, err := raw(t, s, w.typ, p.meta("k1"), body)
			if err != nil {
				t.Fatalf("repetition: %v", err)
			}
			if lasting(t, again.Body) != lasting(t, first.Body) || again.Subject != first.Subject {
				t.Errorf("repetition answered %s of %s, first %s of %s", again.Body, again.Subject, first.Body, first.Subject)
			}
			if strings.Contains(string(again.Body), "previous") {
				t.Errorf("repetition says that a picture is left over: %s", again.Body)
			}
		}
		if now := s.state(t, p.id); now != after {
			t.Errorf("repetitions changed\n%s to\n%s", after, now)
		}
	})
}

func TestRepetitionIsAnsweredAfterOtherWrites(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited)
	eachKeyed(t, s, func(t *testing.T, w keyed, p, other *person) {
		body := w.body(t, s, p, other)
		first, err := raw(t, s, w.typ, p.meta("k1"), body)
		if err != nil {
			t.Fatal(err)
		}
		if !w.ends {
			must(t, s, packet.UpdateProfile, p.meta("k2"), packet.UpdateProfileRequest{Authenticated: p.auth(), Nickname: "changed since"})
			must(t, s, packet.SetPicture, p.meta("k3"), packet.SetPictureRequest{Authenticated: p.auth()})
			must(t, s, packet.Logout, p.meta("k4"), p.auth())
		}
		before := s.state(t, p.id)
		again, err := raw(t, s, w.typ, p.meta("k1"), body)
		if err != nil {
			t.Fatalf("repetition: %v", err)
		}
		if lasting(t, again.Body) != lasting(t, first.Body) {
			t.Errorf("repetition answered %s, first %s", again.Body, first.Body)
		}
		if now := s.state(t, p.id); now != before {
			t.Error("the repetition changed something")
		}
	})
}

func TestSameKeyWithAnotherRequestIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited)
	eachKeyed(t, s, func(t *testing.T, w keyed, p, other *person) {
		body := w.body(t, s, p, other)
		if _, err := raw(t, s, w.typ, p.meta("k1"), body); err != nil {
			t.Fatal(err)
		}
		before := s.state(t, p.id)
		if w.differs != nil {
			w.differs(body)
			_, err := raw(t, s, w.typ, p.meta("k1"), body)
			wantOutcome(t, err, "conflict/idempotency_mismatch")
		}
		for _, elsewhere := range []string{packet.UpdateProfile.Type, packet.Logout.Type} {
			if elsewhere == w.typ {
				continue
			}
			_, err := raw(t, s, elsewhere, p.meta("k1"), map[string]any{"token": p.token, "nickname": "Countess"})
			wantOutcome(t, err, "conflict/idempotency_mismatch")
		}
		if now := s.state(t, p.id); now != before {
			t.Error("a refused request changed something")
		}
	})
}

func TestSameKeyOfAnotherUserIsAnotherRequest(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited)
	eachKeyed(t, s, func(t *testing.T, w keyed, p, other *person) {
		bob := s.join(t, "bob-of-"+p.name)
		bobs := s.again(t, bob)
		if _, err := raw(t, s, w.typ, p.meta("k1"), w.body(t, s, p, other)); err != nil {
			t.Fatal(err)
		}
		before := s.state(t, bob.id)
		reply, err := raw(t, s, w.typ, bob.meta("k1"), w.body(t, s, bob, bobs))
		if err != nil {
			t.Fatal(err)
		}
		if s.state(t, bob.id) == before {
			t.Error("the write of another user with the same key was not done")
		}
		if strings.Contains(string(reply.Body), `"`+p.name+`"`) || reply.Subject == toJSON(t, p.id) {
			t.Errorf("answered with what %s was: %s of %s", p.name, reply.Body, reply.Subject)
		}
	})
}

func TestNobodyElseReadsARepetition(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited)
	eachKeyed(t, s, func(t *testing.T, w keyed, p, other *person) {
		ended := s.again(t, p)
		must(t, s, packet.Logout, ended.meta(""), ended.auth())
		forged := *p
		token, _, err := session.NewToken(p.id, strings.NewReader(strings.Repeat("guess", 10)))
		if err != nil {
			t.Fatal(err)
		}
		forged.token = packet.Secret(token)
		body := w.body(t, s, p, other)
		if _, err := raw(t, s, w.typ, p.meta("k1"), body); err != nil {
			t.Fatal(err)
		}
		for name, stranger := range map[string]*person{"a forged token": &forged, "a session that ended before": ended} {
			body["token"] = stranger.token
			if _, err := raw(t, s, w.typ, p.meta("k1"), body); outcome(err) != "unauthenticated" {
				t.Errorf("%s was answered %s", name, outcome(err))
			}
		}
	})
}

func TestRepetitionIsToldToAnotherLiveSession(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	other := s.again(t, ada)
	first := must(t, s, packet.UpdateProfile, ada.meta("k1"), packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "Countess"})
	again := must(t, s, packet.UpdateProfile, other.meta("k1"), packet.UpdateProfileRequest{Authenticated: other.auth(), Nickname: "Countess"})
	if toJSON(t, first) != toJSON(t, again) {
		t.Errorf("another session was answered %s, first %s", toJSON(t, again), toJSON(t, first))
	}
}

// TestEndingOneSessionIsNotARepetitionOfEndingAnother uses one key in two
// sessions: neither may be told that it ended because the other did.
func TestEndingOneSessionIsNotARepetitionOfEndingAnother(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	phone, laptop := s.again(t, ada), s.again(t, ada)
	must(t, s, packet.Logout, phone.meta("k1"), phone.auth())
	_, err := ask(t, s, packet.Logout, laptop.meta("k1"), laptop.auth())
	wantOutcome(t, err, "conflict/idempotency_mismatch")

	must(t, s, packet.EndOtherSessions, ada.meta("k2"), ada.auth())
	phone = s.again(t, ada)
	_, err = ask(t, s, packet.EndOtherSessions, phone.meta("k2"), phone.auth())
	wantOutcome(t, err, "conflict/idempotency_mismatch")
}

func TestPasswordsAreNoPartOfWhatARequestIsComparedBy(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	change := func(current, fresh packet.Secret) error {
		_, err := ask(t, s, packet.ChangePassword, ada.meta("k1"), packet.ChangePasswordRequest{
			Authenticated: ada.auth(), CurrentPassword: current, NewPassword: fresh})
		return err
	}
	wantOutcome(t, change(goodPassword, otherPassword), "ok")
	wantOutcome(t, change(wrongPassword, wrongPassword), "ok") // a repetition, and not done
	_, err := login(t, s, s.client(), "ada", otherPassword)
	wantOutcome(t, err, "ok")
	for _, kept := range s.store.kept {
		for _, password := range []packet.Secret{goodPassword, otherPassword} {
			if strings.Contains(toJSON(t, kept), string(password)) {
				t.Error("a password is kept")
			}
		}
	}
}

func TestRefusedWriteLeavesItsKeyFree(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	change := func(current packet.Secret) error {
		_, err := ask(t, s, packet.ChangePassword, ada.meta("k1"), packet.ChangePasswordRequest{
			Authenticated: ada.auth(), CurrentPassword: current, NewPassword: otherPassword})
		return err
	}
	wantOutcome(t, change(wrongPassword), "forbidden/wrong_password")
	wantOutcome(t, change(goodPassword), "ok")
	_, err := login(t, s, s.client(), "ada", otherPassword)
	wantOutcome(t, err, "ok")
}

// TestUnknownOutcomeIsResolvedByRepeating commits the write and then loses
// the news of it.
func TestUnknownOutcomeIsResolvedByRepeating(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited)
	methods := map[string]string{packet.Logout.Type: "EndSession", packet.EndSession.Type: "EndSession", packet.DeleteAccount.Type: "Delete"}
	eachKeyed(t, s, func(t *testing.T, w keyed, p, other *person) {
		method := methods[w.typ]
		if method == "" {
			method = "Update"
		}
		body := w.body(t, s, p, other)
		s.store.next(method, func(real func() error) error { return errors.Join(real(), user.ErrUnknownOutcome) })
		_, err := raw(t, s, w.typ, p.meta("k1"), body)
		wantOutcome(t, err, "unknown_outcome")
		after := s.state(t, p.id)
		_, err = raw(t, s, w.typ, p.meta("k1"), body)
		wantOutcome(t, err, "ok")
		if s.state(t, p.id) != after {
			t.Error("the write was done twice")
		}
	})
}

func TestRegistrationIsRepeatedByWhoeverKnowsThePassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	req, meta := registration("ada"), protocol.Meta{IdempotencyKey: "k1", Client: s.client()}
	first := must(t, s, packet.Register, meta, req)
	req.Username = "ADA" // the same name
	again := must(t, s, packet.Register, meta, req)
	if toJSON(t, again.User) != toJSON(t, first.User) {
		t.Errorf("repetition answered %s, first %s", toJSON(t, again.User), toJSON(t, first.User))
	}
	if again.Token == first.Token {
		t.Error("the repetition was answered with the token of the first, which must not be kept")
	}
	if !s.alive(t, &person{token: first.Token}) || !s.alive(t, &person{token: again.Token}) {
		t.Error("one of the two sessions is not live")
	}
	for i, kept := range s.store.kept {
		for _, secret := range []packet.Secret{first.Token, first.Device, again.Token, goodPassword} {
			if strings.Contains(string(kept.Reply), string(secret)) {
				t.Errorf("record %d keeps a secret", i)
			}
		}
		if !reflect.ValueOf(kept.Session).IsZero() {
			t.Error("the record of a registration is tied to a session")
		}
	}

	req.Nickname = "Countess"
	_, err := ask(t, s, packet.Register, meta, req)
	wantOutcome(t, err, "conflict/idempotency_mismatch")
	_, err = ask(t, s, packet.Register, protocol.Meta{IdempotencyKey: "k2", Client: s.client()}, registration("ada"))
	wantOutcome(t, err, "conflict/username_taken")
	if rep := must(t, s, packet.Register, meta, registration("grace")); rep.User.Username != "grace" { // the key is of that name alone
		t.Errorf("grace was answered as %s", rep.User.Username)
	}
}

func TestRepeatingARegistrationIsNoWayToGuessThePassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	req, meta := registration("ada"), protocol.Meta{IdempotencyKey: "k1", Client: s.client()}
	must(t, s, packet.Register, meta, req)
	req.Password = wrongPassword
	for range 10 {
		_, err := ask(t, s, packet.Register, meta, req)
		wantOutcome(t, err, "unauthenticated/invalid_credentials")
	}
	_, err := ask(t, s, packet.Register, meta, req)
	wantOutcome(t, err, "exhausted/too_many_attempts")
	_, err = login(t, s, meta.Client, "ada", goodPassword)
	wantOutcome(t, err, "exhausted/too_many_attempts") // the budget of logins
}

func TestRegistrationOfADeletedAccountIsMadeAnew(t *testing.T) {
	t.Parallel()
	s := start(t)
	meta := protocol.Meta{IdempotencyKey: "k1", Client: s.client()}
	first := must(t, s, packet.Register, meta, registration("ada"))
	ada := &person{id: first.User.ID, token: first.Token}
	if _, err := deleteAccount(t, s, ada, goodPassword); err != nil {
		t.Fatal(err)
	}
	if again := must(t, s, packet.Register, meta, registration("ada")); again.User.ID == first.User.ID {
		t.Error("a deleted account was answered")
	}
}
