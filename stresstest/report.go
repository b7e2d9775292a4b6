package stresstest

import (
	"encoding/json"
	"fmt"
	"io"
	"time"
)

// Report is what a run found out. Fields are added to its JSON form and
// never renamed.
type Report struct {
	Command string `json:"command"`
	Version string `json:"version"`
	Machine string `json:"machine"`
	Target  string `json:"target"`

	// RateRequested and RateAchieved are requests a second: of the schedule,
	// and those that were really sent and finished.
	RateRequested float64 `json:"rate_requested"`
	RateAchieved  float64 `json:"rate_achieved"`
	// DurationS is how long requests were due, in seconds. It is shorter than
	// asked for where the run was interrupted.
	DurationS float64 `json:"duration_s"`
	Workers   int     `json:"workers"`
	Users     int     `json:"users"`
	Dist      string  `json:"dist"`

	// NotSent is how many due requests found no free worker of the driver.
	NotSent int64 `json:"not_sent"`
	// Checked is how many answers said that they were successes, and Wrong how
	// many of these were not the right answer.
	Checked int64 `json:"checked"`
	Wrong   int64 `json:"wrong"`

	// Ops has every operation of the mix, by name.
	Ops   map[string]OpReport `json:"ops"`
	Total OpReport            `json:"total"`
	SLO   []SLOResult         `json:"slo"`

	StartedAt time.Time `json:"started_at"` // of the measured part
	Mix       string    `json:"mix"`
	Seed      uint64    `json:"seed"`
	WarmupS   float64   `json:"warmup_s"`
	// Accounts is how many accounts operations other than login chose from,
	// and Sessions where their sessions came from: "session key", "logged in"
	// or "none".
	Accounts int    `json:"accounts"`
	Sessions string `json:"sessions"`
	// Rates is how the rate was asked for, where it was not always the same,
	// and Steps what became of each part of it. RateRequested is the mean then.
	Rates string       `json:"rates,omitempty"`
	Steps []StepReport `json:"steps,omitempty"`
	// Think is how long a worker rested after each answer, empty for not at all.
	Think string `json:"think,omitempty"`
	// DriverCPU is what the driver itself used.
	DriverCPU DriverCPU `json:"driver_cpu"`
	// DriverLag is how late the driver was at requests that a free worker
	// waited for. Latency contains it.
	DriverLag Percentiles `json:"driver_lag_ms"`
	// Warnings say where the numbers are likely the driver's own.
	Warnings []string `json:"warnings"`
	// Stages is what the tiers' own metrics say of the measured part, in the
	// order in which a request meets them.
	Stages []Stage `json:"stages"`
	// Timeline is the measured part second by second.
	Timeline []Moment `json:"timeline"`
	// Intervals are parts of the measured part with their percentiles.
	Intervals []Interval `json:"intervals"`
	// Examples quotes one failure of each code.
	Examples map[string]string `json:"examples"`
	// Interrupted tells that the run was ended before its time.
	Interrupted bool `json:"interrupted"`
	// Notes are what a reader must know to judge the numbers.
	Notes []string `json:"notes"`
}

// OpReport is what became of the requests of one operation, or of all.
type OpReport struct {
	// Count is how many requests were sent and finished, failures among them;
	// Succeeded how many were answered rightly.
	Count     int64 `json:"count"`
	Succeeded int64 `json:"succeeded"`
	NotSent   int64 `json:"not_sent"`
	// Errors is how many failed, by code: the API's where the target said one,
	// http_NNN for an answer without, timeout, connection, or wrong_answer.
	Errors map[string]int64 `json:"errors"`
	// Latency counts from when a request was due, Service from when it was
	// sent. Both are of those that succeeded.
	Latency Percentiles `json:"latency_ms"`
	Service Percentiles `json:"service_ms"`
	// Curve is both at many more percentiles.
	Curve []CurvePoint `json:"curve,omitempty"`
}

// CurvePoint is what so many percent of the successes do not pass.
type CurvePoint struct {
	Percent float64 `json:"percent"`
	Latency float64 `json:"latency_ms"`
	Service float64 `json:"service_ms"`
}

// StepReport is what became of the requests that were due in one part of a
// run.
type StepReport struct {
	// FromS and ToS are where the part begins and ends, in seconds, and
	// RateFrom and RateTo the rates that were due then.
	FromS    float64 `json:"from_s"`
	ToS      float64 `json:"to_s"`
	RateFrom float64 `json:"rate_from"`
	RateTo   float64 `json:"rate_to"`
	// RateAchieved is requests of this part that were sent and finished, over
	// its length.
	RateAchieved float64 `json:"rate_achieved"`
	OpReport
}

// Percentiles are those of a histogram, in milliseconds and at most 0.1 % too
// high. They are 0 where nothing was measured.
type Percentiles struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P95  float64 `json:"p95"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

// DriverCPU is the processor time of the driver's process during the
// measured part. A driver that is short of it measures itself.
type DriverCPU struct {
	Seconds float64 `json:"seconds"`
	// PerRequest is in microseconds, of the requests that finished.
	PerRequest float64 `json:"per_request_us"`
	// Share is the part of the machine's processors that the driver used, from
	// 0 to 1, and Processors how many there are.
	Share      float64 `json:"share"`
	Processors int     `json:"processors"`
}

// of returns the percentile of a name.
func (p Percentiles) of(name string) float64 {
	return map[string]float64{"p50": p.P50, "p90": p.P90, "p95": p.P95, "p99": p.P99, "p999": p.P999, "max": p.Max}[name]
}

func percentilesOf(h histogram) Percentiles {
	at := func(percent float64) float64 { return milliseconds(h.quantile(percent)) }
	return Percentiles{P50: at(50), P90: at(90), P95: at(95), P99: at(99), P999: at(99.9), Max: milliseconds(h.max())}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (t *tally) report() OpReport {
	return OpReport{Count: t.finished, Succeeded: t.finished - t.failed, NotSent: t.notSent, Errors: t.errors,
		Latency: percentilesOf(t.latency), Service: percentilesOf(t.service), Curve: t.curve()}
}

// curvePercents are the percentiles of a curve, closer together where fewer
// requests are beyond them.
var curvePercents = []float64{0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 96.25, 97.5, 98, 98.5, 99, 99.25, 99.5,
	99.75, 99.9, 99.95, 99.99, 99.995, 99.999, 99.9999}

// curve ends with the first point that only the slowest request is beyond.
func (t *tally) curve() (points []CurvePoint) {
	successes := float64(t.finished - t.failed)
	for _, percent := range curvePercents {
		if successes == 0 || (1-percent/100)*successes < 1 {
			break
		}
		points = append(points, CurvePoint{percent, milliseconds(t.latency.quantile(percent)), milliseconds(t.service.quantile(percent))})
	}
	if successes > 0 {
		points = append(points, CurvePoint{100, milliseconds(t.latency.max()), milliseconds(t.service.max())})
	}
	return points
}

// fill puts what was counted into the report.
func (r *Report) fill(rec *recorder, slos []SLO) {
	rec.take()
	total := newTally()
	r.Ops = map[string]OpReport{}
	for _, op := range rec.mix.all() {
		t := rec.totals[op]
		r.Ops[op.String()] = t.report()
		total.merge(t)
	}
	r.Total = total.report()
	r.NotSent, r.Checked, r.Wrong = total.notSent, total.checked, total.wrong
	r.RateAchieved = float64(total.finished) / max(r.DurationS, time.Millisecond.Seconds())
	r.DriverCPU.PerRequest = 1e6 * r.DriverCPU.Seconds / float64(max(1, total.finished))
	r.Examples = rec.examples
	r.SLO = []SLOResult{}
	for _, s := range slos {
		r.SLO = append(r.SLO, s.result(r.op(s.op), r.DurationS))
	}
	r.DriverLag = percentilesOf(rec.lag())
	r.Warnings = append([]string{}, r.warnings()...)
}

// fillSteps puts the sections of a schedule that has several into the report.
func (r *Report) fillSteps(rec *recorder, s schedule) {
	for i := range s.sections {
		if s.sections == 1 {
			return
		}
		from := time.Duration(i) * s.sectionLength()
		to := min(from+s.sectionLength(), s.duration)
		step := StepReport{FromS: from.Seconds(), ToS: to.Seconds(), RateFrom: s.rateAt(i, from), RateTo: s.rateAt(i, to),
			OpReport: rec.section(i).report()}
		step.Curve = nil
		step.RateAchieved = float64(step.Count) / (to - from).Seconds()
		r.Steps = append(r.Steps, step)
	}
}

// op returns the part of the report of an operation, or of all.
func (r *Report) op(name string) OpReport {
	if name == totalName {
		return r.Total
	}
	return r.Ops[name]
}

// Broken returns the service levels that the run did not keep.
func (r *Report) Broken() (broken []SLOResult) {
	for _, s := range r.SLO {
		if !s.OK {
			broken = append(broken, s)
		}
	}
	return broken
}

// JSON writes the report as indented JSON.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false) // so that a service level reads as it was given
	if err := e.Encode(r); err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	return nil
}
