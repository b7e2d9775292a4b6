package stresstest_test

import (
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/stresstest"
)

// simulate works out when requests are sent by so many workers that each are
// busy for service with one: latencies, and how many are not sent.
func simulate(rate float64, duration, service time.Duration, workers int) (latencies []time.Duration, notSent int64) {
	free := make([]time.Duration, workers)
	for i := range stresstest.Count(rate, duration) {
		due := stresstest.Due(rate, i)
		first := 0
		for w := range free {
			if free[w] < free[first] {
				first = w
			}
		}
		start := max(due, free[first])
		if start > due && (start >= duration || start-due > 10*time.Second) {
			notSent++
			continue
		}
		free[first] = start + service
		latencies = append(latencies, start+service-due)
	}
	return latencies, notSent
}

func TestDueRequestsWaitForAWorker(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rate              float64
		duration, service time.Duration
		workers           int
		sent, notSent     int64
	}{
		"until the end of the run": {200, 2 * time.Second, 100 * time.Millisecond, 10, 200, 200},
		"for ten seconds":          {1, 30 * time.Second, 9 * time.Second, 1, 4, 26},
		"not at all":               {100, time.Second, 95 * time.Millisecond, 10, 100, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(50)
				s.before = func(http.ResponseWriter, *http.Request) bool { time.Sleep(c.service); return false }
				r := run(t, s, load(t, c.rate, c.duration, c.workers))
				want, notSent := simulate(c.rate, c.duration, c.service, c.workers)
				if notSent != c.notSent || int64(len(want)) != c.sent {
					t.Fatalf("the simulation sends %d and not %d, the test knows %d and %d", len(want), notSent, c.sent, c.notSent)
				}
				if r.NotSent != c.notSent || r.Total.Count != c.sent || r.Ops["profile"].NotSent != c.notSent {
					t.Errorf("%d were sent and %d were not, want %d and %d", r.Total.Count, r.NotSent, c.sent, c.notSent)
				}
				if achieved := float64(c.sent) / c.duration.Seconds(); r.RateAchieved != achieved {
					t.Errorf("%v/s were achieved, want %v", r.RateAchieved, achieved)
				}
				same(t, "latency", r.Total.Latency, want)
				same(t, "service time", r.Total.Service, slices.Repeat([]time.Duration{c.service}, len(want)))
			})
		})
	}
}

func TestStallThatFewWorkersMeetIsInTheLatencyOfThoseThatWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rate, duration, workers = 200, 4 * time.Second, 10
		// From 1 s to 1.5 s nothing is answered, otherwise all within 3 ms.
		service := func(at time.Duration) time.Duration {
			if at >= time.Second && at < 1500*time.Millisecond {
				return 1503*time.Millisecond - at
			}
			return 3 * time.Millisecond
		}
		t0 := time.Now().Add(stresstest.LeadTime)
		s := newSite(50)
		s.before = func(http.ResponseWriter, *http.Request) bool { time.Sleep(service(time.Since(t0))); return false }
		r := run(t, s, load(t, rate, duration, workers))
		var latencies, services []time.Duration
		var free [workers]time.Duration
		for i := range stresstest.Count(rate, duration) {
			slices.Sort(free[:])
			due := stresstest.Due(rate, i)
			start := max(due, free[0])
			free[0] = start + service(start)
			latencies, services = append(latencies, free[0]-due), append(services, free[0]-start)
		}
		if r.NotSent != 0 || r.Total.Succeeded != 800 {
			t.Fatalf("%d sent, %d not", r.Total.Succeeded, r.NotSent)
		}
		same(t, "latency", r.Total.Latency, latencies)
		same(t, "service time", r.Total.Service, services)
		// Ten requests were there when the stall began to bite, ninety waited.
		if l, s := r.Total.Latency, r.Total.Service; l.P90 < 50 || s.P95 > 3.01 || s.Max < 500 {
			t.Errorf("latency %+v, service time %+v", l, s)
		}
	})
}

func TestUpdatesOfOneAccountWaitForEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const service = 95 * time.Millisecond
		s := newSite(50)
		s.before = func(http.ResponseWriter, *http.Request) bool { time.Sleep(service); return false }
		cfg := load(t, 100, 2*time.Second, 50)
		cfg.Mix, cfg.Dist = mix(t, "update=1"), dist(t, "fixed:1")
		start := time.Now()
		r := run(t, s, cfg)
		// However many workers there are, they have the one account in turn.
		want, notSent := simulate(100, 2*time.Second, service, 1)
		if r.NotSent != notSent || r.Total.Succeeded != int64(len(want)) {
			t.Errorf("%d were sent and %d were not, want %d and %d", r.Total.Succeeded, r.NotSent, len(want), notSent)
		}
		same(t, "latency", r.Total.Latency, want)
		same(t, "service time", r.Total.Service, slices.Repeat([]time.Duration{service}, len(want)))
		if took := time.Since(start); took > 2*time.Second+stresstest.LeadTime+service {
			t.Errorf("the run took %v", took)
		}
	})
}

func TestUpdateTakesAnotherAccountWhileItsOwnIsBeingUpdated(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		// In the time of one update nine others become due, of ten accounts.
		s.before = func(http.ResponseWriter, *http.Request) bool { time.Sleep(95 * time.Millisecond); return false }
		cfg := load(t, 100, 2*time.Second, 50)
		cfg.Mix, cfg.Dist = mix(t, "update=1"), dist(t, "fixed:10")
		if r := run(t, s, cfg); r.Total.Succeeded != 200 || r.Total.Latency.Max > 95.1 {
			t.Errorf("%d succeeded, the slowest within %v ms", r.Total.Succeeded, r.Total.Latency.Max)
		}
	})
}

func TestOneInAThousandIsBeyondThe999thPermille(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		var asked atomic.Int64
		s.before = func(http.ResponseWriter, *http.Request) bool {
			if asked.Add(1) == 500 {
				time.Sleep(250 * time.Millisecond)
			}
			return false
		}
		if l := run(t, s, load(t, 1000, time.Second, 300)).Total.Latency; l.P999 > 0.001 || l.Max < 250 {
			t.Errorf("with one of 250 ms among a thousand: %+v", l)
		}
	})
}
