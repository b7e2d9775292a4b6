package backend_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"

	"gatehouse/backend"
	"gatehouse/backend/cache"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// lens is a cache that notes which keys are looked up, and may show one in
// place of another.
type lens struct {
	cache.Cache

	mu      sync.Mutex // guards the fields below
	asked   map[string]bool
	instead map[string]string
}

func newLens(t *testing.T) *lens {
	return &lens{Cache: newCache(t), asked: map[string]bool{}, instead: map[string]string{}}
}

func (l *lens) Lease(ctx context.Context, keys ...string) ([]cache.Entry, error) {
	l.mu.Lock()
	shown := slices.Clone(keys)
	for i, key := range keys {
		l.asked[key] = true
		if other, ok := l.instead[key]; ok {
			shown[i] = other
		}
	}
	l.mu.Unlock()
	return l.Cache.Lease(ctx, shown...)
}

// kind is what sort of record a key is for: "u", "s" or "n".
func kind(key string) string { return strings.Split(key, ":")[3] }

// marked returns the kinds of the keys that were ever looked up and are
// marked now.
func (l *lens) marked(t *testing.T) (kinds []string) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for key := range l.asked {
		entries, err := l.Get(t.Context(), key)
		if err != nil {
			t.Error(err)
		} else if entries[0].State == cache.Marked {
			kinds = append(kinds, kind(key))
		}
	}
	slices.Sort(kinds)
	return kinds
}

// keys returns the keys that do looks up, by kind.
func (l *lens) keys(do func()) map[string]string {
	l.mu.Lock()
	before := l.asked
	l.asked = map[string]bool{}
	l.mu.Unlock()
	do()
	l.mu.Lock()
	defer l.mu.Unlock()
	found := map[string]string{}
	for key := range l.asked {
		found[kind(key)] = key
		before[key] = true
	}
	l.asked = before
	return found
}

func (l *lens) show(key, other string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.instead[key] = other
}

func lookUp(t *testing.T, c protocol.Caller, name string) error {
	t.Helper()
	_, err := packet.GetUser.Call(t.Context(), c, protocol.Meta{}, packet.Named{Username: name})
	return err
}

func TestAChangeIsMarkedUntilItIsCommitted(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		method string
		change func(t *testing.T, s *service, ada *person) error
		marks  []string
	}{
		"a nickname": {"Update", func(t *testing.T, s *service, ada *person) error {
			return setNickname(t, s, ada.token, "Ada")
		}, []string{"u"}},
		"a password, which carries a session over": {"Update", func(t *testing.T, s *service, ada *person) error {
			_, err := packet.ChangePassword.Call(t.Context(), s, protocol.Meta{}, packet.ChangePasswordRequest{
				Authenticated: ada.auth(), CurrentPassword: ada.password, NewPassword: "seven quiet rivers bend"})
			return err
		}, []string{"s", "u"}},
		"a logout": {"EndSession", func(t *testing.T, s *service, ada *person) error {
			_, err := packet.Logout.Call(t.Context(), s, protocol.Meta{}, ada.auth())
			return err
		}, []string{"s"}},
		"a deletion": {"Delete", func(t *testing.T, s *service, ada *person) error {
			_, err := packet.DeleteAccount.Call(t.Context(), s, protocol.Meta{}, packet.DeleteAccountRequest{
				Authenticated: ada.auth(), Password: ada.password})
			return err
		}, []string{"n", "u"}},
		"a registration": {"Create", func(t *testing.T, s *service, _ *person) error {
			s.join(t, "somebody-new")
			return nil
		}, []string{"n"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLens(t)
			s := start(t, cached(l, new(lookups)))
			ada := s.join(t, "ada.l")
			if _, err := nickname(t, s, ada.token); err != nil {
				t.Fatal(err)
			}
			if err := lookUp(t, s, ada.name); err != nil {
				t.Fatal(err)
			}
			if err := lookUp(t, s, "somebody-new"); !errors.Is(err, protocol.NotFound) {
				t.Fatal(err)
			}
			var before, after []string
			s.store.next(test.method, func(real func() error) error {
				before = l.marked(t)
				err := real()
				after = l.marked(t)
				return err
			})
			if err := test.change(t, s, ada); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(before, test.marks) || !slices.Equal(after, test.marks) {
				t.Errorf("marked before the commit: %q, after it: %q, want %q", before, after, test.marks)
			}
			if left := l.marked(t); left != nil {
				t.Errorf("marked after the acknowledgement: %q", left)
			}
		})
	}
}

// TestAWriterTakesOnlyItsOwnMarkAway has one change of a record begin and end
// while another is about to commit.
func TestAWriterTakesOnlyItsOwnMarkAway(t *testing.T) {
	t.Parallel()
	l := newLens(t)
	s := start(t, cached(l, new(lookups)))
	ada := s.join(t, "ada.l")
	met := false
	s.store.before("Update", func() {
		met = true
		if err := setNickname(t, s, ada.token, "First"); err != nil {
			t.Error(err)
		}
		if marks := l.marked(t); !slices.Equal(marks, []string{"u"}) {
			t.Errorf("while another change is about to commit %q are marked", marks)
		}
	})
	if err := setNickname(t, s, ada.token, "Second"); err != nil {
		t.Fatal(err)
	}
	if marks := l.marked(t); !met || marks != nil {
		t.Errorf("met: %v, marked after all: %q", met, marks)
	}
}

// TestAnUnknownOutcomeKeepsItsMarkUntilItIsFenced has a commit that is still
// on its way when its writer gives up.
func TestAnUnknownOutcomeKeepsItsMarkUntilItIsFenced(t *testing.T) {
	t.Parallel()
	l := newLens(t)
	s := start(t, cached(l, new(lookups)))
	ada := s.join(t, "ada.l")
	begun, err := s.store.ByID(t.Context(), ada.id)
	if err != nil {
		t.Fatal(err)
	}
	s.store.next("Update", func(func() error) error { return user.ErrUnknownOutcome })
	if err := setNickname(t, s, ada.token, "Ada"); !errors.Is(err, protocol.UnknownOutcome) {
		t.Fatalf("got %v", err)
	}
	if marks := l.marked(t); !slices.Equal(marks, []string{"u"}) {
		t.Errorf("marked while the outcome is unknown: %q", marks)
	}
	s.store.before("Fence", func() {
		if marks := l.marked(t); !slices.Equal(marks, []string{"u"}) {
			t.Errorf("marked before the fence: %q", marks)
		}
	})
	s.Repair(t.Context())
	if marks := l.marked(t); marks != nil {
		t.Errorf("marked after the repair: %q", marks)
	}
	if err := s.store.Update(t.Context(), user.Change{ID: ada.id, Version: begun.Version}); !errors.Is(err, user.ErrConflict) {
		t.Errorf("the commit that was on its way: %v", err)
	}
}

func TestARegisteredNameIsFoundAtOnce(t *testing.T) {
	t.Parallel()
	var l lookups
	s := start(t, cached(newCache(t), &l))
	for range 2 {
		if err := lookUp(t, s, "ada.l"); !errors.Is(err, protocol.NotFound) {
			t.Fatal(err)
		}
	}
	if l.of("name negative") == 0 {
		t.Fatal("that there is no such name was not remembered")
	}
	s.join(t, "ada.l")
	if err := lookUp(t, s, "ada.l"); err != nil {
		t.Errorf("just after the registration: %v", err)
	}
}

// TestARecordOfAnotherIsNeverUsed has the cache answer with what it holds
// under another key, as one whose connection is out of step does.
func TestARecordOfAnotherIsNeverUsed(t *testing.T) {
	t.Parallel()
	l := newLens(t)
	s := start(t, cached(l, new(lookups)))
	ada, bob := s.join(t, "ada.l"), s.join(t, "bob.b")
	use := func(p *person) map[string]string {
		return l.keys(func() {
			if _, err := nickname(t, s, p.token); err != nil {
				t.Fatal(err)
			}
			if err := lookUp(t, s, p.name); err != nil {
				t.Fatal(err)
			}
		})
	}
	second := s.again(t, ada)
	adas, bobs, seconds := use(ada), use(bob), use(second)
	for _, k := range []string{"u", "n"} {
		l.show(adas[k], bobs[k])
		if got := s.profile(t, ada); got.ID != ada.id || got.Username != ada.name {
			t.Errorf("%s: ada was shown %+v", k, got)
		}
		if got := must(t, s, packet.GetUser, protocol.Meta{}, packet.Named{Username: ada.name}); got.Username != ada.name {
			t.Errorf("%s: ada was looked up and %q found", k, got.Username)
		}
		l.show(adas[k], adas[k])
	}
	if _, err := packet.Logout.Call(t.Context(), s, protocol.Meta{}, ada.auth()); err != nil {
		t.Fatal(err)
	}
	for name, other := range map[string]string{"her other one": seconds["s"], "bob's": bobs["s"]} {
		l.show(adas["s"], other)
		if _, err := nickname(t, s, ada.token); !errors.Is(err, protocol.Unauthenticated) {
			t.Errorf("her ended session was taken for %s: %v", name, err)
		}
	}
	if adas["u"] != backend.UserKey(ada.id) || len(adas) != 3 {
		t.Errorf("looked up %q", adas)
	}
}
