package stresstest_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/stresstest"
)

// load is a run of profile reads that need no login.
func load(t *testing.T, rate float64, duration time.Duration, workers int) stresstest.Config {
	return stresstest.Config{Rate: rate, Duration: duration, Workers: workers, Users: 50,
		Mix: mix(t, "profile=1"), SessionKey: sessionKey}
}

// same compares percentiles with those of the exact times, by nearest rank.
// Reports round up by at most 0.1 %, and to no less than a microsecond.
func same(t *testing.T, what string, got stresstest.Percentiles, times []time.Duration) {
	t.Helper()
	slices.Sort(times)
	at := func(percent float64) float64 {
		return ms(times[max(0, int(math.Ceil(percent*float64(len(times))/100-1e-9))-1)])
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{
		{"p50", got.P50, at(50)}, {"p90", got.P90, at(90)}, {"p95", got.P95, at(95)},
		{"p99", got.P99, at(99)}, {"p999", got.P999, at(99.9)}, {"max", got.Max, at(100)},
	} {
		if c.got < c.want || c.got > c.want*1.001+0.001 {
			t.Errorf("%s: %s is %v ms, want %v", what, c.name, c.got, c.want)
		}
	}
}

func TestLatencyCountsFromTheScheduleWhileTheTargetStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const usual = 3 * time.Millisecond
		t0 := time.Now().Add(stresstest.LeadTime)
		s := newSite(50)
		// From 1 s to 1.5 s nothing is answered.
		s.before = func(http.ResponseWriter, *http.Request) bool {
			if in := time.Since(t0); in >= time.Second && in < 1500*time.Millisecond {
				time.Sleep(1500*time.Millisecond - in)
			}
			time.Sleep(usual)
			return false
		}
		// Twice as many workers as requests become due in the stall.
		r := run(t, s, load(t, 200, 4*time.Second, 200))
		var want []time.Duration
		for i := range int64(800) {
			due, wait := stresstest.Due(200, i), time.Duration(0)
			if due >= time.Second && due < 1500*time.Millisecond {
				wait = 1500*time.Millisecond - due
			}
			want = append(want, wait+usual)
		}
		same(t, "latency", r.Total.Latency, want)
		same(t, "service time", r.Total.Service, want) // every one was sent when it was due
		if r.Total.Count != 800 || r.NotSent != 0 || r.Checked != 800 || r.Wrong != 0 || r.RateAchieved != 200 || r.Total.Succeeded != 800 {
			t.Errorf("count %d, not sent %d, checked %d, wrong %d, achieved %v/s", r.Total.Count, r.NotSent, r.Checked, r.Wrong, r.RateAchieved)
		}
	})
}

func TestWarmUpIsSentAndNotCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		start := time.Now()
		var mu sync.Mutex
		var accounts [2][]int
		s.before = func(_ http.ResponseWriter, r *http.Request) bool {
			part := 0
			if time.Since(start) >= 2*time.Second {
				part = 1
			}
			mu.Lock()
			accounts[part] = append(accounts[part], number(r))
			mu.Unlock()
			if part == 0 {
				time.Sleep(time.Second)
			}
			return false
		}
		cfg := load(t, 100, time.Second, 500)
		cfg.Warmup = 2 * time.Second
		phases := map[string]int{}
		cfg.Live = func(l stresstest.LiveLine) { phases[l.Phase]++ }
		r := run(t, s, cfg)
		if len(accounts[0]) != 200 || len(accounts[1]) != 100 || r.Total.Count != 100 || r.WarmupS != 2 {
			t.Errorf("%d requests came in the warm-up and %d after it, %d were counted", len(accounts[0]), len(accounts[1]), r.Total.Count)
		}
		if r.Total.Latency.Max > 0.001 {
			t.Errorf("the slowest counted took %v ms, like those of the warm-up", r.Total.Latency.Max)
		}
		if slices.Equal(accounts[0][:100], accounts[1]) {
			t.Error("the warm-up asks for the same accounts as what is measured")
		}
		// The last answers of the warm-up come a second after its end.
		if phases[stresstest.PhaseWarmup] != 3 || phases[stresstest.PhaseRun] != 1 {
			t.Errorf("lines by phase: %v", phases)
		}
	})
}

func TestLiveLineTellsOfTheLastSecond(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t0 := time.Now().Add(stresstest.LeadTime)
		s := newSite(50)
		s.before = func(w http.ResponseWriter, _ *http.Request) bool {
			in := time.Since(t0)
			if in < time.Second {
				time.Sleep(5 * time.Millisecond)
				return false
			}
			if in < 2*time.Second {
				refuse(w, 500, "internal")
				return true
			}
			time.Sleep(time.Until(t0.Add(4500 * time.Millisecond)))
			return false
		}
		var lines []stresstest.LiveLine
		cfg := load(t, 10, 5*time.Second, 10)
		cfg.Live = func(l stresstest.LiveLine) { lines = append(lines, l) }
		r := run(t, s, cfg)
		want := []stresstest.LiveLine{
			{Rate: 10, P50: 5 * time.Millisecond, P99: 5 * time.Millisecond},
			{Rate: 10, Errors: 10},
			{Waiting: 1},
			{Waiting: 11}, // the workers have taken those due up to 2.9 s
		}
		if len(lines) < len(want) || len(lines) != len(r.Timeline) {
			t.Fatalf("%d lines and %d moments, want at least %d", len(lines), len(r.Timeline), len(want))
		}
		for i, want := range want {
			l := lines[i]
			// What is due at a whole second may be answered before or after it.
			if math.Abs(l.Rate-want.Rate) > 1 || max(l.Errors-want.Errors, want.Errors-l.Errors) > 1 || l.Waiting != want.Waiting ||
				l.P50.Round(100*time.Microsecond) != want.P50 || l.P99.Round(100*time.Microsecond) != want.P99 ||
				l.Elapsed != time.Duration(i+1)*time.Second || l.Phase != stresstest.PhaseRun {
				t.Errorf("line %d is %+v, want %+v", i, l, want)
			}
			if m := r.Timeline[i]; m.Second != float64(i+1) || m.Errors != l.Errors || m.Waiting != l.Waiting || m.Rate != l.Rate || m.P99 != ms(l.P99) {
				t.Errorf("moment %d is %+v, the line was %+v", i, m, l)
			}
		}
	})
}

func TestEachFinishedRequestIsObserved(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		var asked atomic.Int64
		s.before = func(w http.ResponseWriter, _ *http.Request) bool {
			time.Sleep(20 * time.Millisecond)
			if asked.Add(1)%4 == 0 {
				refuse(w, 503, "overloaded")
				return true
			}
			return false
		}
		var mu sync.Mutex
		codes := map[string]int64{}
		cfg := load(t, 100, time.Second, 1)
		cfg.Warmup = time.Second // which is not
		cfg.Observe = func(o stresstest.Observation) {
			mu.Lock()
			defer mu.Unlock()
			codes[o.Code]++
			if o.Op != "profile" || o.Service != 20*time.Millisecond || o.Latency < o.Service {
				t.Errorf("observed %+v", o)
			}
		}
		r := run(t, s, cfg)
		if codes[""] != r.Total.Succeeded || codes["overloaded"] != r.Total.Errors["overloaded"] || len(codes) != 2 || r.NotSent == 0 {
			t.Errorf("observed %v, the report has %+v", codes, r.Total)
		}
	})
}

func TestInterruptedRunReportsWhatItMeasured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 2450*time.Millisecond+stresstest.LeadTime, errors.New("enough"))
		defer cancel()
		s.before = func(http.ResponseWriter, *http.Request) bool { time.Sleep(300 * time.Millisecond); return false }
		r, err := try(t, ctx, s, load(t, 10, time.Hour, 4))
		if !errors.Is(err, context.DeadlineExceeded) || r == nil {
			t.Fatalf("report %v, error %v", r, err)
		}
		// Those sent at 2.2, 2.3 and 2.4 s are broken off.
		if !r.Interrupted || r.DurationS != 2.45 || r.Total.Count != 22 || r.NotSent != 0 || len(r.Total.Errors) != 0 {
			t.Errorf("interrupted %v, %v s, %d requests, %d not sent, errors %v", r.Interrupted, r.DurationS, r.Total.Count, r.NotSent, r.Total.Errors)
		}
		if r.RateAchieved != 22/2.45 {
			t.Errorf("achieved %v/s", r.RateAchieved)
		}
	})
}

func TestRunThatEndsBeforeTheMeasuredPartHasNoReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		cfg := load(t, 10, time.Hour, 4)
		cfg.Warmup = time.Minute
		if r, err := try(t, ctx, newSite(50), cfg); r != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("report %v, error %v", r, err)
		}
	})
}
