package store_test

import (
	"context"
	"testing"
	"time"

	"gatehouse/backend/cache"
	"gatehouse/backend/store"
	"gatehouse/backend/user"
)

func epoch(t *testing.T, s *store.Store) cache.Epoch {
	t.Helper()
	e, err := s.CacheEpoch(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestTheEpochMovesOneWayAndOnlyFromWhereItIs(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ctx := t.Context()
		wantEqual(t, epoch(t, s).Number, int64(1))
		wantError(t, s.DrainCache(ctx, 1), cache.ErrEpochMoved)
		wantError(t, s.EnableCache(ctx, 1, []string{"one:1", "two:2"}), nil)
		wantError(t, s.EnableCache(ctx, 1, []string{"three:3"}), cache.ErrEpochMoved)
		if e := epoch(t, s); !e.Enabled || len(e.Nodes) != 2 || e.Nodes[1] != "two:2" {
			t.Errorf("the epoch is %+v", e)
		}
		wantError(t, s.DisableCache(ctx, 2), cache.ErrEpochMoved)
		wantError(t, s.DisableCache(ctx, 1), nil)
		wantError(t, s.DisableCache(ctx, 1), cache.ErrEpochMoved)
		wantError(t, s.DisableCache(ctx, 2), cache.ErrEpochMoved)
		wantError(t, s.EnableCache(ctx, 2, []string{"one:1"}), cache.ErrEpochMoved) // not drained
		wantError(t, s.DrainCache(ctx, 2), nil)
		if e := epoch(t, s); e.Number != 2 || e.Enabled || !e.Drained || len(e.Nodes) != 0 {
			t.Errorf("the epoch is %+v", e)
		}
		wantError(t, s.EnableCache(ctx, 2, []string{"one:1"}), nil)
		wantError(t, s.EnableCache(ctx, 2, []string{"one:1"}), cache.ErrEpochMoved)
	})
}

func TestAChangeIsCommittedOnlyUnderItsGuard(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		ada := create(t, s, "ada")
		change := func(g user.Guard) error {
			u, err := s.ByID(t.Context(), ada.ID)
			if err != nil {
				t.Fatal(err)
			}
			nickname := "Countess"
			return s.Update(user.WithGuard(t.Context(), g), user.Change{ID: ada.ID, Version: u.Version, Nickname: &nickname})
		}
		used, unused := func(n int64) user.Guard { return user.Guard{Epoch: n, Used: true} }, func(n int64) user.Guard { return user.Guard{Epoch: n} }
		wantError(t, change(unused(1)), nil) // enabled, but on no node yet
		wantError(t, change(used(1)), user.ErrGuarded)
		wantError(t, s.EnableCache(t.Context(), 1, []string{"one"}), nil)
		wantError(t, change(unused(1)), user.ErrGuarded)
		wantError(t, change(used(2)), user.ErrGuarded)
		wantError(t, change(used(1)), nil)
		wantError(t, s.DisableCache(t.Context(), 1), nil)
		for _, g := range []user.Guard{used(1), unused(1), used(2), unused(2)} { // not drained
			wantError(t, change(g), user.ErrGuarded)
		}
		wantError(t, s.DrainCache(t.Context(), 2), nil)
		wantError(t, change(used(2)), user.ErrGuarded)
		wantError(t, change(unused(2)), nil)
		u, err := s.ByID(t.Context(), ada.ID)
		if err != nil || u.Version != ada.Version+3 {
			t.Errorf("version %d of %d changes (%v)", u.Version-ada.Version, 3, err)
		}
	})
}

// TestTheEpochEndsAfterTheChangesThatSawIt has the cache disabled while a
// change that looked at its guard has not committed yet.
func TestTheEpochEndsAfterTheChangesThatSawIt(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		wantError(t, s.EnableCache(t.Context(), 1, []string{"one"}), nil)
		ada := create(t, s, "ada")
		order := make(chan string, 2)
		guarded := user.WithGuard(t.Context(), user.Guard{Epoch: 1, Used: true})
		inside := make(chan struct{})
		changed := make(chan error, 1)
		go func() {
			changed <- s.InChange(guarded, ada.ID, func() {
				close(inside)
				time.Sleep(200 * time.Millisecond)
				order <- "change"
			})
		}()
		<-inside
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		wantError(t, s.DisableCache(ctx, 1), nil)
		order <- "disable"
		wantError(t, <-changed, nil)
		if first := <-order; first != "change" {
			t.Errorf("%s came first", first)
		}
	})
}

func TestVotesAreCountedWhileTheyAreFresh(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		for _, vote := range []struct {
			backend      string
			away         bool
			missing, all int
		}{{"a", false, 0, 1}, {"b", true, 1, 2}, {"c", true, 2, 3}, {"b", false, 1, 3}, {"b", false, 1, 3}} {
			missing, all, err := s.VoteCache(t.Context(), vote.backend, vote.away)
			if err != nil || missing != vote.missing || all != vote.all {
				t.Errorf("%+v: %d of %d miss it (%v)", vote, missing, all, err)
			}
		}
		s.AgeVotes(t, 11*time.Second)
		missing, all, err := s.VoteCache(t.Context(), "d", true)
		if err != nil || missing != 1 || all != 1 {
			t.Errorf("after 11 s: %d of %d miss it (%v)", missing, all, err)
		}
	})
}
