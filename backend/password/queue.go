package password

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

var (
	// ErrOverloaded means that there was no worker in time and nothing was hashed. The error is an *OverloadedError.
	ErrOverloaded = errors.New("password hashing is overloaded")
	// ErrClosed means that the Hasher was closed before the work began.
	ErrClosed = errors.New("password hashing is closed")
)

// OverloadedError is an ErrOverloaded that says when to come back.
type OverloadedError struct {
	RetryAfter time.Duration // in which the present queue should be worked off
}

func (e *OverloadedError) Error() string {
	return fmt.Sprintf("%v, retry after %v", ErrOverloaded, e.RetryAfter.Round(time.Millisecond))
}

// Is makes errors.Is(err, ErrOverloaded) true.
func (e *OverloadedError) Is(target error) bool { return target == ErrOverloaded }

const (
	// maxQueued bounds the memory of the queue however quick a hash is.
	maxQueued = 1024
	// minQueuedPerWorker lets a short burst wait even where one hash takes longer than the longest wait.
	minQueuedPerWorker = 2
)

// A queue runs work on a fixed number of workers. It admits only what it expects to begin within maxWait and to end
// before the caller's deadline, which makes its length workers × maxWait / service time.
//
// It serves the oldest first. While the oldest has waited for more than half of maxWait it is overloaded and serves the
// newest first: then some callers are answered quickly and the others not at all, where first come, first served would
// answer all of them just too late (adaptive LIFO: Maurer, "Fail at Scale", ACM Queue 13(8), 2015). That it is merely
// never empty does not count: a queue worked at four fifths of its capacity is not for seconds, and serves everybody.
type queue struct {
	workers int
	maxWait time.Duration
	trace   Trace
	ended   sync.WaitGroup // the workers

	mu      sync.Mutex // guards the fields below
	wake    *sync.Cond // on mu: a job is waiting, or the queue is closed
	waiting []*job     // the oldest first
	busy    int        // workers at work
	service time.Duration
	closed  bool
}

// A job is one piece of work and the caller waiting for it.
type job struct {
	ctx       context.Context
	work      func()
	submitted time.Time
	done      chan struct{} // closed when err is set and nothing more will happen
	err       error
}

func newQueue(workers int, maxWait, service time.Duration, trace Trace) *queue {
	q := &queue{workers: workers, maxWait: maxWait, service: service, trace: trace}
	q.wake = sync.NewCond(&q.mu)
	for range workers {
		q.ended.Go(q.run)
	}
	return q
}

// do runs work on a worker. When it returns an error, work was not begun, or its caller's context ended during it.
func (q *queue) do(ctx context.Context, work func()) error {
	j := &job{ctx: ctx, work: work, submitted: time.Now(), done: make(chan struct{})}
	if err := q.admit(j); err != nil {
		return err
	}
	patience := time.NewTimer(q.maxWait)
	defer patience.Stop()
	for {
		select {
		case <-j.done:
			return j.err
		case <-ctx.Done():
			q.withdraw(j)
			return ctx.Err()
		case <-patience.C:
			// A job that has begun is past waiting: its end is near.
			if err := q.withdraw(j); err != nil {
				return err
			}
		}
	}
}

// admit puts the job into the queue, or says why not.
func (q *queue) admit(j *job) error {
	if err := j.ctx.Err(); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return ErrClosed
	}
	if !q.canServe(j) {
		return q.overloaded()
	}
	q.waiting = append(q.waiting, j)
	q.wake.Signal()
	return nil
}

// canServe reports whether the job may enter the queue; mu is held. An idle worker takes any job: were it refused for
// the measured service time, one slow measurement could refuse everything for ever.
func (q *queue) canServe(j *job) bool {
	wait := q.expectedWait()
	if wait == 0 {
		return true
	}
	if deadline, ok := j.ctx.Deadline(); ok && j.submitted.Add(wait+q.service).After(deadline) {
		return false
	}
	if len(q.waiting) < minQueuedPerWorker*q.workers {
		return true
	}
	return wait <= q.maxWait && len(q.waiting) < maxQueued
}

// expectedWait is the time until a job that comes now would begin, oldest first; mu is held.
func (q *queue) expectedWait() time.Duration {
	before := len(q.waiting) + q.busy - q.workers + 1 // jobs that must end first
	if before <= 0 {
		return 0
	}
	// With a service time below the clock's resolution, a wait must still not look like an idle worker.
	return max(1, q.service*time.Duration(before)/time.Duration(q.workers))
}

// overloaded returns the refusal; mu is held.
func (q *queue) overloaded() error {
	return &OverloadedError{RetryAfter: max(q.expectedWait(), q.service)}
}

// withdraw takes the job out of the queue and returns an OverloadedError, or nil when the job is no longer there.
func (q *queue) withdraw(j *job) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.waiting, j)
	if i < 0 {
		return nil
	}
	q.waiting = slices.Delete(q.waiting, i, i+1)
	return q.overloaded()
}

// run is a worker.
func (q *queue) run() {
	for {
		j, ok := q.next()
		if !ok {
			return
		}
		q.serve(j)
		close(j.done)
	}
}

// next waits for a job and takes it. It reports false when the queue is closed.
func (q *queue) next() (*job, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting) == 0 {
		if q.closed {
			return nil, false
		}
		q.wake.Wait()
	}
	i := 0
	if time.Since(q.waiting[0].submitted) > q.maxWait/2 {
		i = len(q.waiting) - 1
	}
	j := q.waiting[i]
	q.waiting = slices.Delete(q.waiting, i, i+1)
	q.busy++
	return j, true
}

// serve does the work of a job whose caller is still waiting, and learns how long it took.
func (q *queue) serve(j *job) {
	var took time.Duration
	if j.err = j.ctx.Err(); j.err == nil {
		start := time.Now()
		if q.trace.Waited != nil {
			q.trace.Waited(j.ctx, start.Sub(j.submitted))
		}
		start = time.Now()
		j.work()
		took = time.Since(start)
		if q.trace.Worked != nil {
			q.trace.Worked(j.ctx, took)
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.busy--
	if j.err == nil {
		// A moving average over some eight jobs follows a change of load without believing a single pause.
		q.service += (took - q.service) / 8
	}
}

// close refuses the waiting jobs and waits for the workers.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	for _, j := range q.waiting {
		j.err = ErrClosed
		close(j.done)
	}
	q.waiting = nil
	q.wake.Broadcast()
	q.mu.Unlock()
	q.ended.Wait()
}
