package pool_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/pool"
)

func TestStatsUseTheWordsOfDatabaseSQL(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &farEnd{}, pool.Config[*conn]{Size: 3, InFlight: 2, MaxWait: time.Minute})
		calls := holdAll(t, p, 6)
		waiter := begin(t.Context(), p, "")
		if got := p.Stats().Waiting; got != 1 {
			t.Errorf("%d wait, want 1", got)
		}
		time.Sleep(3 * time.Second)
		calls[0].finish(nil)
		waiter.finish(nil)
		for _, c := range calls[1:] {
			if c.conn == calls[0].conn {
				c.finish(nil)
			}
		}
		got := p.Stats()
		want := pool.EndpointStats{
			Endpoint: "a", MaxOpenConnections: 3, OpenConnections: 3, InUse: 2, Idle: 1, InFlight: 4, Dials: 3,
			WaitCount: 1, WaitDuration: 3 * time.Second,
		}
		if len(got.Endpoints) != 1 || got.Endpoints[0] != want || got.Waiting != 0 {
			t.Errorf("got  %+v\nwant %+v", got, want)
		}
	})
}

func TestStatsInFlightIncludesCallsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := start(t, far, pool.Config[*conn]{Size: 2})
		c := hold(t, p)
		c.conn.owed.Store(1)
		for _, other := range far.open("") {
			if other != c.conn {
				other.owed.Store(5)
			}
		}
		if s := of(t, p, "a"); s.InFlight != 6 || s.InUse != 1 {
			t.Errorf("in flight %d, in use %d, want 6 and 1", s.InFlight, s.InUse)
		}
		c.finish(nil)
	})
}

func TestTraceIsToldOfEveryWaitAndReturn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		type wait struct {
			who  any
			took time.Duration
			err  error
		}
		var waits []wait
		var puts []any
		p := start(t, &farEnd{}, pool.Config[*conn]{Size: 1, InFlight: 1, Trace: pool.Trace{
			Got: func(ctx context.Context, took time.Duration, err error) {
				waits = append(waits, wait{ctx.Value(key{}), took, err})
			},
			Put: func(ctx context.Context, took time.Duration) {
				if took != 0 {
					t.Errorf("giving back took %v of a time that stood still", took)
				}
				puts = append(puts, ctx.Value(key{}))
			},
		}})
		named := func(name string) context.Context { return context.WithValue(t.Context(), key{}, name) }
		holder := begin(named("holder"), p, "")
		waiter := begin(named("waiter"), p, "")
		time.Sleep(200 * ms)
		holder.finish(nil)
		synctest.Wait()
		refused := begin(named("refused"), p, "")
		<-refused.done
		waiter.finish(nil)

		if len(waits) != 3 || len(puts) != 2 || puts[0] != "holder" || puts[1] != "waiter" {
			t.Fatalf("told of waits %v and returns %v", waits, puts)
		}
		if waits[0] != (wait{"holder", 0, nil}) || waits[1] != (wait{"waiter", 200 * ms, nil}) {
			t.Errorf("told of the waits %v", waits[:2])
		}
		if w := waits[2]; w.who != "refused" || w.took != time.Second || !errors.Is(w.err, pool.ErrBusy) {
			t.Errorf("told of the refusal %v", w)
		}
	})
}
