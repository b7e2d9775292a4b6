package stresstest_test

import (
	"fmt"
	"math"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/stresstest"
)

// series is one stage histogram as /metrics shows it.
func series(tier, stage, op string, counts ...int) string {
	var b strings.Builder
	total := 0
	for i, bound := range []string{"0.001", "0.002", "0.004", "+Inf"} {
		total += counts[i]
		fmt.Fprintf(&b, "gatehouse_stage_duration_seconds_bucket{tier=%q,stage=%q,op=%q,le=%q} %d\n", tier, stage, op, bound, total)
	}
	fmt.Fprintf(&b, "gatehouse_stage_duration_seconds_sum{tier=%q,stage=%q,op=%q} 1.5\n", tier, stage, op)
	fmt.Fprintf(&b, "gatehouse_stage_duration_seconds_count{tier=%q,stage=%q,op=%q} %d\n", tier, stage, op, total)
	return b.String()
}

func stages(t *testing.T, before, after string) []stresstest.Stage {
	t.Helper()
	found, err := stresstest.Stages(strings.NewReader(before), strings.NewReader(after))
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestQuantilesOfStagesAreThoseOfPromQL(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before, after []int
		count         int64
		p50, p99      float64 // ms, worked out by hand
	}{
		// Ranks 50 and 99 of 100 in the first bucket, from 0 to 1 ms.
		"all in the first bucket": {nil, []int{100, 0, 0, 0}, 100, 0.5, 0.99},
		// Rank 5 is the fifth of ten in (1, 2]; rank 9.9 the 9.9th.
		"all in the second": {nil, []int{0, 10, 0, 0}, 10, 1.5, 1.99},
		// Rank 50 is the last of the first bucket; 99 is 39 of the 40 in (2, 4].
		"over three": {nil, []int{50, 10, 40, 0}, 100, 1, 2 + 2*39.0/40},
		// Beyond the last bound nothing is known but the bound.
		"beyond the last bound": {nil, []int{1, 0, 0, 99}, 100, 4, 4},
		// What was there before does not count: 4 in (1, 2], 4 in (2, 4]:
		// rank 4 ends the one, rank 7.92 is 3.92 of 4 in the other.
		"since the first scrape": {[]int{1000, 6, 0, 1}, []int{1000, 10, 4, 1}, 8, 2, 2 + 2*3.92/4},
		// A process that was restarted counts from 0.
		"after a restart": {[]int{1000, 0, 0, 0}, []int{0, 10, 0, 0}, 10, 1.5, 1.99},
		// The second bucket is empty: rank 2 is the last of the first.
		"over an empty bucket": {nil, []int{2, 0, 2, 0}, 4, 1, 2 + 2*1.96/2},
	} {
		before := ""
		if c.before != nil {
			before = series("backend", "queue", "login", c.before...)
		}
		found := stages(t, before, series("backend", "queue", "login", c.after...))
		if len(found) != 1 || found[0].Count != c.count || math.Abs(found[0].P50-c.p50) > 1e-9 || math.Abs(found[0].P99-c.p99) > 1e-9 {
			t.Errorf("%s: %+v, want %d with p50 %v and p99 %v", name, found, c.count, c.p50, c.p99)
		}
	}
}

func TestStagesStandInTheOrderInWhichARequestMeetsThem(t *testing.T) {
	t.Parallel()
	var text string
	for _, s := range []string{"backend encode a", "backend queue b", "webserver round_trip a", "backend queue a",
		"webserver http a", "proxy x a", "backend unheard_of a", "backend db_update_user a", "backend handle a"} {
		f := strings.Fields(s)
		text += series(f[0], f[1], f[2], 1, 0, 0, 0)
	}
	var order []string
	for _, s := range stages(t, series("backend", "encode", "a", 0, 0, 0, 0), text+series("backend", "cache_hit", "unused", 0, 0, 0, 0)) {
		order = append(order, s.Tier+" "+s.Stage+" "+s.Op)
	}
	if got, want := strings.Join(order, ", "), "webserver http a, webserver round_trip a, backend queue a, backend queue b, "+
		"backend handle a, backend db_update_user a, backend encode a, backend unheard_of a, proxy x a"; got != want {
		t.Errorf("order: %s\nwant:  %s", got, want)
	}
}

func TestMetricsTextIsReadAsItIsWritten(t *testing.T) {
	t.Parallel()
	found := stages(t, "", `# HELP gatehouse_stage_duration_seconds How long stages took.
# TYPE gatehouse_stage_duration_seconds histogram
go_goroutines 7
gatehouse_stage_duration_seconds_bucket{ op="a\"b\\c\nd", stage="x,}", le="0.5" , tier="t" , } 4 1700000000000
gatehouse_stage_duration_seconds_bucket{op="a\"b\\c\nd",stage="x,}",tier="t",le="+Inf"} 4e+00
gatehouse_stage_duration_seconds_bucket_other{tier="t"} nonsense
`)
	if len(found) != 1 || found[0] != (stresstest.Stage{Tier: "t", Stage: "x,}", Op: "a\"b\\c\nd", Count: 4, P50: 250, P99: 495}) {
		t.Errorf("read %+v", found)
	}
}

func TestMetricsTextThatCannotBeReadIsRefused(t *testing.T) {
	t.Parallel()
	const name = "gatehouse_stage_duration_seconds_bucket"
	for text, want := range map[string]string{
		name + `{le="x"} 1`:                            "le is no number",
		name + `{le="NaN"} 1`:                          "le is no number",
		name + `{tier="t"} 1`:                          "le is no number",
		name + `{le="1"} x`:                            "invalid syntax",
		name + `{le="1"}`:                              "there is no value",
		name + `{le="1} 1`:                             "label le does not end",
		name + `{le=1} 1`:                              "a label has no value",
		name + `{`:                                     "a label has no value",
		name + `{le="` + `\`:                           "label le does not end",
		"x" + strings.Repeat("y", 70<<10):              "token too long",
		strings.Repeat(name+"{le=\"1\"} 1\n", 100_001): "more than 100000 buckets",
	} {
		if _, err := stresstest.Stages(strings.NewReader(text), strings.NewReader("")); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.80s: error %v, want one that says %q", text, err, want)
		}
	}
}

func TestStagesOfTheRunAreInTheReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		var reads atomic.Int64
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			switch r.URL.Path {
			case "/api/v1/profile":
				reads.Add(1)
				return false
			case "/web":
				fmt.Fprint(w, series("webserver", "http", "profile", 0, int(reads.Load()), 0, 0))
			case "/back", "/back2":
				fmt.Fprint(w, series("backend", "queue", "get_profile", int(reads.Load()), 0, 0, 0))
			}
			return true
		}
		cfg := load(t, 100, time.Second, 10)
		cfg.Warmup = time.Second // whose stages do not count
		cfg.MetricsURLs = []string{"http://site.test/web", "http://site.test/back", "http://site.test/back2"}
		r := run(t, s, cfg)
		want := []stresstest.Stage{
			{Tier: "webserver", Stage: "http", Op: "profile", Count: 100, P50: 1.5, P99: 1.99},
			{Tier: "backend", Stage: "queue", Op: "get_profile", Count: 200, P50: 0.5, P99: 0.99}, // of two backends together
		}
		if len(r.Stages) != 2 || r.Stages[0] != want[0] || r.Stages[1] != want[1] {
			t.Errorf("stages %+v, want %+v", r.Stages, want)
		}
		cfg.MetricsURLs = append(cfg.MetricsURLs, "http://site.test/api/v1/users")
		s.before = nil
		if _, err := try(t, t.Context(), s, cfg); err == nil || !strings.Contains(err.Error(), "404") || !strings.Contains(err.Error(), "http://site.test/web") {
			t.Errorf("metrics that are not there: error %v", err)
		}
	})
}

func TestMetricsThatAreLostDuringARunLeaveTheReport(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		var scrapes atomic.Int64
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/metrics" {
				return false
			}
			if scrapes.Add(1) > 1 {
				w.WriteHeader(503)
			}
			return true
		}
		cfg := load(t, 100, time.Second, 10)
		cfg.MetricsURLs = []string{"http://site.test/metrics"}
		r := run(t, s, cfg)
		if r.Total.Succeeded != 100 || r.Stages == nil || len(r.Stages) != 0 || len(r.Notes) != 2 || !strings.Contains(r.Notes[1], "the stages are missing: read metrics of http://site.test/metrics: it answers 503") {
			t.Errorf("%d right, stages %v, notes %q", r.Total.Succeeded, r.Stages, r.Notes)
		}
	})
}
