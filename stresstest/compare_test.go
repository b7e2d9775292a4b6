package stresstest_test

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"gatehouse/stresstest"
)

// measured is a report whose percentiles of profile are all p99, with
// intervals around it.
func measured(p99 float64, intervals ...float64) *stresstest.Report {
	all := func(x float64) stresstest.Percentiles {
		return stresstest.Percentiles{P50: x / 2, P90: x / 2, P95: x / 2, P99: x, P999: x, Max: x}
	}
	op := stresstest.OpReport{Count: 1000, Succeeded: 1000, Errors: map[string]int64{}, Latency: all(p99)}
	r := &stresstest.Report{Target: "http://127.0.0.1:8080", Mix: "profile=1", RateAchieved: 100, DurationS: 10,
		Ops: map[string]stresstest.OpReport{"profile": op}, Total: op}
	for i, x := range intervals {
		r.Intervals = append(r.Intervals, stresstest.Interval{FromS: float64(i), ToS: float64(i + 1),
			Latency: map[string]stresstest.Percentiles{"profile": all(x), "total": all(x)}})
	}
	return r
}

func compare(t *testing.T, base, new []*stresstest.Report) map[string]stresstest.Change {
	t.Helper()
	c, err := stresstest.Compare(base, new)
	if err != nil {
		t.Fatal(err)
	}
	changes := map[string]stresstest.Change{}
	for _, ch := range c.Changes {
		changes[ch.Op+"."+ch.Metric] = ch
	}
	if len(changes) != 14 { // six percentiles of profile and of total, the rate and the errors
		t.Fatalf("%d changes", len(changes))
	}
	return changes
}

func TestGroupsOfRunsMoveByMoreThanTheirSpread(t *testing.T) {
	t.Parallel()
	group := func(p99 ...float64) (reports []*stresstest.Report) {
		for _, x := range p99 {
			reports = append(reports, measured(x))
		}
		return reports
	}
	for name, c := range map[string]struct {
		base, new      []*stresstest.Report
		verdict        string
		spread, change float64
	}{
		"higher":              {group(10, 12, 11), group(14, 13.5, 15), stresstest.VerdictHigher, 2, 300.0 / 11},
		"lower":               {group(14, 13.5, 15), group(10, 12, 11), stresstest.VerdictLower, 2, -300.0 / 14},
		"by less":             {group(10, 12, 11), group(12.9, 13, 13), stresstest.VerdictSame, 2, 200.0 / 11},
		"one wild run":        {group(10, 10, 30), group(20, 20, 20), stresstest.VerdictSame, 20, 100},
		"one against several": {group(10, 12), group(20), stresstest.VerdictHigher, 2, 900.0 / 11},
		"by a rounding":       {group(10, 10), group(10.005, 10.005), stresstest.VerdictSame, 0.010005, 0.05},
	} {
		got := compare(t, c.base, c.new)["profile.p99"]
		if got.Verdict != c.verdict || math.Abs(got.Spread-c.spread) > 1e-9 || got.Percent == nil || math.Abs(*got.Percent-c.change) > 1e-9 {
			t.Errorf("%s: %+v", name, got)
		}
	}
}

func TestSingleRunsMoveByMoreThanTheirIntervalsTell(t *testing.T) {
	t.Parallel()
	// The quartiles are 9 and 11, so that a notch is 1.57*2/3 of each.
	steady := []float64{8, 8, 9, 9, 10, 11, 11, 12, 12}
	both := 2 * 1.57 * 2 / 3
	for name, c := range map[string]struct {
		base, new *stresstest.Report
		verdict   string
	}{
		"higher":            {measured(10, steady...), measured(10+both+0.01, steady...), stresstest.VerdictHigher},
		"by less":           {measured(10, steady...), measured(10+both-0.01, steady...), stresstest.VerdictSame},
		"lower":             {measured(20, steady...), measured(20-both-0.01, steady...), stresstest.VerdictLower},
		"too few intervals": {measured(10, steady[:4]...), measured(100, steady...), stresstest.VerdictUnknown},
	} {
		changes := compare(t, []*stresstest.Report{c.base}, []*stresstest.Report{c.new})
		if got := changes["profile.p99"]; got.Verdict != c.verdict || c.verdict != stresstest.VerdictUnknown && math.Abs(got.Spread-both) > 1e-9 {
			t.Errorf("%s: %+v", name, got)
		}
		if changes["total.rate"].Verdict != stresstest.VerdictUnknown {
			t.Errorf("%s: nothing tells the spread of a rate within a run: %+v", name, changes["total.rate"])
		}
	}
}

func TestComparisonNamesWhatElseDiffers(t *testing.T) {
	t.Parallel()
	other := measured(10)
	other.RateRequested, other.Workers, other.Wrong = 500, 7, 1
	c, err := stresstest.Compare([]*stresstest.Report{measured(10)}, []*stresstest.Report{other})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := c.Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"one run each", "the runs differ in rate: 0 and 500", "the runs differ in workers: 0 and 7", "had wrong answers", "profile", "unknown"} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("the comparison lacks %q:\n%s", part, b.String())
		}
	}
	if _, err := stresstest.Compare(nil, []*stresstest.Report{other}); err == nil {
		t.Error("nothing was compared with something")
	}
}

func TestReportIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	var b, again bytes.Buffer
	if err := sample().JSON(&b); err != nil {
		t.Fatal(err)
	}
	r, err := stresstest.ReadReport(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if r.JSON(&again) != nil || again.String() != b.String() {
		t.Errorf("it is another one:\n%s", again.String())
	}
	for name, text := range map[string]string{"nothing": "", "no report": "{}", "half of one": b.String()[:500], "another file": `{"target":"x"}`} {
		if _, err := stresstest.ReadReport(strings.NewReader(text)); err == nil {
			t.Errorf("%s is read as a report", name)
		}
	}
}
