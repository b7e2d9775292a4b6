package backend_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

func changePassword(t *testing.T, s *service, p *person, current, fresh packet.Secret) error {
	t.Helper()
	_, err := ask(t, s, packet.ChangePassword, p.meta(""), packet.ChangePasswordRequest{
		Authenticated: p.auth(), CurrentPassword: current, NewPassword: fresh})
	return err
}

func deleteAccount(t *testing.T, s *service, p *person, password packet.Secret) (packet.DeleteAccountReply, error) {
	t.Helper()
	return ask(t, s, packet.DeleteAccount, p.meta(""), packet.DeleteAccountRequest{Authenticated: p.auth(), Password: password})
}

func TestChangePasswordEndsTheOtherSessions(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	other, bob := s.again(t, ada), s.join(t, "bob")
	wantOutcome(t, changePassword(t, s, ada, goodPassword, otherPassword), "ok")
	if !s.alive(t, ada) {
		t.Error("the session that changed the password ended")
	}
	if s.alive(t, other) {
		t.Error("another session outlived the change of the password")
	}
	if !s.alive(t, bob) {
		t.Error("somebody else's session ended")
	}
	_, err := login(t, s, s.client(), "ada", goodPassword)
	wantOutcome(t, err, "unauthenticated/invalid_credentials")
	_, err = login(t, s, s.client(), "ada", otherPassword)
	wantOutcome(t, err, "ok")
}

func TestChangePasswordIsRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	other := s.again(t, ada)
	for name, test := range map[string]struct {
		current, fresh packet.Secret
		want           string
	}{
		"wrong password":         {wrongPassword, otherPassword, "forbidden/wrong_password"},
		"no password":            {"", otherPassword, "forbidden/wrong_password"},
		"wrong and bad password": {wrongPassword, "short", "forbidden/wrong_password"},
		"short":                  {goodPassword, "short", "invalid/password_too_short [new_password:password_too_short]"},
		"common":                 {goodPassword, "password1", "invalid/password_common [new_password:password_common]"},
		"the username":           {goodPassword, "ada-2031!", "invalid/password_contains_username [new_password:password_contains_username]"},
	} {
		if got := outcome(changePassword(t, s, ada, test.current, test.fresh)); got != test.want {
			t.Errorf("%s: %s, want %s", name, got, test.want)
		}
	}
	if !s.alive(t, other) {
		t.Error("a refused change ended another session")
	}
	_, err := login(t, s, s.client(), "ada", goodPassword)
	wantOutcome(t, err, "ok")
}

func TestWrongPasswordsWithinASessionAreLimitedForThatSessionAlone(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	other := s.again(t, ada)
	for i := range 10 { // whatever the password is asked for
		if i%2 == 0 {
			wantOutcome(t, changePassword(t, s, ada, wrongPassword, otherPassword), "forbidden/wrong_password")
			continue
		}
		_, err := deleteAccount(t, s, ada, wrongPassword)
		wantOutcome(t, err, "forbidden/wrong_password")
	}
	err := changePassword(t, s, ada, goodPassword, otherPassword)
	wantOutcome(t, err, "exhausted/too_many_attempts")
	_, deleted := deleteAccount(t, s, ada, goodPassword)
	wantOutcome(t, deleted, "exhausted/too_many_attempts")

	if _, err := login(t, s, ada.client, "ada", goodPassword); err != nil {
		t.Errorf("login at the same address: %v", err)
	}
	if got := changePassword(t, s, other, wrongPassword, otherPassword); outcome(got) != "forbidden/wrong_password" {
		t.Errorf("change in another session: %v", got)
	}
	s.clock.pass(retryAfter(t, err))
	wantOutcome(t, changePassword(t, s, ada, goodPassword, otherPassword), "ok")
}

func TestFailuresElsewhereDoNotKeepAPersonFromChangingThePassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	for range 30 {
		login(t, s, ada.client, "ada", wrongPassword)
		login(t, s, s.client(), "ada", wrongPassword)
	}
	wantOutcome(t, changePassword(t, s, ada, goodPassword, otherPassword), "ok")
}

// TestChangeOfPasswordThatMeetsAnotherChangeHashesOnce lets the record change
// between being read and being written.
func TestChangeOfPasswordThatMeetsAnotherChangeHashesOnce(t *testing.T) {
	t.Parallel()
	var worked atomic.Int64
	s := start(t, func(cfg *setup) {
		cfg.hash.Trace.Worked = func(context.Context, time.Duration) { worked.Add(1) }
	})
	ada := s.join(t, "ada")
	worked.Store(0)
	s.store.before("Update", func() {
		s.store.before("Update", func() {
			must(t, s, packet.UpdateProfile, ada.meta(""), packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "Countess"})
		})
		must(t, s, packet.UpdateProfile, ada.meta(""), packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "Lovelace"})
	})
	wantOutcome(t, changePassword(t, s, ada, goodPassword, otherPassword), "ok")
	if n := worked.Load(); n != 2 { // one to verify, one to set
		t.Errorf("%d hashes were computed, want 2", n)
	}
	if got := s.profile(t, ada); got.Version != 4 {
		t.Errorf("the record is at version %d, want 4 after three changes", got.Version)
	}
	_, err := login(t, s, s.client(), "ada", otherPassword)
	wantOutcome(t, err, "ok")
}

func TestPasswordThatChangesMeanwhileIsVerifiedAnew(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	s.store.before("Update", func() {
		wantOutcome(t, changePassword(t, s, ada, goodPassword, otherPassword), "ok")
	})
	err := changePassword(t, s, ada, goodPassword, wrongPassword) // right when it was verified, not when it was to be set
	wantOutcome(t, err, "forbidden/wrong_password")
	_, err = login(t, s, s.client(), "ada", otherPassword)
	wantOutcome(t, err, "ok")
}

func TestDeleteAccountRemovesAll(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, bob := s.join(t, "ada"), s.join(t, "bob")
	other := s.again(t, ada)
	setPicture(t, s, ada, keyA)
	must(t, s, packet.UpdateProfile, ada.meta("k1"), packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "Countess"})
	kept := s.store.kept[0].Key

	rep, err := deleteAccount(t, s, ada, goodPassword)
	if err != nil || rep.Previous != keyA {
		t.Fatalf("delete: left over is %q, %v; want %q", rep.Previous, err, keyA)
	}
	if s.alive(t, ada) || s.alive(t, other) {
		t.Error("a session outlived the account")
	}
	if _, err := s.store.Store.ByID(t.Context(), ada.id); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("the record is there: %v", err)
	}
	if all, err := s.store.Store.Sessions(t.Context(), ada.id, 10); err != nil || len(all) != 0 {
		t.Errorf("%d sessions are kept, %v", len(all), err)
	}
	if _, err := s.store.Store.Replay(t.Context(), kept); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("an answer with the person's data is kept: %v", err)
	}
	_, err = login(t, s, s.client(), "ada", goodPassword)
	wantOutcome(t, err, "unauthenticated/invalid_credentials")
	if !s.alive(t, bob) {
		t.Error("somebody else's session ended")
	}
	if again := s.join(t, "ada"); again.id == ada.id {
		t.Error("the id of a deleted user was used again")
	}
}

func TestDeleteAccountNeedsThePassword(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, bob := s.join(t, "ada"), s.join(t, "bob")
	must(t, s, packet.ChangePassword, bob.meta(""), packet.ChangePasswordRequest{
		Authenticated: bob.auth(), CurrentPassword: goodPassword, NewPassword: otherPassword})
	for _, password := range []packet.Secret{"", wrongPassword, otherPassword} {
		_, err := deleteAccount(t, s, ada, password)
		wantOutcome(t, err, "forbidden/wrong_password")
	}
	if !s.alive(t, ada) {
		t.Error("a refused deletion ended the session")
	}
}

// TestWriteOfAUserWhoIsDeletedMeanwhileIsUnauthenticated lets the account
// vanish at the last moment before each kind of write.
func TestWriteOfAUserWhoIsDeletedMeanwhileIsUnauthenticated(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, test := range []struct {
		typ, method string
	}{
		{packet.UpdateProfile.Type, "Update"},
		{packet.SetPicture.Type, "Update"},
		{packet.ChangePassword.Type, "Update"},
		{packet.ChangePassword.Type, "CredentialByID"},
		{packet.EndOtherSessions.Type, "Update"},
		{packet.DeleteAccount.Type, "Delete"},
	} {
		t.Run(test.typ+" at "+test.method, func(t *testing.T) {
			ada := s.join(t, "ada")
			other := s.again(t, ada)
			s.store.before(test.method, func() {
				if _, err := deleteAccount(t, s, other, goodPassword); err != nil {
					t.Error(err)
				}
			})
			body := map[string]any{"token": ada.token, "nickname": "n", "picture": keyA, "password": goodPassword,
				"current_password": goodPassword, "new_password": otherPassword}
			_, err := raw(t, s, test.typ, protocol.Meta{}, body)
			wantOutcome(t, err, "unauthenticated")
		})
	}
}
