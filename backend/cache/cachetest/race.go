package cachetest

import (
	"context"
	"math/rand/v2"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/backend/cache"
)

// Faults are what goes wrong in a Race, each as a share of the occasions,
// from 0 to 1.
type Faults struct {
	// Cancel is of the calls of the cache, which end before they are done.
	// Where it is not 0, any call may fail.
	Cancel float64
	// Crash is of the writers, which stop for good before or after their
	// commit and leave their mark behind.
	Crash float64
	// Evict is of the reads, which begin by evicting a value.
	Evict float64
	// Forget is of the writes, during which the cache forgets everything. Not
	// together with Cancel: a mark that is forgotten must be missed.
	Forget float64
	// Meanwhile, where it is not nil, runs beside the readers and writers. It
	// returns soon after the channel is closed.
	Meanwhile func(over <-chan struct{})
}

// What takes part in a Race.
const (
	raceRows    = 8
	raceReaders = 8   // who read as long as there are writers
	raceWriters = 4   // not too many, or the rows are always marked
	raceWrites  = 250 // of each writer
)

// Race has readers and writers use a cache as its package comment says, in
// front of a database with a version in each record, and checks that no read
// shows an older version than was known when the read began: from a write
// that was acknowledged or from a read that had returned. Where the cache
// forgets marks, it promises less: only acknowledged writes count then.
func Race(t *testing.T, subject Subject, faults Faults) {
	r := &race{suite: newSuite(t, subject), faults: faults}
	if r.Pause == nil {
		r.Pause = yield
	}
	for i := range raceRows {
		r.rows = append(r.rows, &row{key: r.key(strconv.Itoa(i))})
	}
	if r.run(); r.Failed() {
		return
	}
	r.settle()
	r.wantsEverythingTried()
}

// run lets readers read as long as there are writers.
func (r *race) run() {
	var writers, others sync.WaitGroup
	over := make(chan struct{})
	for range raceWriters {
		writers.Go(func() {
			for i := 0; i < raceWrites && !r.Failed(); i++ {
				r.write(r.some())
				r.Pause()
			}
		})
	}
	for range raceReaders {
		others.Go(func() {
			for !isClosed(over) && !r.Failed() {
				r.read(r.some())
			}
		})
	}
	if r.faults.Meanwhile != nil {
		others.Go(func() { r.faults.Meanwhile(over) })
	}
	writers.Wait()
	close(over)
	others.Wait()
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func yield() {
	for range rand.IntN(20) {
		runtime.Gosched()
	}
}

type race struct {
	*suite
	faults Faults
	rows   []*row

	// How often what happened, so that a race in which nothing did is seen.
	reads, hits, negatives, fills, marked, commits, failures, crashes, repairs, lost atomic.Int64
}

// some returns one or two rows.
func (r *race) some() []*row {
	first := rand.IntN(len(r.rows))
	rows := r.rows[first : first+1 : first+1]
	if rand.IntN(3) == 0 {
		rows = append(rows, r.rows[(first+1)%len(r.rows)])
	}
	return rows
}

// call returns the context of one call of the cache.
func (r *race) call() (context.Context, context.CancelFunc) {
	ctx := r.Context()
	if rand.Float64() >= r.faults.Cancel {
		return context.WithTimeout(ctx, patience)
	}
	soon := time.Duration(rand.IntN(1000)) * time.Microsecond
	if rand.IntN(2) == 0 {
		return context.WithTimeout(ctx, soon)
	}
	ctx, cancel := context.WithCancel(ctx)
	timer := time.AfterFunc(soon, cancel)
	return ctx, func() {
		timer.Stop()
		cancel()
	}
}

// fails tells whether a call failed.
func (r *race) fails(what string, err error) bool {
	if err == nil {
		return false
	}
	r.failures.Add(1)
	if r.faults.Cancel == 0 {
		r.Errorf("%s: %v", what, err)
	}
	return true
}

// settle repairs what is left and checks that the cache then works as ever.
func (r *race) settle() {
	r.faults.Cancel, r.Pause = 0, func() {}
	for i, row := range r.rows {
		deadline := time.Now().Add(patience)
		for ; !r.settled(row); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				r.Fatalf("after the race: got %+v", r.get(row.key)[0])
			}
			r.read(r.rows[i : i+1])
		}
	}
}

// settled tells whether the cache has the version of the database. A mark is
// repaired.
func (r *race) settled(row *row) bool {
	e := r.get(row.key)[0]
	if e.State == cache.Marked {
		r.repair(row, e.Marks)
	}
	version, _ := row.read()
	return e.State == cache.Hit && string(e.Value) == string(row.value(version))
}

// wantsEverythingTried fails a race in which what it is about did not happen.
func (r *race) wantsEverythingTried() {
	r.Logf("%d reads, %d hits, %d negatives, %d fills, %d marked, %d commits, %d failures, %d crashes, %d repairs, %d lost",
		r.reads.Load(), r.hits.Load(), r.negatives.Load(), r.fills.Load(), r.marked.Load(), r.commits.Load(),
		r.failures.Load(), r.crashes.Load(), r.repairs.Load(), r.lost.Load())
	for what, ok := range map[string]bool{
		"hit":    r.hits.Load() > 0,
		"fill":   r.fills.Load() > 0,
		"mark":   r.marked.Load() > 0,
		"commit": r.commits.Load() > 0,
		"crash":  r.crashes.Load() > 0 || r.faults.Crash == 0,
		"repair": r.repairs.Load() > 0 || r.faults.Crash == 0,
		"loss":   r.lost.Load() > 0 || r.faults.Forget == 0,
	} {
		if !ok {
			r.Errorf("there was not one %s in the race", what)
		}
	}
}
