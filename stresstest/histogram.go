package stresstest

import (
	"cmp"
	"errors"
	"math"
	"runtime"
	"strings"
	"sync"
	"time"
	"unicode"

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

// maxExamples bounds the failures that a report quotes, one of each code.
const maxExamples = 32

// recorder counts the results of all workers. It is split, because workers
// that end at once would wait for each other otherwise.
type recorder struct {
	mix    Mix
	shards []recorderShard

	mu       sync.Mutex        // guards examples
	examples map[string]string // code: what one such failure said
}

type recorderShard struct {
	mu     sync.Mutex // guards the fields below
	ops    [operations]*tally
	second *tally // everything since it was last taken

	_ [64]byte // keeps shards out of each other's cache lines
}

func newRecorder(mix Mix) *recorder {
	rec := &recorder{mix: mix, shards: make([]recorderShard, min(2*runtime.GOMAXPROCS(0), 16)), examples: map[string]string{}}
	for i := range rec.shards {
		s := &rec.shards[i]
		s.second = newTally()
		for _, op := range mix.all() {
			s.ops[op] = newTally()
		}
	}
	return rec
}

// record counts what a worker has done.
func (rec *recorder) record(worker int, r result) {
	s := &rec.shards[worker%len(rec.shards)]
	s.mu.Lock()
	s.ops[r.op].add(r)
	s.second.add(r)
	s.mu.Unlock()
	if r.err != nil && !errors.Is(r.err, errNotSent) {
		rec.quote(asFailure(r.err))
	}
}

// quote keeps one failure of each code, without what a terminal would obey:
// the words may be the target's.
func (rec *recorder) quote(f *failure) {
	rec.mu.Lock()
	defer rec.mu.Unlock()
	if rec.examples[f.code] == "" && len(rec.examples) < maxExamples {
		text := []rune(strings.Map(printable, cmp.Or(f.cause, errors.New("no more is known")).Error()))
		rec.examples[f.code] = string(text[:min(len(text), maxExample)])
	}
}

func printable(r rune) rune {
	if unicode.IsPrint(r) {
		return r
	}
	return '?'
}

// maxExample bounds one quoted failure, in code points.
const maxExample = 300

// total returns what became of the requests of an operation.
func (rec *recorder) total(op operation) *tally {
	sum := newTally()
	for i := range rec.shards {
		s := &rec.shards[i]
		s.mu.Lock()
		sum.merge(s.ops[op])
		s.mu.Unlock()
	}
	return sum
}

// takeSecond returns what was counted since it was last called.
func (rec *recorder) takeSecond() *tally {
	sum := newTally()
	for i := range rec.shards {
		s := &rec.shards[i]
		s.mu.Lock()
		sum.merge(s.second)
		s.second.clear()
		s.mu.Unlock()
	}
	return sum
}

// clear makes the tally as new.
func (t *tally) clear() {
	latency, service := t.latency, t.service
	latency.Reset()
	service.Reset()
	*t = tally{errors: map[string]int64{}, latency: latency, service: service}
}
