package throttle

import "time"

// A budget is a limit with the state of everybody under it, kept by the Generic Cell Rate Algorithm (ITU-T I.371): all
// that is known of a key is the time at which it will have recovered in full, its theoretical arrival time. An event
// moves that time on by one interval; it may not move beyond burst intervals from now.
type budget struct {
	scope    Scope
	off      bool
	interval time.Duration // recovers one event
	full     time.Duration // recovers a used-up burst
	start    time.Time
	now      func() time.Time
	table    *table
}

func newBudget(scope Scope, limit Limit, now func() time.Time) *budget {
	if limit.off {
		return &budget{scope: scope, off: true}
	}
	interval := limit.interval()
	return &budget{
		scope:    scope,
		interval: interval,
		full:     interval * time.Duration(limit.burst),
		start:    now(),
		now:      now,
		table:    newTable(),
	}
}

// key returns the number that stands for a name in this budget, 0 when the limit is off.
func (b *budget) key(name string) uint64 {
	if b.off {
		return 0
	}
	return b.table.key(name)
}

// clock is the time since the budget was made, which a change of the wall clock does not touch.
func (b *budget) clock() time.Duration { return b.now().Sub(b.start) }

// check returns a LimitedError if take would, and takes nothing.
func (b *budget) check(key uint64) error {
	if b.off {
		return nil
	}
	now := b.clock()
	return b.allow(b.table.find(key, now)+b.interval, now)
}

// take takes one event and returns the time at which it will be recovered, or a LimitedError.
func (b *budget) take(key uint64) (until time.Duration, err error) {
	if b.off {
		return 0, nil
	}
	now := b.clock()
	b.table.update(key, now, func(recovered time.Duration) time.Duration {
		until = recovered + b.interval
		if err = b.allow(until, now); err != nil {
			return recovered
		}
		return until
	})
	return until, err
}

// allow returns a LimitedError if an event that moves full recovery to until must not happen now.
func (b *budget) allow(until, now time.Duration) error {
	if wait := until - now - b.full; wait > 0 {
		return &LimitedError{Scope: b.scope, RetryAfter: wait}
	}
	return nil
}

// giveBack undoes a take, except for what has been recovered since.
func (b *budget) giveBack(key uint64, until time.Duration) {
	if b.off {
		return
	}
	now := b.clock()
	unused := min(until-now, b.interval)
	if unused <= 0 {
		return
	}
	b.table.update(key, now, func(recovered time.Duration) time.Duration { return recovered - unused })
}
