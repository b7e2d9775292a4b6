package e2e_test

import (
	"strings"
	"testing"
	"time"

	"gatehouse/internal/testenv"
)

// tiers are backends and webservers in processes of their own; each webserver
// knows every backend.
type tiers struct{ backends, webservers []*process }

// startTiers starts n of each tier on one database, the embedded one where it
// is empty, and one folder of pictures.
func startTiers(t testing.TB, n int, database string, backendFlags ...string) *tiers {
	t.Helper()
	s := &tiers{}
	var addresses []string
	for range n {
		flags := append(append([]string{"backend", "--limit-account-failures", "off"}, cheap...), backendFlags...)
		if database != "" {
			flags = append(flags, "--database", database)
		}
		b := start(t, flags...)
		s.backends, addresses = append(s.backends, b), append(addresses, b.link)
	}
	pictures := "disk:" + testenv.TempDir(t)
	for range n {
		w := start(t, "webserver", "--backend", strings.Join(addresses, ","), "--pictures", pictures)
		awaitReady(t, w)
		s.webservers = append(s.webservers, w)
	}
	return s
}

// restart stops all processes, those first that depend on the others, and
// starts them again on their addresses.
func (s *tiers) restart(t testing.TB) {
	t.Helper()
	for _, p := range append(append([]*process(nil), s.webservers...), s.backends...) {
		p.stop(t)
	}
	for i, b := range s.backends {
		s.backends[i] = b.again(t)
	}
	for i, w := range s.webservers {
		s.webservers[i] = w.again(t)
		awaitReady(t, s.webservers[i])
	}
}

// awaitReady waits until a process says that it is ready.
func awaitReady(t testing.TB, p *process) {
	t.Helper()
	testenv.WaitFor(t, patience, "gatehouse "+p.args[0]+" to be ready", func() bool {
		a, err := client{base: p.admin}.send(t.Context(), "GET", "/readyz", nil)
		return err == nil && a.status == 200
	})
}

func TestTiersOnMariaDBSurviveARestartOfAll(t *testing.T) {
	t.Parallel()
	s := startTiers(t, 2, testenv.MariaDB(t).URL())
	name := newName()
	one, o := register(t, s.webservers[0].url, name)
	one.do(t, "PATCH", "/api/v1/profile", map[string]string{"nickname": "Grace 🦉"}).want(t, 200)
	two := client{base: s.webservers[1].url, token: o.Token}
	for range 4 { // whichever backend answers
		if got := two.profile(t).Nickname; got != "Grace 🦉" {
			t.Fatalf("the other webserver shows %q", got)
		}
	}
	s.restart(t)
	if got := one.profile(t); got.Nickname != "Grace 🦉" || got.ID != o.User.ID {
		t.Errorf("after a restart of all, the record is %+v", got)
	}
	login(t, two.base, name, password)
}

func TestBackendKilledHealsWithoutTheWebserver(t *testing.T) {
	t.Parallel()
	s := startTiers(t, 1, "")
	w, b := s.webservers[0], s.backends[0]
	c, o := register(t, w.url, newName())
	b.kill(t)
	checkAway(t, w, o.Token, 3*time.Second)
	b.again(t)
	testenv.WaitFor(t, patience, "the webserver to find its backend again", func() bool {
		a, err := c.send(t.Context(), "GET", "/api/v1/profile", nil)
		return err == nil && a.status == 200
	})
	if got := c.profile(t); got != o.User {
		t.Errorf("after the kill the record is %+v, want what was acknowledged before, %+v", got, o.User)
	}
	awaitReady(t, w)
}

func TestBackendSilentIsAnsweredForInTime(t *testing.T) {
	t.Parallel()
	s := startTiers(t, 1, "")
	w, b := s.webservers[0], s.backends[0]
	c, o := register(t, w.url, newName())
	b.pause(t)
	checkAway(t, w, o.Token, pageDeadline)
	b.resume(t)
	testenv.WaitFor(t, patience, "the webserver to hear its backend again", func() bool {
		a, err := c.send(t.Context(), "GET", "/api/v1/profile", nil)
		return err == nil && a.status == 200
	})
}

// pageDeadline is the longest that any page makes its reader wait, and some
// seconds for a machine that is busy with other tests.
const pageDeadline = 3*time.Second + 5*time.Second

// checkAway checks what people and programs are told while no backend
// answers: that it is so, in the words and the looks of the service, within a
// time, and without being logged out.
func checkAway(t *testing.T, w *process, token string, within time.Duration) {
	t.Helper()
	begun := time.Now()
	page := client{base: w.url}.do(t, "GET", "/profile", nil, "Cookie", "gatehouse="+token).want(t, 503)
	if took := time.Since(begun); took > within {
		t.Errorf("the page took %v", took)
	}
	if !page.has("<h1>Not available at the moment</h1>", `rel="stylesheet"`, "nobody is logged out") {
		t.Errorf("the page is %s", page.body)
	}
	if page.header.Get("Retry-After") == "" || page.header.Get("Set-Cookie") != "" {
		t.Errorf("the page comes with %v", page.header)
	}
	begun = time.Now()
	c := client{base: w.url, token: token}
	a := c.do(t, "GET", "/api/v1/profile", nil)
	a.refused(t, 503, "unavailable")
	if took := time.Since(begun); took > within || a.header.Get("Retry-After") == "" {
		t.Errorf("the API took %v and answered with %v", took, a.header)
	}
	// What needs no backend is there, and whoever logs in is not told that
	// it is the password's fault.
	client{base: w.url}.do(t, "GET", "/login", nil).want(t, 200)
	a = client{base: w.url}.submit(t, "/login", account("somebody")).want(t, 503)
	if !a.has(`role="alert"`, `value="somebody"`) || a.has("not right") {
		t.Errorf("the login is answered %s", a.body)
	}
}
