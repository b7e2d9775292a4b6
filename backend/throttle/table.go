package throttle

import (
	"hash/maphash"
	"sync"
	"time"
)

// The shape of a table: 64 × 64 × 16 = 65,536 entries of 16 bytes.
const (
	shards = 64
	sets   = 64
	ways   = 16
)

// A table remembers a time for each of many keys in fixed memory: the time at which the key has recovered in full. A time
// that has passed need not be remembered. It is set-associative: a key may be in any of the 16 entries of one set.
type table struct {
	seed   maphash.Seed
	shards [shards]shard
}

// A shard has a lock of its own, so that many cores seldom meet.
type shard struct {
	mu   sync.Mutex // guards sets
	sets [sets]set
}

type set [ways]entry

type entry struct {
	key       uint64
	recovered time.Duration
}

func newTable() *table { return &table{seed: maphash.MakeSeed()} }

// key hashes a name under the secret seed of the table. Names of equal hash share an entry: one pair among four billion
// names, and not one that can be chosen without the seed.
func (t *table) key(name string) uint64 { return maphash.String(t.seed, name) }

// set locks and returns the set of the key.
func (t *table) set(key uint64) (s *set, unlock func()) {
	shard := &t.shards[key%shards]
	shard.mu.Lock()
	return &shard.sets[key/shards%sets], shard.mu.Unlock
}

// find returns the time remembered for the key, or now when there is none that lies ahead.
func (t *table) find(key uint64, now time.Duration) time.Duration {
	s, unlock := t.set(key)
	defer unlock()
	for _, e := range s {
		if e.key == key && e.recovered > now {
			return e.recovered
		}
	}
	return now
}

// update replaces the time of the key by what change makes of it; change is told now when there is none that lies ahead.
// A new key takes the place of the entry closest to full recovery, but only when it has something to remember.
func (t *table) update(key uint64, now time.Duration, change func(recovered time.Duration) time.Duration) {
	s, unlock := t.set(key)
	defer unlock()
	e := s.place(key)
	if e.key == key {
		e.recovered = change(max(now, e.recovered))
	} else if recovered := change(now); recovered > now {
		*e = entry{key, recovered}
	}
}

// place returns the entry of the key, or else the one to be replaced.
func (s *set) place(key uint64) *entry {
	soonest := &s[0]
	for i := range s {
		e := &s[i]
		if e.key == key {
			return e
		}
		if e.recovered < soonest.recovered {
			soonest = e
		}
	}
	return soonest
}
