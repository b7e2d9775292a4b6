package cachetest

import (
	"context"
	crand "crypto/rand"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"strings"
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
	// Forget is of the writes, while which the cache forgets everything. Not
	// together with Cancel: a mark that is forgotten must be missed.
	Forget float64
	// Meanwhile, where it is not nil, runs beside the readers and writers. It
	// returns soon after the channel is closed.
	Meanwhile func(over <-chan struct{})
}

// What takes part in a Race.
const (
	raceRows    = 4
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
	r.run()
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

// A row is a record of the database.
type row struct {
	key string

	mu      sync.Mutex // guards the fields below
	version int64
	known   int64 // the newest version that anybody was shown
}

// read returns the version and the newest that anybody was shown.
func (r *row) read() (version, known int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.version, r.known
}

// commit makes the next version, if the row still has this one.
func (r *row) commit(from int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.version != from {
		return false
	}
	r.version++
	return true
}

// fence makes sure that whoever read the row before can no longer commit.
func (r *row) fence() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.version++
}

func (r *row) shown(version int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known = max(r.known, version)
}

// value is what the cache keeps of a row: its key, so that another's is
// noticed, and a version. Version 0 is that there is no such record yet.
func (r *row) value(version int64) []byte {
	if version == 0 {
		return nil
	}
	return []byte(r.key + "@" + strconv.FormatInt(version, 10))
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

func keysOf(rows []*row) []string {
	keys := make([]string, len(rows))
	for i, row := range rows {
		keys[i] = row.key
	}
	return keys
}

// read reads rows, through the cache or past it, and checks what it got.
func (r *race) read(rows []*row) {
	r.reads.Add(1)
	if rand.Float64() < r.faults.Evict {
		r.Evict(rows[0].key)
	}
	floor := make([]int64, len(rows))
	for i, row := range rows {
		_, floor[i] = row.read()
	}
	for i, version := range r.lookUp(rows) {
		if version < floor[i] {
			r.Errorf("a read shows version %d although %d was known before it began", version, floor[i])
		}
		if r.faults.Forget == 0 {
			rows[i].shown(version)
		}
	}
}

// lookUp returns the versions of rows: what the cache has, and of the others
// what the database has.
func (r *race) lookUp(rows []*row) []int64 {
	versions := make([]int64, len(rows))
	ctx, cancel := r.call()
	defer cancel()
	entries, err := r.Cache.Get(ctx, keysOf(rows)...)
	r.Pause()
	if r.fails("Get", err) {
		for i, row := range rows {
			versions[i], _ = row.read()
		}
		return versions
	}
	var missing []*row
	for i, row := range rows {
		if entries[i].State == cache.Absent {
			missing = append(missing, row)
			continue
		}
		versions[i] = r.known(row, entries[i])
	}
	for i, version := range r.load(missing) {
		versions[slices.Index(rows, missing[i])] = version
	}
	return versions
}

// known returns the version that an entry tells, or that of the database.
func (r *race) known(row *row, e cache.Entry) int64 {
	switch e.State {
	case cache.Hit:
		r.hits.Add(1)
		key, text, _ := strings.Cut(string(e.Value), "@")
		version, err := strconv.ParseInt(text, 10, 64)
		if key != row.key || err != nil || version == 0 {
			r.Errorf("the value of %q is %q", row.key, e.Value)
		}
		return version
	case cache.Negative:
		r.negatives.Add(1)
		return 0
	case cache.Marked:
		r.marked.Add(1)
		if r.leavesMarks() && rand.IntN(8) == 0 {
			r.repair(row, e.Marks)
		}
	}
	version, _ := row.read()
	return version
}

// leavesMarks tells whether some marks stay until a repair.
func (r *race) leavesMarks() bool { return r.faults.Cancel > 0 || r.faults.Crash > 0 }

// load reads rows from the database and fills the cache where it may.
func (r *race) load(rows []*row) []int64 {
	versions := make([]int64, len(rows))
	ctx, cancel := r.call()
	defer cancel()
	entries, err := r.Cache.Lease(ctx, keysOf(rows)...)
	if r.fails("Lease", err) {
		entries = make([]cache.Entry, len(rows))
	}
	r.Pause()
	var fills []cache.Fill
	for i, row := range rows {
		versions[i] = r.known(row, entries[i])
		if e := entries[i]; e.State == cache.Leased {
			fills = append(fills, cache.Fill{Key: row.key, Token: e.Token, Value: row.value(versions[i]), TTL: time.Hour})
		}
	}
	r.Pause()
	ctx, cancel = r.call()
	defer cancel()
	kept, err := r.Cache.Fill(ctx, fills...)
	if !r.fails("Fill", err) && slices.Contains(kept, true) {
		r.fills.Add(1)
	}
	return versions
}

// write makes the next version of rows.
func (r *race) write(rows []*row) {
	token, keys := crand.Text(), keysOf(rows)
	before := make([]int64, len(rows))
	for i, row := range rows {
		before[i], _ = row.read()
	}
	if r.fails("Mark", r.markOnce(token, keys)) {
		// Not applied. The mark may stand all the same, or come later.
		r.unmarkOnce(token, keys)
		return
	}
	r.Pause()
	if r.crash() {
		return
	}
	if rand.Float64() < r.faults.Forget {
		for _, row := range r.rows {
			r.Forget(row.key)
		}
		r.Pause()
	}
	committed := map[*row]int64{}
	for i, row := range rows {
		if row.commit(before[i]) {
			r.commits.Add(1)
			committed[row] = before[i] + 1
		}
	}
	r.Pause()
	if r.crash() {
		return
	}
	r.unmarkOnce(token, keys)
	// Acknowledged, also where the mark still stands: it hides what is old.
	for row, version := range committed {
		row.shown(version)
	}
}

func (r *race) crash() bool {
	if rand.Float64() >= r.faults.Crash {
		return false
	}
	r.crashes.Add(1)
	return true
}

func (r *race) markOnce(token string, keys []string) error {
	ctx, cancel := r.call()
	defer cancel()
	return r.Cache.Mark(ctx, token, keys...)
}

func (r *race) unmarkOnce(token string, keys []string) {
	ctx, cancel := r.call()
	defer cancel()
	lost, err := r.Cache.Unmark(ctx, token, keys...)
	if r.fails("Unmark", err) || !lost {
		return
	}
	r.lost.Add(1)
	// After a repair took the mark away, a value may have come in its place.
	if r.faults.Forget == 0 && !r.leavesMarks() {
		r.Error("a mark was lost")
	}
}

// repair takes marks away whose writers may have stopped. It marks the row
// itself while it fences them off, because a fence is a write: between the
// look at the marks and the fence they may all have gone, and a value come.
func (r *race) repair(row *row, tokens []string) {
	own, keys := crand.Text(), []string{row.key}
	if !r.fails("Mark", r.markOnce(own, keys)) {
		row.fence()
		r.repairs.Add(1)
		for _, token := range tokens {
			r.unmarkOnce(token, keys)
		}
	}
	r.unmarkOnce(own, keys)
}

// settle repairs what is left and checks that the cache then works as ever.
func (r *race) settle() {
	r.faults.Cancel = 0
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
