package e2e_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/testenv"
)

// hostileRequests is how many requests that no client sends are sent.
const hostileRequests = 1000

// seed makes the requests; the same makes the same.
const seed = 2026

func TestHostileRequestsAreRefusedAndLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	s := startTiers(t, 1, "")
	w, b := s.webservers[0], s.backends[0]
	c, o := register(t, w.url, newName())
	tokens := make([]string, 8)
	for i := range tokens {
		_, opened := register(t, w.url, newName())
		tokens[i] = opened.Token
	}
	kinds := slices.Concat(brokenHTTP(), brokenRequests(), brokenJSON(), brokenWrites(), brokenUploads())
	both := []*process{w, b}
	idle := []usage{used(t, w), used(t, b)}
	bombard(t, w, tokens, kinds, 2*len(kinds)) // fills whatever is kept for later requests
	before := []usage{idle[0].again(t, w), idle[1].again(t, b)}
	bombard(t, w, tokens, kinds, hostileRequests)
	for i, p := range both {
		before[i].compare(t, p.args[0], idle[i].again(t, p))
		if m := metrics(t, p); m["gatehouse_panics_total"] != 0 || m["gatehouse_link_crosstalk_total"] != 0 {
			t.Errorf("%s: %v panics, %v cross-talk", p.args[0], m["gatehouse_panics_total"], m["gatehouse_link_crosstalk_total"])
		}
	}
	if got := c.profile(t); got != o.User {
		t.Errorf("afterwards the profile is %+v, want %+v", got, o.User)
	}
	login(t, w.url, o.User.Username, password)
}

func TestSlowClientsAreNotWaitedForForever(t *testing.T) {
	t.Parallel()
	s := service(t)
	const slow = 50
	var waiting sync.WaitGroup
	for i := range slow {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if i%2 == 0 {
			fmt.Fprint(conn, "GET /login HTTP/1.1\r\nHost: x\r\nX-Slow: ")
		}
		conn.SetReadDeadline(time.Now().Add(patience))
		waiting.Go(func() {
			_, err := io.Copy(io.Discard, conn)
			if err := unlessClosed(err); err != nil {
				t.Errorf("a client that says nothing: %v", err)
			}
		})
	}
	client{base: s.url}.do(t, "GET", "/login", nil).want(t, 200)
	waiting.Wait()
}

// A hostileRequest is a kind of requests that must be refused.
type hostileRequest struct {
	about string
	// bytes makes one request of the kind, with the token of a live session.
	bytes maker
	// status is the answer where it must be this one. Otherwise any 4xx will
	// do.
	status int
	// cut tells that nothing follows although something should.
	cut bool
}

// bombard sends n requests of all kinds in turns, with each of the sessions
// one at a time, and fails the test for each that is not refused.
func bombard(t *testing.T, w *process, tokens []string, kinds []hostileRequest, n int) {
	t.Helper()
	var sending sync.WaitGroup
	for worker, token := range tokens {
		sending.Go(func() {
			for i := worker; i < n; i += len(tokens) {
				k := kinds[i%len(kinds)]
				data := k.bytes(rand.New(rand.NewPCG(seed, uint64(i))), token)
				if err := k.send(w, data); err != nil {
					t.Errorf("%s (seed %d, request %d): %v\nit began %.300q", k.about, seed, i, err, data)
				}
			}
		})
	}
	sending.Wait()
}

// send sends a request and tells how its answer is none of a service that
// notices and stays calm.
func (k hostileRequest) send(w *process, data []byte) error {
	conn, err := net.Dial("tcp", strings.TrimPrefix(w.url, "http://"))
	if err != nil {
		return err
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	// The service may answer and close before it has read all.
	if _, err := conn.Write(data); err == nil && k.cut {
		conn.(*net.TCPConn).CloseWrite()
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return unlessClosed(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return unlessClosed(err)
	}
	if k.status != 0 && resp.StatusCode != k.status || k.status == 0 && resp.StatusCode/100 != 4 {
		return fmt.Errorf("answered %d, want %d: %s", resp.StatusCode, k.status, body)
	}
	if resp.Header.Get("X-Request-Id") == "" {
		return nil // refused before any handler of ours saw it
	}
	if bytes.Contains(data[:min(len(data), 64)], []byte(" /api/")) {
		_, err := answer{resp.StatusCode, resp.Header, body}.problem()
		return err
	}
	if !bytes.Contains(body, []byte("<h1>")) {
		return fmt.Errorf("answered %d without a page: %s", resp.StatusCode, body)
	}
	return nil
}

// unlessClosed returns err unless it says that the connection was closed.
func unlessClosed(err error) error {
	var timeout net.Error
	if errors.As(err, &timeout) && timeout.Timeout() {
		return fmt.Errorf("neither answered nor closed: %w", err)
	}
	return nil
}

// usage is what a process holds.
type usage struct{ heap, goroutines, files, system float64 }

// used returns what a process holds once it has cleaned up.
func used(t *testing.T, p *process) usage {
	t.Helper()
	plain.CloseIdleConnections()
	for range 2 { // what has a finalizer goes with the second
		client{base: p.admin}.do(t, "GET", "/debug/pprof/heap?gc=1", nil).want(t, 200)
	}
	m := metrics(t, p)
	return usage{m["go_memstats_heap_alloc_bytes"], m["go_goroutines"], m["process_open_fds"], m["go_memstats_sys_bytes"]}
}

// again returns what the process holds once it is as idle as it was with u.
// It may have a few connections more, to its database and to who asks here:
// those are kept for reuse, and a thousand requests would leave many more.
func (u usage) again(t *testing.T, p *process) (now usage) {
	t.Helper()
	testenv.WaitFor(t, patience, "the "+p.args[0]+" to be idle again", func() bool {
		now = used(t, p)
		return now.goroutines <= u.goroutines+8 && now.files <= u.files+16
	})
	return now
}

// compare fails the test where more memory is held than before: by a kibibyte
// a request or more, which is beyond the differences between any two moments.
func (u usage) compare(t *testing.T, name string, after usage) {
	t.Helper()
	const mebi = 1 << 20
	t.Logf("%s: heap %.1f MiB and then %.1f, goroutines %v and %v, files %v and %v, memory of the system %.1f MiB and %.1f", name,
		u.heap/mebi, after.heap/mebi, u.goroutines, after.goroutines, u.files, after.files, u.system/mebi, after.system/mebi)
	if after.heap > u.heap+hostileRequests<<10 {
		t.Errorf("%s: the heap grew from %.1f to %.1f MiB", name, u.heap/mebi, after.heap/mebi)
	}
	if after.system > u.system+64*mebi {
		t.Errorf("%s: the memory taken from the system grew from %.1f to %.1f MiB", name, u.system/mebi, after.system/mebi)
	}
}
