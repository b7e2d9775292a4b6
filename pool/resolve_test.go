package pool_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/pool"
)

// resolver answers what a test sets, and counts.
type resolver struct {
	mu    sync.Mutex // guards the fields below
	addrs []string
	err   error
	asked []time.Time
}

func (r *resolver) endpoints(context.Context) ([]string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.asked = append(r.asked, time.Now())
	return r.addrs, r.err
}

func (r *resolver) answer(err error, addrs ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.addrs, r.err = addrs, err
}

func (r *resolver) times() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.asked)
}

func TestNewEndpointsAreDialledAndRemovedOnesDrained(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far, names := &farEnd{}, &resolver{addrs: []string{"a", "b"}}
		p := start(t, far, pool.Config[*conn]{Endpoints: names.endpoints, Size: 2})
		call := begin(t.Context(), p, "b") // goes to a
		kept := far.open("b")
		names.answer(nil, "b", "c", "c")
		time.Sleep(30*time.Second + 10*ms)
		if n := len(far.open("c")); n != 2 {
			t.Errorf("%d connections to the new endpoint, want 2", n)
		}
		if now := far.open("b"); len(now) != 2 || now[0] != kept[0] || now[1] != kept[1] {
			t.Error("the connections of an endpoint that stayed were replaced")
		}
		if open := far.open("a"); len(open) != 1 || open[0] != call.conn {
			t.Errorf("%d connections to the removed endpoint, want the one in use", len(open))
		}
		if served := succeed(t, p, 20); served["a"] != 0 {
			t.Error("the removed endpoint still gets calls")
		}
		if err := call.finish(nil); err != nil {
			t.Errorf("the call in progress: %v", err)
		}
		time.Sleep(time.Second)
		if n := len(far.open("a")); n != 0 || len(p.Stats().Endpoints) != 2 {
			t.Errorf("%d connections to the removed endpoint, %d endpoints listed", n, len(p.Stats().Endpoints))
		}
	})
}

func TestRemovedEndpointIsNotDialledAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far, names := &farEnd{}, &resolver{addrs: []string{"a", "b"}}
		far.refuse("a")
		start(t, far, pool.Config[*conn]{Endpoints: names.endpoints})
		names.answer(nil, "b")
		time.Sleep(30 * time.Second)
		synctest.Wait()
		began := time.Now()
		far.refuse()
		time.Sleep(time.Minute)
		if n := len(far.dialTimes(began)); n != 0 {
			t.Errorf("%d dials", n)
		}
	})
}

// TestDialToARemovedEndpointIsClosed has a dial under way that does not hear
// its context when its endpoint is removed.
func TestDialToARemovedEndpointIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far, names := &farEnd{}, &resolver{addrs: []string{"a"}}
		late := &conn{endpoint: "a", done: make(chan struct{}), closed: make(chan struct{})}
		p := pool.New(pool.Config[*conn]{
			Endpoints: names.endpoints, ResolveEvery: time.Second, Size: 1,
			Dial: func(ctx context.Context, endpoint string) (*conn, error) {
				if endpoint == "b" {
					return far.dial(ctx, endpoint)
				}
				time.Sleep(3 * time.Second)
				return late, nil
			},
		})
		defer p.Close()
		synctest.Wait()
		names.answer(nil, "b")
		time.Sleep(5 * time.Second)
		if !isClosed(late.closed) {
			t.Error("the connection that came too late was kept")
		}
		succeed(t, p, 1)
	})
}

func TestEjectedEndpointServesWhenTheOtherIsRemoved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := &resolver{addrs: []string{"a", "b"}}
		p := start(t, &farEnd{}, pool.Config[*conn]{
			Endpoints: names.endpoints, ResolveEvery: 500 * ms, Size: 1, InFlight: 1,
			Failure: func(err error) bool { return errors.Is(err, errReset) },
		})
		reportAll(t, p, "a", 5, errReset)
		busy := hold(t, p)
		waiter := begin(t.Context(), p, "")
		names.answer(nil, "a")
		time.Sleep(500 * ms)
		synctest.Wait()
		if !isClosed(waiter.got) || waiter.endpoint != "a" || !of(t, p, "a").Ejected {
			t.Error("the waiter was not served by the only endpoint left")
		}
		waiter.finish(nil)
		busy.finish(nil)
	})
}

func TestUselessResolutionKeepsTheList(t *testing.T) {
	t.Parallel()
	many := make([]string, 257)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	tests := []struct {
		name  string
		err   error
		addrs []string
	}{
		{"an error", errRefused, nil},
		{"an error with addresses", errRefused, []string{"z"}},
		{"an empty list", nil, nil},
		{"too long a list", nil, many},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				far, names := &farEnd{}, &resolver{addrs: []string{"a"}}
				p := start(t, far, pool.Config[*conn]{Endpoints: names.endpoints, Size: 1})
				kept := far.open("a")[0]
				names.answer(test.err, test.addrs...)
				time.Sleep(45 * time.Second)
				if c := hold(t, p); c.conn != kept {
					t.Error("the connection was replaced")
				} else {
					c.finish(nil)
				}
				if n := len(p.Stats().Endpoints); n != 1 {
					t.Errorf("%d endpoints, want the one from before", n)
				}
				names.answer(nil, "b")
				time.Sleep(2 * time.Second) // a useless answer is asked for again soon
				if served := succeed(t, p, 1); served["b"] != 1 {
					t.Errorf("served by %v, want the endpoint resolved at last", served)
				}
			})
		})
	}
}

func TestFailedFirstResolutionIsToldAndRepeated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := &resolver{err: errRefused}
		p := start(t, &farEnd{}, pool.Config[*conn]{Endpoints: names.endpoints})
		if n := names.times(); n != 1 {
			t.Errorf("asked %d times at once, want a pause after the first", n)
		}
		began := time.Now()
		err := p.Do(t.Context(), nil)
		if !errors.Is(err, pool.ErrUnavailable) || !errors.Is(err, errRefused) || time.Since(began) != 250*ms {
			t.Errorf("error %v after %v, want ErrUnavailable with the resolver's after 250ms", err, time.Since(began))
		}
		time.Sleep(time.Minute)
		if n := names.times(); n > 130 {
			t.Errorf("asked %d times in a minute", n)
		}
		names.answer(nil, "a")
		time.Sleep(time.Second)
		succeed(t, p, 1)
	})
}

// TestUnreachableEndpointsAreResolvedAgainSoon moves the backend to another
// address: nobody should wait ResolveEvery for it.
func TestUnreachableEndpointsAreResolvedAgainSoon(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far, names := &farEnd{}, &resolver{addrs: []string{"a"}}
		p := start(t, far, pool.Config[*conn]{Endpoints: names.endpoints})
		time.Sleep(time.Minute + time.Second) // between two resolutions
		names.answer(nil, "b")
		far.refuse("a")
		far.breakAll("")
		synctest.Wait()
		if served := succeed(t, p, 1); served["b"] != 1 {
			t.Errorf("served by %v, want b", served)
		}
		before := names.times()
		far.refuse("a", "b")
		far.breakAll("")
		time.Sleep(time.Minute)
		if n := names.times() - before; n < 50 || n > 70 {
			t.Errorf("asked %d times in a minute without any endpoint, want once a second", n)
		}
	})
}

func TestResolverIsAskedEveryResolveEvery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		names := &resolver{addrs: []string{"a"}}
		start(t, &farEnd{}, pool.Config[*conn]{Endpoints: names.endpoints, ResolveEvery: 7 * time.Second})
		time.Sleep(71 * time.Second)
		if n := names.times(); n != 11 {
			t.Errorf("asked %d times in 71s, want 11", n)
		}
	})
}
