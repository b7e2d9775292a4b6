package pool

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxEndpoints bounds what a resolver can make the pool dial.
const maxEndpoints = 256

// Fixed is a Config.Endpoints that always answers the same addresses.
func Fixed(addrs ...string) func(context.Context) ([]string, error) {
	addrs = slices.Clone(addrs)
	return func(context.Context) ([]string, error) { return addrs, nil }
}

// resolve keeps the list of endpoints up to date until the pool is closed.
func (p *Pool[C]) resolve() {
	for failures := 0; ; {
		addrs, err := p.lookUp()
		if err == nil {
			failures = 0
		} else {
			failures++
		}
		select {
		case <-time.After(p.adopt(addrs, err, failures)):
		case <-p.lookNow:
		case <-p.work.Done():
			return
		}
	}
}

// lookUp asks for the addresses once and drops duplicates.
func (p *Pool[C]) lookUp() ([]string, error) {
	ctx, cancel := context.WithTimeout(p.work, p.cfg.DialTimeout)
	defer cancel()
	found, err := p.cfg.Endpoints(ctx)
	if err != nil {
		return nil, fmt.Errorf("resolve endpoints: %w", err)
	}
	found = slices.Compact(slices.Sorted(slices.Values(found)))
	switch {
	case len(found) == 0:
		return nil, errors.New("resolve endpoints: the list is empty")
	case len(found) > maxEndpoints:
		return nil, fmt.Errorf("resolve endpoints: %d addresses, at most %d are allowed", len(found), maxEndpoints)
	}
	return found, nil
}

// adopt makes the pool follow a resolution and tells when the next is due.
func (p *Pool[C]) adopt(addrs []string, err error, failures int) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return p.cfg.ResolveEvery // work has ended, nobody will wait for that
	}
	if err == nil {
		p.follow(addrs)
	} else if len(p.endpoints) == 0 {
		p.lastErr = err
	}
	p.noteReach(time.Now())
	select {
	case <-p.lookNow: // this was the look
	default:
	}
	p.grant() // an ejected endpoint may have become the last one
	switch {
	case err != nil:
		return min(p.cfg.backoff(failures), p.cfg.ResolveEvery)
	case !p.downSince.IsZero():
		return min(p.cfg.spread(p.cfg.BackoffMax), p.cfg.ResolveEvery)
	default:
		return p.cfg.ResolveEvery
	}
}

// follow starts the endpoints that are new and drains those that are gone.
func (p *Pool[C]) follow(addrs []string) {
	old := p.endpoints
	p.endpoints = make([]*endpoint[C], 0, len(addrs))
	for _, a := range addrs {
		i := slices.IndexFunc(old, func(e *endpoint[C]) bool { return e.address == a })
		if i >= 0 {
			p.endpoints = append(p.endpoints, old[i])
		} else {
			p.endpoints = append(p.endpoints, p.startEndpoint(a))
		}
	}
	for _, e := range old {
		if !slices.Contains(p.endpoints, e) {
			e.remove()
		}
	}
}

// noteReach keeps downSince up to date. Going down makes the resolver look again at once:
// the endpoints may have moved.
func (p *Pool[C]) noteReach(now time.Time) {
	switch {
	case !p.down():
		p.downSince = time.Time{}
	case p.downSince.IsZero():
		p.downSince = now
		select {
		case p.lookNow <- struct{}{}:
		default: // already told
		}
	}
}

// down tells whether no endpoint has a connection and each one is in trouble.
// Right after the start, or after a loss whose first dial is still under way,
// there is hope, and the pool is not down.
func (p *Pool[C]) down() bool {
	for _, e := range p.endpoints {
		if len(e.members) > 0 || !e.troubled {
			return false
		}
	}
	return len(p.endpoints) > 0 || p.lastErr != nil
}
