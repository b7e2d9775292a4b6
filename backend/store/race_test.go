package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/backend/store"
	"gatehouse/backend/user"
)

// together runs f n times at once and returns how often each error came,
// counted by which of the kinds it is.
func together(t *testing.T, n int, f func(i int) error, kinds ...error) map[error]int {
	t.Helper()
	var (
		all   sync.WaitGroup
		mu    sync.Mutex // guards count
		count = map[error]int{}
		start = make(chan struct{})
	)
	for i := range n {
		all.Go(func() {
			<-start
			err := f(i)
			mu.Lock()
			defer mu.Unlock()
			for _, kind := range kinds {
				if errors.Is(err, kind) {
					count[kind]++
					return
				}
			}
			if err != nil {
				t.Error(err)
			}
			count[nil]++
		})
	}
	close(start)
	all.Wait()
	return count
}

func TestOneOfManyRegistrationsOfANameWins(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		for round := range 5 {
			name := fmt.Sprintf("ada%d", round)
			users := make([]user.User, 16)
			for i := range users {
				users[i] = newUser(name)
			}
			got := together(t, len(users), func(i int) error {
				return s.Create(t.Context(), users[i], credential, idempotency(fmt.Sprint(round, i)))
			}, user.ErrTaken)
			if got[nil] != 1 || got[user.ErrTaken] != len(users)-1 {
				t.Fatalf("got %v, want one winner", got)
			}
			winner, err := s.ByName(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			for i, u := range users {
				if _, found := stored(t, s, u.ID); found != (u.ID == winner.ID) || recorded(t, s, idempotency(fmt.Sprint(round, i))) != found {
					t.Errorf("registration %d: found is %v", i, found)
				}
			}
		}
	})
}

func TestOneOfManyRepetitionsIsDone(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := create(t, s, "ada")
		for version := range int64(5) {
			idem := idempotency(fmt.Sprint(version))
			got := together(t, 16, func(i int) error {
				return s.Update(t.Context(), user.Change{ID: u.ID, Version: 1 + version, Nickname: ptr(fmt.Sprint(i)), Idempotency: idem})
			}, user.ErrReplayed)
			if got[nil] != 1 || got[user.ErrReplayed] != 15 {
				t.Fatalf("got %v, want one change and its replays", got)
			}
		}
		if got, _ := stored(t, s, u.ID); got.Version != 6 {
			t.Errorf("got version %d, want 6", got.Version)
		}
	})
}

func TestNoConcurrentUpdateIsLost(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := create(t, s, "ada")
		const workers, changes = 8, 10
		var refused atomic.Int64
		together(t, workers, func(worker int) error {
			for done := 0; done < changes; {
				now, err := s.ByID(t.Context(), u.ID)
				if err != nil {
					return err
				}
				// The nickname counts the changes.
				var count int
				fmt.Sscan(now.Nickname, &count)
				next := fmt.Sprint(count + 1)
				switch err := s.Update(t.Context(), user.Change{ID: u.ID, Version: now.Version, Nickname: &next}); {
				case err == nil:
					done++
				case errors.Is(err, user.ErrConflict):
					refused.Add(1)
				default:
					return err
				}
			}
			return nil
		})
		got, _ := stored(t, s, u.ID)
		if want := fmt.Sprint(workers * changes); got.Nickname != want || got.Version != 1+workers*changes {
			t.Errorf("got count %s at version %d, want %s", got.Nickname, got.Version, want)
		}
		if refused.Load() == 0 {
			t.Error("no change ever met another: nothing was tested")
		}
	})
}

func TestLoginsAtOnceLeaveNoMoreSessionsThanAllowed(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := create(t, s, "ada")
		together(t, 16, func(i int) error {
			return onlyError(s.PutSession(t.Context(), newSession(u.ID, fmt.Sprint(i)), 3))
		})
		if left := len(sessions(t, s, u.ID)); left != 3 {
			t.Errorf("%d sessions are left, want 3", left)
		}
	})
}

func TestNoSessionOutlivesItsUser(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		for round := range 10 {
			u := create(t, s, fmt.Sprint("ada", round))
			together(t, 6, func(i int) error {
				if i == 0 {
					return s.Delete(t.Context(), u.ID, 1, nil)
				}
				return onlyError(s.PutSession(t.Context(), newSession(u.ID, fmt.Sprint(i)), 10))
			}, user.ErrNotFound)
			if left := sessions(t, s, u.ID); len(left) > 0 {
				t.Fatalf("round %d: %d sessions outlived the user", round, len(left))
			}
		}
	})
}

func TestAllInstancesGetTheSameSecret(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		const instances = 16
		// Opening connections would line them up.
		together(t, instances, func(int) error { return s.Ping(t.Context()) })
		for round := range 10 {
			secrets := make([]string, instances)
			together(t, instances, func(i int) error {
				secret, err := s.Secret(t.Context(), fmt.Sprint("device", round), []byte(fmt.Sprint("secret", i)))
				secrets[i] = string(secret)
				return err
			})
			for _, secret := range secrets {
				if secret == "" || secret != secrets[0] {
					t.Fatalf("got %q", secrets)
				}
			}
		}
	})
}

func TestCancellationLeavesAllOrNothing(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		u := create(t, s, "ada")
		var acknowledged, refused int
		longest := 2 * time.Millisecond
		for round := range 200 {
			put(t, s, newSession(u.ID, fmt.Sprint(round)))
			now, _ := stored(t, s, u.ID)
			idem := idempotency(fmt.Sprint(round))
			ctx, cancel := context.WithCancel(t.Context())
			timer := time.AfterFunc(rand.N(longest), cancel)
			err := s.Update(ctx, user.Change{
				ID: u.ID, Version: now.Version, Nickname: ptr(fmt.Sprint(round)), Picture: ptr(key(fmt.Sprint(round))), EndSessions: true, Idempotency: idem,
			})
			timer.Stop()
			cancel()

			after, _ := stored(t, s, u.ID)
			changed := after.Version != now.Version
			// Leaving makes nobody unsure: it is done, or it is not.
			if changed != (err == nil) || err != nil && (!errors.Is(err, user.ErrUnavailable) || !errors.Is(err, context.Canceled)) {
				t.Fatalf("round %d: applied is %v, error is %v", round, changed, err)
			}
			used, useErr := s.PicturesInUse(t.Context(), []string{key(fmt.Sprint(round))})
			if useErr != nil {
				t.Fatal(useErr)
			}
			parts := []bool{after.Nickname == fmt.Sprint(round), after.AuthEpoch != now.AuthEpoch, recorded(t, s, idem), len(used) == 1, len(sessions(t, s, u.ID)) == 0}
			for _, part := range parts {
				if part != changed {
					t.Fatalf("round %d, error %v: applied is %v and its parts are %v", round, err, changed, parts)
				}
			}
			// Aim at the middle of what a change takes on this machine.
			if err == nil {
				acknowledged++
				longest = longest * 9 / 10
			} else {
				refused++
				longest = longest*11/10 + time.Microsecond
			}
		}
		if acknowledged < 20 || refused < 20 {
			t.Errorf("%d changes were done and %d cancelled: too few of one", acknowledged, refused)
		}
	})
}

func TestCancelledRegistrationLeavesAllOrNothing(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		var pending sync.WaitGroup
		for worker := range 4 {
			pending.Go(func() {
				for round := range 50 {
					u, idem := newUser(fmt.Sprintf("u%d-%d", worker, round)), idempotency(fmt.Sprint(worker, round))
					ctx, cancel := context.WithTimeout(t.Context(), rand.N(10*time.Millisecond))
					err := s.Create(ctx, u, credential, idem)
					cancel()
					found, readErr := s.ByID(t.Context(), u.ID)
					if readErr != nil && !errors.Is(readErr, user.ErrNotFound) {
						t.Error(readErr)
						return
					}
					exists := found.ID != 0
					_, replayErr := s.Replay(t.Context(), idem.Key)
					if (replayErr == nil) != exists {
						t.Errorf("error %v: the user is there: %v, their record: %v", err, exists, replayErr)
					}
					if exists != (err == nil) || err != nil && !errors.Is(err, user.ErrUnavailable) {
						t.Errorf("error %v, and the user is there: %v", err, exists)
					}
				}
			})
		}
		pending.Wait()
	})
}
