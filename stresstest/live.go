package stresstest

import (
	"context"
	"fmt"
	"time"
)

// Phases of a run, in their order.
const (
	PhaseLogin  = "login"   // accounts are logged in before the clock starts
	PhaseWarmup = "warm-up" // requests are sent and not counted
	PhaseRun    = "run"     // requests are measured
)

// LiveLine is what a run tells once a second while it goes on.
type LiveLine struct {
	// Phase is one of the constants.
	Phase string
	// Elapsed is the time since the phase began.
	Elapsed time.Duration

	// Done and Of are how many accounts are logged in and how many will be.
	// Only PhaseLogin has them, and it has nothing else.
	Done, Of int

	// Rate is how many answers a second came since the line before, failures
	// among them.
	Rate float64
	// P50 and P99 are the latencies of the right answers among them, 0 for none.
	P50, P99 time.Duration
	// Errors is how many of them were failures.
	Errors int64
	// Waiting is how many requests are due and wait for a worker now, NotSent
	// how many have been given up since the line before.
	Waiting, NotSent int64
}

// String returns the line as a person reads it.
func (l LiveLine) String() string {
	at := fmt.Sprintf("%-7s %6s", l.Phase, l.Elapsed.Round(time.Second))
	if l.Phase == PhaseLogin {
		return fmt.Sprintf("%s  %d of %d accounts logged in", at, l.Done, l.Of)
	}
	return fmt.Sprintf("%s  %8.1f/s  p50 %9s ms  p99 %9s ms  errors %d  waiting %d  not sent %d",
		at, l.Rate, showMS(milliseconds(l.P50)), showMS(milliseconds(l.P99)), l.Errors, l.Waiting, l.NotSent)
}

// Moment is one second of a run, as a report keeps it.
type Moment struct {
	// Second is when it ended, counted from the start of the run.
	Second float64 `json:"second"`
	// Rate is answers a second, failures among them.
	Rate    float64 `json:"rate"`
	P50     float64 `json:"p50_ms"`
	P99     float64 `json:"p99_ms"`
	Errors  int64   `json:"errors"`
	Waiting int64   `json:"waiting"`
	NotSent int64   `json:"not_sent"`
}

func (l LiveLine) moment() Moment {
	return Moment{Second: l.Elapsed.Seconds(), Rate: l.Rate, P50: milliseconds(l.P50), P99: milliseconds(l.P99),
		Errors: l.Errors, Waiting: l.Waiting, NotSent: l.NotSent}
}

// minMoment is the shortest time that the last line may be of. A rate over
// less of it says nothing.
const minMoment = 500 * time.Millisecond

// watcher takes once a second what a phase has counted.
type watcher struct {
	phase string
	rec   *recorder
	e     *engine
	// tell is told of each second; keep may look at what rec took in it.
	tell func(LiveLine)
	keep func(to time.Duration)
}

// watch tells from t0 until ctx ends.
func (w *watcher) watch(ctx context.Context, t0 time.Time) {
	last := t0
	line := func() {
		now := time.Now()
		w.rec.take()
		t := w.rec.all
		w.tell(LiveLine{Phase: w.phase, Elapsed: now.Sub(t0), Rate: float64(t.finished) / now.Sub(last).Seconds(),
			P50: t.latency.quantile(50), P99: t.latency.quantile(99),
			Errors: t.failed, Waiting: w.e.waiting(now.Sub(t0)), NotSent: t.notSent})
		w.keep(now.Sub(t0))
		last = now
	}
	timer := time.NewTimer(time.Until(t0.Add(time.Second)))
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
			line()
			timer.Reset(time.Second - last.Sub(t0)%time.Second)
		case <-ctx.Done():
			if time.Since(last) >= minMoment {
				line()
			}
			return
		}
	}
}
