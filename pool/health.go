package pool

import (
	"context"
	"errors"
	"time"
)

// When an endpoint is ejected and for how long. Detection is quicker than the
// usual proxy's because there are few endpoints and many calls.
const (
	streakLimit = 5  // failures in a row
	windowSpan  = 10 // seconds looked back on
	windowCalls = 20 // calls within the window that allow a judgement
	ejectMin    = time.Second
	ejectMax    = 30 * time.Second
)

// result is what the outcome of a call says about its endpoint.
type result int

const (
	neutral result = iota // nothing: the caller gave up or panicked
	success
	failure
)

// judge tells what the error of a closure says about the endpoint. An error
// that is not a failure is an answer, and as good a sign of life as any.
func (p *Pool[C]) judge(err error) result {
	switch {
	case err == nil:
		return success
	case p.cfg.Failure(err):
		return failure
	case errors.Is(err, context.Canceled):
		return neutral
	default:
		return success
	}
}

// health is what is known about the calls of an endpoint.
type health struct {
	ejected bool
	until   time.Time // end of the ejection
	strikes int       // the next ejection lasts ejectMin doubled so often
	eased   time.Time // when the last ejection ended or strikes last fell
	streak  int       // failures in a row
	window  [windowSpan]tally
}

// tally counts the calls that ended in one second.
type tally struct {
	second          int // since the pool started
	calls, failures int
}

// count adds a call and tells whether the endpoint is bad.
func (h *health) count(second int, failed bool) (bad bool) {
	t := &h.window[second%windowSpan]
	if t.second != second {
		*t = tally{second: second}
	}
	t.calls++
	if !failed {
		h.streak = 0
		return false
	}
	t.failures++
	h.streak++
	return h.streak >= streakLimit || h.mostlyFailed(second)
}

// mostlyFailed tells whether half of enough calls failed within the window.
func (h *health) mostlyFailed(second int) bool {
	var calls, failures int
	for _, t := range h.window {
		if t.second > second-windowSpan {
			calls += t.calls
			failures += t.failures
		}
	}
	return calls >= windowCalls && 2*failures >= calls
}

// forget starts the judgement afresh.
func (h *health) forget() {
	h.streak, h.window = 0, [windowSpan]tally{}
}

// record counts the outcome of a call and ejects the endpoint when it is bad.
// Calls lent before the last ejection are skipped: they tell of the trouble
// that is already known and would eject the endpoint a second time for it.
func (e *endpoint[C]) record(term int64, r result) {
	if r == neutral || term != e.counts.Ejections {
		return
	}
	now := time.Now()
	bad := e.count(int(now.Sub(e.pool.started)/time.Second), r == failure)
	if r == success {
		e.ease(now)
	}
	if bad && e.pool.mayEject(e) {
		e.eject(now)
	}
}

// ease takes back one strike per window that an endpoint worked. A quicker
// pardon would let one that fails every other call off with a second each time.
func (e *endpoint[C]) ease(now time.Time) {
	if e.strikes > 0 && !e.ejected && now.Sub(e.eased) >= windowSpan*time.Second {
		e.strikes--
		e.eased = now
	}
}

// mayEject keeps at least half of the endpoints, and one with a connection.
func (p *Pool[C]) mayEject(e *endpoint[C]) bool {
	ejected := 1
	for _, o := range p.endpoints {
		if o.ejected {
			ejected++
		}
	}
	return !e.ejected && !e.stopped() && 2*ejected <= len(p.endpoints) && p.hasOther(e)
}

// eject leaves the endpoint out for a while.
func (e *endpoint[C]) eject(now time.Time) {
	long := doubled(ejectMin, e.strikes, ejectMax)
	e.ejected = true
	e.until = now.Add(min(e.pool.cfg.spread(long), ejectMax))
	e.counts.Ejections++
	if long < ejectMax {
		e.strikes++
	}
	e.kick() // its goroutine has a date to keep
}

// reinstate ends an ejection that is over.
func (e *endpoint[C]) reinstate(now time.Time) {
	if !e.ejected || now.Before(e.until) {
		return
	}
	e.ejected = false
	e.eased = now
	e.forget()
}
