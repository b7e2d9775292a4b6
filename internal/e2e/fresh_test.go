package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/internal/testenv"
)

// TestNoReadThroughAnyTierIsOlderThanWhatWasAcknowledged has writers that get
// in each other's way and readers on few people, through two webservers and two
// backends that share MariaDB and Redis. The version in the answer to a change
// is the yardstick: a read that begins later shows it or a greater one. A
// session that was ended is dead for the next request through either.
func TestNoReadThroughAnyTierIsOlderThanWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	cache := testenv.Redis(t).URL()
	s := startTiers(t, 2, testenv.MariaDB(t).URL(), "--cache", cache)
	anyone := func(token string) client { return client{base: s.webservers[rand.N(2)].url, token: token} }
	const people, changes = 3, 80
	var work sync.WaitGroup
	var changed atomic.Int64
	var names []string
	for i := range people {
		_, o := register(t, s.webservers[0].url, newName())
		names = append(names, o.User.Username)
		var acknowledged atomic.Int64
		var writing, reading sync.WaitGroup
		done := make(chan struct{})
		for w := range 2 {
			writing.Go(func() {
				for n := range changes {
					version, err := anyone(o.Token).version(t.Context(), "PATCH", fmt.Sprintf(`{"nickname":"%d %d %d"}`, i, w, n))
					switch {
					case err == nil:
						changed.Add(1)
						raise(&acknowledged, version)
					case !errors.Is(err, errNotApplied): // the other writer was in the way once too often
						t.Error(err)
						return
					}
				}
			})
		}
		for range 3 {
			reading.Go(func() {
				for {
					select {
					case <-done:
						return
					default:
					}
					least := acknowledged.Load()
					if got, err := anyone(o.Token).version(t.Context(), "GET", ""); err != nil || got < least {
						t.Errorf("a read shows version %d after %d was acknowledged (%v)", got, least, err)
						return
					}
				}
			})
		}
		work.Go(func() {
			writing.Wait()
			close(done)
			reading.Wait()
		})
	}
	for _, name := range names {
		endSessions(t, anyone, name)
	}
	work.Wait()
	if n := changed.Load(); n < people*changes {
		t.Errorf("of %d changes %d were made", 2*people*changes, n)
	}
	for _, b := range s.backends {
		if m := metrics(t, b); m["gatehouse_cache_lookups_total"] == 0 {
			t.Error("a backend never asked the cache, so the test shows nothing")
		}
	}
}

// endSessions ends one session after the other and looks whether it is dead.
func endSessions(t *testing.T, anyone func(token string) client, name string) {
	for range 10 {
		c, _ := login(t, anyone("").base, name, password)
		for range 3 { // so that both backends had it in the cache
			anyone(c.token).profile(t)
		}
		testenv.WaitFor(t, patience, "the session to end", func() bool { // a busy machine may be late with a mark
			a := anyone(c.token).do(t, "DELETE", "/api/v1/sessions/current", nil)
			return a.status != http.StatusServiceUnavailable && a.want(t, 204).status == 204
		})
		for range 3 {
			anyone(c.token).do(t, "GET", "/api/v1/profile", nil).refused(t, 401, "unauthenticated")
		}
	}
}

// errNotApplied is a change that was certainly not made.
var errNotApplied = errors.New("not applied")

// version reads or changes a profile and returns the version in the answer.
func (c client) version(ctx context.Context, method, body string) (int64, error) {
	a, err := c.send(ctx, method, "/api/v1/profile", strings.NewReader(body), "Content-Type", "application/json")
	if err != nil {
		return 0, err
	}
	if a.has(`"code":"unavailable"`) && a.status == http.StatusServiceUnavailable {
		return 0, errNotApplied
	}
	var u user
	if err := json.Unmarshal(a.body, &u); err != nil || a.status != 200 {
		return 0, fmt.Errorf("%s profile: %d %s (%v)", method, a.status, a.body, err)
	}
	return int64(u.Version), nil
}

// raise sets a number to another that is greater.
func raise(n *atomic.Int64, to int64) {
	for old := n.Load(); to > old && !n.CompareAndSwap(old, to); old = n.Load() {
	}
}
