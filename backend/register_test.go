package backend_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"gatehouse/backend/password"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

func registration(name string) packet.RegisterRequest {
	return packet.RegisterRequest{Named: packet.Named{Username: name}, Password: goodPassword}
}

func TestRegisterMakesAnAccountWithASession(t *testing.T) {
	t.Parallel()
	s := start(t)
	rep := must(t, s, packet.Register, protocol.Meta{Client: s.client()}, registration("Ada.Lovelace"))

	now := s.clock.now()
	want := packet.User{ID: rep.User.ID, Username: "ada.lovelace", Nickname: "ada.lovelace", Version: 1, CreatedAt: now.Truncate(time.Microsecond)}
	if rep.User != want || rep.User.ID <= 0 {
		t.Errorf("registered %+v, want %+v", rep.User, want)
	}
	if want := now.Add(30 * 24 * time.Hour).Truncate(time.Microsecond); !rep.ExpiresAt.Equal(want) {
		t.Errorf("session expires at %v, want %v", rep.ExpiresAt, want)
	}
	if d, known := s.devices.Known(string(rep.Device), "ada.lovelace"); !known || d.UserID != rep.User.ID {
		t.Errorf("the device token of the reply is of %+v, %v", d, known)
	}
	// What was answered is what is kept, to the microsecond.
	kept := must(t, s, packet.GetProfile, protocol.Meta{}, packet.Authenticated{Token: rep.Token}).User
	if toJSON(t, kept) != toJSON(t, rep.User) {
		t.Errorf("kept %s, answered %s", toJSON(t, kept), toJSON(t, rep.User))
	}
}

func TestRegisterTakesTheNicknameGiven(t *testing.T) {
	t.Parallel()
	s := start(t)
	req := registration("ada")
	req.Nickname = "Ada 👩‍💻 Lovelace"
	if rep := must(t, s, packet.Register, protocol.Meta{Client: s.client()}, req); rep.User.Nickname != req.Nickname {
		t.Errorf("nickname %q, want %q", rep.User.Nickname, req.Nickname)
	}
}

func TestRegisterChecksEveryField(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited)
	longest := strings.Repeat("n", 32)
	for _, test := range []struct {
		name               string
		username, nickname string
		password           packet.Secret
		want               string
	}{
		{"shortest name", "abc", "", goodPassword, "ok"},
		{"longest name", longest, "", goodPassword, "ok"},
		{"all characters", "0a-b_c.d", "", goodPassword, "ok"},
		{"name too short", "ab", "", goodPassword, "invalid/username_length [username:username_length]"},
		{"name too long", longest + "n", "", goodPassword, "invalid/username_length [username:username_length]"},
		{"no name", "", "", goodPassword, "invalid/username_length [username:username_length]"},
		{"name with space at the end", "grace ", "", goodPassword, "invalid/username_characters [username:username_characters]"},
		{"name that starts with a dot", ".grace", "", goodPassword, "invalid/username_characters [username:username_characters]"},
		{"Kelvin sign for k", "\u212aate", "", goodPassword, "invalid/username_characters [username:username_characters]"},
		{"NUL in the name", "gra\x00ce", "", goodPassword, "invalid/username_characters [username:username_characters]"},
		{"reserved name", "admin", "", goodPassword, "invalid/username_reserved [username:username_reserved]"},
		{"reserved name in capitals", "AdMin", "", goodPassword, "invalid/username_reserved [username:username_reserved]"},

		{"64 emoji of 4 bytes", "nick1", strings.Repeat("🦊", 64), goodPassword, "ok"},
		{"65 letters", "nick2", strings.Repeat("n", 65), goodPassword, "invalid/nickname_too_long [nickname:nickname_too_long]"},
		{"65 emoji", "nick2", strings.Repeat("🦊", 65), goodPassword, "invalid/nickname_too_long [nickname:nickname_too_long]"},
		{"nickname with a line feed", "nick2", "a\nb", goodPassword, "invalid/nickname_characters [nickname:nickname_characters]"},
		{"nickname with an override", "nick2", "a\u202eb", goodPassword, "invalid/nickname_characters [nickname:nickname_characters]"},
		{"nickname with an isolate", "nick2", "a\u2066b", goodPassword, "invalid/nickname_characters [nickname:nickname_characters]"},
		{"nickname of spaces", "nick2", "  ", goodPassword, "invalid/nickname_empty [nickname:nickname_empty]"},

		{"shortest good password", "pass1", "", "xq7#Kv2!s", "ok"},
		{"short password", "pass2", "", "xq7#Kv2", "invalid/password_too_short [password:password_too_short]"},
		{"no password", "pass2", "", "", "invalid/password_too_short [password:password_too_short]"},
		{"long password", "pass2", "", packet.Secret(strings.Repeat("violet 4", 33)), "invalid/password_too_long [password:password_too_long]"},
		{"common password", "pass2", "", "password1", "invalid/password_common [password:password_common]"},
		{"guessable password", "pass2", "", "aaaaaaaaaaaaaa", "invalid/password_too_guessable [password:password_too_guessable]"},
		{"username in the password", "pass2", "", "PASS2-2031!", "invalid/password_contains_username [password:password_contains_username]"},
		{"product in the password", "pass2", "", "gatehouse12", "invalid/password_contains_product [password:password_contains_product]"},
		{"NUL in the password", "pass2", "", "violet kettle\x00 planet", "invalid/password_invalid [password:password_invalid]"},

		{"everything wrong", "a", "x\ny", "short", "invalid/username_length [username:username_length nickname:nickname_characters password:password_too_short]"},
		{"the name wrong and no nickname", "x y", "", goodPassword, "invalid/username_characters [username:username_characters]"},
	} {
		t.Run(test.name, func(t *testing.T) {
			req := packet.RegisterRequest{Named: packet.Named{Username: test.username}, Nickname: test.nickname, Password: test.password}
			_, err := ask(t, s, packet.Register, protocol.Meta{Client: s.client()}, req)
			wantOutcome(t, err, test.want)
			var e *protocol.Error
			if errors.As(err, &e) {
				for _, f := range e.Fields {
					if f.Detail == "" || f.Detail == f.Reason {
						t.Errorf("field %s says nothing of what would be right: %q", f.Field, f.Detail)
					}
				}
			}
		})
	}
}

func TestPasswordPolicyIsTheConfiguredOne(t *testing.T) {
	t.Parallel()
	s := start(t, func(cfg *setup) { cfg.backend.Policy = password.Policy{Min: 25} })
	_, err := ask(t, s, packet.Register, protocol.Meta{Client: s.client()}, registration("ada"))
	wantOutcome(t, err, "invalid/password_too_short [password:password_too_short]")
}

func TestRegisterRefusesATakenNameInAnyCase(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	for _, name := range []string{"ada", "ADA", "aDa"} {
		_, err := ask(t, s, packet.Register, protocol.Meta{Client: s.client()}, registration(name))
		wantOutcome(t, err, "conflict/username_taken")
	}
	if !s.alive(t, ada) {
		t.Error("the session of the name's owner ended")
	}
}

func TestNameTakenWhileThePasswordIsHashedIsTaken(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.store.before("Create", func() { s.join(t, "ada") })
	_, err := ask(t, s, packet.Register, protocol.Meta{Client: s.client()}, registration("ada"))
	wantOutcome(t, err, "conflict/username_taken")
}

func TestClosedRegistrationRefusesNewAccountsOnly(t *testing.T) {
	t.Parallel()
	open := start(t)
	req := registration("ada")
	meta := protocol.Meta{IdempotencyKey: "k1", Client: open.client()}
	ada := must(t, open, packet.Register, meta, req)

	closed := open.beside(t, func(cfg *setup) { cfg.backend.Closed = true })
	_, err := ask(t, closed, packet.Register, protocol.Meta{Client: open.client()}, registration("grace"))
	wantOutcome(t, err, "forbidden/registration_closed")
	if again := must(t, closed, packet.Register, meta, req); again.User.ID != ada.User.ID {
		t.Errorf("the repetition of a registration was answered with user %d, want %d", again.User.ID, ada.User.ID)
	}
}

func TestRegistrationsOfOneAddressAreLimited(t *testing.T) {
	t.Parallel()
	s := start(t)
	register := func(ip, name string) error {
		_, err := ask(t, s, packet.Register, protocol.Meta{Client: protocol.Client{IP: ip}}, registration(name))
		return err
	}
	for i := range 20 { // what is refused counts too, since it is judged
		want := "ok"
		name := fmt.Sprintf("user-%d", i)
		if i%2 == 1 {
			name, want = "x", "invalid/username_length [username:username_length]"
		}
		wantOutcome(t, register("2001:db8:1::1", name), want)
	}
	err := register("2001:db8:1:ff::2", "one-more") // the same /56
	wantOutcome(t, err, "exhausted/too_many_attempts")
	wantOutcome(t, register("2001:db8:2::1", "elsewhere"), "ok")

	var e *protocol.Error
	if !errors.As(err, &e) || e.RetryAfter <= 0 {
		t.Fatalf("refused without saying for how long: %v", err)
	}
	s.clock.pass(e.RetryAfter)
	wantOutcome(t, register("2001:db8:1::1", "one-more"), "ok")
}

func TestRegistrationRefusedForOurReasonsIsNotCounted(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.store.always("ByName", func(func() error) error { return user.ErrUnavailable })
	for range 30 {
		_, err := ask(t, s, packet.Register, protocol.Meta{Client: protocol.Client{IP: "192.0.2.1"}}, registration("ada"))
		wantOutcome(t, err, "unavailable")
	}
	s.store.always("ByName", nil)
	must(t, s, packet.Register, protocol.Meta{Client: protocol.Client{IP: "192.0.2.1"}}, registration("ada"))
}

func TestAccountWithoutASessionIsAnUnknownOutcome(t *testing.T) {
	t.Parallel()
	s := start(t)
	s.store.next("PutSession", func(func() error) error { return user.ErrUnavailable })
	meta := protocol.Meta{IdempotencyKey: "k1", Client: s.client()}
	_, err := ask(t, s, packet.Register, meta, registration("ada"))
	wantOutcome(t, err, "unknown_outcome/session_missing")
	must(t, s, packet.Login, protocol.Meta{Client: s.client()}, packet.LoginRequest{Named: packet.Named{Username: "ada"}, Password: goodPassword})
	if rep := must(t, s, packet.Register, meta, registration("ada")); rep.Token == "" {
		t.Error("the repetition was answered without a token")
	}
}

// scripted is a source of randomness whose first short reads, which are of
// ids, are all the same.
type scripted struct {
	io.Reader
	same int
}

func (r *scripted) Read(p []byte) (int, error) {
	if len(p) == 4 && r.same > 0 {
		r.same--
		return copy(p, []byte{1, 2, 3, 4}), nil
	}
	return r.Reader.Read(p)
}

func TestTakenIDIsReplacedByAnother(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		same int
		want string
	}{
		{"once", 2, "ok"},
		{"twice", 3, "ok"},
		{"for ever", 100, "unavailable/contended"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, func(cfg *setup) { cfg.backend.Random = &scripted{bytes.NewReader(randomText), test.same} })
			ada := s.join(t, "ada")
			rep, err := ask(t, s, packet.Register, protocol.Meta{Client: s.client()}, registration("grace"))
			wantOutcome(t, err, test.want)
			if err == nil && rep.User.ID == ada.id {
				t.Error("two users have one id")
			}
		})
	}
}

// randomText is enough randomness for a few registrations.
var randomText = []byte(strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz", 40))

func TestNoAccountIsMadeWithAClockFromBeforeTheService(t *testing.T) {
	t.Parallel()
	s := start(t, func(cfg *setup) {
		cfg.backend.Now = func() time.Time { return time.Date(1970, 1, 1, 0, 0, 5, 0, time.UTC) }
	})
	_, err := ask(t, s, packet.Register, protocol.Meta{Client: s.client()}, registration("ada"))
	wantOutcome(t, err, "internal")
	if _, err := s.store.Store.ByName(context.Background(), "ada"); !errors.Is(err, user.ErrNotFound) {
		t.Errorf("an account that no token can name was made: %v", err)
	}
}
