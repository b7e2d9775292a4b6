package stresstest

import (
	"cmp"
	"errors"
	"runtime"
	"strings"
	"sync"
	"unicode"
)

const (
	// maxExamples bounds the failures that a report quotes, one of each code.
	maxExamples = 32
	// maxExample bounds one of these, in code points.
	maxExample = 300
)

// recorder counts the results of all workers. It is split, because workers
// that end at once would wait for each other otherwise.
type recorder struct {
	mix    Mix
	shards []recorderShard

	totals [operations]*tally // what was taken of the shards so far
	second [operations]*tally // what was taken last
	all    *tally             // the sum of that
	empty  *tally             // takes the place of one that is taken

	mu       sync.Mutex        // guards examples
	examples map[string]string // code: what one such failure said
}

type recorderShard struct {
	mu       sync.Mutex // guards the fields below
	ops      [operations]*tally
	sections []*tally // where there are several
	lag      histogram

	_ [64]byte // keeps shards out of each other's cache lines
}

func newRecorder(mix Mix, sections int) *recorder {
	rec := &recorder{mix: mix, shards: make([]recorderShard, min(2*runtime.GOMAXPROCS(0), 8)),
		all: newTally(), empty: newTally(), examples: map[string]string{}}
	for i := range rec.shards {
		s := &rec.shards[i]
		s.lag = newHistogram()
		for _, op := range mix.all() {
			s.ops[op] = newTally()
		}
		for range sections {
			if sections > 1 {
				s.sections = append(s.sections, newTally())
			}
		}
	}
	for _, op := range mix.all() {
		rec.totals[op], rec.second[op] = newTally(), newTally()
	}
	return rec
}

// record counts what a worker has done.
func (rec *recorder) record(worker int, r result) {
	s := &rec.shards[worker%len(rec.shards)]
	s.mu.Lock()
	s.ops[r.op].add(r)
	if s.sections != nil {
		s.sections[r.section].add(r)
	}
	if r.waited {
		s.lag.record(r.lag)
	}
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

// take moves what was counted since it was last called into second, all and
// totals. It is for one goroutine at a time; workers do not wait for it longer
// than two words take to change.
func (rec *recorder) take() {
	rec.all.clear()
	for _, op := range rec.mix.all() {
		second := rec.second[op]
		second.clear()
		for i := range rec.shards {
			s := &rec.shards[i]
			s.mu.Lock()
			taken := s.ops[op]
			s.ops[op] = rec.empty
			s.mu.Unlock()
			second.merge(taken)
			taken.clear()
			rec.empty = taken
		}
		rec.totals[op].merge(second)
		rec.all.merge(second)
	}
}

// section returns what became of the requests of a section.
func (rec *recorder) section(number int) *tally {
	sum := newTally()
	for i := range rec.shards {
		s := &rec.shards[i]
		s.mu.Lock()
		sum.merge(s.sections[number])
		s.mu.Unlock()
	}
	return sum
}

// lag returns how late workers were that waited for their request.
func (rec *recorder) lag() histogram {
	sum := newHistogram()
	for i := range rec.shards {
		s := &rec.shards[i]
		s.mu.Lock()
		sum.Merge(s.lag.Histogram)
		s.mu.Unlock()
	}
	return sum
}
