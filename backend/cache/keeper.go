package cache

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"
)

// KeeperConfig is what a Keeper is made of.
type KeeperConfig struct {
	Store EpochStore
	// Open returns the cache of an epoch on these nodes, and Node asks the
	// server for its name. Both are nil for a backend that uses no cache
	// itself: it sees to it that the others use none either.
	Open func(nodes []string) (Cache, error)
	Node func(ctx context.Context) (string, error)
	// Backend names this process among the others.
	Backend string
	// Changed is told each mode that the cache changes to; it may be nil.
	Changed func(View)
	Log     *slog.Logger
	// Times are the defaults where zero.
	Times KeeperTimes
}

// KeeperTimes are the periods of a Keeper.
type KeeperTimes struct {
	// Poll is how often the epoch is read: 500 ms.
	Poll time.Duration
	// Trust is how long a View stands after it was read: 2 s.
	Trust time.Duration
	// Drain is how long a cache that was disabled is waited for: 2.5 s, which
	// is more than Trust by what clocks may differ in their pace.
	Drain time.Duration
	// Healthy is how long the server must answer, and Rest how long the
	// cache must have been disabled, before it is enabled: 10 s and 60 s.
	Healthy, Rest time.Duration
}

func (t KeeperTimes) withDefaults() KeeperTimes {
	return KeeperTimes{
		Poll: or(t.Poll, 500*time.Millisecond), Trust: or(t.Trust, 2*time.Second), Drain: or(t.Drain, 2500*time.Millisecond),
		Healthy: or(t.Healthy, 10*time.Second), Rest: or(t.Rest, time.Minute),
	}
}

func or(d, otherwise time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return otherwise
}

const (
	askTimeout = time.Second // for one question to the database or the server
	// beginTimeout is for another's use of the cache to come to its end.
	beginTimeout = 5 * time.Second
	pingTimeout  = 100 * time.Millisecond // for a ping
	// Pings that fail in a row, for at least so long, mean that the server is
	// away; failed marks in a row mean it whatever the pings say.
	awayPings = 3
	awayAfter = time.Second
	awayMarks = 20
	// voteEvery is how often a backend that has nothing to say votes.
	voteEvery = 2 * time.Second
	// clockJump is by how much the wall's clock may run ahead of the other
	// before a View is given up: the machine slept, or somebody set the clock.
	clockJump = 250 * time.Millisecond
)

// Keeper decides, with the other backends and through the database, whether
// the cache is used. While it is, marks protect what is in it, and a server
// that forgets them must never be trusted again: so each epoch names the
// processes that hold it, and ends when they are gone. Then nobody uses the
// cache, and changes need no marks, until a server has been well for a while;
// that begins with an empty keyspace.
//
// No backend may use an epoch that another has ended. So each knows the epoch
// for a short time only, and whoever ends one waits until nobody can know it
// any more; and each change looks at the epoch again in its own transaction.
type Keeper struct {
	cfg   KeeperConfig
	times KeeperTimes

	known       atomic.Pointer[known]
	failedMarks atomic.Int64 // in a row

	// What follows is run's alone.
	cache  Cache // of epoch, nil where there is none
	epoch  Epoch
	away   run // pings that failed
	well   run // answers of the server to its name
	node   string
	off    time.Time // since when this epoch is seen disabled
	voted  time.Time
	ballot bool   // the last vote
	told   string // the last error
	moved  bool   // this step moved the epoch
	fresh  bool   // nothing has come and gone yet
}

// run is a number of equal answers in a row, and when the first came.
type run struct {
	n     int
	since time.Time
}

func (r *run) add(now time.Time) {
	if r.n++; r.n == 1 {
		r.since = now
	}
}

// NewKeeper returns a Keeper, which knows nothing until Begin asks.
func NewKeeper(cfg KeeperConfig) *Keeper {
	k := &Keeper{cfg: cfg, times: cfg.Times.withDefaults()}
	if k.cfg.Log == nil {
		k.cfg.Log = slog.New(slog.DiscardHandler)
	}
	k.known.Store(&known{})
	return k
}

// View implements Views.
func (k *Keeper) View() View {
	known := k.known.Load()
	now := time.Now()
	age, onTheWall := now.Sub(known.since), now.Round(0).Sub(known.since.Round(0))
	switch {
	case known.since.IsZero():
		return View{Mode: Turning}
	case age < k.times.Trust && onTheWall < k.times.Trust && onTheWall-age < clockJump:
		return known.view
	case known.failed:
		return View{Mode: Lost, Epoch: known.view.Epoch}
	}
	return View{Mode: Turning, Epoch: known.view.Epoch}
}

// MarkFailed implements Views.
func (k *Keeper) MarkFailed() { k.failedMarks.Add(1) }

// Marked implements Views.
func (k *Keeper) Marked() {
	if k.failedMarks.Load() != 0 {
		k.failedMarks.Store(0)
	}
}

// Begin learns what there is to know, so that the first request need not
// wait for it. It comes before Run. A cache that nobody uses is used at once
// where its server answers: whoever begins has not seen it come and go.
func (k *Keeper) Begin(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, beginTimeout)
	defer cancel()
	k.fresh = true
	defer func() { k.fresh = false }()
	tick := time.NewTicker(k.times.Poll)
	defer tick.Stop()
	for k.try(ctx); k.View().Mode == Turning; k.try(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Run keeps the View right until ctx ends, and closes the cache then.
func (k *Keeper) Run(ctx context.Context) {
	tick := time.NewTicker(k.times.Poll)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			k.known.Store(&known{})
			k.use(nil)
			return
		case <-tick.C:
			k.try(ctx)
		}
	}
}

// try takes a step, and a second one where the first moved the epoch.
func (k *Keeper) try(ctx context.Context) {
	k.moved = false
	err := k.step(ctx)
	if err == nil && k.moved {
		err = k.step(ctx)
	}
	if err == nil || ctx.Err() != nil {
		k.told = ""
		return
	}
	if text := err.Error(); text != k.told { // what goes on for hours is told once
		k.told = text
		k.cfg.Log.Warn("the cache", "error", err)
	}
}

// step reads the epoch and does what it asks for.
func (k *Keeper) step(ctx context.Context) error {
	since := time.Now()
	epoch, err := ask(ctx, k.cfg.Store.CacheEpoch)
	if err != nil {
		last := *k.known.Load()
		last.failed = true
		k.known.Store(&last)
		return err
	}
	if err := k.adopt(epoch, since); err != nil {
		return err
	}
	switch {
	case epoch.Enabled && len(epoch.Nodes) == 0:
		return k.found(ctx)
	case epoch.Enabled && k.cfg.Open == nil:
		return k.end(ctx)
	case epoch.Enabled:
		return k.watch(ctx)
	case !epoch.Drained:
		return k.drain(ctx)
	}
	return k.returned(ctx)
}

// ask asks a question of the database or the server, with a deadline.
func ask[T any](ctx context.Context, question func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return question(ctx)
}

// adopt makes the epoch that was read the one to use.
func (k *Keeper) adopt(epoch Epoch, since time.Time) error {
	before := k.known.Load().view
	moved := k.epoch.Number != epoch.Number || k.epoch.Enabled != epoch.Enabled || len(k.epoch.Nodes) != len(epoch.Nodes)
	view := View{Mode: Off, Epoch: epoch.Number, Guarded: true}
	switch {
	case epoch.Enabled && len(epoch.Nodes) > 0 && k.cfg.Open == nil, !epoch.Enabled && !epoch.Drained:
		view.Mode = Turning
	case epoch.Enabled && len(epoch.Nodes) > 0:
		if moved {
			opened, err := k.cfg.Open(epoch.Nodes)
			if err != nil {
				return fmt.Errorf("open the cache of epoch %d: %w", epoch.Number, err)
			}
			k.use(opened)
		}
		view.Mode, view.Cache = On, k.cache
	}
	if moved {
		k.away, k.well, k.off = run{}, run{}, since
		k.failedMarks.Store(0)
	}
	k.epoch = epoch
	k.known.Store(&known{view: view, since: since})
	if view.Mode != On {
		k.use(nil)
	}
	if k.cfg.Changed != nil && (before.Mode != view.Mode || before.Epoch != view.Epoch) {
		k.cfg.Changed(view)
	}
	return nil
}

// use closes the cache in use and puts another in its place. Requests that
// still have the old one get an error from it, which costs them a trip to the
// database, or a change that is refused.
func (k *Keeper) use(c Cache) {
	if k.cache != nil {
		k.cache.Close()
	}
	k.cache = c
}

// found gives an epoch that has no nodes, the first one, those there are.
func (k *Keeper) found(ctx context.Context) error {
	if k.cfg.Node == nil {
		return nil
	}
	node, err := ask(ctx, k.cfg.Node)
	if err != nil {
		return fmt.Errorf("the cache does not answer yet: %w", err)
	}
	return k.enable(ctx, node)
}

func (k *Keeper) enable(ctx context.Context, node string) error {
	return k.move(k.cfg.Store.EnableCache(ctx, k.epoch.Number, []string{node}))
}

// move notes that the epoch moved, by this backend or by another that was
// faster.
func (k *Keeper) move(err error) error {
	if errors.Is(err, ErrEpochMoved) {
		err = nil
	}
	k.moved = err == nil
	return err
}

// end ends the epoch.
func (k *Keeper) end(ctx context.Context) error {
	k.cfg.Log.Warn("the cache is disabled", "epoch", k.epoch.Number)
	return k.move(k.cfg.Store.DisableCache(ctx, k.epoch.Number))
}

// watch looks after an epoch in use, and ends it when most of the backends
// miss the server. A backend that is alone in this is cut off itself, and only
// its own changes have to wait.
func (k *Keeper) watch(ctx context.Context) error {
	now := time.Now()
	if k.ping(ctx) == nil {
		k.away = run{}
	} else {
		k.away.add(now)
	}
	marks := k.failedMarks.Load()
	missing := marks >= awayMarks || marks > 0 && k.away.n >= awayPings && now.Sub(k.away.since) >= awayAfter
	if missing == k.ballot && !missing && now.Sub(k.voted) < voteEvery {
		return nil
	}
	votes, all, err := k.cfg.Store.VoteCache(ctx, k.cfg.Backend, missing)
	if err != nil {
		return err
	}
	k.voted, k.ballot = now, missing
	if missing && 2*votes > all {
		return k.end(ctx)
	}
	return nil
}

func (k *Keeper) ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	return k.cache.Ping(ctx)
}

// drain waits until nobody can know the epoch before this one any more.
func (k *Keeper) drain(ctx context.Context) error {
	if time.Since(k.off) < k.times.Drain {
		return nil
	}
	return k.move(k.cfg.Store.DrainCache(ctx, k.epoch.Number))
}

// returned enables the cache again when its server has been well for a while.
func (k *Keeper) returned(ctx context.Context) error {
	if k.cfg.Node == nil {
		return nil
	}
	node, err := ask(ctx, k.cfg.Node)
	now := time.Now()
	if err != nil || node != k.node {
		k.well, k.node = run{}, node
	}
	if err != nil {
		return nil // as is told by the mode; a server that is away would fill the log
	}
	k.well.add(now)
	if !k.fresh && (now.Sub(k.well.since) < k.times.Healthy || now.Sub(k.off) < k.times.Rest) {
		return nil
	}
	k.cfg.Log.Info("the cache is enabled", "epoch", k.epoch.Number, "node", node)
	return k.enable(ctx, node)
}
