package cachetest

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/backend/cache"
)

func unknownIsAbsent(s *suite) {
	s.wants(s.key("a"), cache.Absent)
	s.wants(s.key("a"), cache.Absent) // Get grants nothing.
	s.leased(s.key("a"))
	s.wants(s.key("b"), cache.Absent)
}

func leaseIsGrantedOnce(s *suite) {
	key := s.key("a")
	token := s.leased(key)
	if e := s.lease(key)[0]; e.State != cache.Busy || e.Token != "" {
		s.Errorf("the second to ask for a lease: got %+v", e)
	}
	s.wants(key, cache.Busy)
	if other := s.leased(s.key("b")); other == token {
		s.Error("two leases have the same token")
	}
}

func leaseIsGrantedToOneOfMany(s *suite) {
	for range 20 {
		key := s.key(rand.Text())
		var granted atomic.Int32
		var readers sync.WaitGroup
		for range 16 {
			readers.Go(func() {
				entries, err := s.Cache.Lease(s.ctx, key)
				if err != nil {
					s.Errorf("Lease: %v", err)
				} else if entries[0].State == cache.Leased {
					granted.Add(1)
				} else if entries[0].State != cache.Busy {
					s.Errorf("Lease: got %+v", entries[0])
				}
			})
		}
		readers.Wait()
		if n := granted.Load(); n != 1 {
			s.Fatalf("%d readers got the lease", n)
		}
	}
}

func findsWhatWasFilled(s *suite) {
	key := s.key("a")
	s.keep(key, []byte("one"), time.Hour)
	s.wantsValue(key, "one")
	s.wantsValue(key, "one")
	s.wants(s.key("b"), cache.Absent)
}

func refusesFillWithoutLease(s *suite) {
	key, other := s.key("a"), s.key("b")
	value := []byte("never")
	mine := s.leased(other)
	for what, token := range map[string]string{"no token": "", "an invented token": rand.Text(), "another key's token": mine} {
		if s.fill(cache.Fill{Key: key, Token: token, Value: value, TTL: time.Hour}) {
			s.Errorf("a fill with %s was kept", what)
		}
		s.wants(key, cache.Absent)
	}
	token := s.leased(key)
	if s.fill(cache.Fill{Key: key, Token: mine, Value: value, TTL: time.Hour}) {
		s.Error("a fill with another key's token was kept while there was a lease")
	}
	s.wants(key, cache.Busy)
	if !s.fill(cache.Fill{Key: key, Token: token, Value: []byte("mine"), TTL: time.Hour}) {
		s.Error("after fills that were refused the lease is gone")
	}
	s.wantsValue(key, "mine")
}

func leaseFillsOnce(s *suite) {
	key := s.key("a")
	token := s.leased(key)
	for i, want := range []bool{true, false} {
		if got := s.fill(cache.Fill{Key: key, Token: token, Value: fmt.Append(nil, i), TTL: time.Hour}); got != want {
			s.Errorf("fill %d: kept %v, want %v", i, got, want)
		}
	}
	s.wantsValue(key, "0")
}

func leaseEnds(s *suite) {
	key := s.key("a")
	first := s.leased(key)
	if s.Advance != nil {
		s.Advance(cache.LeaseTime - 1)
		s.wants(key, cache.Busy)
	}
	s.passes(cache.LeaseTime, "the lease ended", func() bool { return s.get(key)[0].State == cache.Absent })
	if s.fill(cache.Fill{Key: key, Token: first, Value: []byte("late"), TTL: time.Hour}) {
		s.Error("a fill was kept after its lease had ended")
	}
	second := s.leased(key)
	if s.fill(cache.Fill{Key: key, Token: first, Value: []byte("late"), TTL: time.Hour}) {
		s.Error("a fill was kept under somebody else's lease")
	}
	if !s.fill(cache.Fill{Key: key, Token: second, Value: []byte("in time"), TTL: time.Hour}) {
		s.Error("the second lease was not good")
	}
	s.wantsValue(key, "in time")
}

func valueEnds(s *suite) {
	const ttl = 200 * time.Millisecond
	for name, value := range map[string][]byte{"a value": []byte("short"), "no record": nil} {
		key := s.key(name)
		s.keep(key, value, ttl)
		if s.Advance != nil {
			s.Advance(ttl * 8 / 10)
			if state := s.get(key)[0].State; state != cache.Hit && state != cache.Negative {
				s.Errorf("%s: got state %d before the end of its lifetime", name, state)
			}
		}
		s.passes(ttl*12/10, name+" ended", func() bool { return s.get(key)[0].State == cache.Absent })
		s.keep(key, []byte("next"), time.Hour)
		s.wantsValue(key, "next")
	}
}

func remembersNoRecord(s *suite) {
	key := s.key("a")
	s.keep(key, nil, time.Hour)
	for name, e := range map[string]cache.Entry{"Get": s.get(key)[0], "Lease": s.lease(key)[0]} {
		if e.State != cache.Negative || e.Value != nil || e.Token != "" {
			s.Errorf("%s: got %+v", name, e)
		}
	}
	s.mark("writer", key)
	s.wants(key, cache.Marked)
	s.unmark("writer", key)
	s.wants(key, cache.Absent)
}

func keepsAnyBytes(s *suite) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	values := map[string][]byte{
		"nothing":             {},
		"zero bytes":          make([]byte, 9),
		"all bytes":           all,
		"lines":               []byte("a\r\n$-1\r\n+OK\r\n"),
		"not UTF-8":           []byte("\xff\xfe\x80"),
		"more than one frame": bytes.Repeat(all, 1<<10),
		"like a value":        []byte("V1"),
		"like no record":      []byte("N"),
		"like a lease":        []byte("L" + rand.Text()),
		"like a mark":         []byte("Mwriter@1700000000"),
	}
	for name, value := range values {
		s.keep(s.key(name), value, time.Hour)
	}
	for name, value := range values {
		if e := s.get(s.key(name))[0]; e.State != cache.Hit || !bytes.Equal(e.Value, value) {
			s.Errorf("%s: got state %d and %d bytes, which are not the %d filled", name, e.State, len(e.Value), len(value))
		}
	}
}

func copiesValues(s *suite) {
	key, value := s.key("a"), []byte("before")
	s.keep(key, value, time.Hour)
	copy(value, "AFTER!")
	s.wantsValue(key, "before")
}

func keepsAnyKey(s *suite) {
	names := []string{"", "{7}:1:u", "{7}:1:s:abc", "{}", "{", "}{", "a b", "a\r\nb", "a\x00", "a", "\xff", "ä", "A", "*", "a@b;c", strings.Repeat("long", 300)}
	for _, name := range names {
		s.keep(s.key(name), []byte(name), time.Hour)
	}
	for _, name := range names {
		s.wantsValue(s.key(name), name)
		s.mark("writer", s.key(name))
	}
	for _, name := range names {
		s.wants(s.key(name), cache.Marked)
		s.unmark("writer", s.key(name))
	}
}

func manyKeysKeepTheirOrder(s *suite) {
	const n = 600
	keys := make([]string, n)
	for i := range keys {
		keys[i] = s.key(fmt.Sprint(i))
	}
	fills := make([]cache.Fill, 0, n)
	for i, e := range s.lease(keys...) {
		f := cache.Fill{Key: keys[i], Token: e.Token, Value: fmt.Append(nil, i), TTL: time.Hour}
		if i%3 == 1 {
			f.Token = "another" // which refuses every third
		}
		fills = append(fills, f)
	}
	kept, err := s.Cache.Fill(s.ctx, fills...)
	if err != nil || len(kept) != n {
		s.Fatalf("Fill: got %d results, error %v", len(kept), err)
	}
	for i, e := range s.get(keys...) {
		switch refused := i%3 == 1; {
		case kept[i] == refused:
			s.Fatalf("fill %d: kept %v", i, kept[i])
		case refused && e.State != cache.Busy, !refused && string(e.Value) != fmt.Sprint(i):
			s.Fatalf("key %d: got %+v", i, e)
		}
	}
	s.mark("writer", keys[:n/2]...)
	for i, e := range s.lease(keys...) {
		if (e.State == cache.Marked) != (i < n/2) {
			s.Fatalf("key %d of %d, the first half of them marked: got %+v", i, n, e)
		}
	}
	s.unmark("writer", keys[:n/2]...)
}

func sameKeyTwice(s *suite) {
	key := s.key("a")
	if e := s.lease(key, key); e[0].State != cache.Leased || e[1].State != cache.Busy {
		s.Errorf("Lease: got %+v, want one lease", e)
	}
	s.mark("writer", key, key)
	if e := s.get(key, key); e[0].State != cache.Marked || e[1].State != cache.Marked {
		s.Errorf("Get: got %+v", e)
	}
	s.unmark("writer", key, key)
	s.wants(key, cache.Absent)
}

func noKeys(s *suite) {
	s.get()
	s.lease()
	s.mark("writer")
	s.unmark("writer")
	if kept, err := s.Cache.Fill(s.ctx); err != nil || len(kept) != 0 {
		s.Errorf("Fill: got %v, error %v", kept, err)
	}
}
