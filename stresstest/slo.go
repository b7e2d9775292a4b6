package stresstest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SLO is a service level: a bound that a run must stay below or, for a rate,
// above.
type SLO struct {
	op     string // an operation, or totalName
	metric string // one of the percentiles, errorsName or rateName
	limit  float64
}

const (
	totalName  = "total"
	errorsName = "errors"
	rateName   = "rate"
)

// percentiles are what reports tell of a histogram, and levels may bound.
var percentiles = []string{"p50", "p90", "p95", "p99", "p999", "max"}

// ParseSLO reads a service level. "p99<10ms" bounds a percentile of the
// latency of all right answers; p50, p90, p95, p99, p999 and max are known.
// "errors<0.1%" bounds the part of the requests that did not succeed, those
// that were not sent among them. "rate>3000" wants so many right answers a
// second. "profile.p99<4ms" looks at one operation.
func ParseSLO(text string) (SLO, error) {
	bare := strings.ReplaceAll(text, " ", "")
	left, right, ok := strings.Cut(bare, "<")
	if !ok {
		left, right, ok = strings.Cut(bare, ">")
		ok = ok && (left == rateName || strings.HasSuffix(left, "."+rateName))
	}
	if !ok {
		return SLO{}, fmt.Errorf("service level %q: want METRIC<LIMIT, such as p99<10ms or errors<0.1%%", text)
	}
	s := SLO{op: totalName, metric: left}
	if op, metric, named := strings.Cut(left, "."); named {
		o, err := parseOperation(op)
		if err != nil {
			return SLO{}, fmt.Errorf("service level %q: %w", text, err)
		}
		s.op, s.metric = o.String(), metric
	}
	var err error
	switch {
	case s.metric == errorsName:
		s.limit, err = parsePercent(right)
	case s.metric == rateName && strings.Contains(bare, ">"):
		s.limit, err = parseRate(right)
	case slices.Contains(percentiles, s.metric):
		s.limit, err = parseMilliseconds(right)
	default:
		err = fmt.Errorf("there is no metric %q: want errors, rate (with >), %s", s.metric, strings.Join(percentiles, ", "))
	}
	if err != nil {
		return SLO{}, fmt.Errorf("service level %q: %w", text, err)
	}
	return s, nil
}

func parseRate(text string) (float64, error) {
	rate, err := strconv.ParseFloat(text, 64)
	if err != nil || !(rate > 0 && rate <= maxRate) {
		return 0, fmt.Errorf("%q is no bound of a rate: want more than 0 and up to %d answers a second", text, maxRate)
	}
	return rate, nil
}

func parsePercent(text string) (float64, error) {
	number, ok := strings.CutSuffix(text, "%")
	percent, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(percent > 0 && percent <= 100) {
		return 0, fmt.Errorf("%q is no bound of errors: want a percentage above 0 and up to 100, such as 0.1%%", text)
	}
	return percent, nil
}

func parseMilliseconds(text string) (float64, error) {
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 || d > maxRecorded {
		return 0, fmt.Errorf("%q is no bound of a latency: want a duration above 0 and up to %v, such as 10ms", text, maxRecorded)
	}
	return milliseconds(d), nil
}

// String returns the level in the form that ParseSLO reads.
func (s SLO) String() string {
	name := s.metric
	if s.op != totalName {
		name = s.op + "." + s.metric
	}
	sign := "<"
	if s.metric == rateName {
		sign = ">"
	}
	return name + sign + strconv.FormatFloat(s.limit, 'f', -1, 64) + strings.TrimPrefix(s.unit(), "/s")
}

func (s SLO) unit() string {
	switch s.metric {
	case errorsName:
		return "%"
	case rateName:
		return "/s"
	}
	return "ms"
}

// check tells what is wrong with the level for a mix.
func (s SLO) check(m Mix) error {
	if s == (SLO{}) {
		return errors.New("slo: one is empty; make it with ParseSLO")
	}
	if op, err := parseOperation(s.op); err == nil && !m.has(op) {
		return fmt.Errorf("slo %s: %s is not in the mix %s", s, s.op, m)
	}
	return nil
}

// SLOResult is a service level with what a run reached.
type SLOResult struct {
	SLO    string `json:"slo"`
	Op     string `json:"op"`     // an operation, or "total"
	Metric string `json:"metric"` // a percentile of the latency, "errors" or "rate"
	// Limit is what the run had to stay below, in Unit: "ms" or "%". A rate,
	// in "/s", had to be above it.
	Limit float64 `json:"limit"`
	Unit  string  `json:"unit"`
	// Actual is what the run reached. It is nil where nothing was there to be
	// measured, which keeps no promise.
	Actual *float64 `json:"actual"`
	OK     bool     `json:"ok"`
}

// result compares what was measured in so many seconds with the level.
func (s SLO) result(o OpReport, seconds float64) SLOResult {
	r := SLOResult{SLO: s.String(), Op: s.op, Metric: s.metric, Limit: s.limit, Unit: s.unit()}
	if actual, ok := s.actual(o, seconds); ok {
		r.Actual, r.OK = &actual, actual < s.limit
		if s.metric == rateName {
			r.OK = actual > s.limit
		}
	}
	return r
}

func (s SLO) actual(o OpReport, seconds float64) (float64, bool) {
	switch s.metric {
	case errorsName:
		all := o.Count + o.NotSent
		return 100 * float64(all-o.Succeeded) / float64(max(1, all)), all > 0
	case rateName:
		return float64(o.Succeeded) / seconds, seconds > 0
	}
	return o.Latency.of(s.metric), o.Succeeded > 0
}
