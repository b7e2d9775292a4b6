package protocol_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/protocol"
)

// TestCancelStorm is the incident in which one user was shown another's data:
// calls given up at random while their replies are on the way, on shared
// connections. Each reply carries the caller's name in its body, and the
// bodies are compared besides what the connection itself checks.
func TestCancelStorm(t *testing.T) {
	plain, tlsOnly := cancelStorm(t, nil, nil), cancelStormTLS(t)
	if plain == 0 || tlsOnly == 0 {
		t.Error("no reply came late, so the test shows nothing")
	}
}

func cancelStorm(t *testing.T, wrap func(net.Listener) net.Listener, adapt func(*protocol.Config)) (late int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if wrap != nil {
		l = wrap(l)
	}
	serveOn(t, l, protocol.ServerConfig{})
	var lateReplies, answered, gaveUp atomic.Int32
	cfg := protocol.Config{Hooks: protocol.Hooks{
		LateReply: func() { lateReplies.Add(1) },
		CrossTalk: func(err error) { t.Error(err) },
	}}
	if adapt != nil {
		adapt(&cfg)
	}
	conns := []*protocol.Conn{dial(t, l.Addr().String(), cfg), dial(t, l.Addr().String(), cfg)}
	var workers sync.WaitGroup
	for w := range 32 {
		workers.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 7))
			for i := range 150 {
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				if r.IntN(5) == 0 {
					ctx, cancel = context.WithTimeout(t.Context(), time.Duration(1000+r.IntN(2000))*time.Microsecond)
				}
				name := fmt.Sprintf("w%di%d", w, i)
				got, err := slow.Call(ctx, conns[r.IntN(2)], protocol.Meta{}, nameBody{name})
				cancel()
				switch {
				case err == nil && got.Name != name:
					t.Errorf("%s was answered with %s", name, got.Name)
				case err == nil:
					answered.Add(1)
				case code(err) == protocol.UnknownOutcome || code(err) == protocol.Timeout:
					gaveUp.Add(1)
				default:
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
	workers.Wait()
	for _, c := range conns {
		for c.InFlight() > 0 {
			time.Sleep(time.Millisecond)
		}
		select {
		case <-c.Done():
			t.Error("a connection ended in the storm")
		default:
		}
	}
	t.Logf("answered %d, given up %d, late replies dropped %d", answered.Load(), gaveUp.Load(), lateReplies.Load())
	return lateReplies.Load()
}
