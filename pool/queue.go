package pool

import (
	"container/list"
	"context"
	"fmt"
	"time"
)

// loan is one call's use of a connection.
type loan[C Conn] struct {
	member *member[C]
	term   int64 // Ejections of the endpoint when the loan began, see record
}

// waiter is a call that waits for a slot. Once served is closed it has either
// a loan or an error, and no longer a place.
type waiter[C Conn] struct {
	avoid  string
	since  time.Time
	place  *list.Element // in Pool.waiters; nil: not there any more
	served chan struct{}
	loan   loan[C]
	err    error
}

// get borrows a slot and tells the trace how long that took.
func (p *Pool[C]) get(ctx context.Context, avoid string) (loan[C], error) {
	if p.cfg.Trace.Got == nil {
		return p.borrow(ctx, avoid)
	}
	start := time.Now()
	l, err := p.borrow(ctx, avoid)
	p.cfg.Trace.Got(ctx, time.Since(start), err)
	return l, err
}

// borrow takes a free slot or waits for one. Nobody overtakes those who wait.
func (p *Pool[C]) borrow(ctx context.Context, avoid string) (loan[C], error) {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return loan[C]{}, ErrClosed
	}
	if ctx.Err() != nil {
		p.mu.Unlock()
		return loan[C]{}, gaveUp(ctx)
	}
	if p.waiters.Len() == 0 {
		if m := p.pick(avoid); m != nil {
			defer p.mu.Unlock()
			return p.lend(m), nil
		}
	}
	w, err := p.enqueue(avoid)
	p.mu.Unlock()
	if err != nil {
		return loan[C]{}, err
	}
	return p.wait(ctx, w)
}

// gaveUp is the error of a call whose context ended before it had a slot.
func gaveUp(ctx context.Context) error {
	return fmt.Errorf("wait for a connection: %w", ctx.Err())
}

// lend books a call on a connection that pick chose.
func (p *Pool[C]) lend(m *member[C]) loan[C] {
	m.borrowed++
	m.endpoint.free--
	p.lent++
	return loan[C]{member: m, term: m.endpoint.counts.Ejections}
}

// put records how the call went, gives the slot back and tells the trace how
// long that took.
func (p *Pool[C]) put(ctx context.Context, l loan[C], r result) {
	var start time.Time
	if p.cfg.Trace.Put != nil {
		start = time.Now()
	}
	p.mu.Lock()
	l.member.endpoint.record(l.term, r) // before the slot is handed on
	p.giveBack(l)
	p.mu.Unlock()
	if p.cfg.Trace.Put != nil {
		p.cfg.Trace.Put(ctx, time.Since(start))
	}
}

// giveBack ends a loan; the slot goes to the first waiter.
func (p *Pool[C]) giveBack(l loan[C]) {
	l.member.borrowed--
	if !l.member.out {
		l.member.endpoint.free++
	}
	p.lent--
	p.grant()
	if p.waiters.Len() > 0 && l.member.endpoint.free > 0 {
		l.member.endpoint.kick() // the caller gave up, the answer is still owed: watch for it
	}
	if p.closed && p.lent == 0 {
		close(p.idle)
	}
}

// first is the waiter who is next, or nil.
func (p *Pool[C]) first() *waiter[C] {
	if front := p.waiters.Front(); front != nil {
		return front.Value.(*waiter[C])
	}
	return nil
}

// enqueue puts a call at the end of the queue.
func (p *Pool[C]) enqueue(avoid string) (*waiter[C], error) {
	if p.waiters.Len() >= p.cfg.MaxWaiters {
		return nil, p.refusal(fmt.Sprintf("%d calls wait already", p.waiters.Len()))
	}
	w := &waiter[C]{avoid: avoid, since: time.Now(), served: make(chan struct{})}
	w.place = p.waiters.PushBack(w)
	for _, e := range p.endpoints {
		if e.free > 0 {
			e.kick() // its connections owe answers: watch for them
		}
	}
	return w, nil
}

// dequeue takes a waiter out of the queue.
func (p *Pool[C]) dequeue(w *waiter[C]) {
	p.waiters.Remove(w.place)
	w.place = nil
}

// grant hands free slots to the waiters, the oldest first.
func (p *Pool[C]) grant() {
	for w := p.first(); w != nil; w = p.first() {
		m := p.pick(w.avoid)
		if m == nil {
			return
		}
		p.dequeue(w)
		w.loan = p.lend(m)
		m.endpoint.counts.WaitCount++
		m.endpoint.counts.WaitDuration += time.Since(w.since)
		close(w.served)
	}
}

// wait returns when the waiter was served, its context ended, or it has waited
// long enough.
func (p *Pool[C]) wait(ctx context.Context, w *waiter[C]) (loan[C], error) {
	timer := time.NewTimer(min(p.cfg.MaxWait, p.cfg.FailFast))
	defer timer.Stop()
	for {
		select {
		case <-w.served:
			return w.loan, w.err
		case <-ctx.Done():
			return loan[C]{}, p.abandon(ctx, w)
		case <-timer.C:
			again, err := p.review(w, time.Now())
			if err != nil {
				return loan[C]{}, err
			}
			timer.Reset(again)
		}
	}
}

// abandon takes a waiter whose context ended out of the queue. Should it have
// been handed a slot meanwhile, the slot goes to the next.
func (p *Pool[C]) abandon(ctx context.Context, w *waiter[C]) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case w.place != nil:
		p.dequeue(w)
	case w.err == nil:
		p.giveBack(w.loan)
	}
	return gaveUp(ctx)
}

// review tells a waiter how long to wait before it asks again, or takes it out
// of the queue with an error. It is asked first after FailFast and then at least
// as often, so it finds out in time when everything went down during the wait.
func (p *Pool[C]) review(w *waiter[C], now time.Time) (time.Duration, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.place == nil {
		return p.cfg.MaxWait, nil // served this very moment
	}
	last, again := w.since.Add(p.cfg.MaxWait), now.Add(p.cfg.FailFast)
	if !p.downSince.IsZero() {
		again = p.downSince.Add(p.cfg.FailFast)
	}
	again = earlier(again, last)
	if again.After(now) {
		return again.Sub(now), nil
	}
	p.dequeue(w)
	return 0, p.refusal(fmt.Sprintf("none came within %v", now.Sub(w.since)))
}

// refusal is the error of a call that gets no slot: ErrBusy when there are
// connections, otherwise ErrUnavailable.
func (p *Pool[C]) refusal(why string) error {
	if p.reachable() {
		p.busy++
		return fmt.Errorf("%w: %s", ErrBusy, why)
	}
	p.unavailable++
	if p.lastErr == nil {
		return fmt.Errorf("%w: %s", ErrUnavailable, why)
	}
	return fmt.Errorf("%w: %s: %w", ErrUnavailable, why, p.lastErr)
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
