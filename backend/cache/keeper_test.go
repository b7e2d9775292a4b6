package cache_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/backend/cache"
)

// epochs is the row of the database, and the votes.
type epochs struct {
	mu    sync.Mutex // guards the fields below
	epoch cache.Epoch
	votes map[string]bool
	dead  bool // the database does not answer
	moves []string
}

func newEpochs() *epochs {
	return &epochs{epoch: cache.Epoch{Number: 1, Enabled: true}, votes: map[string]bool{}}
}

var errDatabase = errors.New("database is gone")

func (e *epochs) locked(f func() error) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.dead {
		return errDatabase
	}
	return f()
}

func (e *epochs) CacheEpoch(context.Context) (epoch cache.Epoch, err error) {
	err = e.locked(func() error { epoch = e.epoch; return nil })
	return epoch, err
}

func (e *epochs) move(name string, number int64, may func(cache.Epoch) bool, to cache.Epoch) error {
	return e.locked(func() error {
		if e.epoch.Number != number || !may(e.epoch) {
			return cache.ErrEpochMoved
		}
		e.epoch = to
		e.moves = append(e.moves, name)
		return nil
	})
}

func (e *epochs) DisableCache(_ context.Context, n int64) error {
	return e.move("disable", n, func(e cache.Epoch) bool { return e.Enabled }, cache.Epoch{Number: n + 1})
}

func (e *epochs) DrainCache(_ context.Context, n int64) error {
	return e.move("drain", n, func(e cache.Epoch) bool { return !e.Enabled && !e.Drained }, cache.Epoch{Number: n, Drained: true})
}

func (e *epochs) EnableCache(_ context.Context, n int64, nodes []string) error {
	return e.move("enable", n, func(e cache.Epoch) bool { return e.Drained || e.Enabled && len(e.Nodes) == 0 },
		cache.Epoch{Number: n, Enabled: true, Nodes: nodes})
}

func (e *epochs) VoteCache(_ context.Context, backend string, away bool) (missing, all int, err error) {
	err = e.locked(func() error {
		e.votes[backend] = away
		for _, a := range e.votes {
			all++
			if a {
				missing++
			}
		}
		return nil
	})
	return missing, all, err
}

func (e *epochs) set(f func(*epochs)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e)
}

func (e *epochs) now() cache.Epoch {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.epoch
}

// server is a Redis as keepers see it.
type server struct {
	mu   sync.Mutex // guards the fields below
	name string
	away bool
}

var errServer = errors.New("server is gone")

func (s *server) Node(context.Context) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return "", errServer
	}
	return s.name, nil
}

func (s *server) set(name string, away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.name, s.away = name, away
}

// connection is a cache on nodes. It answers only while the server is one of
// them.
type connection struct {
	cache.Cache
	server *server
	nodes  []string
}

func (c *connection) Ping(ctx context.Context) error {
	name, err := c.server.Node(ctx)
	if err == nil && !slices.Contains(c.nodes, name) {
		err = cache.ErrStranger
	}
	return err
}

func (c *connection) Close() error { return nil }

// keeper starts one on its own server, which may be another's too.
func keeper(t *testing.T, name string, e *epochs, s *server) *cache.Keeper {
	t.Helper()
	cfg := cache.KeeperConfig{Store: e, Backend: name}
	if s != nil {
		cfg.Node = s.Node
		cfg.Open = func(nodes []string) (cache.Cache, error) { return &connection{server: s, nodes: nodes}, nil }
	}
	k := cache.NewKeeper(cfg)
	ctx, cancel := context.WithCancel(t.Context())
	k.Begin(ctx)
	var running sync.WaitGroup
	running.Go(func() { k.Run(ctx) })
	t.Cleanup(func() { cancel(); running.Wait() })
	return k
}

func wantMode(t *testing.T, k *cache.Keeper, mode cache.Mode, epoch int64) {
	t.Helper()
	v := k.View()
	if v.Mode != mode || v.Epoch != epoch || (v.Cache != nil) != (mode == cache.On) {
		t.Errorf("the mode is %v of epoch %d (cache %v), want %v of %d", v.Mode, v.Epoch, v.Cache != nil, mode, epoch)
	}
}

// later lets time pass, a little less than the round figure so that what
// happens then has not happened yet.
func later(d time.Duration) { time.Sleep(d - time.Millisecond); synctest.Wait() }

func TestTheFirstEpochTakesTheServerThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEpochs(), &server{name: "one"}
		k := keeper(t, "a", e, s)
		wantMode(t, k, cache.On, 1)
		if got := e.now(); !slices.Equal(got.Nodes, []string{"one"}) {
			t.Errorf("the epoch is %+v", got)
		}
	})
}

// TestAServerThatIsGoneIsGivenUpAndTakenBack follows an outage from its first
// failed mark to the use of the server that came back.
func TestAServerThatIsGoneIsGivenUpAndTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEpochs(), &server{name: "one"}
		a, b := keeper(t, "a", e, s), keeper(t, "b", e, s)
		s.set("one", true)
		later(10 * time.Second)
		wantMode(t, a, cache.On, 1) // nobody wanted to change anything
		began := time.Now()
		for e.now().Enabled { // both have changes to make
			a.MarkFailed()
			b.MarkFailed()
			time.Sleep(10 * time.Millisecond)
		}
		for a.View().Mode != cache.Off || b.View().Mode != cache.Off {
			if time.Since(began) > 5*time.Second {
				t.Fatal("changes still have to wait after 5 s")
			}
			time.Sleep(10 * time.Millisecond)
		}
		disabled := time.Now()
		wantMode(t, a, cache.Off, 2)
		s.set("two", false)
		for !e.now().Enabled {
			wantMode(t, b, cache.Off, 2)
			time.Sleep(100 * time.Millisecond)
		}
		if d := time.Since(disabled); d < 55*time.Second || d > 75*time.Second {
			t.Errorf("it is used again after %v", d)
		}
		later(time.Second)
		wantMode(t, a, cache.On, 2)
		wantMode(t, b, cache.On, 2)
		if got := e.now().Nodes; !slices.Equal(got, []string{"two"}) {
			t.Errorf("the epoch is on %v", got)
		}
	})
}

// TestAServerThatStartedAgainIsNotTheOneThatWas has the server come back under
// another name within the moment that pings may fail.
func TestAServerThatStartedAgainIsNotTheOneThatWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEpochs(), &server{name: "one"}
		k := keeper(t, "a", e, s)
		s.set("two", false)
		if err := k.View().Cache.Ping(t.Context()); !errors.Is(err, cache.ErrStranger) {
			t.Errorf("the server that came back is used: %v", err)
		}
		k.MarkFailed()
		later(5 * time.Second)
		wantMode(t, k, cache.Off, 2)
	})
}

// TestOneThatIsCutOffDoesNotDecide has one of three miss the server.
func TestOneThatIsCutOffDoesNotDecide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEpochs(), &server{name: "one"}
		a, b := keeper(t, "a", e, s), keeper(t, "b", e, s)
		cut := &server{away: true}
		c := keeper(t, "c", e, cut)
		later(5 * time.Second) // all have voted
		for range 20 {
			c.MarkFailed()
			later(time.Second)
		}
		wantMode(t, a, cache.On, 1)
		b.MarkFailed() // one mark that failed is no outage
		later(5 * time.Second)
		wantMode(t, b, cache.On, 1)
	})
}

// TestNobodyTrustsAnEpochForLongerThanItsEnderWaits takes the database from
// one backend, which then knows nothing of what the other decides.
func TestNobodyTrustsAnEpochForLongerThanItsEnderWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEpochs(), &server{name: "one"}
		lone := newEpochs()
		lone.epoch = cache.Epoch{Number: 1, Enabled: true, Nodes: []string{"one"}}
		deaf := keeper(t, "deaf", lone, s) // has a row of its own, which it can be kept from
		k := keeper(t, "a", e, s)
		lone.set(func(e *epochs) { e.dead = true })
		if err := e.DisableCache(t.Context(), 1); err != nil {
			t.Fatal(err)
		}
		for {
			deafMode, mode := deaf.View().Mode, k.View().Mode
			if deafMode == cache.On && mode == cache.Off {
				t.Fatal("one changes without marks while the other still reads the cache")
			}
			if mode == cache.Off {
				break
			}
			time.Sleep(time.Millisecond)
		}
		wantMode(t, deaf, cache.Lost, 1)
		lone.set(func(e *epochs) { e.dead = false })
		later(time.Second)
		wantMode(t, deaf, cache.On, 1)
	})
}

func TestABackendWithoutACacheEndsThatOfTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEpochs(), &server{name: "one"}
		with := keeper(t, "with", e, s)
		wantMode(t, with, cache.On, 1)
		without := keeper(t, "without", e, nil) // begins when the others are done
		wantMode(t, without, cache.Off, 2)
		later(time.Second)
		wantMode(t, with, cache.Off, 2)
	})
}

// TestABackendThatBeginsUsesACacheThatNobodyUses starts one after another has
// gone that had no cache.
func TestABackendThatBeginsUsesACacheThatNobodyUses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEpochs(), &server{name: "one"}
		e.epoch = cache.Epoch{Number: 7, Drained: true}
		wantMode(t, keeper(t, "a", e, s), cache.On, 7)
	})
}

// TestAServerMustBeWellForAWhile has it come and go.
func TestAServerMustBeWellForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e, s := newEpochs(), &server{name: "one", away: true}
		e.epoch = cache.Epoch{Number: 7, Drained: true}
		keeper(t, "a", e, s)
		for range 20 { // well for 8 s at a time
			s.set("one", true)
			later(2 * time.Second)
			s.set("one", false)
			later(8 * time.Second)
		}
		if e.now().Enabled {
			t.Error("it is used though it never was well for 10 s")
		}
		later(5 * time.Second)
		if !e.now().Enabled {
			t.Error("it is not used though it is well")
		}
	})
}
