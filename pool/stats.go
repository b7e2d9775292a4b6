package pool

import "time"

// Stats is a snapshot of the pool.
type Stats struct {
	Endpoints   []EndpointStats // those of the last resolution, sorted by address
	Waiting     int             // calls that wait for a slot now
	Busy        int64           // calls refused with ErrBusy
	Unavailable int64           // calls refused with ErrUnavailable
}

// EndpointStats is a snapshot of one endpoint, in the words of
// database/sql.DBStats, whose "in use" means here: lent to at least one call.
// The counters start when the endpoint first appears in a resolution.
type EndpointStats struct {
	Endpoint string // as resolved

	MaxOpenConnections int // Config.Size; passed while one is being replaced or drained
	OpenConnections    int // InUse + Idle, those being drained included
	InUse              int
	Idle               int
	InFlight           int  // calls on the connections, including those whose caller gave up
	Ejected            bool // left out because its calls failed

	WaitCount         int64         // calls that waited and were then served here
	WaitDuration      time.Duration // the sum of their waits
	MaxLifetimeClosed int64         // connections replaced because of Config.MaxAge
	Dials             int64         // dials begun
	DialErrors        int64         // dials failed
	Ejections         int64
}

// Stats takes a snapshot.
func (p *Pool[C]) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Stats{
		Endpoints:   make([]EndpointStats, 0, len(p.endpoints)),
		Waiting:     p.waiters.Len(),
		Busy:        p.busy,
		Unavailable: p.unavailable,
	}
	for _, e := range p.endpoints {
		s.Endpoints = append(s.Endpoints, e.stats())
	}
	return s
}

// stats adds the gauges to the counters.
func (e *endpoint[C]) stats() EndpointStats {
	s := e.counts
	s.MaxOpenConnections = e.pool.cfg.Size
	s.OpenConnections = len(e.members) + len(e.leaving)
	s.Ejected = e.ejected
	for _, group := range [][]*member[C]{e.members, e.leaving} {
		for _, m := range group {
			s.InFlight += m.load()
			if m.borrowed > 0 {
				s.InUse++
			}
		}
	}
	s.Idle = s.OpenConnections - s.InUse
	return s
}
