package capacity_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/stresstest"
	"gatehouse/stresstest/capacity"
)

const limit = 10.0 // ms, of the service level of all systems below

// at is the report of a run that reached the rate it wanted.
func at(rate, p99 float64) *stresstest.Report {
	r := &stresstest.Report{RateRequested: rate, RateAchieved: rate,
		Total: stresstest.OpReport{Count: 1000, Succeeded: 1000, Latency: stresstest.Percentiles{P99: p99}, Service: stresstest.Percentiles{P99: p99}}}
	r.SLO = []stresstest.SLOResult{{SLO: "p99<10ms", Op: "total", Metric: "p99", Limit: limit, Unit: "ms", Actual: &p99, OK: p99 < limit}}
	return r
}

// system is a target with a known capacity.
type system struct {
	capacity float64
	// noise is the part of the rate around the capacity within which a try
	// comes out by chance.
	noise  float64
	chance *rand.Rand
	rates  []float64 // that were asked
}

func (s *system) probe(_ context.Context, rate float64) (*stresstest.Report, error) {
	s.rates = append(s.rates, rate)
	capacity := s.capacity
	if s.noise > 0 {
		capacity *= 1 + s.noise*(2*s.chance.Float64()-1)
	}
	if rate > capacity {
		return at(rate, 50), nil
	}
	return at(rate, 2), nil
}

func search(t *testing.T, cfg capacity.Config, probe capacity.Probe) *capacity.Result {
	t.Helper()
	r, err := capacity.Search(t.Context(), cfg, probe)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSearchFindsTheCapacity(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, capacity, tolerance float64 }{
		{500, 3777, 0.05}, {500, 500, 0.05}, {500, 999, 0.05}, {500, 1000, 0.05}, {500, 49_999, 0.05}, {500, 4000, 0.01},
		{500, 499, 0.05}, {500, 31, 0.05}, {500, 8, 0.05}, {1, 3, 0.05}, {0.5, 700, 0.05},
	} {
		t.Run(fmt.Sprint(c.capacity), func(t *testing.T) {
			t.Parallel()
			s := &system{capacity: c.capacity}
			r := search(t, capacity.Config{From: c.from, To: 50_000, Tolerance: c.tolerance}, s.probe)
			if r.Good == nil || r.Bad == nil {
				t.Fatalf("it is between %+v and %+v after %v", r.Good, r.Bad, s.rates)
			}
			if r.Good.Rate > c.capacity || r.Bad.Rate <= c.capacity {
				t.Errorf("%v is said to be kept and %v not", r.Good.Rate, r.Bad.Rate)
			}
			if r.Bad.Rate-r.Good.Rate > max(1, c.tolerance*r.Good.Rate) {
				t.Errorf("%v and %v are too far apart", r.Good.Rate, r.Bad.Rate)
			}
			if len(s.rates) > 45 {
				t.Errorf("%d tries were needed", len(s.rates))
			}
			kept := 0
			for _, try := range r.Tries {
				if try.Rate == r.Good.Rate && try.Kept {
					kept++
				}
			}
			if kept < 2 {
				t.Errorf("%v is said to be kept after %d tries that were", r.Good.Rate, kept)
			}
		})
	}
}

func TestSearchEndsCloseToANoisyBorder(t *testing.T) {
	t.Parallel()
	for seed := range uint64(200) {
		s := &system{capacity: 5000, noise: 0.1, chance: rand.New(rand.NewPCG(seed, 1))}
		r := search(t, capacity.Config{From: 500, To: 50_000}, s.probe)
		if r.Good == nil || r.Bad == nil || r.Good.Rate < 4500 || r.Good.Rate > 5500 || r.Bad.Rate <= r.Good.Rate {
			t.Fatalf("seed %d: it is said to lie between %+v and %+v", seed, r.Good, r.Bad)
		}
		for _, end := range []struct {
			try  *capacity.Try
			kept bool
		}{{r.Good, true}, {r.Bad, false}} {
			votes := 0
			for _, try := range r.Tries {
				if try.Rate == end.try.Rate {
					votes += map[bool]int{end.kept: 1, !end.kept: -1}[try.Kept]
				}
			}
			if votes < 1 {
				t.Fatalf("seed %d: most tries at %v say otherwise: %+v", seed, end.try.Rate, r.Tries)
			}
		}
	}
}

// TestOneBadTryOfThreeDoesNotDecide lets the first try at every rate go
// wrong, as a pause of the host does.
func TestOneBadTryOfThreeDoesNotDecide(t *testing.T) {
	t.Parallel()
	seen := map[float64]bool{}
	s := &system{capacity: 3000}
	r := search(t, capacity.Config{From: 500, To: 50_000}, func(ctx context.Context, rate float64) (*stresstest.Report, error) {
		if !seen[rate] {
			seen[rate] = true
			return at(rate, 90), nil
		}
		return s.probe(ctx, rate)
	})
	if r.Good == nil || r.Good.Rate < 2850 || r.Good.Rate > 3000 {
		t.Errorf("the rate kept is %+v, want just below 3000", r.Good)
	}
}

// TestARateThatWasKeptByLuckIsGivenUp lets one rate of the doubling be kept
// once and never again.
func TestARateThatWasKeptByLuckIsGivenUp(t *testing.T) {
	t.Parallel()
	for name, lucky := range map[string]float64{"above another": 4000, "the first": 500} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &system{capacity: lucky * 0.7}
			used := false
			r := search(t, capacity.Config{From: 500, To: 50_000}, func(ctx context.Context, rate float64) (*stresstest.Report, error) {
				if rate == lucky && !used {
					used = true
					return at(rate, 2), nil
				}
				return s.probe(ctx, rate)
			})
			if r.Good == nil || r.Good.Rate > s.capacity || r.Good.Rate < 0.94*s.capacity {
				t.Errorf("the rate kept is %+v, want just below %v", r.Good, s.capacity)
			}
		})
	}
}

func TestEveryPromiseMustBeKept(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*stresstest.Report)
		want  string
	}{
		"a rate that is not reached": {func(r *stresstest.Report) { r.RateAchieved = 0.989 * r.RateRequested }, "requests a second were reached"},
		"requests not sent":          {func(r *stresstest.Report) { r.NotSent = 1 }, "1 requests were not sent"},
		"a wrong answer":             {func(r *stresstest.Report) { r.Wrong = 1 }, "1 answers were wrong"},
		"a level": {func(r *stresstest.Report) {
			actual := 2.5
			r.Total.Errors = map[string]int64{"overloaded": 25}
			r.SLO = append(r.SLO, stresstest.SLOResult{SLO: "errors<1%", Op: "total", Metric: "errors", Limit: 1, Unit: "%", Actual: &actual})
		}, "errors<1% reached 2.5% (25 overloaded)"},
		"a level that nothing was measured of": {func(r *stresstest.Report) {
			r.SLO = append(r.SLO, stresstest.SLOResult{SLO: "login.p99<1ms", Op: "login", Metric: "p99", Unit: "ms"})
		}, "login.p99<1ms could not be measured"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := search(t, capacity.Config{From: 100, To: 1000}, func(_ context.Context, rate float64) (*stresstest.Report, error) {
				report := at(rate, 2)
				if rate > 200 {
					c.spoil(report)
				}
				return report, nil
			})
			if r.Good == nil || r.Good.Rate != 200 {
				t.Fatalf("the rate kept is %+v, want 200", r.Good)
			}
			if got := strings.Join(r.Bad.Broken, "; "); !strings.Contains(got, c.want) || !strings.Contains(r.Sentence(), c.want) {
				t.Errorf("what is broken is told as %q and in %q, want %q", got, r.Sentence(), c.want)
			}
		})
	}
}

func TestARateWithinAHundredthIsReached(t *testing.T) {
	t.Parallel()
	r := search(t, capacity.Config{From: 100, To: 100}, func(_ context.Context, rate float64) (*stresstest.Report, error) {
		report := at(rate, 2)
		report.RateAchieved = 99.1
		return report, nil
	})
	if r.Good == nil || r.Bad != nil || !strings.Contains(r.Sentence(), "nothing gave way") {
		t.Errorf("100 is between %+v and %+v: %s", r.Good, r.Bad, r.Sentence())
	}
}

func TestATargetThatKeepsNothingIsSaidTo(t *testing.T) {
	t.Parallel()
	s := &system{capacity: 1}
	r := search(t, capacity.Config{From: 500, To: 50_000}, s.probe)
	if r.Good != nil || r.Bad == nil || r.Bad.Rate > 10 || !strings.Contains(r.Sentence(), "not kept even at") {
		t.Errorf("it is between %+v and %+v: %s", r.Good, r.Bad, r.Sentence())
	}
}

func TestTheHighestRateIsNeverPassed(t *testing.T) {
	t.Parallel()
	s := &system{capacity: 1e9}
	r := search(t, capacity.Config{From: 500, To: 3000}, s.probe)
	for _, rate := range s.rates {
		if rate > 3000 {
			t.Errorf("%v was tried", rate)
		}
	}
	if r.Good == nil || r.Good.Rate != 3000 {
		t.Errorf("the rate kept is %+v, want 3000", r.Good)
	}
}

func TestASearchThatCannotGoOnSaysWhere(t *testing.T) {
	t.Parallel()
	broken := errors.New("connection refused")
	ctx, cancel := context.WithCancel(t.Context())
	for name, c := range map[string]struct {
		probe capacity.Probe
		want  error
	}{
		"a probe fails": {func(context.Context, float64) (*stresstest.Report, error) { return nil, broken }, broken},
		"interrupted": {func(context.Context, float64) (*stresstest.Report, error) {
			cancel()
			return &stresstest.Report{Interrupted: true}, nil
		}, context.Canceled},
		"interrupted in a pause": {func(_ context.Context, rate float64) (*stresstest.Report, error) {
			cancel()
			return at(rate, 2), nil
		}, context.Canceled},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := capacity.Search(ctx, capacity.Config{From: 500, To: 1000, Pause: time.Hour}, c.probe)
			if r != nil || !errors.Is(err, c.want) {
				t.Errorf("the result is %v and the error %v, want %v", r, err, c.want)
			}
		})
	}
}

func TestTheTargetRestsBetweenTries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s, start := &system{capacity: 1e9}, time.Now()
		search(t, capacity.Config{From: 500, To: 1000, Pause: time.Minute}, s.probe)
		if want := time.Duration(len(s.rates)-1) * time.Minute; time.Since(start) != want {
			t.Errorf("%d tries took %v, want %v", len(s.rates), time.Since(start), want)
		}
	})
}

func TestSettingsWithoutSenseAreRefused(t *testing.T) {
	t.Parallel()
	for _, cfg := range []capacity.Config{{}, {From: 0, To: 5}, {From: 6, To: 5}, {From: 1, To: 1e7}, {From: 1, To: 5, Tolerance: -1},
		{From: 1, To: 5, Tolerance: 1.5}, {From: 1, To: 5, Pause: -1}} {
		if r, err := capacity.Search(t.Context(), cfg, (&system{}).probe); err == nil {
			t.Errorf("%+v finds %+v", cfg, r)
		}
	}
}

func TestJSONHasTheTwoReportsThatAreCompared(t *testing.T) {
	t.Parallel()
	s := &system{capacity: 700}
	r := search(t, capacity.Config{From: 500, To: 5000}, s.probe)
	var text bytes.Buffer
	if err := r.JSON(&text); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Sentence  string
		Good, Bad capacity.Try
		Tries     []capacity.Try
	}
	if err := json.Unmarshal(text.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Sentence != r.Sentence() || len(got.Tries) != len(s.rates) || got.Tries[0].Report != nil {
		t.Errorf("it says %s", text.String())
	}
	if got.Good.Report == nil || got.Good.Report.RateAchieved != r.Good.Rate || got.Bad.Report == nil || got.Bad.Report.RateAchieved != r.Bad.Rate {
		t.Errorf("the reports are %+v and %+v", got.Good.Report, got.Bad.Report)
	}
}
