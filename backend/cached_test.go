package backend_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/backend"
	"gatehouse/backend/cache"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// lookups counts what a backend tells of its cache.
type lookups struct {
	mu sync.Mutex
	n  map[string]int
}

func (l *lookups) count(record, result string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == nil {
		l.n = map[string]int{}
	}
	l.n[record+" "+result]++
}

func (l *lookups) of(what string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n[what]
}

// cached gives a service a cache, and counts what is looked up in it.
func cached(c cache.Cache, l *lookups) func(*setup) {
	return func(cfg *setup) {
		unlimited(cfg)
		cfg.backend.Cache = cache.Fixed{Cache: c}
		cfg.backend.Hooks.Lookup = l.count
	}
}

func newCache(t *testing.T) *cache.Memory {
	t.Helper()
	c, err := cache.NewMemory(16<<20, nil)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func nickname(t *testing.T, c protocol.Caller, token packet.Secret) (string, error) {
	t.Helper()
	rep, err := packet.GetProfile.Call(t.Context(), c, protocol.Meta{}, packet.Authenticated{Token: token})
	return rep.User.Nickname, err
}

func setNickname(t *testing.T, c protocol.Caller, token packet.Secret, to string) error {
	t.Helper()
	_, err := packet.UpdateProfile.Call(t.Context(), c, protocol.Meta{},
		packet.UpdateProfileRequest{Authenticated: packet.Authenticated{Token: token}, Nickname: to})
	return err
}

func TestTheSecondReadOfAProfileComesFromTheCache(t *testing.T) {
	t.Parallel()
	var l lookups
	s := start(t, cached(newCache(t), &l))
	ada := s.join(t, "ada.l")
	for range 3 {
		if _, err := nickname(t, s, ada.token); err != nil {
			t.Fatal(err)
		}
	}
	if l.of("user miss") != 1 || l.of("session miss") != 1 || l.of("user hit") != 2 || l.of("session hit") != 2 {
		t.Errorf("looked up: %v", l.n)
	}
	for range 3 {
		if _, err := packet.GetUser.Call(t.Context(), s, protocol.Meta{}, packet.Named{Username: "nobody-at-all"}); !errors.Is(err, protocol.NotFound) {
			t.Fatal(err)
		}
	}
	if l.of("name negative") != 2 {
		t.Errorf("looked up: %v", l.n)
	}
}

// TestOnlyWhatTheCacheLacksIsRead has a change drop the user and not the session.
func TestOnlyWhatTheCacheLacksIsRead(t *testing.T) {
	t.Parallel()
	var l lookups
	s := start(t, cached(newCache(t), &l))
	ada := s.join(t, "ada.l")
	var read []string
	for _, method := range []string{"Session", "ByID"} {
		s.store.always(method, func(work func() error) error {
			read = append(read, method)
			return work()
		})
	}
	for range 2 {
		if err := setNickname(t, s, ada.token, "Ada"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nickname(t, s, ada.token); err != nil {
		t.Fatal(err)
	}
	if want := []string{"Session", "ByID", "ByID"}; !slices.Equal(read, want) {
		t.Errorf("read %q, want %q", read, want)
	}
	if err := setNickname(t, s, ada.token, "Countess"); err != nil {
		t.Fatal(err)
	}
	s.store.always("ByID", func(func() error) error { return user.ErrUnavailable })
	if _, err := nickname(t, s, ada.token); !errors.Is(err, protocol.Unavailable) {
		t.Errorf("without the user: %v", err)
	}
}

// TestNoReadIsOlderThanWhatWasAcknowledged has writers and readers on few
// users through two backends that share a cache.
func TestNoReadIsOlderThanWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	var l lookups
	shared := newCache(t)
	one := start(t, cached(shared, &l))
	two := one.beside(t, cached(shared, &l))
	callers := []protocol.Caller{one, two}
	var work sync.WaitGroup
	for i := range 3 {
		token := one.join(t, fmt.Sprint("person", i)).token
		var acknowledged, next atomic.Int64
		for w := range 2 {
			work.Go(func() {
				for range 60 {
					// Only one writer at a time knows what the value is.
					n := next.Add(1)
					if w == 0 {
						if err := setNickname(t, callers[n%2], token, fmt.Sprint("n", n)); err != nil {
							t.Error(err)
							return
						}
						acknowledged.Store(n)
						for range 2 { // at the other backend, and the second time out of the cache
							if got, err := nickname(t, callers[(n+1)%2], token); err != nil || got != fmt.Sprint("n", n) {
								t.Errorf("read %q just after %d was acknowledged (%v)", got, n, err)
							}
						}
						continue
					}
					at := acknowledged.Load()
					got, err := nickname(t, callers[n%2], token)
					var seen int64
					fmt.Sscanf(got, "n%d", &seen)
					if err != nil || seen < at {
						t.Errorf("read %q after %d was acknowledged (%v)", got, at, err)
					}
				}
			})
		}
	}
	work.Wait()
	if l.of("user hit") == 0 {
		t.Error("nothing came from the cache, so the test shows nothing")
	}
}

func TestWhatEndsASessionEndsItForEveryBackend(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(t *testing.T, c protocol.Caller, ada *person, other packet.Secret) error{
		"logout": func(t *testing.T, c protocol.Caller, _ *person, other packet.Secret) error {
			_, err := packet.Logout.Call(t.Context(), c, protocol.Meta{}, packet.Authenticated{Token: other})
			return err
		},
		"end others": func(t *testing.T, c protocol.Caller, ada *person, _ packet.Secret) error {
			_, err := packet.EndOtherSessions.Call(t.Context(), c, protocol.Meta{}, packet.Authenticated{Token: ada.token})
			return err
		},
		"change of password": func(t *testing.T, c protocol.Caller, ada *person, _ packet.Secret) error {
			_, err := packet.ChangePassword.Call(t.Context(), c, protocol.Meta{}, packet.ChangePasswordRequest{
				Authenticated: packet.Authenticated{Token: ada.token}, CurrentPassword: ada.password, NewPassword: "seven quiet rivers bend"})
			return err
		},
		"deletion": func(t *testing.T, c protocol.Caller, ada *person, _ packet.Secret) error {
			_, err := packet.DeleteAccount.Call(t.Context(), c, protocol.Meta{}, packet.DeleteAccountRequest{
				Authenticated: packet.Authenticated{Token: ada.token}, Password: ada.password})
			return err
		},
		"one login too many": func(t *testing.T, c protocol.Caller, ada *person, _ packet.Secret) error {
			for range 3 {
				if _, err := packet.Login.Call(t.Context(), c, protocol.Meta{}, packet.LoginRequest{
					Named: packet.Named{Username: ada.name}, Password: ada.password}); err != nil {
					return err
				}
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var l lookups
			shared := newCache(t)
			few := func(cfg *setup) { cfg.backend.Limits.PerUser = 3 }
			one := start(t, cached(shared, &l), few)
			two := one.beside(t, cached(shared, &l), few)
			ada := one.join(t, "ada.l")
			login, err := packet.Login.Call(t.Context(), one, protocol.Meta{}, packet.LoginRequest{
				Named: packet.Named{Username: ada.name}, Password: ada.password})
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range []protocol.Caller{one, two} {
				if _, err := nickname(t, c, login.Token); err != nil {
					t.Fatal(err)
				}
			}
			one.clock.pass(time.Second) // so that these two sessions are the ones used longest ago
			if err := end(t, one, ada, login.Token); err != nil {
				t.Fatal(err)
			}
			for _, c := range []protocol.Caller{one, two} {
				if _, err := nickname(t, c, login.Token); !errors.Is(err, protocol.Unauthenticated) {
					t.Errorf("the session lives on: %v", err)
				}
			}
		})
	}
}

// TestTheAuditorFindsWhatIsOld has a row changed behind the service's back,
// which is what a defect of the protocol would look like.
func TestTheAuditorFindsWhatIsOld(t *testing.T) {
	t.Parallel()
	var probes, violations atomic.Int64
	s := start(t, cached(newCache(t), new(lookups)), func(cfg *setup) {
		cfg.backend.AuditRate = 5000
		cfg.backend.Hooks.Audited = func(violated bool) {
			probes.Add(1)
			if violated {
				violations.Add(1)
			}
		}
	})
	ada := s.join(t, "ada.l")
	await := func(what string, of func() bool) {
		t.Helper()
		for ctx := t.Context(); !of(); time.Sleep(time.Millisecond) {
			if _, err := nickname(t, s, ada.token); err != nil { // keeps ada in the cache and among the samples
				t.Fatal(err)
			}
			if ctx.Err() != nil {
				t.Fatal("no " + what)
			}
		}
	}
	await("probe", func() bool { return probes.Load() > 100 })
	for i := range 20 {
		if err := setNickname(t, s, ada.token, fmt.Sprint("n", i)); err != nil {
			t.Fatal(err)
		}
		if _, err := nickname(t, s, ada.token); err != nil {
			t.Fatal(err)
		}
	}
	if n := violations.Load(); n != 0 {
		t.Fatalf("%d violations where there is none", n)
	}
	if err := s.store.Fence(t.Context(), ada.id); err != nil {
		t.Fatal(err)
	}
	await("violation", func() bool { return violations.Load() > 0 })
}

// away is a cache that does not answer while it is down.
type away struct {
	cache.Cache
	down atomic.Bool
}

var errAway = errors.New("cache is away")

func (a *away) Get(ctx context.Context, keys ...string) ([]cache.Entry, error) {
	if a.down.Load() {
		return nil, errAway
	}
	return a.Cache.Get(ctx, keys...)
}

func (a *away) Lease(ctx context.Context, keys ...string) ([]cache.Entry, error) {
	if a.down.Load() {
		return nil, errAway
	}
	return a.Cache.Lease(ctx, keys...)
}

func (a *away) Mark(ctx context.Context, token string, keys ...string) error {
	if a.down.Load() {
		return errAway
	}
	return a.Cache.Mark(ctx, token, keys...)
}

func (a *away) Unmark(ctx context.Context, token string, keys ...string) (bool, error) {
	if a.down.Load() {
		return false, errAway
	}
	return a.Cache.Unmark(ctx, token, keys...)
}

func TestACacheThatIsAwayCostsReadsAndLoginsNothingButTime(t *testing.T) {
	t.Parallel()
	var l lookups
	c := &away{Cache: newCache(t)}
	s := start(t, cached(c, &l), func(cfg *setup) { cfg.backend.Limits.PerUser = 2 })
	ada := s.join(t, "ada.l")
	c.down.Store(true)
	for range 20 {
		if _, err := nickname(t, s, ada.token); err != nil {
			t.Fatal(err)
		}
	}
	if err := setNickname(t, s, ada.token, "Ada"); !errors.Is(err, protocol.Unavailable) {
		t.Errorf("a write without the cache: %v", err)
	}
	for range 3 { // the last displaces sessions, which cannot be dropped now
		s.clock.pass(time.Second) // so that the first is the one used longest ago
		if _, err := packet.Login.Call(t.Context(), s, protocol.Meta{}, packet.LoginRequest{
			Named: packet.Named{Username: ada.name}, Password: ada.password}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := nickname(t, s, ada.token); !errors.Is(err, protocol.Unauthenticated) {
		t.Errorf("the session that was displaced: %v", err)
	}
}

// markedLongAgo returns a person whose record has a mark that was set an hour ago.
func markedLongAgo(t *testing.T) (s *service, ada *person, memory *cache.Memory, key string) {
	t.Helper()
	memory, err := cache.NewMemory(16<<20, func() time.Time { return time.Now().Add(-time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	s = start(t, cached(memory, new(lookups)))
	ada = s.join(t, "ada.l")
	key = backend.UserKey(ada.id)
	if err := memory.Mark(t.Context(), "left", key); err != nil {
		t.Fatal(err)
	}
	return s, ada, memory, key
}

// TestAMarkThatWasLeftIsTakenAway has a writer that stops between its commit
// and its unmark.
func TestAMarkThatWasLeftIsTakenAway(t *testing.T) {
	t.Parallel()
	s, ada, memory, key := markedLongAgo(t)
	for range 2 { // everybody reads the database, and the mark is noticed
		if _, err := nickname(t, s, ada.token); err != nil {
			t.Fatal(err)
		}
	}
	before, err := s.store.ByID(t.Context(), ada.id)
	if err != nil {
		t.Fatal(err)
	}
	s.Repair(t.Context())
	entries, err := memory.Get(t.Context(), key)
	if err != nil || entries[0].State == cache.Marked {
		t.Errorf("the mark is still there: %v %v", entries, err)
	}
	after, err := s.store.ByID(t.Context(), before.ID)
	if err != nil || after.Version <= before.Version {
		t.Errorf("version %d, then %d: a writer that slept could still commit (%v)", before.Version, after.Version, err)
	}
	if err := s.store.Update(t.Context(), user.Change{ID: before.ID, Version: before.Version}); !errors.Is(err, user.ErrConflict) {
		t.Errorf("the writer that slept: %v", err)
	}
}

// TestARepairThatComesLateLeavesNothingOld has the mark that a reader met
// taken away by its writer, and the record remembered again, before the repair
// raises the version.
func TestARepairThatComesLateLeavesNothingOld(t *testing.T) {
	t.Parallel()
	s, ada, memory, key := markedLongAgo(t)
	if _, err := nickname(t, s, ada.token); err != nil { // meets the mark
		t.Fatal(err)
	}
	if _, err := memory.Unmark(t.Context(), "left", key); err != nil {
		t.Fatal(err)
	}
	if _, err := nickname(t, s, ada.token); err != nil { // fills
		t.Fatal(err)
	}
	fenced := false
	s.store.before("Fence", func() {
		fenced = true
		entries, err := memory.Get(t.Context(), key)
		if err != nil || entries[0].State != cache.Marked {
			t.Errorf("the version is raised without a mark: %v %v", entries, err)
		}
	})
	s.Repair(t.Context())
	if !fenced {
		t.Error("nothing was repaired")
	}
	kept, err := s.store.ByID(t.Context(), ada.id)
	if err != nil {
		t.Fatal(err)
	}
	if shown := s.profile(t, ada); shown.Version != kept.Version {
		t.Errorf("version %d is shown, the record is at %d", shown.Version, kept.Version)
	}
}
