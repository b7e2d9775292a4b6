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
