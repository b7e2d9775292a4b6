package stresstest

import (
	"math"
	"time"
)

// schedule says when each request of a run is due: request i at i/rate after
// the start, whatever became of those before it. Such a schedule is called
// open. A driver that waits for an answer before it sends the next request
// sends least when the target is slowest, and so does not see its worst
// moments ("coordinated omission", Gil Tene, "How NOT to Measure Latency").
type schedule struct {
	rate     float64       // requests a second
	duration time.Duration // requests are due before its end
}

// due returns when request i is due, counted from the start.
func (s schedule) due(i int64) time.Duration {
	return time.Duration(math.Round(float64(i) * float64(time.Second) / s.rate))
}

// count returns how many requests are due before the end.
func (s schedule) count() int64 {
	n := int64(math.Ceil(s.duration.Seconds() * s.rate))
	if n > 0 && s.due(n-1) >= s.duration {
		n-- // due rounds to nanoseconds, and may round the last one up to the end
	}
	return n
}

// dueBy returns how many requests are due up to elapsed after the start.
func (s schedule) dueBy(elapsed time.Duration) int64 {
	if elapsed < 0 {
		return 0
	}
	return min(s.count(), int64(elapsed.Seconds()*s.rate)+1)
}
