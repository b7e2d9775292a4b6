package pool

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// dialsAtOnce bounds the dials to one endpoint that has not failed; one
	// that has is tried by a single dial.
	dialsAtOnce = 8
	// redialSpread bounds the jitter of the first dial after a loss.
	redialSpread = 10 * time.Millisecond
	// owedEvery is how often connections are asked whether late answers have
	// freed slots that somebody waits for.
	owedEvery = 5 * time.Millisecond
	// longRest is how long the goroutine of an endpoint sleeps when it has no date.
	longRest = time.Hour
)

// endpoint is one address: its connections, and what is known about it. All
// fields that change are guarded by Pool.mu.
type endpoint[C Conn] struct {
	pool    *Pool[C]
	address string
	ctx     context.Context // ends when the endpoint is removed or the pool closed
	stop    context.CancelFunc
	wake    chan struct{} // tells run to look again

	members []*member[C] // connections that take calls
	leaving []*member[C] // connections that take no new calls, not closed yet
	turn    int          // the member that wins the next tie
	free    int          // slots of the members that are not lent

	dialling int
	round    int       // rises with every setback, see setback
	failures int       // dials that failed in a row
	flaps    int       // times in a row that connections were lost right after their dial
	nextDial time.Time // not before
	troubled bool      // the last thing that happened to a dial was a setback

	health
	counts EndpointStats // the counters; Stats fills in the rest
}

// startEndpoint makes an endpoint and starts its goroutine.
func (p *Pool[C]) startEndpoint(address string) *endpoint[C] {
	e := &endpoint[C]{pool: p, address: address, wake: make(chan struct{}, 1)}
	e.counts.Endpoint = address
	e.ctx, e.stop = context.WithCancel(p.work)
	p.goroutines.Go(e.run)
	return e
}

// stopped tells whether the endpoint was removed or the pool closed.
func (e *endpoint[C]) stopped() bool { return e.ctx.Err() != nil }

// kick makes run look again.
func (e *endpoint[C]) kick() {
	select {
	case e.wake <- struct{}{}:
	default: // it will look anyway
	}
}

// run does what is due until the endpoint is stopped.
func (e *endpoint[C]) run() {
	timer := time.NewTimer(longRest)
	defer timer.Stop()
	for {
		timer.Reset(e.tend())
		select {
		case <-e.wake:
		case <-timer.C:
		case <-e.ctx.Done():
			return
		}
	}
}

// tend does what is due and tells how long nothing will be.
func (e *endpoint[C]) tend() time.Duration {
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	if e.stopped() {
		return longRest
	}
	now := time.Now()
	e.reinstate(now)
	next := e.dialMissing(now)
	if e.ejected {
		next = earlier(next, e.until)
	}
	e.pool.grant()
	if e.pool.waiters.Len() > 0 && e.free > 0 {
		next = earlier(next, now.Add(owedEvery))
	}
	return next.Sub(now)
}

// dialMissing starts the dials that are due, for connections that are missing
// and for those that are old, and tells when to look again.
func (e *endpoint[C]) dialMissing(now time.Time) (next time.Time) {
	next = now.Add(longRest)
	missing := e.pool.cfg.Size - len(e.members) - e.dialling
	for _, m := range e.members {
		if m.aged(now) {
			missing++
		} else {
			next = earlier(next, m.expires)
		}
	}
	if missing > 0 && now.Before(e.nextDial) {
		return earlier(next, e.nextDial)
	}
	allowed := dialsAtOnce
	if e.failures > 0 {
		allowed = 1
	}
	for range min(missing, allowed-e.dialling) {
		e.dialling++
		e.counts.Dials++
		round := e.round
		e.pool.goroutines.Go(func() { e.dial(round) })
	}
	return next
}

// dial is the goroutine of one connection, from its dial to its end.
func (e *endpoint[C]) dial(round int) {
	ctx, cancel := context.WithTimeout(e.ctx, e.pool.cfg.DialTimeout)
	conn, err := e.pool.cfg.Dial(ctx, e.address)
	cancel()
	if err != nil {
		e.dialFailed(round, err)
		return
	}
	m := e.admit(round, conn)
	if m == nil {
		conn.Close()
		return
	}
	m.watch()
}

// dialFailed notes a failed dial and lets the next one wait.
func (e *endpoint[C]) dialFailed(round int, err error) {
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	e.dialling--
	if e.stopped() {
		return // the dial was told to end
	}
	e.counts.DialErrors++
	now := time.Now()
	e.setback(round, &e.failures, now, fmt.Errorf("dial %s: %w", e.address, err))
	e.pool.noteReach(now)
	e.kick()
}

// setback makes the next dial wait longer the more setbacks of its kind came in
// a row. Dials and connections of one round that come to grief together are one
// setback: four failed dials in parallel must not cost four doublings.
func (e *endpoint[C]) setback(round int, inARow *int, now time.Time, err error) {
	if round != e.round {
		return
	}
	e.round++
	*inARow++
	e.troubled = true
	e.pool.lastErr = err
	e.nextDial = now.Add(e.pool.cfg.backoff(*inARow))
}

// admit makes a new connection a member; nil when nobody wants it any more. If
// it replaces an old one, that one may go now.
func (e *endpoint[C]) admit(round int, conn C) *member[C] {
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	e.dialling--
	if e.stopped() {
		return nil
	}
	now := time.Now()
	m := &member[C]{
		endpoint: e, conn: conn, round: round, retired: make(chan struct{}),
		born: now, expires: now.Add(e.pool.cfg.spread(e.pool.cfg.MaxAge)),
	}
	e.failures, e.troubled, e.pool.lastErr = 0, false, nil
	e.members = append(e.members, m)
	e.free += e.pool.cfg.InFlight
	e.retireOldest()
	e.pool.noteReach(now)
	e.kick() // for waiters, and for dials that waited for this one
	return m
}

// retireOldest retires an aged connection if its replacement has come: for
// nothing else is a connection dialled beyond Size.
func (e *endpoint[C]) retireOldest() {
	if len(e.members) <= e.pool.cfg.Size {
		return
	}
	oldest := slices.MinFunc(e.members, func(a, b *member[C]) int { return a.expires.Compare(b.expires) })
	e.counts.MaxLifetimeClosed++
	e.retire(oldest)
}

// remove drains the endpoint for good.
func (e *endpoint[C]) remove() {
	e.stop()
	for len(e.members) > 0 {
		e.retire(e.members[0])
	}
}

// retire takes a connection out and tells its goroutine to drain it.
func (e *endpoint[C]) retire(m *member[C]) {
	e.takeOut(m)
	close(m.retired)
}

// takeOut moves a member to those that leave.
func (e *endpoint[C]) takeOut(m *member[C]) {
	m.out = true
	e.free -= e.pool.cfg.InFlight - m.borrowed
	e.members = slices.DeleteFunc(e.members, func(o *member[C]) bool { return o == m })
	e.leaving = append(e.leaving, m)
	e.kick() // one is missing, and an ejected endpoint may now be the last
}

// lose takes out a connection that ended. The next dial comes at once, for a
// restarted far end should be found quickly, unless connections to this
// endpoint keep being lost right after their handshake.
func (e *endpoint[C]) lose(m *member[C], now time.Time) {
	if m.out {
		return
	}
	e.takeOut(m)
	if now.Sub(m.born) >= e.pool.cfg.BackoffMax {
		e.flaps = 0
	}
	if e.flaps == 0 {
		e.flaps = 1
		jitter := time.Duration(e.pool.cfg.Rand() * float64(redialSpread))
		e.nextDial = now.Add(jitter)
		e.round++
	} else {
		e.setback(m.round, &e.flaps, now, fmt.Errorf("connection to %s lost right after its handshake", e.address))
	}
	e.pool.noteReach(now)
}
