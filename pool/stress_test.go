package pool_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/pool"
)

// storm is many callers with little patience on connections that die.
type storm struct {
	far      *farEnd
	pool     *pool.Pool[*conn]
	inFlight int
	seed     uint64

	served, gaveUp, refused, overloaded atomic.Int64
}

// caller makes calls one after the other.
func (s *storm) caller(ctx context.Context, n, calls int) {
	r := rand.New(rand.NewPCG(s.seed, uint64(n)))
	for range calls {
		patience := time.Duration(r.IntN(100)) * ms
		ctx, cancel := context.WithTimeout(ctx, patience)
		avoid := []string{"", "a", "b", "c"}[r.IntN(4)]
		err := s.pool.DoExcept(ctx, avoid, func(_ string, c *conn) error {
			return s.call(ctx, c, time.Duration(r.IntN(20))*ms)
		})
		cancel()
		s.tell(err)
	}
}

// call keeps the connection busy like a multiplexed call does: the far end owes
// an answer that comes after a while, also when the caller has gone.
func (s *storm) call(ctx context.Context, c *conn, takes time.Duration) error {
	if c.carries.Add(1) > int64(s.inFlight) {
		s.overloaded.Add(1)
	}
	defer c.carries.Add(-1)
	c.owed.Add(1)
	answer := make(chan struct{})
	time.AfterFunc(takes, func() {
		c.owed.Add(-1)
		close(answer)
	})
	select {
	case <-answer:
		return nil
	case <-c.Done():
		return errReset
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *storm) tell(err error) {
	switch {
	case err == nil:
		s.served.Add(1)
	case errors.Is(err, pool.ErrBusy), errors.Is(err, pool.ErrUnavailable):
		s.refused.Add(1)
	default:
		s.gaveUp.Add(1)
	}
}

// reaper breaks connections and refuses dials until the callers have ended.
func (s *storm) reaper(ended <-chan struct{}) {
	r := rand.New(rand.NewPCG(s.seed, 1<<32))
	for {
		select {
		case <-ended:
			s.far.refuse()
			return
		case <-time.After(time.Duration(r.IntN(20)) * ms):
		}
		if open := s.far.open(""); len(open) > 0 {
			open[r.IntN(len(open))].breakOff()
		}
		switch r.IntN(20) {
		case 0:
			s.far.refuse("a")
		case 1:
			s.far.breakAll("b")
		case 2:
			s.far.refuse()
		}
	}
}

func TestNoSlotIsLostInAStorm(t *testing.T) {
	t.Parallel()
	const callers, calls, size = 300, 60, 3
	for _, inFlight := range []int{1, 8} {
		t.Run(fmt.Sprintf("%d in flight", inFlight), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				far := &farEnd{takes: ms}
				s := &storm{far: far, inFlight: inFlight, seed: rand.Uint64()}
				s.pool = start(t, far, pool.Config[*conn]{
					Endpoints: pool.Fixed("a", "b", "c"), Size: size, InFlight: inFlight,
					MaxWaiters: 200, MaxWait: 70 * ms, MaxAge: time.Second, DrainTimeout: time.Second,
					Failure: func(err error) bool { return errors.Is(err, errReset) },
					Rand:    rand.Float64,
				})
				s.run(t.Context(), callers, calls)
				s.check(t, 3*size)
			})
		})
	}
}

// run lets the storm rage and then waits until it has settled.
func (s *storm) run(ctx context.Context, callers, calls int) {
	var all sync.WaitGroup
	for n := range callers {
		all.Go(func() { s.caller(ctx, n, calls) })
	}
	ended, reaped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(reaped)
		s.reaper(ended)
	}()
	all.Wait()
	close(ended)
	<-reaped
	time.Sleep(time.Minute + 7*ms) // ejections end, connections come, old ones go
	synctest.Wait()
}

// check demands that everything is as if nothing had happened: all connections
// are there, nothing is in use, and each slot can be lent.
func (s *storm) check(t *testing.T, connections int) {
	t.Helper()
	t.Logf("seed %d: %d served, %d gave up or broke, %d refused",
		s.seed, s.served.Load(), s.gaveUp.Load(), s.refused.Load())
	if s.served.Load() == 0 || s.gaveUp.Load() == 0 || s.refused.Load() == 0 {
		t.Error("the storm was none")
	}
	if n := s.overloaded.Load(); n > 0 {
		t.Errorf("%d calls were put on a full connection", n)
	}
	slots := connections * s.inFlight
	holdAll(t, s.pool, slots)
	s.checkStats(t, connections, slots)
	extra := begin(t.Context(), s.pool, "")
	if isClosed(extra.got) {
		t.Errorf("there are more than %d slots", slots)
	}
	extra.finish(nil) // a replaced connection may still serve it
}

// checkStats looks at the books while all slots are lent.
func (s *storm) checkStats(t *testing.T, connections, slots int) {
	t.Helper()
	var open, inUse, inFlight int
	for _, e := range s.pool.Stats().Endpoints {
		open += e.OpenConnections
		inUse += e.InUse
		inFlight += e.InFlight
	}
	if open != connections || inUse != connections || inFlight != slots {
		t.Errorf("open %d, in use %d, in flight %d, want %d, %d, %d",
			open, inUse, inFlight, connections, connections, slots)
	}
}
