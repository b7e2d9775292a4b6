package stresstest

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// maxReport bounds a report that is read, in bytes. That of a day has about
// twenty million.
const maxReport = 64 << 20

// ReadReport reads a report that Report.JSON wrote.
func ReadReport(r io.Reader) (*Report, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxReport+1))
	if err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if len(data) > maxReport {
		return nil, fmt.Errorf("read report: it has more than %d bytes", maxReport)
	}
	var report Report
	if err := json.Unmarshal(data, &report); err != nil {
		return nil, fmt.Errorf("read report: %w", err)
	}
	if report.Target == "" || len(report.Ops) == 0 {
		return nil, errors.New("read report: this is no report of a stress test")
	}
	return &report, nil
}

// Verdicts of a comparison.
const (
	VerdictHigher  = "higher"  // by more than the spread
	VerdictLower   = "lower"   // by more than the spread
	VerdictSame    = "same"    // within the spread
	VerdictUnknown = "unknown" // there is too little to tell the spread by
)

// How the spread of a number is known.
const (
	SpreadOfRuns      = "runs"      // from the runs of a side that has several
	SpreadOfIntervals = "intervals" // from the intervals of the one run of each side
)

// Comparison is what differs between two groups of runs.
type Comparison struct {
	// Runs is how many reports each side has.
	BaseRuns int `json:"base_runs"`
	NewRuns  int `json:"new_runs"`
	// SpreadFrom is how the spread is known: one of the constants.
	SpreadFrom string   `json:"spread_from"`
	Changes    []Change `json:"changes"`
	// Notes name the settings in which the runs differ.
	Notes []string `json:"notes"`
}

// Change is one number on both sides.
type Change struct {
	Op     string `json:"op"`     // an operation, or "total"
	Metric string `json:"metric"` // a percentile of the latency, "rate" or "errors"
	Unit   string `json:"unit"`   // "ms", "/s" or "%"
	Base   Side   `json:"base"`
	New    Side   `json:"new"`
	// Percent is how much higher the new median is, nil where the base is 0.
	Percent *float64 `json:"percent"`
	// Spread is by how much the medians have to differ to have moved, in Unit.
	Spread  float64 `json:"spread"`
	Verdict string  `json:"verdict"`
}

// Side is a number in the runs of one side.
type Side struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// Compare says what has moved from the base runs to the new ones. Where a
// side has several runs, the spread is the larger of the two distances from a
// side's least to its most. Where each side has one, it is told by the
// intervals within the runs, and only for latencies; see notch.
func Compare(base, new []*Report) (*Comparison, error) {
	if len(base) == 0 || len(new) == 0 {
		return nil, errors.New("compare: each side needs a report")
	}
	c := &Comparison{BaseRuns: len(base), NewRuns: len(new), SpreadFrom: SpreadOfRuns, Notes: differences(base, new)}
	if len(base) == 1 && len(new) == 1 {
		c.SpreadFrom = SpreadOfIntervals
	}
	for _, op := range append(slices.Sorted(maps.Keys(base[0].Ops)), totalName) {
		for _, name := range percentiles {
			c.add(base, new, op, name, "ms", func(r *Report) (float64, bool) {
				o := r.op(op)
				return o.Latency.of(name), o.Succeeded > 0
			})
		}
	}
	c.add(base, new, totalName, rateName, "/s", func(r *Report) (float64, bool) { return r.RateAchieved, true })
	c.add(base, new, totalName, errorsName, "%", func(r *Report) (float64, bool) {
		return SLO{op: totalName, metric: errorsName}.actual(r.Total, r.DurationS)
	})
	return c, nil
}

// add compares one number, unless a run lacks it.
func (c *Comparison) add(base, new []*Report, op, metric, unit string, of func(*Report) (float64, bool)) {
	var sides [2][]float64
	for i, reports := range [][]*Report{base, new} {
		for _, r := range reports {
			value, ok := of(r)
			if !ok {
				return
			}
			sides[i] = append(sides[i], value)
		}
	}
	ch := Change{Op: op, Metric: metric, Unit: unit, Base: newSide(sides[0]), New: newSide(sides[1])}
	moved := ch.New.Median - ch.Base.Median
	if ch.Base.Median != 0 {
		percent := 100 * moved / ch.Base.Median
		ch.Percent = &percent
	}
	known := true
	ch.Spread = max(ch.Base.Most-ch.Base.Least, ch.New.Most-ch.New.Least)
	if c.SpreadFrom == SpreadOfIntervals {
		ch.Spread, known = bothNotches(base[0], new[0], op, metric)
	}
	// What the histogram itself rounds is no movement.
	ch.Spread = max(ch.Spread, 0.001*max(ch.Base.Median, ch.New.Median))
	ch.Verdict = verdict(moved, ch.Spread, known)
	c.Changes = append(c.Changes, ch)
}

func verdict(moved, spread float64, known bool) string {
	switch {
	case !known:
		return VerdictUnknown
	case moved > spread:
		return VerdictHigher
	case -moved > spread:
		return VerdictLower
	}
	return VerdictSame
}

func newSide(values []float64) Side {
	return Side{Median: median(values), Least: slices.Min(values), Most: slices.Max(values)}
}

func median(values []float64) float64 { return quantileOf(values, 0.5) }

// quantileOf interpolates between the values nearest to the place.
func quantileOf(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	place := q * float64(len(sorted)-1)
	low := int(math.Floor(place))
	high := min(low+1, len(sorted)-1)
	return sorted[low] + (place-float64(low))*(sorted[high]-sorted[low])
}

// leastIntervals is how many intervals a run must have to tell a spread.
const leastIntervals = 5

// bothNotches returns how far the percentiles of two single runs may lie apart
// without telling anything: the sum of the two notches.
func bothNotches(base, new *Report, op, metric string) (float64, bool) {
	a, okA := notch(base, op, metric)
	b, okB := notch(new, op, metric)
	return a + b, okA && okB
}

// notch is how far the median of a percentile's values in the intervals of a
// run is likely off: 1.57 times their interquartile range over the root of
// their number (McGill, Tukey and Larsen, "Variations of Box Plots", 1978). It
// knows nothing of what differs from run to run, and is therefore too small.
func notch(r *Report, op, metric string) (float64, bool) {
	var values []float64
	for _, i := range r.Intervals {
		if p, ok := i.Latency[op]; ok {
			values = append(values, p.of(metric))
		}
	}
	if len(values) < leastIntervals || !slices.Contains(percentiles, metric) {
		return 0, false
	}
	return 1.57 * (quantileOf(values, 0.75) - quantileOf(values, 0.25)) / math.Sqrt(float64(len(values))), true
}

// differences names the settings that are not the same in all runs, and says
// where a run is not one to compare with.
func differences(base, new []*Report) []string {
	notes, all := []string{}, append(slices.Clone(base), new...)
	for _, setting := range []struct {
		name string
		of   func(*Report) string
	}{
		{"target", func(r *Report) string { return r.Target }},
		{"machine", func(r *Report) string { return r.Machine }},
		{"rate", func(r *Report) string { return cmp.Or(r.Rates, showNumber(r.RateRequested)) }},
		{"duration", func(r *Report) string { return showNumber(r.DurationS) + " s" }},
		{"workers", func(r *Report) string { return fmt.Sprint(r.Workers) }},
		{"users", func(r *Report) string { return fmt.Sprint(r.Users) }},
		{"dist", func(r *Report) string { return r.Dist }},
		{"mix", func(r *Report) string { return r.Mix }},
		{"think", func(r *Report) string { return cmp.Or(r.Think, "none") }},
	} {
		for _, r := range all {
			if first, other := setting.of(all[0]), setting.of(r); other != first {
				notes = append(notes, fmt.Sprintf("the runs differ in %s: %s and %s", setting.name, first, other))
				break
			}
		}
	}
	for _, r := range all {
		if r.Interrupted || r.Wrong > 0 || len(r.Warnings) > 0 {
			notes = append(notes, fmt.Sprintf("the run of %s was interrupted, had wrong answers or warnings: see its report", r.StartedAt.Format("2006-01-02 15:04:05 MST")))
		}
	}
	return notes
}
