package cache

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/maypok86/otter/v2"
)

// Memory is a Cache within the process, for a backend that is the only one
// on its database. Values live in a store of bounded size that forgets what
// is least useful; marks and leases live beside it and are never evicted.
type Memory struct {
	values *otter.Cache[string, remembered]
	seed   maphash.Seed
	shards [64]shard
	now    func() time.Time
}

// remembered is a value with the end of its lifetime. A nil value is a
// negative entry.
type remembered struct {
	value []byte
	until time.Time
}

// shard holds the marks and leases of some of the keys. Its lock also orders
// the changes of their values.
type shard struct {
	mu        sync.Mutex // guards the fields below
	marks     map[string][]mark
	leases    map[string]lease
	fullUntil time.Time // before which a search for ended leases finds none
}

type mark struct {
	token string
	since time.Time
}

type lease struct {
	token string
	until time.Time
}

// maxLeases bounds the leases of one shard. Readers return theirs within
// milliseconds; what is left behind by those that failed is swept when the
// bound is met.
const maxLeases = 4096

// entryOverhead is about what an entry costs beside its key and value, in bytes.
const entryOverhead = 160

// NewMemory returns a Memory whose values take about size bytes, more than
// none. now is time.Now where it is nil.
func NewMemory(size int64, now func() time.Time) (*Memory, error) {
	if size <= 0 {
		return nil, fmt.Errorf("make memory cache of %d bytes: the size must be positive", size)
	}
	if now == nil {
		now = time.Now
	}
	values, err := otter.New(&otter.Options[string, remembered]{
		MaximumWeight: uint64(size),
		Weigher: func(key string, r remembered) uint32 {
			return uint32(len(key) + len(r.value) + entryOverhead)
		},
		// Eviction is done by whoever caused it, rather than by goroutines
		// that nobody waits for. It calls nothing of ours back.
		Executor: func(work func()) { work() },
	})
	if err != nil {
		return nil, fmt.Errorf("make memory cache: %w", err)
	}
	m := &Memory{values: values, seed: maphash.MakeSeed(), now: now}
	for i := range m.shards {
		m.shards[i].marks, m.shards[i].leases = map[string][]mark{}, map[string]lease{}
	}
	return m, nil
}

func (m *Memory) shard(key string) *shard {
	return &m.shards[maphash.String(m.seed, key)%uint64(len(m.shards))]
}

// Get implements Cache. A value is taken without the lock: whoever sets a
// mark drops the value before the mark counts as set.
func (m *Memory) Get(_ context.Context, keys ...string) ([]Entry, error) {
	entries := make([]Entry, len(keys))
	for i, key := range keys {
		if e, ok := m.value(key); ok {
			entries[i] = e
			continue
		}
		s := m.shard(key)
		s.mu.Lock()
		entries[i] = m.known(s, key)
		s.mu.Unlock()
	}
	return entries, nil
}

// value returns the value of a key, if it has one that still lives.
func (m *Memory) value(key string) (Entry, bool) {
	r, ok := m.values.GetIfPresent(key)
	switch {
	case !ok || !m.now().Before(r.until):
		return Entry{}, false
	case r.value == nil:
		return Entry{State: Negative}, true
	}
	return Entry{State: Hit, Value: r.value}, true
}

// known returns what is known of a key. The shard's lock must be held.
func (m *Memory) known(s *shard, key string) Entry {
	if marks := s.marks[key]; len(marks) > 0 {
		e := Entry{State: Marked, Oldest: marks[0].since}
		for _, mark := range marks {
			e.Marks = append(e.Marks, mark.token)
		}
		return e
	}
	if e, ok := m.value(key); ok {
		return e
	}
	if l, ok := s.leases[key]; ok && m.now().Before(l.until) {
		return Entry{State: Busy}
	}
	return Entry{}
}

// Lease implements Cache.
func (m *Memory) Lease(_ context.Context, keys ...string) ([]Entry, error) {
	entries := make([]Entry, len(keys))
	for i, key := range keys {
		s := m.shard(key)
		s.mu.Lock()
		if entries[i] = m.known(s, key); entries[i].State == Absent && m.room(s) {
			token := newToken()
			s.leases[key] = lease{token, m.now().Add(LeaseTime)}
			entries[i] = Entry{State: Leased, Token: token}
		}
		s.mu.Unlock()
	}
	return entries, nil
}

// room tells whether the shard can hold another lease, after taking away
// those that ended.
func (m *Memory) room(s *shard) bool {
	if len(s.leases) < maxLeases {
		return true
	}
	now := m.now()
	if now.Before(s.fullUntil) {
		return false
	}
	s.fullUntil = now.Add(LeaseTime)
	for key, l := range s.leases {
		if !now.Before(l.until) {
			delete(s.leases, key)
		} else if l.until.Before(s.fullUntil) {
			s.fullUntil = l.until
		}
	}
	return len(s.leases) < maxLeases
}

// Fill implements Cache.
func (m *Memory) Fill(_ context.Context, fills ...Fill) ([]bool, error) {
	kept := make([]bool, len(fills))
	for i, f := range fills {
		s := m.shard(f.Key)
		s.mu.Lock()
		if l, ok := s.leases[f.Key]; ok && l.token == f.Token && m.now().Before(l.until) {
			delete(s.leases, f.Key)
			m.values.Set(f.Key, remembered{slices.Clone(f.Value), m.now().Add(f.TTL)})
			kept[i] = true
		}
		s.mu.Unlock()
	}
	return kept, nil
}

// Mark implements Cache.
func (m *Memory) Mark(_ context.Context, token string, keys ...string) error {
	for _, key := range keys {
		if err := m.mark(token, key); err != nil {
			return err
		}
	}
	return nil
}

func (m *Memory) mark(token, key string) error {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	m.values.Invalidate(key)
	delete(s.leases, key)
	marks := s.marks[key]
	if slices.ContainsFunc(marks, func(k mark) bool { return k.token == token }) {
		return nil
	}
	if len(marks) == maxMarks {
		return fmt.Errorf("mark %s: %w", key, ErrMarks)
	}
	s.marks[key] = append(marks, mark{token, m.now()})
	return nil
}

// Unmark implements Cache.
func (m *Memory) Unmark(_ context.Context, token string, keys ...string) (lost bool, err error) {
	for _, key := range keys {
		lost = m.unmark(token, key) || lost
	}
	return lost, nil
}

func (m *Memory) unmark(token, key string) (lost bool) {
	s := m.shard(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.marks[key]) == 0 {
		lost = m.known(s, key).State != Absent
		m.values.Invalidate(key)
		delete(s.leases, key)
		return lost
	}
	rest := slices.DeleteFunc(s.marks[key], func(k mark) bool { return k.token == token })
	if len(rest) == 0 {
		delete(s.marks, key)
	} else {
		s.marks[key] = rest
	}
	return false
}

// Ping implements Cache.
func (m *Memory) Ping(context.Context) error { return nil }

// Close implements Cache.
func (m *Memory) Close() error {
	m.values.InvalidateAll()
	return nil
}

// newToken returns 128 random bits as text.
func newToken() string { return rand.Text() }
