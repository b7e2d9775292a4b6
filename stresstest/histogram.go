package stresstest

import (
	"errors"
	"math"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// histogram counts durations in microseconds, from one to a minute, with
// three significant digits: every number it tells is at most 0.1 % too high.
// No request takes a minute, because it waits at most maxWait and then runs
// into requestTimeout.
type histogram struct{ *hdrhistogram.Histogram }

const (
	minRecorded = time.Microsecond
	maxRecorded = time.Minute
)

func newHistogram() histogram {
	return histogram{hdrhistogram.New(minRecorded.Microseconds(), maxRecorded.Microseconds(), 3)}
}

// record counts d, rounded to a microsecond.
func (h histogram) record(d time.Duration) {
	d = min(max(d.Round(time.Microsecond), minRecorded), maxRecorded)
	// Between the bounds it is always recordable.
	_ = h.RecordValue(d.Microseconds())
}

// quantile returns the shortest duration that at least so many percent of
// those counted do not pass, 0 where none was counted. The library rounds the
// rank to the nearest, which for p99.9 of 800 is the one before the last.
func (h histogram) quantile(percent float64) time.Duration {
	n := float64(h.TotalCount())
	rank := math.Ceil(percent/100*n - 1e-6) // 99.9 % of 1000 are 999, and not 999.0000000001
	return time.Duration(h.ValueAtQuantile(100*rank/max(1, n))) * time.Microsecond
}

func (h histogram) max() time.Duration { return time.Duration(h.Max()) * time.Microsecond }

// maxCodes bounds how many codes of failures one operation tells apart. The
// rest is counted under codeOther.
const maxCodes = 32

// tally is what became of the requests of one operation.
type tally struct {
	finished, notSent      int64
	failed, checked, wrong int64
	errors                 map[string]int64
	latency, service       histogram // of those that succeeded
}

func newTally() *tally {
	return &tally{errors: map[string]int64{}, latency: newHistogram(), service: newHistogram()}
}

// add counts a request. Its times count where it succeeded: how fast
// something fails says nothing about how long success takes.
func (t *tally) add(r result) {
	if errors.Is(r.err, errNotSent) {
		t.notSent++
		return
	}
	t.finished++
	if r.err == nil {
		t.checked++
		t.latency.record(r.latency)
		t.service.record(r.service)
		return
	}
	f := asFailure(r.err)
	t.failed++
	t.fail(f.code, 1)
	if f.wrong {
		t.checked++
		t.wrong++
	}
}

func (t *tally) fail(code string, n int64) {
	if _, known := t.errors[code]; !known && len(t.errors) >= maxCodes {
		code = codeOther
	}
	t.errors[code] += n
}

// merge adds what another tally counted.
func (t *tally) merge(other *tally) {
	if other.finished+other.notSent == 0 {
		return
	}
	t.finished += other.finished
	t.notSent += other.notSent
	t.failed += other.failed
	t.checked += other.checked
	t.wrong += other.wrong
	for code, n := range other.errors {
		t.fail(code, n)
	}
	// Histograms of the same range drop nothing.
	t.latency.Merge(other.latency.Histogram)
	t.service.Merge(other.service.Histogram)
}

// clear makes the tally as new.
func (t *tally) clear() {
	if t.finished+t.notSent == 0 {
		return
	}
	latency, service := t.latency, t.service
	latency.Reset()
	service.Reset()
	*t = tally{errors: map[string]int64{}, latency: latency, service: service}
}
