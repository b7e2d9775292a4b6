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
	// do sends a request, tells when it was really sent, and returns
	// errNotSent where that took until giveUp.
	do func(ctx context.Context, r request, giveUp time.Time) (sent time.Time, err error)
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
		helper.Go(func() { wakeOften(stop, e.schedule, t0) })
	}
	workers.Wait()
	stopped()
	helper.Wait()
}

// work is one worker.
func (e *engine) work(ctx context.Context, worker int, t0 time.Time, count int64) {
	pick := e.picker()
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	end := t0.Add(e.schedule.duration)
	for i := e.next.Add(1) - 1; i < count; i = e.next.Add(1) - 1 {
		due, now := t0.Add(e.schedule.due(i)), time.Now()
		switch wait := due.Sub(now); {
		case wait > 0:
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		case ctx.Err() != nil, -wait > maxWait, !now.Before(end):
			e.record(worker, result{request: pick(i), err: errNotSent})
			continue
		}
		e.send(ctx, worker, pick(i), due, end)
	}
}

// send sends a request that is due.
func (e *engine) send(ctx context.Context, worker int, r request, due, end time.Time) {
	giveUp := due.Add(maxWait)
	if end.Before(giveUp) {
		giveUp = end
	}
	sent, err := e.do(ctx, r, giveUp)
	done := time.Now()
	switch {
	case errors.Is(err, errNotSent):
		e.record(worker, result{request: r, err: errNotSent})
	case err != nil && ctx.Err() != nil: // broken off
	default:
		e.record(worker, result{request: r, latency: done.Sub(due), service: done.Sub(sent), err: err})
	}
}

// waiting returns how many requests are due, elapsed after the start, and
// wait for a worker.
func (e *engine) waiting(elapsed time.Duration) int64 {
	return max(0, e.schedule.dueBy(elapsed)-e.next.Load())
}
