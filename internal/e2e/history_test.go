package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"gatehouse/internal/testenv"
)

// call is one read or change of a nickname.
type call struct {
	person int
	set    string // the nickname to set; empty in a read
}

// nicknames is what one person's nickname may do: a read shows what the last
// change set.
var nicknames = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		parts := map[int][]porcupine.Operation{}
		for _, op := range history {
			person := op.Input.(call).person
			parts[person] = append(parts[person], op)
		}
		var all [][]porcupine.Operation
		for _, part := range parts {
			all = append(all, part)
		}
		return all
	},
	Init: func() any { return "first" },
	Step: func(state, input, output any) (bool, any) {
		if set := input.(call).set; set != "" {
			return true, set
		}
		return state == output, state
	},
	DescribeOperation: func(input, output any) string {
		if set := input.(call).set; set != "" {
			return "set " + set
		}
		return fmt.Sprint("read ", output)
	},
}

// historian notes what clients did, and when.
type historian struct {
	start time.Time

	mu     sync.Mutex // guards the fields below
	ops    []porcupine.Operation
	counts map[string]int
}

func (h *historian) now() int64 { return time.Since(h.start).Nanoseconds() }

func (h *historian) note(how string, ops ...porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.counts[how]++
	h.ops = append(h.ops, ops...)
}

// make makes a call and notes it, if anything is known of it: a read that
// failed says nothing, a change that was certainly not applied must never be
// seen, and one of unknown outcome may be applied at any time from then on.
func (h *historian) make(ctx context.Context, id int, c client, what call) {
	method, body := "GET", ""
	if what.set != "" {
		method, body = "PATCH", fmt.Sprintf(`{"nickname":%q}`, what.set)
	}
	op := porcupine.Operation{ClientId: id, Input: what, Call: h.now()}
	a, err := c.send(ctx, method, "/api/v1/profile", strings.NewReader(body), "Content-Type", "application/json")
	op.Return = h.now()
	var u user
	switch {
	case err == nil && a.status == 200 && json.Unmarshal(a.body, &u) == nil:
		op.Output = u.Nickname
		h.note(method+" done", op)
	case method == "GET":
		h.note("GET failed")
	case err == nil && (a.has(`"code":"unavailable"`) || a.has(`"code":"overloaded"`)):
		h.note("PATCH not applied")
	default:
		op.Return = math.MaxInt64
		h.note("PATCH unknown", op)
	}
}

// TestHistoriesOfManyClientsAreLinearizable has clients read and change few
// people's nicknames through two webservers and three backends, while those and
// Redis are killed and paused, and has porcupine judge what they saw.
func TestHistoriesOfManyClientsAreLinearizable(t *testing.T) {
	t.Parallel()
	redis := testenv.PrivateRedis(t)
	s := startTiers(t, 3, testenv.MariaDB(t).URL(), "--cache", redis.NewKeyspace(t).URL(), "--audit-rate", "100")
	h := &historian{start: time.Now(), counts: map[string]int{}}
	var tokens []string
	for range 3 {
		c, o := register(t, s.webservers[0].url, newName())
		c.do(t, "PATCH", "/api/v1/profile", map[string]string{"nickname": "first"}).want(t, 200)
		tokens = append(tokens, o.Token)
	}
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for id := range 9 {
		clients.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
				what := call{person: id % 3}
				if rand.N(4) == 0 {
					what.set = fmt.Sprintf("%d-%d", id, n)
				}
				w := s.webservers[rand.N(len(s.webservers))]
				h.make(context.Background(), id, client{base: w.url, token: tokens[what.person]}, what)
				time.Sleep(rand.N(20 * time.Millisecond))
			}
		})
	}
	for _, fault := range []func(){
		func() {}, // without a fault
		func() { s.backends[0].pause(t); time.Sleep(time.Second); s.backends[0].resume(t) },
		func() {
			s.backends[1].kill(t)
			time.Sleep(500 * time.Millisecond)
			s.backends[1] = s.backends[1].again(t)
		},
		func() { redis.Pause(t); time.Sleep(time.Second); redis.Resume(t) },
		func() { redis.Kill(t); time.Sleep(5 * time.Second); redis.Start(t) },
		func() { s.backends[2].pause(t); time.Sleep(3 * time.Second); s.backends[2].resume(t) },
	} {
		fault()
		time.Sleep(2 * time.Second)
	}
	stop()
	clients.Wait()
	t.Logf("%d operations: %v", len(h.ops), h.counts)
	if h.counts["PATCH done"] < 100 || h.counts["GET done"] < 500 {
		t.Error("too little was done to show anything")
	}
	if verdict := porcupine.CheckOperationsTimeout(nicknames, h.ops, time.Minute); verdict != porcupine.Ok {
		t.Errorf("the history is not linearizable: %v", verdict)
	}
	for _, b := range s.backends {
		if m := metrics(t, b); m["gatehouse_audit_violations_total"] != 0 {
			t.Error("the auditor found what is old")
		}
	}
}

// TestTheJudgeSeesAStaleRead gives porcupine histories whose verdict is known.
func TestTheJudgeSeesAStaleRead(t *testing.T) {
	t.Parallel()
	set := func(to string, from, until int64) porcupine.Operation {
		return porcupine.Operation{Input: call{person: 1, set: to}, Call: from, Return: until}
	}
	read := func(got string, from, until int64) porcupine.Operation {
		return porcupine.Operation{Input: call{person: 1}, Output: got, Call: from, Return: until}
	}
	for _, c := range []struct {
		about   string
		history []porcupine.Operation
		right   bool
	}{
		{"one after the other", []porcupine.Operation{set("a", 0, 1), read("a", 2, 3)}, true},
		{"a read beside a change", []porcupine.Operation{set("a", 0, 5), read("first", 1, 2)}, true},
		{"older than acknowledged", []porcupine.Operation{set("a", 0, 1), set("b", 2, 3), read("a", 4, 5)}, false},
		{"back and forth", []porcupine.Operation{set("a", 0, 9), read("a", 1, 2), read("first", 3, 4)}, false},
		{"never applied", []porcupine.Operation{read("a", 1, 2)}, false},
		{"applied late", []porcupine.Operation{set("a", 0, math.MaxInt64), read("first", 5, 6), read("a", 7, 8)}, true},
	} {
		if got := porcupine.CheckOperations(nicknames, c.history); got != c.right {
			t.Errorf("%s: linearizable %v", c.about, got)
		}
	}
}
