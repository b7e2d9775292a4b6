package stresstest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// maxWait is how long a due request waits for a free worker before it is
// given up as not sent.
const maxWait = 10 * time.Second

// engine sends the requests of a schedule with a fixed number of workers.
//
// A worker takes the number of the next request before it is due and sleeps
// until then, so that no dispatcher stands between the clock and the request.
// While every worker is busy nobody takes a number; the worker that becomes
// free first takes the oldest, late, and the wait is part of its latency. A
// request counts as not sent when it has waited for maxWait, or when no worker
// was free from when it was due to the end of the schedule.
type engine struct {
	schedule schedule
	workers  int
	// picker returns a function for one worker that tells what request i is.
	picker func() func(i int64) request
	// doer returns what sends the requests of one worker, tells when each was
	// really sent and answered, and returns errNotSent where that took until
	// giveUp.
	doer func(worker int) func(ctx context.Context, r request, giveUp time.Time) (times, error)
	// think draws how long a worker rests after an answer; nil for not at all.
	think func(worker int) func() time.Duration
	// record is told of every request that is over, by the worker's number.
	record func(worker int, r result)
	// punctual keeps timers from being late.
	punctual bool

	next atomic.Int64 // the request that the next worker takes
}

// result is a request that is over.
type result struct {
	request
	// latency counts from when the request was due, service from when it was
	// sent, both to the end of its answer.
	latency, service time.Duration
	// err is why it did not succeed; errNotSent leaves the times 0.
	err error
	// section is that of the schedule in which it was due.
	section int
	// waited tells that a worker waited for the moment at which it was due,
	// and lag how much later that worker went on: what the driver itself adds.
	waited bool
	lag    time.Duration
}

// run sends the whole schedule, which starts at t0, and waits for the
// answers. When ctx ends no more requests are sent, and those in flight are
// broken off and not counted at all.
func (e *engine) run(ctx context.Context, t0 time.Time) {
	var workers sync.WaitGroup
	count := e.schedule.count()
	for worker := range e.workers {
		workers.Go(func() { e.work(ctx, worker, t0, count) })
	}
	stop, stopped := context.WithCancel(ctx)
	var helper sync.WaitGroup
	if e.punctual {
		helper.Go(func() { wakeOften(stop, &e.schedule, t0) })
	}
	workers.Wait()
	stopped()
	helper.Wait()
}

// work is one worker.
func (e *engine) work(ctx context.Context, worker int, t0 time.Time, count int64) {
	w := shift{engine: e, worker: worker, pick: e.picker(), do: e.doer(worker), end: t0.Add(e.schedule.duration), timer: time.NewTimer(time.Hour)}
	defer w.timer.Stop()
	rest := e.think(worker)
	for i := e.next.Add(1) - 1; i < count; i = e.next.Add(1) - 1 {
		at := e.schedule.due(i)
		due, now := t0.Add(at), time.Now()
		res := result{section: e.schedule.section(at)}
		switch wait := due.Sub(now); {
		case wait > 0:
			if !w.sleep(ctx, wait) {
				return
			}
			res.waited, res.lag = true, time.Since(due)
		case ctx.Err() != nil, -wait > maxWait, !now.Before(w.end):
			res.request, res.err = w.pick(i), errNotSent
			e.record(worker, res)
			continue
		}
		res.request = w.pick(i)
		w.send(ctx, res, due)
		if rest != nil && !w.sleep(ctx, min(rest(), time.Until(w.end))) {
			return
		}
	}
}

// shift is what one worker has in its hands during a run.
type shift struct {
	*engine
	worker int
	pick   func(i int64) request
	do     func(ctx context.Context, r request, giveUp time.Time) (times, error)
	end    time.Time // of the schedule
	timer  *time.Timer
}

// sleep reports false if ctx ended meanwhile.
func (w *shift) sleep(ctx context.Context, d time.Duration) bool {
	w.timer.Reset(d)
	select {
	case <-w.timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// send sends a request that is due.
func (w *shift) send(ctx context.Context, r result, due time.Time) {
	giveUp := due.Add(maxWait)
	if w.end.Before(giveUp) {
		giveUp = w.end
	}
	t, err := w.do(ctx, r.request, giveUp)
	r.err = err
	switch {
	case errors.Is(err, errNotSent):
		w.record(w.worker, r)
	case err != nil && ctx.Err() != nil: // broken off
	default:
		r.latency, r.service = t.done.Sub(due), t.done.Sub(t.sent)
		w.record(w.worker, r)
	}
}

// waiting returns how many requests are due, elapsed after the start, and
// wait for a worker.
func (e *engine) waiting(elapsed time.Duration) int64 {
	return max(0, e.schedule.dueBy(elapsed)-e.next.Load())
}
