package pool

import "time"

// candidate is the best connection of an endpoint, and how busy the endpoint is.
type candidate[C Conn] struct {
	member  *member[C]
	place   int // of the member in its endpoint
	load    int // of the whole endpoint
	avoided bool
}

// pick chooses the connection of the next call; nil means that no slot is free.
// A connection found to have ended is taken out here, should its own goroutine
// not have come to it yet.
func (p *Pool[C]) pick(avoid string) *member[C] {
	for {
		m := p.leastLoaded(avoid)
		if m == nil || !m.ended() {
			return m
		}
		m.endpoint.lose(m, time.Now())
	}
}

// leastLoaded finds the endpoint that has the least to do, sparing the avoided
// one, and in it the connection that has the least to do. Whoever won stands
// last in the next comparison of equals.
func (p *Pool[C]) leastLoaded(avoid string) *member[C] {
	n := len(p.endpoints)
	best, place := candidate[C]{}, 0
	for i := range n {
		at := (p.turn + i) % n
		e := p.endpoints[at]
		if e.free == 0 || p.shuns(e) {
			continue
		}
		c := e.leastLoaded(n == 1)
		c.avoided = e.address == avoid
		if c.member != nil && c.better(best) {
			best, place = c, at
		}
	}
	if best.member != nil {
		p.turn = place + 1
		best.member.endpoint.turn = best.place + 1
	}
	return best.member
}

// better compares candidates of two endpoints.
func (c candidate[C]) better(than candidate[C]) bool {
	switch {
	case than.member == nil:
		return true
	case c.avoided != than.avoided:
		return than.avoided
	default:
		return c.load < than.load
	}
}

// leastLoaded finds the endpoint's least loaded connection that has a free slot.
// An endpoint that is alone need not be compared, so the first idle connection
// will do: with many exclusive connections that saves most of the search.
func (e *endpoint[C]) leastLoaded(alone bool) candidate[C] {
	n, best, least := len(e.members), candidate[C]{}, e.pool.cfg.InFlight
	for i := range n {
		at := (e.turn + i) % n
		load := e.members[at].load()
		best.load += load
		if load < least {
			best.member, best.place, least = e.members[at], at, load
		}
		if alone && least == 0 {
			break
		}
	}
	return best
}

// reachable tells whether any endpoint has a connection that takes calls.
func (p *Pool[C]) reachable() bool {
	for _, e := range p.endpoints {
		if len(e.members) > 0 {
			return true
		}
	}
	return false
}

// shuns tells whether an endpoint gets no calls because it is ejected and
// another one can serve.
func (p *Pool[C]) shuns(e *endpoint[C]) bool {
	return e.ejected && p.hasOther(e)
}

// hasOther tells whether an endpoint other than e, and not ejected, has a
// connection.
func (p *Pool[C]) hasOther(e *endpoint[C]) bool {
	for _, o := range p.endpoints {
		if o != e && !o.ejected && len(o.members) > 0 {
			return true
		}
	}
	return false
}
