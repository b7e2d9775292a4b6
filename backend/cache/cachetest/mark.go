package cachetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gatehouse/backend/cache"
)

func markDropsValue(s *suite) {
	for name, value := range map[string][]byte{"a value": []byte("old"), "no record": nil} {
		key := s.key(name)
		s.keep(key, value, time.Hour)
		s.mark("writer", key)
		s.wants(key, cache.Marked)
		s.unmark("writer", key)
		s.wants(key, cache.Absent)
		s.keep(key, []byte("new"), time.Hour)
		s.wantsValue(key, "new")
	}
}

func markDropsLease(s *suite) {
	key := s.key("a")
	f := cache.Fill{Key: key, Token: s.leased(key), Value: []byte("old"), TTL: time.Hour}
	s.mark("writer", key)
	if s.fill(f) {
		s.Error("a fill was kept although a mark was set after its lease")
	}
	s.wants(key, cache.Marked)
	s.unmark("writer", key)
	if s.fill(f) {
		s.Error("a fill was kept although a mark had been set after its lease")
	}
	s.wants(key, cache.Absent)
}

func markRefusesLeases(s *suite) {
	key := s.key("a")
	s.mark("writer", key)
	for range 2 {
		if e := s.lease(key)[0]; e.State != cache.Marked || e.Token != "" || !slices.Equal(e.Marks, []string{"writer"}) {
			s.Errorf("Lease of a marked key: got %+v", e)
		}
	}
	if s.fill(cache.Fill{Key: key, Token: "", Value: []byte("old"), TTL: time.Hour}) {
		s.Error("a fill of a marked key was kept")
	}
	s.unmark("writer", key)
	s.leased(key)
}

// wantsMarks checks which marks both Get and Lease show, in any order.
func (s *suite) wantsMarks(key string, want ...string) {
	s.Helper()
	for name, e := range map[string]cache.Entry{"Get": s.get(key)[0], "Lease": s.lease(key)[0]} {
		slices.Sort(e.Marks)
		if e.State != cache.Marked || !slices.Equal(e.Marks, want) {
			s.Fatalf("%s: got %+v, want the marks %q", name, e, want)
		}
	}
}

func marksOfSeveralWriters(s *suite) {
	key := s.key("a")
	// Each is a part of another.
	s.mark("12", key)
	s.mark("1", key)
	s.mark("123", key)
	s.mark("23", key)
	s.wantsMarks(key, "1", "12", "123", "23")
	s.unmark("12", key)
	s.wantsMarks(key, "1", "123", "23")
	s.unmark("1", key)
	s.unmark("3", key) // which nobody set
	s.wantsMarks(key, "123", "23")
	s.unmark("123", key)
	s.wantsMarks(key, "23")
	s.unmark("23", key)
	s.wants(key, cache.Absent)
}

func marksAtOnce(s *suite) {
	const n = 20
	key := s.key("a")
	var tokens []string
	for i := range n {
		tokens = append(tokens, fmt.Sprintf("writer%02d", i))
	}
	each := func(do func(token string) error) {
		var writers sync.WaitGroup
		for _, token := range tokens {
			writers.Go(func() {
				if err := do(token); err != nil {
					s.Error(err)
				}
			})
		}
		writers.Wait()
	}
	each(func(token string) error { return s.Cache.Mark(s.ctx, token, key) })
	s.wantsMarks(key, tokens...)
	stay := tokens[0]
	tokens = tokens[1:]
	each(func(token string) error { _, err := s.Cache.Unmark(s.ctx, token, key); return err })
	s.wantsMarks(key, stay)
}

func markAgain(s *suite) {
	key := s.key("a")
	s.mark("other", key)
	s.mark("writer", key)
	s.mark("writer", key)
	s.wantsMarks(key, "other", "writer")
	s.unmark("writer", key)
	s.wantsMarks(key, "other")
}

func unmarkAgain(s *suite) {
	key := s.key("a")
	s.unmark("writer", key) // before it was ever set
	s.mark("writer", key)
	s.unmark("writer", key)
	s.unmark("writer", key)
	s.wants(key, cache.Absent)
	s.mark("other", key)
	s.unmark("writer", key)
	s.wantsMarks(key, "other")
}

// missedMarkDropsWhatCame has a repair take a writer's mark away while the
// writer is still to commit.
func missedMarkDropsWhatCame(s *suite) {
	value, absent, lease, other := s.key("value"), s.key("no record"), s.key("lease"), s.key("other")
	all := []string{value, absent, lease, other}
	s.mark("writer", all...)
	s.unmark("writer", all...)
	s.keep(value, []byte("old"), time.Hour)
	s.keep(absent, nil, time.Hour)
	token := s.leased(lease)
	s.mark("next", other)
	for _, key := range all {
		want := key != other // where the next writer's mark keeps readers off
		if lost, err := s.Cache.Unmark(s.ctx, "writer", key); err != nil || lost != want {
			s.Errorf("%s: lost %v, error %v, want lost %v", key, lost, err, want)
		}
	}
	s.wants(value, cache.Absent)
	s.wants(absent, cache.Absent)
	if s.fill(cache.Fill{Key: lease, Token: token, Value: []byte("old"), TTL: time.Hour}) {
		s.Error("a lease that was granted in place of a mark is still good")
	}
	s.wantsMarks(other, "next")
}

func markOnManyKeys(s *suite) {
	keys := []string{s.key("a"), s.key("b"), s.key("c")}
	s.keep(keys[1], []byte("old"), time.Hour)
	s.mark("other", keys[2])
	s.mark("writer", keys...)
	s.wantsMarks(keys[0], "writer")
	s.wantsMarks(keys[1], "writer")
	s.wantsMarks(keys[2], "other", "writer")
	s.unmark("writer", keys...)
	s.wants(keys[0], cache.Absent)
	s.wants(keys[1], cache.Absent)
	s.wantsMarks(keys[2], "other")
}

func markTellsSince(s *suite) {
	key := s.key("a")
	s.mark("first", key)
	since := s.get(key)[0].Oldest
	if since.IsZero() {
		s.Fatal("a mark tells no time")
	}
	// The time is told to the second, so that two may look as old as one.
	s.passes(2*time.Second, "a later mark is younger", func() bool {
		other := s.key(rand.Text())
		s.mark("later", key)
		s.mark("later", other)
		return s.get(other)[0].Oldest.After(since)
	})
	s.wantsMarks(key, "first", "later")
	if got := s.get(key)[0].Oldest; !got.Equal(since) {
		s.Errorf("with a later mark the oldest is of %v, was of %v", got, since)
	}
}

func marksAreBounded(s *suite) {
	const enough = 10_000
	key, n := s.key("a"), 0
	var err error
	for ; err == nil && n < enough; n++ {
		err = s.Cache.Mark(s.ctx, fmt.Sprint(n), key)
	}
	n-- // of which the last was refused
	if !errors.Is(err, cache.ErrMarks) || n < 8 {
		s.Fatalf("after %d marks: got error %v", n, err)
	}
	if got := s.get(key)[0]; got.State != cache.Marked || len(got.Marks) != n {
		s.Fatalf("got state %d with %d marks, want all %d that were set", got.State, len(got.Marks), n)
	}
	s.mark("0", key) // It is there already.
	s.unmark("0", key)
	s.mark("again", key)
	if err := s.Cache.Mark(s.ctx, "writer", s.key("b"), key, s.key("c")); !errors.Is(err, cache.ErrMarks) {
		s.Errorf("one key of three is full: got error %v", err)
	}
}

// ForgottenMarks checks that a cache which forgets marks, as one outside the
// process may, notices when it is told to take them away, and drops what came
// in their place.
func ForgottenMarks(t *testing.T, subject Subject) {
	s := newSuite(t, subject)
	keys := []string{s.key("1"), s.key("2"), s.key("3")}
	s.mark("writer", keys...)
	s.Forget(keys[0])
	s.Forget(keys[1])
	s.keep(keys[1], []byte("old"), time.Hour)
	if lost, err := s.Cache.Unmark(s.ctx, "writer", keys...); err != nil || !lost {
		s.Errorf("of three marks one is forgotten and another taken for a value: lost %v, error %v", lost, err)
	}
	for _, key := range keys {
		s.wants(key, cache.Absent)
	}
	s.unmark("writer", keys...)
}

// endedContext allows a call with an ended context to succeed, where it need
// not wait, but not to fail with another error or half way.
func endedContext(s *suite) {
	cancelled, cancel := context.WithCancel(s.ctx)
	cancel()
	expired, cancel := context.WithDeadline(s.ctx, time.Now().Add(-time.Second))
	defer cancel()
	key := s.key("a")
	calls := map[string]func(ctx context.Context) error{
		"Get":    func(ctx context.Context) error { _, err := s.Cache.Get(ctx, key); return err },
		"Lease":  func(ctx context.Context) error { _, err := s.Cache.Lease(ctx, key); return err },
		"Fill":   func(ctx context.Context) error { _, err := s.Cache.Fill(ctx, cache.Fill{Key: key, TTL: 1}); return err },
		"Mark":   func(ctx context.Context) error { return s.Cache.Mark(ctx, "writer", key) },
		"Unmark": func(ctx context.Context) error { _, err := s.Cache.Unmark(ctx, "writer", key); return err },
		"Ping":   s.Cache.Ping,
	}
	for name, call := range calls {
		for _, ctx := range []context.Context{cancelled, expired} {
			if err := call(ctx); err != nil && !errors.Is(err, ctx.Err()) {
				s.Errorf("%s: got error %v, want %v", name, err, ctx.Err())
			}
		}
	}
	s.mark("next", key)
	s.unmark("writer", key)
	s.wantsMarks(key, "next")
}

func answersUntilClosed(s *suite) {
	if err := s.Cache.Ping(s.ctx); err != nil {
		s.Errorf("Ping: %v", err)
	}
	if err := s.Cache.Close(); err != nil {
		s.Errorf("Close: %v", err)
	}
}
