// Package pool keeps long-lived connections to one or several endpoints ready
// and lends them to calls; it does not know what a packet, a user or TCP is.
//
// # Why lend through a closure
//
// [Pool.Do] is the only way to use a connection. A closure cannot forget to
// give back, cannot give back twice, and gives back when it panics.
//
// # Several calls on one connection
//
// A connection carries up to Config.InFlight calls at once. With 1 it is lent
// exclusively. A call goes to the endpoint, and there to the connection, with
// the least load; equals take turns. The load of a connection is the larger of
// two numbers: the calls the pool lent it to, and Conn.InFlight, the calls the
// far end still owes an answer to. Only the second one sees a stalled
// connection: its callers run into their deadlines, give back, and leave it
// with nothing lent. Counted by loans alone it would look the idlest of all and
// attract every new call.
//
// # Who waits
//
// When no slot is free a call waits in a queue that is first in, first out, and
// bounded in number and time. A slot given back goes straight to the first in
// the queue; a newcomer never overtakes. A waiter that gave up and was handed a
// slot at the same moment passes it on. Answers that arrive late free a slot
// without telling the pool, so while somebody waits and a connection still owes
// answers, the pool looks again every few milliseconds.
//
// # Who dials
//
// Each endpoint has one goroutine that decides when to dial, and each connection
// has one that dials, watches and closes it. No caller ever dials, so a caller
// who gives up never spoils a dial that others wait for. An endpoint whose last
// dial failed is tried by one dial at a time, after a pause that doubles from
// Config.BackoffMin to Config.BackoffMax and is drawn from the whole range below
// it (full jitter), so that many clients do not knock in step. Connections that
// are lost again and again right after their handshake are paced in the same way.
//
// # No stale connection twice
//
// After a restart of the far end, connections may look healthy and be dead. The
// pool watches Conn.Done of every connection, idle ones too, and looks at it
// once more before each loan. So a connection that its owner knows to be broken
// is never lent again: a restart costs the calls that were in flight, not one
// failed call per connection. The first dial after a loss is immediate but for a
// few milliseconds of jitter. Done closed while calls are in flight means that
// the far end said goodbye: those calls may finish, for Config.DrainTimeout.
//
// # Health
//
// An endpoint that fails five counted calls in a row, or half of at least twenty
// within ten seconds, is left out for a second, then two, four, and so on up to
// thirty. What counts is decided by Config.Failure; a refusal is an answer and
// should not, or overload would eject everybody. Never more than half of the
// endpoints are ejected, and one that is the last with a connection serves on.
package pool

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// The errors of Do, told apart with errors.Is. With any of them, and with an
// error of the context, the closure has not been called.
var (
	// ErrBusy: all slots are in use and the queue is full, or the wait took
	// Config.MaxWait.
	ErrBusy = errors.New("every connection is busy")
	// ErrUnavailable: no endpoint has a connection and none came within the
	// wait. It wraps the error of the last dial or resolution, if there was one.
	ErrUnavailable = errors.New("no connection to any endpoint")
	// ErrClosed: Shutdown or Close was called.
	ErrClosed = errors.New("pool is closed")
)

// Conn is what the pool needs to know of a connection. The pool calls InFlight
// and Done while holding its lock: they must not wait and must not call the pool.
type Conn interface {
	// InFlight is the number of calls the far end still owes an answer to,
	// including those whose caller gave up.
	InFlight() int
	// Done is closed when the connection takes no new calls: it broke, or the
	// far end said that it will go away.
	Done() <-chan struct{}
	// Close ends the connection and the calls on it at once. The pool calls it
	// once, outside its lock, and Shutdown waits for it. Its error is ignored:
	// nothing is left to be done.
	Close() error
}

// Pool lends connections to calls. It is safe for concurrent use.
type Pool[C Conn] struct {
	cfg     Config[C]
	started time.Time

	goroutines sync.WaitGroup
	work       context.Context // dialling and resolving; ends when Shutdown begins
	stopWork   context.CancelFunc
	life       context.Context // connections; ends when Shutdown has waited
	end        context.CancelFunc
	lookNow    chan struct{} // tells the resolver not to wait
	idle       chan struct{} // closed when the pool is closed and nothing is lent

	mu sync.Mutex // guards everything below, in endpoints and members too

	closed    bool
	endpoints []*endpoint[C]
	turn      int        // the endpoint that wins the next tie
	waiters   *list.List // of *waiter[C], the oldest in front
	lent      int        // calls in progress

	downSince   time.Time // since when no endpoint can be reached; zero: not so
	lastErr     error     // of the last dial or resolution, nil after a success
	busy        int64
	unavailable int64
}

// New makes a pool and starts dialling in the background. It never waits: a Do
// right after it waits for the first connection.
func New[C Conn](cfg Config[C]) *Pool[C] {
	p := &Pool[C]{
		cfg:     cfg.withDefaults(),
		started: time.Now(),
		lookNow: make(chan struct{}, 1),
		idle:    make(chan struct{}),
		waiters: list.New(),
	}
	p.life, p.end = context.WithCancel(context.Background())
	p.work, p.stopWork = context.WithCancel(p.life)
	p.goroutines.Go(p.resolve)
	return p
}

// Do calls fn with a connection and returns its error unchanged. It waits for a
// slot until ctx ends, at most Config.MaxWait, and at most Config.FailFast while
// nothing can be reached. fn must not use conn after it returned, and must end
// soon after conn broke or was closed. Errors of Do itself: ErrBusy,
// ErrUnavailable, ErrClosed, and ctx.Err(), all wrapped.
func (p *Pool[C]) Do(ctx context.Context, fn func(conn C) error) error {
	return p.DoExcept(ctx, "", func(_ string, conn C) error { return fn(conn) })
}

// DoExcept is Do for a call that may be made again: it tells fn which endpoint
// serves it, and prefers any other than avoid, the endpoint of the first attempt
// (empty: no preference). The preference decides between free slots. It never
// makes a call wait: when only avoid has a slot, avoid serves.
func (p *Pool[C]) DoExcept(ctx context.Context, avoid string, fn func(endpoint string, conn C) error) error {
	l, err := p.get(ctx, avoid)
	if err != nil {
		return err
	}
	result := neutral // should fn panic
	defer func() { p.put(ctx, l, result) }()
	err = fn(l.member.endpoint.address, l.member.conn)
	result = p.judge(err)
	return err
}

// Ready tells whether at least one connection can take calls.
func (p *Pool[C]) Ready() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return !p.closed && p.reachable()
}

// Close is Shutdown waiting at most Config.DrainTimeout.
func (p *Pool[C]) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), p.cfg.DrainTimeout)
	defer cancel()
	return p.Shutdown(ctx)
}

// Shutdown refuses new and waiting calls, waits for those in progress until ctx
// ends, closes all connections and waits for the pool's goroutines. Its error
// says how many calls were in progress when ctx ended. It may be called again.
func (p *Pool[C]) Shutdown(ctx context.Context) error {
	p.refuse()
	select {
	case <-p.idle:
	case <-ctx.Done():
	}
	p.mu.Lock()
	cut := p.lent
	p.mu.Unlock()
	p.end()
	p.goroutines.Wait()
	if cut > 0 {
		return fmt.Errorf("close pool with %d calls in progress: %w", cut, ctx.Err())
	}
	return nil
}

// refuse turns new calls and waiters away and stops dialling.
func (p *Pool[C]) refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return
	}
	p.closed = true
	p.stopWork()
	for w := p.first(); w != nil; w = p.first() {
		p.dequeue(w)
		w.err = ErrClosed
		close(w.served)
	}
	if p.lent == 0 {
		close(p.idle)
	}
}
