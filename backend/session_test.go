package backend_test

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"gatehouse/backend"
	"gatehouse/backend/session"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

const day = 24 * time.Hour

func (s *service) sessions(t *testing.T, p *person) []packet.Session {
	t.Helper()
	return must(t, s, packet.ListSessions, p.meta(""), p.auth()).Sessions
}

// sessionID is the id by which the session of p is listed.
func (s *service) sessionID(t *testing.T, p *person) string {
	t.Helper()
	for _, one := range s.sessions(t, p) {
		if one.Current {
			return one.ID
		}
	}
	t.Fatalf("no session of %s is the current one", p.name)
	return ""
}

func TestSessionsAreListedLastSeenFirst(t *testing.T) {
	t.Parallel()
	s := start(t)
	first := s.join(t, "ada")
	madeAt := s.clock.now().Truncate(time.Microsecond)
	s.clock.pass(time.Hour)
	second := s.again(t, first)
	s.clock.pass(time.Hour)
	third := s.again(t, first)
	s.join(t, "bob")
	s.clock.pass(time.Hour)
	s.alive(t, first) // seen now, which is not written yet

	now := s.clock.now().Truncate(time.Microsecond)
	want := []packet.Session{
		{CreatedAt: madeAt, LastSeenAt: now, ExpiresAt: now.Add(7 * day), IP: first.client.IP, UserAgent: first.client.UserAgent},
		{CreatedAt: madeAt.Add(2 * time.Hour), LastSeenAt: madeAt.Add(2 * time.Hour), ExpiresAt: madeAt.Add(2*time.Hour + 7*day),
			IP: third.client.IP, UserAgent: third.client.UserAgent},
		{CreatedAt: madeAt.Add(time.Hour), LastSeenAt: now, ExpiresAt: now.Add(7 * day), Current: true,
			IP: second.client.IP, UserAgent: second.client.UserAgent},
	}
	got := s.sessions(t, second)
	if len(got) != 3 {
		t.Fatalf("%d sessions are listed, want 3", len(got))
	}
	// Those seen at the same time may come in any order.
	if got[0].Current {
		got[0], got[1] = got[1], got[0]
	}
	want[1], want[2] = want[2], want[1]
	ids := map[string]bool{}
	for i, one := range got {
		ids[one.ID] = true
		one.ID = ""
		if one != want[i] {
			t.Errorf("session %d is\n%+v, want\n%+v", i, one, want[i])
		}
	}
	if len(ids) != 3 || ids[""] {
		t.Errorf("the sessions' ids are %v", ids)
	}
}

func TestWhatIsKeptOfTheClientIsBounded(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, test := range []struct {
		name          string
		client        protocol.Client
		ip, userAgent string
	}{
		{"nothing", protocol.Client{}, "", ""},
		{"no address", protocol.Client{IP: "DROP TABLE users", UserAgent: "x"}, "", "x"},
		{"IPv6", protocol.Client{IP: "2001:DB8::0:1"}, "2001:db8::1", ""},
		{"zone", protocol.Client{IP: "fe80::1%" + strings.Repeat("z", 50)}, "fe80::1", ""},
		{"longest agent", protocol.Client{UserAgent: strings.Repeat("x", 255)}, "", strings.Repeat("x", 255)},
		{"longer agent", protocol.Client{UserAgent: strings.Repeat("x", 256)}, "", strings.Repeat("x", 255)},
		{"agent cut within a character", protocol.Client{UserAgent: strings.Repeat("é", 200)}, "", strings.Repeat("é", 127)},
		{"agent that is not UTF-8", protocol.Client{UserAgent: "a\xffb"}, "", "a\uFFFDb"},
		{"agent that grows when mended", protocol.Client{UserAgent: strings.Repeat("a\xff", 120)}, "", strings.Repeat("a\uFFFD", 63) + "a"},
	} {
		t.Run(test.name, func(t *testing.T) {
			rep := must(t, s, packet.Register, protocol.Meta{Client: test.client}, registration(fmt.Sprintf("user-%d", s.people.Add(1))))
			got := s.sessions(t, &person{token: rep.Token})[0]
			if got.IP != test.ip || got.UserAgent != test.userAgent {
				t.Errorf("kept %q and %q (%d bytes), want %q and %q", got.IP, got.UserAgent, len(got.UserAgent), test.ip, test.userAgent)
			}
		})
	}
}

func TestLogoutEndsThatSessionAlone(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	other := s.again(t, ada)
	must(t, s, packet.Logout, ada.meta(""), ada.auth())
	if s.alive(t, ada) {
		t.Error("the session is live after logout")
	}
	if !s.alive(t, other) {
		t.Error("logout ended another session")
	}
	_, err := ask(t, s, packet.Logout, ada.meta(""), ada.auth())
	wantOutcome(t, err, "unauthenticated")
}

func TestOneSessionIsEndedByItsID(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	lost, kept := s.again(t, ada), s.again(t, ada)
	end := func(id string) error {
		_, err := ask(t, s, packet.EndSession, ada.meta(""), packet.EndSessionRequest{Authenticated: ada.auth(), ID: id})
		return err
	}
	id := s.sessionID(t, lost)
	wantOutcome(t, end(id), "ok")
	if s.alive(t, lost) || !s.alive(t, kept) || !s.alive(t, ada) {
		t.Error("not exactly the session of the id ended")
	}
	for _, no := range []string{id, "", "0", "-1", id + " ", "0" + s.sessionID(t, kept), "9223372036854775808"} {
		if got := outcome(end(no)); got != "not_found" {
			t.Errorf("end session %q: %s, want not_found", no, got)
		}
	}
	wantOutcome(t, end(s.sessionID(t, ada)), "ok")
	if s.alive(t, ada) || !s.alive(t, kept) {
		t.Error("ending the current session by its id did not end that one alone")
	}
}

func TestNobodyEndsSessionsOfOthers(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, bob := s.join(t, "ada"), s.join(t, "bob")
	other := s.again(t, ada)
	for _, victim := range []*person{ada, other} {
		_, err := ask(t, s, packet.EndSession, bob.meta(""), packet.EndSessionRequest{Authenticated: bob.auth(), ID: s.sessionID(t, victim)})
		wantOutcome(t, err, "not_found")
	}
	must(t, s, packet.EndOtherSessions, bob.meta(""), bob.auth())
	if !s.alive(t, ada) || !s.alive(t, other) || !s.alive(t, bob) {
		t.Error("bob ended a session of ada, or his own")
	}
}

func TestAllOtherSessionsEndAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	others := []*person{s.again(t, ada), s.again(t, ada), s.again(t, ada)}
	must(t, s, packet.EndOtherSessions, ada.meta(""), ada.auth())
	for _, other := range others {
		if s.alive(t, other) {
			t.Error("another session is live")
		}
	}
	if got := s.sessions(t, ada); len(got) != 1 || !got[0].Current {
		t.Errorf("sessions listed: %+v, want the current one alone", got)
	}
	if !s.alive(t, s.again(t, ada)) {
		t.Error("a session made afterwards is not live")
	}
}

func TestSessionEndsWhenIdle(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	s.clock.pass(7*day - time.Microsecond)
	if !s.alive(t, ada) {
		t.Fatal("the session ended before it was idle for 7 days")
	}
	s.clock.pass(7*day - time.Microsecond) // whether that use was written yet or not
	if !s.alive(t, ada) {
		t.Fatal("the session ended although it was used within 7 days")
	}
	s.clock.pass(7 * day)
	if s.alive(t, ada) {
		t.Error("the session is live after 7 idle days")
	}
	_, err := ask(t, s, packet.Logout, ada.meta(""), ada.auth())
	wantOutcome(t, err, "unauthenticated")
}

func TestSessionEndsWithItsLifetimeHoweverBusy(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	for range 29 {
		s.clock.pass(day)
		if !s.alive(t, ada) {
			t.Fatal("a session used every day ended early")
		}
	}
	if got := s.sessions(t, ada)[0]; !got.ExpiresAt.Equal(got.CreatedAt.Add(30 * day)) {
		t.Errorf("the session is said to expire at %v, want %v", got.ExpiresAt, got.CreatedAt.Add(30*day))
	}
	s.clock.pass(day - time.Microsecond)
	if !s.alive(t, ada) {
		t.Error("the session ended before its lifetime was over")
	}
	s.clock.pass(time.Microsecond)
	if s.alive(t, ada) {
		t.Error("the session outlived its lifetime")
	}
}

func TestSessionLimitsAreTheConfiguredOnes(t *testing.T) {
	t.Parallel()
	s := start(t, func(cfg *setup) {
		cfg.backend.Limits = session.Limits{Idle: time.Hour, Lifetime: 90 * time.Minute, PerUser: 2}
	})
	ada := s.join(t, "ada")
	s.clock.pass(time.Hour - time.Second)
	other := s.again(t, ada)
	if !s.alive(t, ada) {
		t.Fatal("the session ended early")
	}
	s.clock.pass(31 * time.Minute)
	if s.alive(t, ada) || !s.alive(t, other) {
		t.Error("after 90 minutes, the first session is live or the second is not")
	}
	if got := s.sessions(t, other); len(got) != 1 {
		t.Errorf("%d sessions are listed, want the live one", len(got))
	}
}

func TestOneMoreSessionThanAllowedEndsTheLeastRecentlyUsed(t *testing.T) {
	t.Parallel()
	few := func(cfg *setup) { cfg.backend.Limits.PerUser = 3 }
	s := start(t, few)
	bob := s.join(t, "bob")
	first := s.join(t, "ada")
	s.clock.pass(time.Hour)
	second := s.again(t, first)
	s.clock.pass(time.Hour)
	third := s.again(t, first)
	s.clock.pass(time.Hour)
	s.alive(t, first)
	if err := s.Close(); err != nil { // writes when they were seen
		t.Fatal(err)
	}
	s = s.beside(t, few)
	fourth := s.again(t, first)
	for _, p := range []*person{first, third, fourth, bob} {
		if !s.alive(t, p) {
			t.Error("a session that was used more recently ended")
		}
	}
	if s.alive(t, second) {
		t.Error("the session not used for longest is live")
	}
}

func TestManyLoginsLeaveNoMoreSessionsThanAllowed(t *testing.T) {
	t.Parallel()
	s := start(t, func(cfg *setup) { cfg.backend.Limits.PerUser = 1 })
	ada := s.join(t, "ada")
	for range 4 {
		s.clock.pass(time.Minute)
		next := s.again(t, ada)
		if s.alive(t, ada) {
			t.Fatal("two sessions are live where one is allowed")
		}
		ada = next
	}
	if got := s.sessions(t, ada); len(got) != 1 {
		t.Errorf("%d sessions are listed, want 1", len(got))
	}
}

// TestOnlyLiveTokensAreAnswered tries whatever is not the token of a live
// session on every packet type that takes one.
func TestOnlyLiveTokensAreAnswered(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada, bob := s.join(t, "ada"), s.join(t, "bob")
	out, off := s.again(t, ada), s.join(t, "off")
	must(t, s, packet.Logout, out.meta(""), out.auth())
	s.disable(t, off)
	decoded, err := base64.RawURLEncoding.DecodeString(string(ada.token))
	if err != nil {
		t.Fatal(err)
	}
	swapped := append([]byte(nil), decoded...)
	bobs, _ := base64.RawURLEncoding.DecodeString(string(bob.token))
	copy(swapped[:8], bobs[:8])
	guessed := append([]byte(nil), decoded...)
	guessed[39] ^= 1
	tokens := map[string]packet.Secret{
		"none":                      "",
		"text":                      "let me in",
		"logged out":                out.token,
		"of a disabled user":        off.token,
		"of another user's id":      packet.Secret(base64.RawURLEncoding.EncodeToString(swapped)),
		"with one bit changed":      packet.Secret(base64.RawURLEncoding.EncodeToString(guessed)),
		"with padding":              ada.token + "==",
		"in the other alphabet":     packet.Secret(base64.RawStdEncoding.EncodeToString(append([]byte{0, 0, 0}, decoded[3:]...))),
		"with a space":              ada.token + " ",
		"the id, which is the name": packet.Secret(s.sessionID(t, ada)),
	}
	for _, typ := range backend.Types() {
		if typ == packet.Register.Type || typ == packet.Login.Type || typ == packet.GetUser.Type || typ == packet.PicturesInUse.Type {
			continue
		}
		for name, token := range tokens {
			body := map[string]any{"token": token, "nickname": "n", "id": "1", "password": goodPassword,
				"current_password": goodPassword, "new_password": otherPassword}
			for _, key := range []string{"", "k1"} {
				if _, err := raw(t, s, typ, protocol.Meta{IdempotencyKey: key}, body); outcome(err) != "unauthenticated" {
					t.Errorf("%s with a token %s: %s, want unauthenticated", typ, name, outcome(err))
				}
			}
		}
	}
}
