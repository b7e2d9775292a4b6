package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"gatehouse/backend/session"
	"gatehouse/backend/store"
	"gatehouse/backend/user"
)

// onlyError leaves out which sessions a PutSession ended.
func onlyError(_ []session.Digest, err error) error { return err }

func newSession(userID int64, token string) session.Session {
	return sessionWith(userID, token, "2001:db8::1", "Mozilla/5.0 'é\xff")
}

func sessionWith(userID int64, token, ip, agent string) session.Session {
	return session.Session{
		UserID: userID, Digest: digest(token), AuthEpoch: 1, IP: ip, UserAgent: agent,
		CreatedAt: noon, LastSeenAt: noon.Add(time.Second), ExpiresAt: noon.Add(time.Hour),
	}
}

func put(t *testing.T, s *store.Store, one session.Session) {
	t.Helper()
	if err := onlyError(s.PutSession(t.Context(), one, 100)); err != nil {
		t.Fatal(err)
	}
}

func sessions(t *testing.T, s *store.Store, userID int64) []session.Session {
	t.Helper()
	all, err := s.Sessions(t.Context(), userID, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestSessionIsReadBackWhole(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ada, grace := create(t, s, "ada"), create(t, s, "grace")
		bare := sessionWith(ada.ID, "bare", "", "")
		longest := sessionWith(ada.ID, "longest", strings.Repeat("1", session.MaxIP), strings.Repeat("\xf0", session.MaxUserAgent))
		for _, one := range []session.Session{newSession(ada.ID, "a"), bare, longest} {
			put(t, s, one)
			owner, got, err := s.Session(t.Context(), one.UserID, one.Digest)
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, got, one)
			wantEqual(t, owner, ada)
		}
		_, _, err := s.Session(t.Context(), ada.ID, digest("other"))
		wantError(t, err, session.ErrNotFound)
		_, _, err = s.Session(t.Context(), grace.ID, digest("a"))
		wantError(t, err, session.ErrNotFound)
	})
}

func TestSessionNeedsItsUser(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		wantError(t, onlyError(s.PutSession(t.Context(), newSession(1<<40, "a"), 10)), user.ErrNotFound)
		if left := sessions(t, s, 1<<40); len(left) > 0 {
			t.Errorf("nobody's session was kept: %+v", left)
		}
	})
}

func TestSessionsAreListedFromTheLastSeen(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ada, grace := create(t, s, "ada"), create(t, s, "grace")
		put(t, s, newSession(grace.ID, "hers"))
		var want []session.Session
		for i := range 5 {
			one := newSession(ada.ID, fmt.Sprint(i))
			one.LastSeenAt = noon.Add(time.Duration(i) * time.Minute)
			put(t, s, one)
			want = append(want, one)
		}
		slices.Reverse(want)
		wantEqual(t, sessions(t, s, ada.ID), want)
		some, err := s.Sessions(t.Context(), ada.ID, 2)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, some, want[:2])
		none, err := s.Sessions(t.Context(), ada.ID, 0)
		if err != nil || len(none) > 0 {
			t.Errorf("limit 0: got %+v, error %v", none, err)
		}
	})
}

func TestLoginEndsTheSessionsSeenLeastRecently(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ada, grace := create(t, s, "ada"), create(t, s, "grace")
		put(t, s, newSession(grace.ID, "hers"))
		at := func(token string, minute int) session.Session {
			one := newSession(ada.ID, token)
			one.LastSeenAt = noon.Add(time.Duration(minute) * time.Minute)
			return one
		}
		for _, one := range []session.Session{at("c", 3), at("a", 1), at("d", 4), at("b", 2)} {
			put(t, s, one)
		}
		tokens := func(want ...string) {
			t.Helper()
			var got []session.Digest
			for _, one := range sessions(t, s, ada.ID) {
				got = append(got, one.Digest)
			}
			var digests []session.Digest
			for _, token := range want {
				digests = append(digests, digest(token))
			}
			wantEqual(t, got, digests)
		}
		ended, err := s.PutSession(t.Context(), at("e", 5), 4)
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, ended, []session.Digest{digest("a")})
		tokens("e", "d", "c", "b")
		// The limit was lowered. What is new stays, though it claims to be old.
		if err := onlyError(s.PutSession(t.Context(), at("z", 0), 2)); err != nil {
			t.Fatal(err)
		}
		tokens("e", "z")
		if err := onlyError(s.PutSession(t.Context(), at("y", 9), 1)); err != nil {
			t.Fatal(err)
		}
		tokens("y")
		wantEqual(t, sessions(t, s, grace.ID), []session.Session{newSession(grace.ID, "hers")})
	})
}

func TestEndSession(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ada, grace := create(t, s, "ada"), create(t, s, "grace")
		put(t, s, newSession(ada.ID, "a"))
		put(t, s, newSession(ada.ID, "b"))
		idem := idempotency("k")
		wantError(t, s.EndSession(t.Context(), grace.ID, digest("a"), idem), session.ErrNotFound)
		if recorded(t, s, idem) {
			t.Error("the record of a refused request was kept")
		}
		if err := s.EndSession(t.Context(), ada.ID, digest("a"), idem); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, sessions(t, s, ada.ID), []session.Session{newSession(ada.ID, "b")})
		wantError(t, s.EndSession(t.Context(), ada.ID, digest("a"), idem), user.ErrReplayed)
		wantError(t, s.EndSession(t.Context(), ada.ID, digest("b"), idem), user.ErrReplayed)
		wantError(t, s.EndSession(t.Context(), ada.ID, digest("a"), nil), session.ErrNotFound)
		wantEqual(t, sessions(t, s, ada.ID), []session.Session{newSession(ada.ID, "b")})
	})
}

func TestSeenOnlyMovesForward(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ada := create(t, s, "ada")
		var seen []session.Seen
		const many = 230 // more than two transactions
		for i := range many {
			one := newSession(ada.ID, fmt.Sprint(i))
			if err := onlyError(s.PutSession(t.Context(), one, many)); err != nil {
				t.Fatal(err)
			}
			later := one.LastSeenAt.Add(time.Minute)
			if i%2 == 1 {
				later = one.LastSeenAt.Add(-time.Minute)
			}
			seen = append(seen, session.Seen{UserID: ada.ID, Digest: one.Digest, At: later})
		}
		seen = append(seen, session.Seen{UserID: ada.ID, Digest: digest("gone"), At: noon})
		before := slices.Clone(seen)
		if err := s.Seen(t.Context(), seen); err != nil {
			t.Fatal(err)
		}
		wantEqual(t, seen, before)
		for i := range many {
			one := newSession(ada.ID, fmt.Sprint(i))
			if i%2 == 0 {
				one.LastSeenAt = one.LastSeenAt.Add(time.Minute)
			}
			_, got, err := s.Session(t.Context(), ada.ID, one.Digest)
			if err != nil {
				t.Fatal(err)
			}
			wantEqual(t, got, one)
		}
		if err := s.Seen(t.Context(), nil); err != nil {
			t.Error(err)
		}
	})
}

func TestSweepSessionsTakesTheFirstToExpireUpToTheLimit(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ada := create(t, s, "ada")
		const many = 150 // more than one statement removes
		for i := range many {
			one := newSession(ada.ID, fmt.Sprint(i))
			one.ExpiresAt = noon.Add(time.Duration(i/2) * time.Minute) // two at a time
			if err := onlyError(s.PutSession(t.Context(), one, many)); err != nil {
				t.Fatal(err)
			}
		}
		sweep := func(before time.Time, limit, want, left int) {
			t.Helper()
			n, err := s.SweepSessions(t.Context(), before, limit)
			if err != nil || n != want {
				t.Fatalf("removed %d, error %v, want %d", n, err, want)
			}
			rest := sessions(t, s, ada.ID)
			if len(rest) != left {
				t.Fatalf("%d are left, want %d", len(rest), left)
			}
			for _, one := range rest {
				if one.ExpiresAt.Before(noon.Add(time.Duration((many-left)/2) * time.Minute)) {
					t.Fatalf("one of %v is left", one.ExpiresAt)
				}
			}
		}
		sweep(noon, 1000, 0, many)
		sweep(noon.Add(time.Hour), 0, 0, many)
		sweep(noon.Add(time.Hour), 5, 5, many-5)
		sweep(noon.Add(time.Hour), 1000, 115, many-120)
	})
}
