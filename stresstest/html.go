package stresstest

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
)

//go:embed report.html
var reportPage string

// HTML writes the report as one page that needs nothing else, neither files
// nor scripts nor a network.
func (r *Report) HTML(w io.Writer) error {
	t, err := template.New("report").Funcs(template.FuncMap{"ms": showMS, "number": showNumber, "percent": func(part float64) string { return showNumber(math.Round(1000*part) / 10) }}).Parse(reportPage)
	if err != nil {
		return fmt.Errorf("parse report page: %w", err)
	}
	if err := t.Execute(w, r.view()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

// view is what the page shows.
type view struct {
	*Report
	Percentiles []string
	Rows        []row
	Failures    []failed
	Levels      []level
	StepRows    []stepRow
	Failed      int64
	Charts      []chart
}

// level is a service level in words.
type level struct{ Verdict, SLO, Reached string }

func (r *Report) view() view {
	v := view{Report: r, Percentiles: percentiles, Rows: r.rows(), Failures: r.failures(), StepRows: r.stepRows(), Failed: r.Total.Count - r.Total.Succeeded}
	for _, s := range r.SLO {
		v.Levels = append(v.Levels, level{s.verdict(), s.SLO, s.reached()})
	}
	v.Charts = append(v.Charts, r.curves())
	if len(r.Timeline) > 1 {
		v.Charts = append(v.Charts, r.latencyOverTime(), r.rateOverTime())
	}
	if len(r.Timeline) > 1 && len(r.Total.Errors)+int(r.NotSent) > 0 {
		v.Charts = append(v.Charts, r.errorsOverTime())
	}
	return v
}

// curves shows the latency of each operation by percentile. The further right,
// the wider the axis: each part of the same width has a tenth of the requests
// of the one before, so that the slowest are not squeezed into the last bit.
func (r *Report) curves() chart {
	c := newChart("Latency by percentile, ms", true)
	last := 99.0
	for _, name := range append(slices.Sorted(maps.Keys(r.Ops)), totalName) {
		var points []point
		for _, p := range r.op(name).Curve {
			if p.Percent < 100 {
				points, last = append(points, point{nines(p.Percent), p.Latency}), max(last, p.Percent)
			}
		}
		c.add(name, points)
	}
	for _, percent := range []float64{0, 50, 90, 99, 99.9, 99.99, 99.999} {
		if percent <= last {
			c.label(nines(percent), showNumber(percent)+" %")
		}
	}
	return c.drawn()
}

// nines is 1 at 90 %, 2 at 99 %, 3 at 99.9 % and so on.
func nines(percent float64) float64 { return -math.Log10(1 - percent/100) }

func (r *Report) latencyOverTime() chart {
	c := newChart("Latency by second, ms", true)
	c.add("p50", r.over(func(m Moment) float64 { return m.P50 }))
	c.add("p99", r.over(func(m Moment) float64 { return m.P99 }))
	c.labelSeconds()
	return c.drawn()
}

func (r *Report) rateOverTime() chart {
	c := newChart("Requests a second", false)
	c.add("answered", r.over(func(m Moment) float64 { return m.Rate }))
	c.add("waiting for a worker", r.over(func(m Moment) float64 { return float64(m.Waiting) }))
	c.labelSeconds()
	return c.drawn()
}

func (r *Report) errorsOverTime() chart {
	c := newChart("Failures by second", false)
	c.add("errors", r.over(func(m Moment) float64 { return float64(m.Errors) }))
	c.add("not sent", r.over(func(m Moment) float64 { return float64(m.NotSent) }))
	c.labelSeconds()
	return c.drawn()
}

// maxPoints bounds the points of a line.
const maxPoints = 600

// over returns a line through the timeline. Of a long one it shows the
// highest of several moments each, because peaks are what one looks for.
func (r *Report) over(value func(Moment) float64) (points []point) {
	step := (len(r.Timeline) + maxPoints - 1) / maxPoints
	for group := range slices.Chunk(r.Timeline, max(1, step)) {
		highest := point{group[0].Second, value(group[0])}
		for _, m := range group {
			highest.y = max(highest.y, value(m))
		}
		points = append(points, highest)
	}
	return points
}
