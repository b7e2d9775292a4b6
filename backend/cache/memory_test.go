package cache_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/backend/cache"
	"gatehouse/backend/cache/cachetest"
)

// clock is moved by tests.
type clock struct {
	mu  sync.Mutex // guards the field below
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// openMemory returns a memory cache of this size, and its clock.
func openMemory(t *testing.T, size int64) (*cache.Memory, *clock) {
	c := &clock{now: time.Now()}
	m, err := cache.NewMemory(size, c.Now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m, c
}

func TestMemoryKeepsThePromisesOfACache(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, func(t *testing.T) cachetest.Subject {
		m, c := openMemory(t, 64<<20)
		return cachetest.Subject{Cache: m, Advance: c.Advance}
	})
}

func TestMemoryReadsAreNeverOlderThanWrites(t *testing.T) {
	t.Parallel()
	faults := cachetest.Faults{Crash: 0.1}
	t.Run("while values are evicted", func(t *testing.T) {
		t.Parallel()
		m, c := openMemory(t, 700) // three values of four
		cachetest.Race(t, cachetest.Subject{Cache: m, Advance: c.Advance}, faults)
	})
	t.Run("while leases end", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			m, err := cache.NewMemory(64<<20, nil)
			if err != nil {
				t.Fatal(err)
			}
			pause := func() { time.Sleep(time.Duration(rand.Int64N(int64(cache.LeaseTime)))) }
			cachetest.Race(t, cachetest.Subject{Cache: m, Pause: pause}, faults)
		})
	})
}

func TestMemoryMarksDoNotEnd(t *testing.T) {
	t.Parallel()
	m, c := openMemory(t, 64<<20)
	since := c.Now()
	mark(t, m, "writer", "key")
	c.Advance(365 * 24 * time.Hour)
	if e := get(t, m, "key"); e.State != cache.Marked || !e.Oldest.Equal(since) {
		t.Errorf("after a year: got %+v, want a mark of %v", e, since)
	}
}

func TestMemoryStaysWithinItsSize(t *testing.T) {
	t.Parallel()
	const size, length = 1 << 20, 1000
	m, _ := openMemory(t, size)
	mark(t, m, "writer", "marked")
	token := lease(t, m, "leased")
	var keys []string
	for i := range 10 * size / length {
		keys = append(keys, fmt.Sprint(i))
		fill(t, m, keys[i], strings.Repeat("x", length))
	}
	kept := 0
	for _, key := range keys {
		if get(t, m, key).State == cache.Hit {
			kept += length
		}
	}
	if kept > size || kept < size/2 {
		t.Errorf("a cache of %d bytes keeps %d", size, kept)
	}
	if e := get(t, m, "marked"); e.State != cache.Marked {
		t.Errorf("the mark was evicted: got %+v", e)
	}
	if done, err := m.Fill(t.Context(), cache.Fill{Key: "leased", Token: token, Value: []byte("x"), TTL: time.Hour}); err != nil || !done[0] {
		t.Errorf("the lease was evicted: got %v, error %v", done, err)
	}
}

func TestMemoryDoesNotKeepWhatIsLargerThanItself(t *testing.T) {
	t.Parallel()
	m, _ := openMemory(t, 1000)
	fill(t, m, "small", "x")
	fill(t, m, "large", strings.Repeat("x", 2000))
	if e := get(t, m, "large"); e.State != cache.Absent {
		t.Errorf("got state %d", e.State)
	}
	if e := get(t, m, "small"); e.State != cache.Hit {
		t.Errorf("the small value went with the large one: got %+v", e)
	}
}

// TestMemoryBoundsItsLeases asks for leases that nobody fills.
func TestMemoryBoundsItsLeases(t *testing.T) {
	t.Parallel()
	const batch, enough = 1000, 1_000_000
	m, c := openMemory(t, 64<<20)
	granted := func(from int) (n int) {
		keys := make([]string, batch)
		for i := range keys {
			keys[i] = fmt.Sprint(from + i)
		}
		entries, err := m.Lease(t.Context(), keys...)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.State == cache.Leased {
				n++
			} else if e.State != cache.Absent {
				t.Fatalf("got %+v", e)
			}
		}
		return n
	}
	next, began := 0, c.Now()
	for ; granted(next) > 0; next += batch {
		if next > enough {
			t.Fatalf("there are %d leases at once", next)
		}
		c.Advance(time.Millisecond)
	}
	// The first batch ends, the others do not yet.
	c.Advance(cache.LeaseTime - c.Now().Sub(began))
	if n := granted(next + batch); n == 0 {
		t.Error("the room of leases that ended was not given again")
	}
	c.Advance(cache.LeaseTime)
	if n := granted(next + 2*batch); n != batch {
		t.Errorf("after all leases ended, %d of %d were granted", n, batch)
	}
}

func TestMemoryHasASize(t *testing.T) {
	t.Parallel()
	for _, size := range []int64{0, -1} {
		if _, err := cache.NewMemory(size, nil); err == nil {
			t.Errorf("a cache of %d bytes was made", size)
		}
	}
}

func get(t *testing.T, c cache.Cache, key string) cache.Entry {
	t.Helper()
	entries, err := c.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return entries[0]
}

func lease(t *testing.T, c cache.Cache, key string) (token string) {
	t.Helper()
	entries, err := c.Lease(t.Context(), key)
	if err != nil || entries[0].State != cache.Leased {
		t.Fatalf("ask for a lease: got %+v, error %v", entries, err)
	}
	return entries[0].Token
}

func fill(t *testing.T, c cache.Cache, key, value string) {
	t.Helper()
	kept, err := c.Fill(t.Context(), cache.Fill{Key: key, Token: lease(t, c, key), Value: []byte(value), TTL: time.Hour})
	if err != nil || !kept[0] {
		t.Fatalf("fill: got %v, error %v", kept, err)
	}
}

func mark(t *testing.T, c cache.Cache, token string, keys ...string) {
	t.Helper()
	if err := c.Mark(t.Context(), token, keys...); err != nil {
		t.Fatal(err)
	}
}
