package e2e_test

import (
	"testing"

	"gatehouse/internal/testenv"
)

// TestACacheThatFailsCostsNoReadAndLogsNobodyOut takes Redis away from two
// backends on MariaDB in each way there is, while people read.
func TestACacheThatFailsCostsNoReadAndLogsNobodyOut(t *testing.T) {
	t.Parallel()
	redis := testenv.PrivateRedis(t)
	url := redis.NewKeyspace(t).URL()
	database := testenv.MariaDB(t).URL()
	flags := append([]string{"backend", "--limit-account-failures", "off", "--database", database, "--cache", url}, cheap...)
	one, two := start(t, flags...), start(t, flags...)
	w := start(t, "webserver", "--backend", one.link+","+two.link)
	awaitReady(t, w)
	c, o := register(t, w.url, newName())
	r := startReaders(t, 4, w)
	r.more(t, 200)
	change := func(to string) int {
		return c.do(t, "PATCH", "/api/v1/profile", map[string]string{"nickname": to}).status
	}
	for _, fault := range []struct {
		name      string
		take, put func()
	}{
		{"paused", func() { redis.Pause(t) }, func() { redis.Resume(t) }},
		{"killed", func() { redis.Kill(t) }, func() { redis.Start(t) }},
		{"restarted", func() { redis.Restart(t) }, func() {}},
	} {
		fault.take()
		r.more(t, 100)
		if fault.name != "restarted" {
			if status := change("lost " + fault.name); status != 503 && status != 200 { // 200 once the cache is given up
				t.Errorf("%s: a change without the cache was answered %d", fault.name, status)
			}
			c.do(t, "POST", "/api/v1/sessions", map[string]string{"username": o.User.Username, "password": password}).want(t, 201)
		}
		fault.put()
		r.more(t, 100)
		testenv.WaitFor(t, patience, "changes to be taken again", func() bool { return change("after "+fault.name) == 200 })
		if got := c.profile(t).Nickname; got != "after "+fault.name {
			t.Errorf("%s: reads %q", fault.name, got)
		}
	}
	r.end(t)
	if m := metrics(t, one); m["gatehouse_cache_lookups_total"] == 0 {
		t.Error("the cache was never asked")
	}
}
