package stresstest

import (
	"context"
	"runtime"
	"syscall"
	"time"
)

const (
	// minNap bounds how often wakeOften wakes. A process that sends more
	// often is awake anyway.
	minNap = 50 * time.Microsecond
	// maxNap bounds how long it sleeps after ctx has ended.
	maxNap = 100 * time.Millisecond
)

// wakeOften wakes the process when each request is due, until ctx ends or
// the schedule does. An idle Go process sleeps in epoll_wait, which counts in
// whole milliseconds, so that its timers are half a millisecond late on
// average: more than many an answer takes. nanosleep is exact to about 50 µs,
// and whichever thread wakes looks at the timers.
func wakeOften(ctx context.Context, s *schedule, t0 time.Time) {
	for i, count := int64(0), s.count(); i < count && ctx.Err() == nil; {
		nap := time.Until(t0.Add(s.due(i)))
		if nap < minNap {
			i++
			continue
		}
		pause := syscall.NsecToTimespec(int64(min(nap, maxNap)))
		// Interrupted by a signal it ends early, and goes on here.
		_ = syscall.Nanosleep(&pause, nil)
		runtime.Gosched()
	}
}
