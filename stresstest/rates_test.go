package stresstest_test

import (
	"math"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/stresstest"
)

func TestParseRates(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want, wantError string }{
		{"1000", "1000", ""},
		{"0.5", "0.5", ""},
		{"1000, 2000,500", "1000,2000,500", ""},
		{"100..4000/60s", "100..4000/1m0s", ""},
		{"4000..100/1m30s", "4000..100/1m30s", ""},
		{"", "", "want more than 0"},
		{"0", "", "want more than 0"},
		{"-1", "", "want more than 0"},
		{"NaN", "", "want more than 0"},
		{"1000001", "", "up to 1000000 requests"},
		{"1000,", "", "want more than 0"},
		{"100..200", "", "want FROM..TO/TIME"},
		{"100..200/x", "", "want FROM..TO/TIME"},
		{"100..200/0s", "", "want FROM..TO/TIME"},
		{"100..200/25h", "", "want FROM..TO/TIME"},
		{"0..200/5s", "", "want more than 0"},
		{"1,2..3/5s", "", "want more than 0"},
		{"1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "", "21 steps are more than 20"},
	} {
		parsed(t, stresstest.ParseRates, c.text, c.want, c.wantError)
	}
}

func TestParseThink(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want, wantError string }{
		{"100ms", "100ms", ""},
		{"50ms..2s", "50ms..2s", ""},
		{"0s", "0s", ""},
		{"2s..1s", "", "want a time"},
		{"-1s", "", "want a time"},
		{"61m", "", "want a time"},
		{"x", "", "want a time"},
		{"1s..", "", "want a time"},
	} {
		parsed(t, stresstest.ParseThink, c.text, c.want, c.wantError)
	}
}

func rates(t *testing.T, text string) stresstest.Rates {
	t.Helper()
	r, err := stresstest.ParseRates(text)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestStepsAreDueOneAfterTheOther(t *testing.T) {
	t.Parallel()
	dues, sections := stresstest.Dues(stresstest.Config{Rates: rates(t, "10,3,1000"), Duration: 1500 * time.Millisecond})
	var want []time.Duration
	var in []int
	for i := range 15 {
		want, in = append(want, time.Duration(i)*100*time.Millisecond), append(in, 0)
	}
	for i := range 5 { // at 0, 1/3, 2/3, 1 and 4/3 s of the second
		want, in = append(want, 1500*time.Millisecond+time.Duration(math.Round(float64(i)*1e9/3))), append(in, 1)
	}
	for i := range 1500 {
		want, in = append(want, 3*time.Second+time.Duration(i)*time.Millisecond), append(in, 2)
	}
	if len(dues) != len(want) {
		t.Fatalf("%d requests, want %d", len(dues), len(want))
	}
	for i := range want {
		if dues[i] != want[i] || sections[i] != in[i] {
			t.Fatalf("request %d is due at %v in section %d, want %v in %d", i, dues[i], sections[i], want[i], in[i])
		}
	}
}

// TestRampIsDueWhereItsIntegralIsWhole compares with the number of requests
// that a rate rising evenly from a to b in T makes up to t: a·t + (b-a)/2T·t².
func TestRampIsDueWhereItsIntegralIsWhole(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text    string
		a, b, T float64
		count   int
	}{
		{"100..4000/60s", 100, 4000, 60, 123_000},
		{"4000..100/60s", 4000, 100, 60, 123_000},
		{"10..10/3s", 10, 10, 3, 30},
		{"1..2/1s", 1, 2, 1, 2},
		{"0.001..1000/10s", 0.001, 1000, 10, 5001},
	} {
		cfg := stresstest.Config{Rates: rates(t, c.text)}
		dues, sections := stresstest.Dues(cfg)
		if len(dues) != c.count || dues[0] != 0 {
			t.Fatalf("%s: %d requests, the first at %v, want %d from 0 on", c.text, len(dues), dues[0], c.count)
		}
		for i, due := range dues {
			at := due.Seconds()
			made, rate := c.a*at+(c.b-c.a)/(2*c.T)*at*at, c.a+(c.b-c.a)*at/c.T
			// due is rounded to half a nanosecond.
			if math.Abs(made-float64(i)) > rate*1e-9+1e-6 {
				t.Fatalf("%s: request %d is due at %v, when %v should be", c.text, i, due, made)
			}
			if i > 0 && due < dues[i-1] || at >= c.T || sections[i] != int(due/time.Duration(c.T*1e8)) {
				t.Fatalf("%s: request %d is due at %v, in section %d", c.text, i, due, sections[i])
			}
		}
		for _, elapsed := range []time.Duration{-1, time.Millisecond, time.Duration(c.T * 0.7 * 1e9), time.Hour} {
			want := int64(0)
			for _, due := range dues {
				if due <= elapsed {
					want++
				}
			}
			if got := stresstest.DueByOf(cfg, elapsed); got != want {
				t.Errorf("%s: by %v %d requests are due, want %d", c.text, elapsed, got, want)
			}
		}
	}
}

func TestStepsAreReportedByWhenRequestsWereDue(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t0 := time.Now().Add(stresstest.LeadTime)
		s := newSite(50)
		s.before = func(w http.ResponseWriter, _ *http.Request) bool {
			switch in := time.Since(t0); {
			case in < 2*time.Second:
				time.Sleep(3 * time.Millisecond)
			case in < 4*time.Second: // answered in the next step
				time.Sleep(1990 * time.Millisecond)
			default:
				refuse(w, 503, "overloaded")
				return true
			}
			return false
		}
		cfg := load(t, 0, 2*time.Second, 200)
		cfg.Rates = rates(t, "50,20,10")
		r := run(t, s, cfg)
		if len(r.Steps) != 3 || r.Rates != "50,20,10" || r.DurationS != 6 || r.Total.Count != 160 || math.Abs(r.RateRequested-160.0/6) > 1e-9 {
			t.Fatalf("%d steps of %s, %v s, %d requests, %v/s", len(r.Steps), r.Rates, r.DurationS, r.Total.Count, r.RateRequested)
		}
		for i, want := range []struct {
			count, failed   int64
			from, rate, p99 float64
		}{{100, 0, 0, 50, 3}, {40, 0, 2, 20, 1990}, {20, 20, 4, 10, 0}} {
			got := r.Steps[i]
			if got.Count != want.count || got.Count-got.Succeeded != want.failed || got.FromS != want.from || got.ToS != want.from+2 ||
				got.RateFrom != want.rate || got.RateTo != want.rate || got.RateAchieved != want.rate || math.Abs(got.Latency.P99-want.p99) > want.p99/1000+0.001 {
				t.Errorf("step %d is %+v, want %+v", i, got, want)
			}
		}
	})
}

func TestRampIsReportedInTenParts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := load(t, 0, time.Second, 20)
		cfg.Rates = rates(t, "10..110/10s")
		r := run(t, newSite(50), cfg)
		if len(r.Steps) != 10 || r.Total.Count != 600 || r.DurationS != 10 {
			t.Fatalf("%d parts, %d requests in %v s", len(r.Steps), r.Total.Count, r.DurationS)
		}
		for i, s := range r.Steps {
			if from := 10 + 10*float64(i); math.Abs(s.RateFrom-from) > 1e-6 || math.Abs(s.RateTo-from-10) > 1e-6 || math.Abs(float64(s.Count)-from-5) > 1 {
				t.Errorf("part %d: %v..%v/s, %d requests", i, s.RateFrom, s.RateTo, s.Count)
			}
		}
	})
}

func TestWorkerRestsAfterAnAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		s.before = func(http.ResponseWriter, *http.Request) bool { time.Sleep(10 * time.Millisecond); return false }
		cfg := load(t, 100, 2*time.Second, 2)
		var err error
		if cfg.Think, err = stresstest.ParseThink("90ms"); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		r := run(t, s, cfg)
		// Two workers take one request in 100 ms each: what waits longer grows
		// older until the end of the run.
		if r.Total.Count < 39 || r.Total.Count > 41 || r.Total.Count+r.NotSent != 200 || r.Total.Service.Max > 10.02 || r.Total.Latency.Max < 1000 || r.Think != "90ms" {
			t.Errorf("%d sent, %d not, service up to %v ms, latency up to %v ms", r.Total.Count, r.NotSent, r.Total.Service.Max, r.Total.Latency.Max)
		}
		if took := time.Since(start); took > 2*time.Second+stresstest.LeadTime+20*time.Millisecond {
			t.Errorf("the run took %v", took)
		}
		if len(r.Warnings) != 1 {
			t.Errorf("warnings: %v", r.Warnings)
		}
	})
}
