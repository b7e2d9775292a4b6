package cachetest

import (
	crand "crypto/rand"
	"math/rand/v2"
)

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
	r.forget()
	committed := r.commit(rows, before)
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

// commit makes the next version of those rows that nobody else changed, and
// returns it.
func (r *race) commit(rows []*row, before []int64) map[*row]int64 {
	committed := map[*row]int64{}
	for i, row := range rows {
		if row.commit(before[i]) {
			r.commits.Add(1)
			committed[row] = before[i] + 1
		}
	}
	return committed
}

// forget has the cache forget everything, and leaves readers time to fill it.
func (r *race) forget() {
	if rand.Float64() >= r.faults.Forget {
		return
	}
	for _, row := range r.rows {
		r.Forget(row.key)
	}
	r.Pause()
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
