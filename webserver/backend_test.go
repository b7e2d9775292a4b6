package webserver_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
	"gatehouse/protocol/protocoltest"
	"gatehouse/webserver"
)

// link opens a Backend on some addresses and waits until it is ready.
func link(t *testing.T, targets ...string) *webserver.Backend {
	t.Helper()
	b, err := webserver.OpenBackend(webserver.BackendConfig{Targets: targets, Conns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		b.Close(ctx)
	})
	for until := time.Now().Add(10 * time.Second); !b.Ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("never ready")
		}
	}
	return b
}

// cutting is a backend that hangs up at each call, after having it whole.
func cutting(t *testing.T, calls *atomic.Int32) string {
	return protocoltest.Listen(t, func(p *protocoltest.Peer) {
		if p.ServeHello() {
			if _, err := p.Next(); err == nil {
				calls.Add(1)
				p.Cut()
			}
		}
	})
}

// answering is a backend that answers each call with nothing.
func answering(t *testing.T, calls *atomic.Int32) string {
	return protocoltest.Listen(t, func(p *protocoltest.Peer) {
		for ok := p.ServeHello(); ok; {
			call, err := p.Next()
			if ok = err == nil; ok {
				calls.Add(1)
				p.Reply(call, "", "{}")
			}
		}
	})
}

func TestALostReadIsMadeOnceMoreElsewhereAndALostWriteIsNot(t *testing.T) {
	for name, test := range map[string]struct {
		req   protocol.Request
		again bool
	}{
		"a read":  {protocol.Request{Type: packet.PicturesInUse.Type, ReadOnly: true}, true},
		"a write": {protocol.Request{Type: packet.UpdateProfile.Type}, false},
		"a login": {protocol.Request{Type: packet.Login.Type, ReadOnly: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			var cut, answered atomic.Int32
			b := link(t, cutting(t, &cut), answering(t, &answered))
			for cut.Load() == 0 { // until it was the first one's turn
				ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
				before := answered.Load()
				_, err := b.Call(ctx, test.req)
				cancel()
				if cut.Load() == 0 {
					continue
				}
				if got := answered.Load() > before && err == nil; got != test.again {
					t.Errorf("made again: %v, want %v (%v)", got, test.again, err)
				}
				if !test.again && !errors.Is(err, protocol.UnknownOutcome) && !errors.Is(err, protocol.Unavailable) {
					t.Errorf("got %v", err)
				}
			}
		})
	}
}

// TestRetriesAreFewWhenEverythingFails has more backends than calls, so that
// every attempt finds a connection that was not cut yet.
func TestRetriesAreFewWhenEverythingFails(t *testing.T) {
	const backends, calls, budget = 64, 25, 10
	var cut atomic.Int32
	var targets []string
	for range backends {
		targets = append(targets, cutting(t, &cut))
	}
	b := link(t, targets...)
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		open := 0
		for _, e := range b.Stats().Endpoints {
			open += e.OpenConnections
		}
		if open == backends {
			break
		}
		if time.Now().After(until) {
			t.Fatalf("%d of %d connections are open", open, backends)
		}
	}
	for range calls {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		_, err := b.Call(ctx, protocol.Request{Type: packet.GetUser.Type, ReadOnly: true})
		cancel()
		if !errors.Is(err, protocol.Unavailable) {
			t.Fatalf("got %v", err)
		}
	}
	if n := cut.Load(); n != calls+budget {
		t.Errorf("%d calls that all failed were made %d times, want %d retries", calls, n, budget)
	}
}

func TestNoBackendIsToldAtOnce(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	b, err := webserver.OpenBackend(webserver.BackendConfig{Targets: []string{l.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err = b.Call(ctx, protocol.Request{Type: packet.GetUser.Type, ReadOnly: true})
	if !errors.Is(err, protocol.Unavailable) || ctx.Err() != nil || b.Ready() {
		t.Errorf("got %v", err)
	}
}

func TestBackendAddressesAreChecked(t *testing.T) {
	for target, ok := range map[string]bool{
		"127.0.0.1:7000": true, "[::1]:7000": true, "backend.internal:7000": true,
		"dns:///backend.internal:7000": true, "unix:///run/gatehouse.sock": true,
		"": false, "127.0.0.1": false, ":7000": false, "dns:///name": false, "unix://relative": false, "http://x:1/": false,
	} {
		if err := webserver.CheckTarget(target); (err == nil) != ok {
			t.Errorf("%q: %v", target, err)
		}
	}
	if _, err := webserver.OpenBackend(webserver.BackendConfig{}); err == nil {
		t.Error("no address at all was taken")
	}
}

func TestABackendIsReachedOverAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := protocol.NewServer(protocol.ServerConfig{Handler: protocol.NewMux(packet.PicturesInUse.Handler(
		func(context.Context, protocol.Meta, packet.PictureKeys) (packet.PictureKeys, string, error) {
			return packet.PictureKeys{Keys: []string{"k"}}, "", nil
		}))})
	go s.Serve(l)
	defer s.Close()
	reply, err := packet.PicturesInUse.Call(t.Context(), link(t, "unix://"+path), protocol.Meta{}, packet.PictureKeys{})
	if err != nil || len(reply.Keys) != 1 {
		t.Errorf("got %v, %v", reply, err)
	}
}
