// Package cachetest checks that an implementation of cache.Cache keeps the
// promises of that interface. It knows nothing of any implementation.
package cachetest

import (
	"context"
	"crypto/rand"
	"testing"
	"time"

	"gatehouse/backend/cache"
)

// A Subject is a cache under test and what the tests do to it from outside.
type Subject struct {
	Cache cache.Cache
	// Advance moves the clock of the cache. Where it is nil, time passes by
	// itself.
	Advance func(time.Duration)
	// Evict drops the value of a key, as a lack of room does, and leaves a
	// mark alone. Race needs it for Faults.Evict.
	Evict func(key string)
	// Forget drops whatever is known of a key, marks too, as a restart does.
	// Race needs it for Faults.Forget, and ForgottenMarks.
	Forget func(key string)
	// Pause stands between the steps of readers and writers in a Race. Where
	// it is nil, they yield to others a few times.
	Pause func()
}

// patience is how long a test waits for something that happens at once unless
// the cache is broken.
const patience = 30 * time.Second

// Run runs the suite. Each of its tests asks open for a cache, which may hold
// anything: all keys are new. open cleans up after the test with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) Subject) {
	tests := []struct {
		name string
		run  func(s *suite)
	}{
		{"what nobody filled is absent", unknownIsAbsent},
		{"a lease is granted once", leaseIsGrantedOnce},
		{"of many at once one gets the lease", leaseIsGrantedToOneOfMany},
		{"what is filled is found", findsWhatWasFilled},
		{"a fill without the lease is refused", refusesFillWithoutLease},
		{"a lease fills once", leaseFillsOnce},
		{"a lease ends by itself", leaseEnds},
		{"a value ends by itself", valueEnds},
		{"it is remembered that there is no record", remembersNoRecord},
		{"values are bytes of any kind", keepsAnyBytes},
		{"values are copies", copiesValues},
		{"keys are strings of any kind", keepsAnyKey},
		{"many keys at once keep their order", manyKeysKeepTheirOrder},
		{"a key may come twice in a call", sameKeyTwice},
		{"no keys are no error", noKeys},

		{"a mark drops the value", markDropsValue},
		{"a mark drops the lease", markDropsLease},
		{"while there is a mark nobody gets a lease", markRefusesLeases},
		{"each writer takes its own mark away", marksOfSeveralWriters},
		{"writers at once do not lose each other's marks", marksAtOnce},
		{"a mark set again is the same mark", markAgain},
		{"a mark taken away again is no error", unmarkAgain},
		{"a writer whose mark is gone drops what came in its place", missedMarkDropsWhatCame},
		{"the marks of one write stand on all its keys", markOnManyKeys},
		{"a mark tells since when", markTellsSince},
		{"marks are bounded", marksAreBounded},

		{"an ended context ends every call", endedContext},
		{"the cache answers until it is closed", answersUntilClosed},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(newSuite(t, open(t)))
		})
	}
	t.Run("reads are never older than writes", func(t *testing.T) {
		t.Parallel()
		runRaces(t, open)
	})
}

// runRaces runs Race with the faults that any cache can be given.
func runRaces(t *testing.T, open func(t *testing.T) Subject) {
	faults := map[string]Faults{
		"without faults":                  {},
		"with calls given up":             {Cancel: 0.2},
		"with writers that stop for good": {Crash: 0.1},
		"with both":                       {Cancel: 0.1, Crash: 0.1},
	}
	for name, f := range faults {
		t.Run(name, func(t *testing.T) { Race(t, open(t), f) })
	}
}

// suite is one test's view of its Subject.
type suite struct {
	*testing.T
	Subject
	ctx    context.Context
	prefix string // of keys that no other test uses
}

func newSuite(t *testing.T, subject Subject) *suite {
	ctx, cancel := context.WithTimeout(t.Context(), 10*patience)
	t.Cleanup(cancel)
	return &suite{T: t, Subject: subject, ctx: ctx, prefix: rand.Text() + ":"}
}

// key returns a key of this test alone.
func (s *suite) key(name string) string { return s.prefix + name }

func (s *suite) get(keys ...string) []cache.Entry {
	s.Helper()
	entries, err := s.Cache.Get(s.ctx, keys...)
	if err != nil || len(entries) != len(keys) {
		s.Fatalf("Get of %d keys: got %d entries, error %v", len(keys), len(entries), err)
	}
	return entries
}

func (s *suite) lease(keys ...string) []cache.Entry {
	s.Helper()
	entries, err := s.Cache.Lease(s.ctx, keys...)
	if err != nil || len(entries) != len(keys) {
		s.Fatalf("Lease of %d keys: got %d entries, error %v", len(keys), len(entries), err)
	}
	return entries
}

// leased returns the token of a lease that must be granted.
func (s *suite) leased(key string) string {
	s.Helper()
	e := s.lease(key)[0]
	if e.State != cache.Leased || e.Token == "" {
		s.Fatalf("asked for a lease: got %+v", e)
	}
	return e.Token
}

// fill tells whether one value was kept.
func (s *suite) fill(f cache.Fill) bool {
	s.Helper()
	kept, err := s.Cache.Fill(s.ctx, f)
	if err != nil || len(kept) != 1 {
		s.Fatalf("Fill: got %v, error %v", kept, err)
	}
	return kept[0]
}

// keep fills a key that must be absent.
func (s *suite) keep(key string, value []byte, ttl time.Duration) {
	s.Helper()
	if !s.fill(cache.Fill{Key: key, Token: s.leased(key), Value: value, TTL: ttl}) {
		s.Fatal("a fill under its lease was refused")
	}
}

func (s *suite) mark(token string, keys ...string) {
	s.Helper()
	if err := s.Cache.Mark(s.ctx, token, keys...); err != nil {
		s.Fatalf("Mark: %v", err)
	}
}

// unmark takes marks away, of which none may be lost.
func (s *suite) unmark(token string, keys ...string) {
	s.Helper()
	if lost, err := s.Cache.Unmark(s.ctx, token, keys...); err != nil || lost {
		s.Fatalf("Unmark: lost %v, error %v", lost, err)
	}
}

// wants checks what Get finds.
func (s *suite) wants(key string, state cache.State) {
	s.Helper()
	if e := s.get(key)[0]; e.State != state {
		s.Fatalf("Get: got %+v, want state %d", e, state)
	}
}

// wantsValue checks what both Get and Lease find.
func (s *suite) wantsValue(key, value string) {
	s.Helper()
	for name, e := range map[string]cache.Entry{"Get": s.get(key)[0], "Lease": s.lease(key)[0]} {
		if e.State != cache.Hit || string(e.Value) != value {
			s.Fatalf("%s: got %+v, want a hit of %q", name, e, value)
		}
	}
}

// passes lets time pass until ok, which must be so after d at the latest.
func (s *suite) passes(d time.Duration, what string, ok func() bool) {
	s.Helper()
	if s.Advance != nil {
		s.Advance(d)
		if !ok() {
			s.Fatalf("after %v: %s is not so", d, what)
		}
		return
	}
	for deadline := time.Now().Add(d + patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.Fatalf("waited in vain for this: %s", what)
		}
	}
}
