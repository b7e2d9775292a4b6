package cachetest

import (
	"strconv"
	"sync"
)

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

func keysOf(rows []*row) []string {
	keys := make([]string, len(rows))
	for i, row := range rows {
		keys[i] = row.key
	}
	return keys
}
