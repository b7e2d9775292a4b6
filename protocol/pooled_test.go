package protocol_test

import (
	"context"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"gatehouse/pool"
	"gatehouse/protocol"
)

// TestAStormLeavesNothingBehind gives calls up by the hundred on pooled
// connections. Not one of them may be lost, replaced, or left in use by it.
func TestAStormLeavesNothingBehind(t *testing.T) { overBoth(t, aStormLeavesNothingBehind) }

func aStormLeavesNothingBehind(t *testing.T, link transport) {
	const size, callers, calls = 3, 40, 50
	address := link.serve(t, protocol.ServerConfig{})
	before := runtime.NumGoroutine()
	p := pool.New(pool.Config[*protocol.Conn]{
		Endpoints: pool.Fixed(address),
		Dial: func(ctx context.Context, endpoint string) (*protocol.Conn, error) {
			return protocol.Dial(ctx, "tcp", endpoint, protocol.Config{TLS: link.client})
		},
		Size: size, Failure: protocol.LinkFailed,
	})
	defer p.Close()
	endpoint := func() (s pool.EndpointStats) {
		for _, s = range p.Stats().Endpoints { // none until the address is resolved
		}
		return s
	}
	eventually(t, "the connections to be made", func() bool { return endpoint().OpenConnections == size })
	var storm sync.WaitGroup
	for range callers {
		storm.Go(func() {
			for range calls {
				ctx, cancel := context.WithCancel(t.Context())
				if rand.IntN(5) == 0 {
					time.AfterFunc(time.Duration(rand.IntN(3000))*time.Microsecond, cancel)
				}
				p.Do(ctx, func(c *protocol.Conn) error {
					_, err := slow.Call(ctx, c, protocol.Meta{}, nameBody{"x"})
					return err
				})
				cancel()
			}
		})
	}
	storm.Wait()
	eventually(t, "every slot to be free", func() bool {
		s := endpoint()
		return s.InUse == 0 && s.InFlight == 0 && s.Idle == size
	})
	if s := endpoint(); s.Dials != size || s.Ejections != 0 || p.Stats().Waiting != 0 {
		t.Errorf("after the storm: %+v", s)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
	// The server's goroutines of the connections end with them.
	eventually(t, "every goroutine to end", func() bool { return runtime.NumGoroutine() <= before })
}

// eventually waits for what happens at once unless something is broken.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for until := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
