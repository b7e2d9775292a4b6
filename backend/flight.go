package backend

import (
	"context"
	"sync"
	"time"

	"gatehouse/backend/cache"
)

// flight is one reader's way to the store and back, under a lease. Others of
// this process that want the same record meanwhile wait for it.
//
// Its result is theirs only if the fill was kept: that certifies that no change
// began between the lease and the fill. Without the certificate the reader may
// have read what a change replaced before the others asked. And they must have
// joined before the fill was sent, because it says nothing of what came after.
type flight struct {
	landed    chan struct{} // closed when the fields below are set
	certified bool
	value     []byte // nil means that there is no such record
}

// flights are those that can still be joined, by the key of their record.
type flights struct {
	mu sync.Mutex // guards m
	m  map[string]*flight
}

// start lets others join. A key has one lease at a time; where an older flight
// has not landed yet, the new one takes its place.
func (f *flights) start(key string) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m == nil {
		f.m = map[string]*flight{}
	}
	one := &flight{landed: make(chan struct{})}
	f.m[key] = one
	return one
}

// of returns the flight that a reader of this key can join, or nil.
func (f *flights) of(key string) *flight {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.m[key]
}

// seal lets nobody join any more.
func (f *flights) seal(key string, one *flight) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.m[key] == one {
		delete(f.m, key)
	}
}

// board gives each lookup that has a lease a flight.
func (r *records) board(view cache.View, lookups []*lookup) {
	for _, l := range lookups {
		if l.flight == nil && l.entry.State == cache.Leased {
			l.flight = r.flights.start(l.key(keys(view.Epoch)))
		}
	}
}

// seal lets nobody join the flights of these lookups any more.
func (r *records) seal(view cache.View, lookups []*lookup) {
	for _, l := range lookups {
		if l.flight != nil {
			r.flights.seal(l.key(keys(view.Epoch)), l.flight)
		}
	}
}

// land tells those who joined how the flights ended.
func (r *records) land(lookups []*lookup) {
	for _, l := range lookups {
		if l.flight != nil {
			close(l.flight.landed)
			l.flight = nil
		}
	}
}

// join waits, for so long at most, for the readers that have the leases, and
// returns the lookups that they did not answer. Readers elsewhere cannot be
// joined; their fills are seen in the cache.
func (r *records) join(ctx context.Context, view cache.View, busy []*lookup, wait time.Duration) (open []*lookup, err error) {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	over := false
	for _, l := range busy {
		f := r.flights.of(l.key(keys(view.Epoch)))
		var landed chan struct{} // nil, which is never ready, where there is nobody to join
		if f != nil {
			landed = f.landed
		}
		if !over {
			select {
			case <-landed:
			case <-timer.C:
				over = true
			case <-ctx.Done():
				over = true
			}
		}
		if f == nil || over || !f.certified {
			open = append(open, l)
			continue
		}
		switch {
		case f.value != nil && l.decode(f.value):
			r.count([]*lookup{l}, "hit")
		case f.value == nil && l.absent != nil:
			r.count([]*lookup{l}, "negative")
			return nil, l.absent
		default:
			open = append(open, l)
		}
	}
	return open, nil
}
