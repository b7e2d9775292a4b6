package backend_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// inside is what an error of a store may tell and nobody outside may hear.
const inside = "dial tcp 10.20.30.40:3306: access denied for gatehouse@db"

// storeFailures are what a store may return where it could not do its work,
// and what a caller is told.
var storeFailures = []struct {
	name  string
	err   error
	want  string
	retry bool // told when to try again
}{
	{"unavailable", fmt.Errorf("%s: %w", inside, user.ErrUnavailable), "unavailable", true},
	{"unknown outcome", fmt.Errorf("%w: %s", user.ErrUnknownOutcome, inside), "unknown_outcome", false},
	{"unknown outcome for lack of time", fmt.Errorf("%w: %s: %w", user.ErrUnknownOutcome, inside, context.DeadlineExceeded), "unknown_outcome", false},
	{"deadline", fmt.Errorf("%s: %w", inside, context.DeadlineExceeded), "timeout", true},
	{"cancelled", fmt.Errorf("%s: %w", inside, context.Canceled), "timeout", true},
	{"unavailable for lack of time", fmt.Errorf("%w: %s: %w", user.ErrUnavailable, inside, context.DeadlineExceeded), "timeout", true},
	{"contended", fmt.Errorf("%s: %w", inside, user.ErrConflict), "unavailable/contended", true},
	{"anything else", errors.New(inside), "internal", false},
}

// storeUses are the packet types by the methods of a store that they use.
var storeUses = []struct {
	method string
	typ    string
	key    string
	// want differs from that of the failure where something was done already.
	want string
}{
	{method: "Session", typ: packet.Verify.Type},
	{method: "Session", typ: packet.Logout.Type},
	{method: "Session", typ: packet.GetProfile.Type},
	{method: "Session", typ: packet.UpdateProfile.Type, key: "k1"},
	{method: "ByName", typ: packet.GetUser.Type},
	{method: "ByName", typ: packet.Register.Type},
	{method: "CredentialByName", typ: packet.Login.Type},
	{method: "CredentialByID", typ: packet.ChangePassword.Type},
	{method: "CredentialByID", typ: packet.DeleteAccount.Type},
	{method: "Create", typ: packet.Register.Type},
	{method: "Update", typ: packet.UpdateProfile.Type},
	{method: "Update", typ: packet.SetPicture.Type, key: "k1"},
	{method: "Update", typ: packet.ChangePassword.Type},
	{method: "Update", typ: packet.EndOtherSessions.Type},
	{method: "Delete", typ: packet.DeleteAccount.Type},
	{method: "PicturesInUse", typ: packet.PicturesInUse.Type},
	{method: "Replay", typ: packet.UpdateProfile.Type, key: "k1"},
	{method: "Replay", typ: packet.Register.Type, key: "k1"},
	{method: "PutSession", typ: packet.Login.Type},
	{method: "PutSession", typ: packet.Register.Type, want: "unknown_outcome/session_missing"},
	{method: "Sessions", typ: packet.ListSessions.Type},
	{method: "Sessions", typ: packet.EndSession.Type},
	{method: "EndSession", typ: packet.Logout.Type},
	{method: "EndSession", typ: packet.EndSession.Type, key: "k1"},
}

func TestFailuresOfTheStoreAreTranslated(t *testing.T) {
	t.Parallel()
	for _, use := range storeUses {
		t.Run(use.typ+" without "+use.method, func(t *testing.T) {
			t.Parallel()
			s := start(t, unlimited)
			p := s.join(t, "ada")
			body := map[string]any{"token": p.token, "username": p.name, "nickname": "Countess", "picture": keyA,
				"id": s.sessionID(t, p), "password": goodPassword, "current_password": goodPassword, "new_password": otherPassword,
				"keys": []string{keyA}}
			for i, failure := range storeFailures {
				if use.typ == packet.Register.Type {
					body["username"] = fmt.Sprintf("new-%d", i)
				}
				s.store.always(use.method, func(func() error) error { return failure.err })
				reply, err := raw(t, s, use.typ, p.meta(use.key), body)
				want, retry := failure.want, failure.retry
				if use.want != "" {
					want, retry = use.want, false
				}
				checkFailure(t, reply, err, failure.err, want, retry)
			}
		})
	}
}

// checkFailure looks at what a caller is told of a failure inside.
func checkFailure(t *testing.T, reply protocol.Reply, err, cause error, want string, retry bool) {
	t.Helper()
	var e *protocol.Error
	if !errors.As(err, &e) {
		t.Errorf("%T is not a protocol error", err)
		return
	}
	if got := outcome(err); got != want {
		t.Errorf("%v: told %s, want %s", cause, got, want)
	}
	if told := e.RetryAfter > 0; told != retry {
		t.Errorf("%v: told to try again after %v", cause, e.RetryAfter)
	}
	if travels := toJSON(t, []any{e.Code, e.Reason, e.Fields, reply}); strings.Contains(travels, "10.20.30.40") || len(e.Fields) > 0 {
		t.Errorf("%v: %s tells what happens inside", cause, travels)
	}
	if !errors.Is(err, cause) {
		t.Errorf("%v: the cause is lost to the log", cause)
	}
}

// TestSlowStoreIsATimeout lets the caller's time run out while a store works.
func TestSlowStoreIsATimeout(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	s.store.before("Session", cancel)
	_, err := packet.GetProfile.Call(ctx, s, ada.meta(""), ada.auth())
	wantOutcome(t, err, "timeout")
	if !s.alive(t, ada) {
		t.Error("the session ended")
	}
}

// TestCallerWhoGoesAwayLeavesNothingHalfDone lets the caller go away just
// after the account was made.
func TestCallerWhoGoesAwayLeavesNothingHalfDone(t *testing.T) {
	t.Parallel()
	s := start(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	s.store.next("Create", func(real func() error) error {
		err := real()
		cancel()
		return err
	})
	meta := protocol.Meta{IdempotencyKey: "k1", Client: s.client()}
	_, err := packet.Register.Call(ctx, s, meta, registration("ada"))
	wantOutcome(t, err, "unknown_outcome/session_missing")
	must(t, s, packet.Register, meta, registration("ada"))
}

func TestMalformedBodiesAreRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	for body, want := range map[string]string{
		`{"token":7}`:    "invalid/malformed [token:wrong_type]",
		`{"token":[]}`:   "invalid/malformed [token:wrong_type]",
		`[]`:             "invalid/malformed [body:wrong_type]",
		`"x"`:            "invalid/malformed [body:wrong_type]",
		`{"token":null}`: "unauthenticated",
		`{}`:             "unauthenticated",
		``:               "unauthenticated",
	} {
		_, err := s.Call(t.Context(), protocol.Request{Type: packet.GetProfile.Type, Body: []byte(body)})
		if got := outcome(err); got != want {
			t.Errorf("body %s: %s, want %s", body, got, want)
		}
	}
}

func TestClosedHasherIsUnavailable(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	s.hasher.Close()
	_, err := login(t, s, s.client(), "ada", goodPassword)
	wantOutcome(t, err, "unavailable")
	retryAfter(t, err)
	if !s.alive(t, ada) {
		t.Error("reads need the hasher")
	}
}

func TestBrokenCredentialIsADefectAndNoWayIn(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	u, err := s.store.Store.ByID(t.Context(), ada.id)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.store.Store.Update(t.Context(), user.Change{ID: u.ID, Version: u.Version, Credential: []byte("plain text")}); err != nil {
		t.Fatal(err)
	}
	for _, password := range []packet.Secret{goodPassword, "plain text", ""} {
		_, err := login(t, s, s.client(), "ada", password)
		wantOutcome(t, err, "internal")
	}
}
