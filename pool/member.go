package pool

import (
	"slices"
	"time"
)

// drainEvery is how often a connection that leaves is asked whether it is unused.
const drainEvery = 10 * time.Millisecond

// member is one connection of an endpoint.
type member[C Conn] struct {
	endpoint *endpoint[C]
	conn     C
	round    int // of the dial
	born     time.Time
	expires  time.Time
	borrowed int           // calls it is lent to
	out      bool          // takes no new calls
	retired  chan struct{} // closed when the pool wants it to go
}

// load is the larger of what was lent and what the far end owes. See the
// package comment for the reason.
func (m *member[C]) load() int {
	if m.borrowed >= m.endpoint.pool.cfg.InFlight {
		return m.borrowed // full either way
	}
	return max(m.borrowed, m.conn.InFlight())
}

// aged tells whether the connection should be replaced.
func (m *member[C]) aged(now time.Time) bool { return !now.Before(m.expires) }

// ended tells whether the connection takes no new calls.
func (m *member[C]) ended() bool {
	select {
	case <-m.conn.Done():
		return true
	default:
		return false
	}
}

// watch waits until the connection ends or must go, lets its calls finish, and
// closes it.
func (m *member[C]) watch() {
	e := m.endpoint
	select {
	case <-m.conn.Done():
		e.pool.mu.Lock()
		e.lose(m, time.Now())
		e.pool.mu.Unlock()
	case <-m.retired:
	case <-e.pool.life.Done():
	}
	m.drain()
	m.conn.Close()
	e.pool.mu.Lock()
	defer e.pool.mu.Unlock()
	if !m.out {
		e.takeOut(m) // the pool was closed
	}
	e.leaving = slices.DeleteFunc(e.leaving, func(o *member[C]) bool { return o == m })
}

// drain waits until no call needs the connection, for DrainTimeout at most, or
// until the pool ends.
func (m *member[C]) drain() {
	tick := time.NewTicker(drainEvery)
	defer tick.Stop()
	timeout := time.NewTimer(m.endpoint.pool.cfg.DrainTimeout)
	defer timeout.Stop()
	for !m.unused() {
		select {
		case <-tick.C:
		case <-timeout.C:
			return
		case <-m.endpoint.pool.life.Done():
			return
		}
	}
}

// unused tells whether no call is on the connection.
func (m *member[C]) unused() bool {
	m.endpoint.pool.mu.Lock()
	defer m.endpoint.pool.mu.Unlock()
	return m.load() == 0
}
