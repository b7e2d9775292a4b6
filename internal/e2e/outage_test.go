package e2e_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"gatehouse/internal/testenv"
)

// TestChangesGoOnWithoutTheCacheUntilItIsTakenBack kills Redis under readers
// and waits for what the backends make of it, through to the return of another
// Redis, which has another memory than the first.
func TestChangesGoOnWithoutTheCacheUntilItIsTakenBack(t *testing.T) {
	t.Parallel()
	redis := testenv.PrivateRedis(t)
	s := startTiers(t, 2, testenv.MariaDB(t).URL(), "--cache", redis.NewKeyspace(t).URL())
	c, _ := register(t, s.webservers[0].url, newName())
	r := startReaders(t, 2, s.webservers...)
	change := func(to string) bool {
		return c.do(t, "PATCH", "/api/v1/profile", map[string]string{"nickname": to}).status == 200
	}
	enabled := func(want float64) func() bool {
		return func() bool {
			return metrics(t, s.backends[0])["gatehouse_cache_enabled"] == want && metrics(t, s.backends[1])["gatehouse_cache_enabled"] == want
		}
	}
	testenv.WaitFor(t, patience, "the cache to be used", enabled(1))

	redis.Kill(t)
	start := time.Now()
	testenv.WaitFor(t, patience, "changes to go on without the cache", func() bool { return change("without") })
	t.Logf("changes went on after %v", time.Since(start).Round(time.Millisecond))
	if got := c.profile(t).Nickname; got != "without" {
		t.Errorf("without the cache it reads %q", got)
	}
	r.more(t, 100)

	redis.Start(t)
	start = time.Now()
	testenv.WaitFor(t, 3*patience, "the cache to be used again", enabled(1))
	t.Logf("the cache was used again %v after it was back", time.Since(start).Round(time.Second))
	for i := range 10 {
		to := fmt.Sprint("with ", i)
		testenv.WaitFor(t, patience, "a change", func() bool { return change(to) })
		for _, w := range s.webservers {
			if got := (client{base: w.url, token: c.token}).profile(t).Nickname; got != to {
				t.Errorf("it reads %q after %q", got, to)
			}
		}
	}
	r.more(t, 100)
	r.end(t)
}

// TestADatabaseThatIsGoneIsToldAtOnceAndLosesNothing kills MariaDB behind two
// backends with a cache.
func TestADatabaseThatIsGoneIsToldAtOnceAndLosesNothing(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateMariaDB(t)
	s := startTiers(t, 2, server.NewDatabase(t).URL(), "--cache", testenv.Redis(t).URL())
	c, o := register(t, s.webservers[0].url, newName())
	set := func(to string) answer {
		return c.do(t, "PATCH", "/api/v1/profile", map[string]string{"nickname": to})
	}
	set("kept").want(t, 200)
	for range 8 { // into the cache, by way of each backend
		c.profile(t)
	}
	server.Kill(t)
	fromCache := 0
	testenv.WaitFor(t, patience, "reads to be refused", func() bool {
		a := c.do(t, "GET", "/api/v1/profile", nil)
		if a.status == 200 && a.has(`"nickname":"kept"`) {
			fromCache++
			return false
		}
		a.refused(t, 503, "unavailable")
		return true
	})
	if fromCache == 0 {
		t.Error("nothing was read from the cache, though it was trusted for a moment")
	}
	time.Sleep(2 * time.Second) // both backends have asked in vain
	var took []time.Duration
	for i := range 20 {
		start := time.Now()
		switch i % 3 {
		case 0:
			c.do(t, "GET", "/api/v1/profile", nil).refused(t, 503, "unavailable")
		case 1:
			set("lost").refused(t, 503, "unavailable")
		case 2:
			c.do(t, "POST", "/api/v1/sessions", map[string]string{"username": o.User.Username, "password": password}).refused(t, 503, "unavailable")
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("refused in %v at the median, %v at most", took[len(took)/2], took[len(took)-1])
	if took[0] > 50*time.Millisecond {
		t.Errorf("the quickest of %d refusals took %v", len(took), took[0])
	}
	server.Start(t)
	testenv.WaitFor(t, patience, "reads by way of each backend", func() bool {
		for range 8 {
			if c.do(t, "GET", "/api/v1/profile", nil).status != 200 {
				return false
			}
		}
		return true
	})
	if got := c.profile(t).Nickname; got != "kept" {
		t.Errorf("it reads %q after all, want what was acknowledged", got)
	}
	testenv.WaitFor(t, patience, "changes", func() bool { return set("again").status == 200 })
	login(t, s.webservers[1].url, o.User.Username, password)
}
