package protocol_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/protocol"
)

// question is answered with the name that it has, at once or late.
type question struct {
	Name string `json:"name"`
	Late bool   `json:"late"`
}

func (q question) Subject() string { return q.Name }

var identify = protocol.Method[question, question]{Type: "identify"}

const (
	defaultPairs = 200_000 // in all; TEST_PAIRS is another number
	askers       = 64
	givenUp      = 0.1 // of the calls
)

// TestNoCallIsAnsweredForAnother makes a great many calls over few connections,
// of which each tenth is given up before its answer comes, and compares who
// was asked for with who is in each answer.
func TestNoCallIsAnsweredForAnother(t *testing.T) {
	pairs := defaultPairs
	if text, ok := os.LookupEnv("TEST_PAIRS"); ok {
		n, err := strconv.Atoi(text)
		if err != nil || n < 10_000 {
			t.Fatalf("TEST_PAIRS=%q: want a number of at least 10000", text)
		}
		pairs = n
	}
	overBoth(t, func(t *testing.T, link transport) { askMany(t, link, pairs/2) })
}

func askMany(t *testing.T, link transport, pairs int) {
	address := link.serve(t, protocol.ServerConfig{Handler: protocol.NewMux(identify.Handler(
		func(_ context.Context, _ protocol.Meta, q question) (question, string, error) {
			if q.Late {
				time.Sleep(2 * time.Millisecond)
			}
			return q, q.Name, nil
		}))})
	var late, crosstalk, answered, abandoned, wrong atomic.Int64
	cfg := protocol.Config{Hooks: protocol.Hooks{
		LateReply: func() { late.Add(1) },
		CrossTalk: func(error) { crosstalk.Add(1) },
	}}
	conns := []*protocol.Conn{link.dial(t, address, cfg), link.dial(t, address, cfg)}
	var work sync.WaitGroup
	for w := range askers {
		work.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 11))
			for i := range pairs / askers {
				q := question{Name: fmt.Sprintf("w%di%d", w, i), Late: r.Float64() < givenUp}
				got, err := askOnce(t, conns[r.IntN(len(conns))], q, r)
				switch {
				case err == nil && got != q:
					wrong.Add(1)
				case err == nil:
					answered.Add(1)
				case code(err) == protocol.UnknownOutcome && q.Late:
					abandoned.Add(1)
				case code(err) == protocol.Timeout && q.Late && protocol.NotSent(err):
					abandoned.Add(1)
				default:
					t.Errorf("%s: %v", q.Name, err)
					return
				}
			}
		})
	}
	work.Wait()
	for _, c := range conns {
		for until := time.Now().Add(10 * time.Second); c.InFlight() > 0 && time.Now().Before(until); {
			time.Sleep(time.Millisecond)
		}
		if c.InFlight() > 0 {
			t.Errorf("%d slots were never given back", c.InFlight())
		}
	}
	t.Logf("%d answered, %d given up, %d of those answered late", answered.Load(), abandoned.Load(), late.Load())
	if wrong.Load() > 0 || crosstalk.Load() > 0 {
		t.Errorf("%d answers were somebody else's, and the connection noticed %d", wrong.Load(), crosstalk.Load())
	}
	if share := float64(late.Load()) / float64(pairs); share < givenUp/2 {
		t.Errorf("only %.3f of the calls were answered after they had been given up, so the test shows little", share)
	}
}

// askOnce asks, and gives a late question up before its answer can come.
func askOnce(t *testing.T, c *protocol.Conn, q question, r *rand.Rand) (question, error) {
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if q.Late {
		timer := time.AfterFunc(time.Duration(r.IntN(1000))*time.Microsecond, cancel)
		defer timer.Stop()
	}
	return identify.Call(ctx, c, protocol.Meta{}, q)
}
