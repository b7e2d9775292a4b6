package pool_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/pool"
)

var (
	errRefused = errors.New("connection refused")
	errReset   = errors.New("connection reset")
)

// half makes all jitter predictable: ages and ejections last exactly as long as
// configured, pauses between dials half of their bound.
func half() float64 { return 0.5 }

// conn is a connection to nowhere whose state a test sets.
type conn struct {
	endpoint string
	owed     atomic.Int64
	carries  atomic.Int64 // calls on it now, for tests that count
	done     chan struct{}
	ended    sync.Once
	closed   chan struct{} // a second Close panics
}

func (c *conn) InFlight() int         { return int(c.owed.Load()) }
func (c *conn) Done() <-chan struct{} { return c.done }

func (c *conn) Close() error {
	close(c.closed)
	c.breakOff()
	return nil
}

// breakOff is what a reset or a goaway looks like.
func (c *conn) breakOff() { c.ended.Do(func() { close(c.done) }) }

// farEnd plays all endpoints.
type farEnd struct {
	mu      sync.Mutex // guards the fields below
	refuses map[string]error
	takes   time.Duration // how long a dial takes
	stalls  bool          // dials hang until their context ends
	fragile bool          // connections break right after their handshake
	conns   []*conn
	dials   []time.Time
	dialing int
	peak    int // most dials at once
}

func (f *farEnd) dial(ctx context.Context, endpoint string) (*conn, error) {
	takes, stalls := f.begin()
	defer f.end()
	switch {
	case stalls:
		<-ctx.Done()
		return nil, ctx.Err()
	case takes > 0:
		select {
		case <-time.After(takes):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.refuses[endpoint]; err != nil {
		return nil, err
	}
	c := &conn{endpoint: endpoint, done: make(chan struct{}), closed: make(chan struct{})}
	f.conns = append(f.conns, c)
	if f.fragile {
		c.breakOff()
	}
	return c, nil
}

func (f *farEnd) begin() (takes time.Duration, stalls bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dials = append(f.dials, time.Now())
	f.dialing++
	f.peak = max(f.peak, f.dialing)
	return f.takes, f.stalls
}

func (f *farEnd) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.dialing--
}

// set changes how the far end behaves.
func (f *farEnd) set(change func(f *farEnd)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(f)
}

// refuse makes dials to the endpoints fail.
func (f *farEnd) refuse(endpoints ...string) {
	f.set(func(f *farEnd) {
		f.refuses = map[string]error{}
		for _, e := range endpoints {
			f.refuses[e] = errRefused
		}
	})
}

// open lists the connections that are not closed, those of one endpoint or of all.
func (f *farEnd) open(endpoint string) []*conn {
	f.mu.Lock()
	defer f.mu.Unlock()
	var open []*conn
	for _, c := range f.conns {
		if !isClosed(c.closed) && (endpoint == "" || c.endpoint == endpoint) {
			open = append(open, c)
		}
	}
	return open
}

// breakAll breaks every connection, as a killed backend does.
func (f *farEnd) breakAll(endpoint string) {
	for _, c := range f.open(endpoint) {
		c.breakOff()
	}
}

// dialTimes tells when dials began, counted from start, leaving out earlier ones.
func (f *farEnd) dialTimes(start time.Time) []time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	var times []time.Duration
	for _, at := range f.dials {
		if !at.Before(start) {
			times = append(times, at.Sub(start))
		}
	}
	return times
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// start makes a pool on the far end inside a bubble and waits until it is at
// rest. The bubble fails the test if a goroutine of the pool outlives Close.
func start(t *testing.T, f *farEnd, cfg pool.Config[*conn]) *pool.Pool[*conn] {
	t.Helper()
	if cfg.Endpoints == nil {
		cfg.Endpoints = pool.Fixed("a")
	}
	cfg.Dial = f.dial
	if cfg.Rand == nil {
		cfg.Rand = half
	}
	p := pool.New(cfg)
	t.Cleanup(func() { p.Close() })
	synctest.Wait()
	return p
}

// call is a Do in progress.
type call struct {
	conn     *conn
	endpoint string
	got      chan struct{} // closed when it has its connection
	result   chan error    // what its closure will return
	done     chan struct{} // closed when Do returned
	err      error
}

// begin starts a call and waits until it has a connection, waits for one, or failed.
func begin(ctx context.Context, p *pool.Pool[*conn], avoid string) *call {
	c := &call{got: make(chan struct{}), result: make(chan error, 1), done: make(chan struct{})}
	go func() {
		defer close(c.done)
		c.err = p.DoExcept(ctx, avoid, func(endpoint string, conn *conn) error {
			c.endpoint, c.conn = endpoint, conn
			conn.carries.Add(1)
			defer conn.carries.Add(-1)
			close(c.got)
			return <-c.result
		})
	}()
	synctest.Wait()
	return c
}

// finish ends the closure and returns what Do returned.
func (c *call) finish(err error) error {
	c.result <- err
	<-c.done
	return c.err
}

// hold starts a call that must get a connection at once.
func hold(t *testing.T, p *pool.Pool[*conn]) *call {
	t.Helper()
	c := begin(t.Context(), p, "")
	if !isClosed(c.got) {
		t.Fatal("a call found no free slot")
	}
	return c
}

// holdAll holds n calls and ends them when the test does.
func holdAll(t *testing.T, p *pool.Pool[*conn], n int) []*call {
	t.Helper()
	var calls []*call
	for range n {
		c := hold(t, p)
		t.Cleanup(func() {
			if !isClosed(c.done) {
				c.finish(nil)
			}
		})
		calls = append(calls, c)
	}
	return calls
}

// succeed makes n calls that must succeed and counts them by endpoint.
func succeed(t *testing.T, p *pool.Pool[*conn], n int) map[string]int {
	t.Helper()
	served := map[string]int{}
	for range n {
		err := p.DoExcept(t.Context(), "", func(endpoint string, _ *conn) error {
			served[endpoint]++
			return nil
		})
		if err != nil {
			t.Fatalf("a call failed: %v", err)
		}
	}
	return served
}

// of is the snapshot of one endpoint.
func of(t *testing.T, p *pool.Pool[*conn], endpoint string) pool.EndpointStats {
	t.Helper()
	for _, e := range p.Stats().Endpoints {
		if e.Endpoint == endpoint {
			return e
		}
	}
	t.Fatalf("no endpoint %q in the stats", endpoint)
	return pool.EndpointStats{}
}
