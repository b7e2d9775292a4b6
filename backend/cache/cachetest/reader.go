package cachetest

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"gatehouse/backend/cache"
)

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
		if r.leavesMarks() && rand.IntN(2) == 0 {
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
