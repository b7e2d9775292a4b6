package stresstest

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Text writes the report for a terminal.
func (r *Report) Text(w io.Writer) error {
	var b bytes.Buffer
	r.textHead(&b)
	r.textOperations(&b)
	r.textSteps(&b)
	r.textFailures(&b)
	r.textStages(&b)
	r.textLevels(&b)
	for _, note := range r.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}

func (r *Report) textHead(b *bytes.Buffer) {
	fmt.Fprintf(b, "%s, %s\n", r.Target, r.StartedAt.Format("2006-01-02 15:04:05 MST"))
	if r.Machine != "" {
		fmt.Fprintf(b, "on %s\n", r.Machine)
	}
	if r.Interrupted {
		fmt.Fprintf(b, "INTERRUPTED: this is what was measured until then\n")
	}
	fmt.Fprintf(b, "%s requests/s for %s s by %d workers after %s s of warm-up: %s sent a second\n",
		cmp.Or(r.Rates, showNumber(r.RateRequested)), showNumber(r.DurationS), r.Workers, showNumber(r.WarmupS), showNumber(r.RateAchieved))
	fmt.Fprintf(b, "%s of %d users, mix %s, seed %d, sessions: %s (%d accounts)", r.Dist, r.Users, r.Mix, r.Seed, r.Sessions, r.Accounts)
	if r.Think != "" {
		fmt.Fprintf(b, ", %s of rest after each answer", r.Think)
	}
	fmt.Fprintf(b, "\n%d answers checked, %d wrong; %d requests not sent\n", r.Checked, r.Wrong, r.NotSent)
	fmt.Fprintf(b, "driver: %s µs of processor time a request, %.1f %% of %d processors, 99 %% sent within %s ms of when they were due\n\n",
		showNumber(r.DriverCPU.PerRequest), 100*r.DriverCPU.Share, r.DriverCPU.Processors, showMS(r.DriverLag.P99))
	for _, warning := range r.Warnings {
		fmt.Fprintf(b, "WARNING: %s\n", warning)
	}
	if len(r.Warnings) > 0 {
		fmt.Fprintln(b)
	}
}

// stepRow is one part of a run with several.
type stepRow struct {
	From, Rate      string
	Achieved        float64
	Errors, NotSent int64
	Values          []float64
}

// stepPercentiles are those that the parts of a run are shown with.
var stepPercentiles = []string{"p50", "p90", "p99", "p999", "max"}

func (r *Report) stepRows() (rows []stepRow) {
	for _, s := range r.Steps {
		row := stepRow{From: showNumber(s.FromS), Rate: showNumber(s.RateFrom) + "/s", Achieved: s.RateAchieved, Errors: s.Count - s.Succeeded, NotSent: s.NotSent}
		if s.RateTo != s.RateFrom {
			row.Rate = showNumber(s.RateFrom) + ".." + showNumber(s.RateTo) + "/s"
		}
		for _, name := range stepPercentiles {
			row.Values = append(row.Values, s.Latency.of(name))
		}
		rows = append(rows, row)
	}
	return rows
}

// textSteps shows the parts of a run with several, by when requests were due.
func (r *Report) textSteps(b *bytes.Buffer) {
	if len(r.Steps) == 0 {
		return
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "from\tdue\tsent/s\terrors\tnot sent\t%s\t\n", strings.Join(stepPercentiles, "\t"))
	for _, row := range r.stepRows() {
		fmt.Fprintf(t, "%s s\t%s\t%s\t%d\t%d\t", row.From, row.Rate, showNumber(row.Achieved), row.Errors, row.NotSent)
		for _, v := range row.Values {
			fmt.Fprintf(t, "%s\t", showMS(v))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	fmt.Fprintln(b)
}

// row is one line of the table of percentiles.
type row struct {
	Op, Kind      string
	Count, Errors int64
	Values        []float64
}

// rows are the lines of the table of percentiles: latency and service time
// of each operation and of all.
func (r *Report) rows() (rows []row) {
	for _, name := range append(slices.Sorted(maps.Keys(r.Ops)), totalName) {
		o := r.op(name)
		failed := o.Count - o.Succeeded
		rows = append(rows,
			row{Op: name, Kind: "latency", Count: o.Count, Errors: failed, Values: o.Latency.values()},
			row{Op: name, Kind: "service", Count: o.Count, Errors: failed, Values: o.Service.values()})
	}
	return rows
}

// values returns the percentiles in the order of their names.
func (p Percentiles) values() (values []float64) {
	for _, name := range percentiles {
		values = append(values, p.of(name))
	}
	return values
}

func (r *Report) textOperations(b *bytes.Buffer) {
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "ms\t\tcount\terrors\t%s\t\n", strings.Join(percentiles, "\t"))
	for _, row := range r.rows() {
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t", row.Op, row.Kind, row.Count, row.Errors)
		for _, v := range row.Values {
			fmt.Fprintf(t, "%s\t", showMS(v))
		}
		fmt.Fprintln(t)
	}
	t.Flush()
	fmt.Fprintln(b)
}

func (r *Report) textFailures(b *bytes.Buffer) {
	for _, f := range r.failures() {
		fmt.Fprintf(b, "%d failed with %s, one of them: %s\n", f.Count, f.Code, f.Example)
	}
	if len(r.Total.Errors) > 0 {
		fmt.Fprintln(b)
	}
}

// failed is how many requests failed in one way.
type failed struct {
	Code    string
	Count   int64
	Example string
}

// failures are the ways in which requests failed, by code.
func (r *Report) failures() (list []failed) {
	for _, code := range slices.Sorted(maps.Keys(r.Total.Errors)) {
		list = append(list, failed{code, r.Total.Errors[code], r.Examples[code]})
	}
	return list
}

// textStages shows what the tiers measured of the same requests.
func (r *Report) textStages(b *bytes.Buffer) {
	if len(r.Stages) == 0 {
		return
	}
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "ms, by the tiers' metrics\tstage\top\tcount\tp50\tp99\t")
	for _, s := range r.Stages {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t\n", s.Tier, s.Stage, s.Op, s.Count, showMS(s.P50), showMS(s.P99))
	}
	t.Flush()
	fmt.Fprintln(b)
}

func (r *Report) textLevels(b *bytes.Buffer) {
	for _, s := range r.SLO {
		fmt.Fprintf(b, "%-6s %s: %s\n", s.verdict(), s.SLO, s.reached())
	}
	if len(r.SLO) > 0 {
		fmt.Fprintln(b)
	}
}

func (s SLOResult) verdict() string {
	if s.OK {
		return "kept"
	}
	return "BROKEN"
}

// reached says in words what the run reached.
func (s SLOResult) reached() string {
	if s.Actual == nil {
		return "nothing was measured"
	}
	return trimZeros(strconv.FormatFloat(*s.Actual, 'f', 5, 64)) + s.Unit
}

// showMS shows milliseconds as finely as they are known.
func showMS(ms float64) string { return strconv.FormatFloat(ms, 'f', 3, 64) }

// showNumber shows up to three digits behind the point.
func showNumber(x float64) string { return trimZeros(strconv.FormatFloat(x, 'f', 3, 64)) }

// trimZeros cuts the zeros off the end of a number with a point.
func trimZeros(number string) string {
	return strings.TrimSuffix(strings.TrimRight(number, "0"), ".")
}
