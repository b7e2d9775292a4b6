package backend_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/backend"
	"gatehouse/backend/cache"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// views is what a test says of the cache. Each question takes the next View;
// the last one stays.
type views struct {
	mu          sync.Mutex // guards the fields below
	next        []cache.View
	failedMarks int
}

func (v *views) say(next ...cache.View) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.next = next
}

func (v *views) View() cache.View {
	v.mu.Lock()
	defer v.mu.Unlock()
	view := v.next[0]
	if len(v.next) > 1 {
		v.next = v.next[1:]
	}
	return view
}

func (v *views) MarkFailed() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failedMarks++
}

func (*views) Marked() {}

// viewed gives a service what the views say.
func viewed(v *views, l *lookups) func(*setup) {
	return func(cfg *setup) {
		unlimited(cfg)
		cfg.backend.Cache = v
		cfg.backend.Hooks.Lookup = l.count
	}
}

func on(c cache.Cache, epoch int64) cache.View {
	return cache.View{Mode: cache.On, Cache: c, Epoch: epoch, Guarded: true}
}

// used has the database say that the cache is used in this epoch.
func (s *service) used(t *testing.T, epoch int64) {
	t.Helper()
	for n := int64(1); ; n++ {
		if err := s.store.EnableCache(t.Context(), n, []string{"node"}); err != nil {
			t.Fatal(err)
		}
		if n == epoch {
			return
		}
		if err := errors.Join(s.store.DisableCache(t.Context(), n), s.store.DrainCache(t.Context(), n+1)); err != nil {
			t.Fatal(err)
		}
	}
}

func TestWhatMayBeDoneFollowsTheMode(t *testing.T) {
	t.Parallel()
	v := &views{next: []cache.View{{Mode: cache.Off, Epoch: 1, Guarded: true}}}
	var l lookups
	s := start(t, viewed(v, &l))
	ada := s.join(t, "ada.l")
	can := func(what string, err error, may bool) {
		t.Helper()
		if may && err != nil || !may && !errors.Is(err, protocol.Unavailable) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for _, one := range []struct {
		view         cache.View
		reads, edits bool
	}{
		{cache.View{Mode: cache.Off, Epoch: 1, Guarded: true}, true, true},
		{cache.View{Mode: cache.Off, Epoch: 2, Guarded: true}, true, false}, // which the database does not know of
		{cache.View{Mode: cache.Turning, Epoch: 1}, true, false},
		{cache.View{Mode: cache.Lost, Epoch: 1}, false, false},
		{on(newCache(t), 1), true, false}, // the database knows of no node
	} {
		v.say(one.view)
		_, err := nickname(t, s, ada.token)
		can(one.view.Mode.String()+": a read", err, one.reads)
		can(one.view.Mode.String()+": a change", setNickname(t, s, ada.token, "x"), one.edits)
		_, err = packet.Login.Call(t.Context(), s, protocol.Meta{}, packet.LoginRequest{Named: packet.Named{Username: ada.name}, Password: ada.password})
		can(one.view.Mode.String()+": a login", err, one.reads)
	}
	s.used(t, 2)
	v.say(cache.View{Mode: cache.Off, Epoch: 2, Guarded: true})
	can("a change without marks beside others that use the cache", setNickname(t, s, ada.token, "y"), false)
	v.say(on(newCache(t), 2))
	can("a change with marks", setNickname(t, s, ada.token, "z"), true)
}

// TestWhatIsFoundInAnEpochThatEndedIsNotUsed lets the epoch end between the
// question to the cache and its answer.
func TestWhatIsFoundInAnEpochThatEndedIsNotUsed(t *testing.T) {
	t.Parallel()
	memory := newCache(t)
	v := &views{next: []cache.View{{Mode: cache.Off, Epoch: 1}}}
	s := start(t, viewed(v, new(lookups)))
	ada := s.join(t, "ada.l")
	v.say(on(memory, 1))
	if _, err := nickname(t, s, ada.token); err != nil { // fills
		t.Fatal(err)
	}
	v.say(cache.View{Mode: cache.Off, Epoch: 2})
	s.used(t, 1)
	if err := setNickname(t, s, ada.token, "new"); err != nil {
		t.Fatal(err)
	}
	for _, ended := range []cache.View{{Mode: cache.Turning, Epoch: 2}, {Mode: cache.Off, Epoch: 2}, on(memory, 2)} {
		v.say(on(memory, 1), on(memory, 1), ended) // asked on arrival, before the question, and after the answer
		if got, err := nickname(t, s, ada.token); err != nil || got != "new" {
			t.Errorf("%v of epoch %d: it reads %q (%v)", ended.Mode, ended.Epoch, got, err)
		}
	}
}

// TestRepairsEndWithTheirEpoch leaves marks behind and then ends the epoch.
func TestRepairsEndWithTheirEpoch(t *testing.T) {
	t.Parallel()
	c := &away{Cache: newCache(t)}
	v := &views{next: []cache.View{on(c, 1)}}
	s := start(t, viewed(v, new(lookups)))
	s.used(t, 1)
	ada := s.join(t, "ada.l")
	c.down.Store(true)
	if err := setNickname(t, s, ada.token, "lost"); !errors.Is(err, protocol.Unavailable) {
		t.Fatalf("a change without its mark: %v", err)
	}
	if v.failedMarks != 1 {
		t.Errorf("%d failed marks were told", v.failedMarks)
	}
	v.say(cache.View{Mode: cache.Turning, Epoch: 1})
	s.Repair(t.Context())
	if n := s.Repairs(); n != 1 {
		t.Errorf("%d repairs wait while nothing is known, want 1", n)
	}
	v.say(cache.View{Mode: cache.Off, Epoch: 2})
	s.Repair(t.Context())
	if n := s.Repairs(); n != 0 {
		t.Errorf("%d repairs wait for an epoch that is over", n)
	}
}

// TestReadersOfOneRecordShareATrip has many readers find nothing in the cache,
// while the first of them is held up in the store.
func TestReadersOfOneRecordShareATrip(t *testing.T) {
	t.Parallel()
	var l lookups
	s := start(t, cached(newCache(t), &l))
	ada := s.join(t, "ada.l")
	var trips atomic.Int64
	s.store.always("Session", func(real func() error) error {
		trips.Add(1)
		time.Sleep(15 * time.Millisecond)
		return real()
	})
	s.store.always("ByID", func(real func() error) error {
		trips.Add(1)
		return real()
	})
	var reading sync.WaitGroup
	for range 30 {
		reading.Go(func() {
			if _, err := nickname(t, s, ada.token); err != nil {
				t.Error(err)
			}
		})
	}
	reading.Wait()
	if n := trips.Load(); n > 3 { // one, unless the machine is so busy that somebody waited in vain
		t.Errorf("%d readers made %d trips", 30, n)
	}
}

// TestATripWithoutACertificateIsNotShared changes the record between the read
// of the first reader and the arrival of others, who therefore must not get
// what the first one read.
func TestATripWithoutACertificateIsNotShared(t *testing.T) {
	t.Parallel()
	memory := newCache(t)
	s := start(t, cached(memory, new(lookups)))
	ada := s.join(t, "ada.l")
	if _, err := nickname(t, s, ada.token); err != nil { // the session is remembered, so that only the user is read
		t.Fatal(err)
	}
	if err := setNickname(t, s, ada.token, "old"); err != nil {
		t.Fatal(err)
	}
	inside, changed := make(chan struct{}), make(chan struct{})
	s.store.next("ByID", func(real func() error) error {
		err := real()
		close(inside)
		<-changed
		time.Sleep(10 * time.Millisecond) // the others are waiting for this flight by now
		return err
	})
	first := make(chan string, 1)
	go func() {
		got, err := nickname(t, s, ada.token)
		first <- fmt.Sprint(got, err)
	}()
	<-inside
	// The flight's lease is gone with the mark of this change, and another
	// takes its place that nobody fills, so that the others find it busy.
	other := s.beside(t, cached(memory, new(lookups)))
	if err := setNickname(t, other, ada.token, "new"); err != nil {
		t.Fatal(err)
	}
	if entries, err := memory.Lease(t.Context(), backend.UserKey(ada.id)); err != nil || entries[0].State != cache.Leased {
		t.Fatalf("no lease: %v %v", entries, err)
	}
	var got []string
	var mu sync.Mutex
	var reading sync.WaitGroup
	for range 5 {
		reading.Go(func() {
			name, err := nickname(t, s, ada.token)
			mu.Lock()
			defer mu.Unlock()
			got = append(got, fmt.Sprint(name, err))
		})
	}
	close(changed)
	reading.Wait()
	if slices.ContainsFunc(got, func(s string) bool { return s != "new<nil>" }) {
		t.Errorf("after the change was acknowledged others read %q", got)
	}
	if alone := <-first; alone != "old<nil>" && alone != "new<nil>" {
		t.Errorf("the first reads %q", alone)
	}
}
