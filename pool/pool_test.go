package pool_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/pool"
)

func TestDoReturnsTheErrorOfItsClosureUnchanged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &farEnd{}, pool.Config[*conn]{})
		if err := p.Do(t.Context(), func(*conn) error { return errReset }); err != errReset {
			t.Errorf("error %v, want %v itself", err, errReset)
		}
	})
}

func TestSlotComesBackHoweverTheClosureEnds(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*conn) error{
		"return":   func(*conn) error { return nil },
		"error":    func(*conn) error { return errReset },
		"panic":    func(*conn) error { panic("closure") },
		"nil call": nil,
		"goexit":   func(*conn) error { runtime.Goexit(); return nil },
	}
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := exclusive(t, &farEnd{})
				for range 3 {
					go func() {
						defer func() { recover() }()
						p.Do(t.Context(), end)
					}()
					synctest.Wait()
				}
				hold(t, p).finish(nil)
				if s := of(t, p, "a"); s.InUse != 0 {
					t.Errorf("%d connections in use", s.InUse)
				}
			})
		})
	}
}

func TestReadyMeansOneUsableConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{takes: time.Second}
		p := start(t, far, pool.Config[*conn]{Endpoints: pool.Fixed("a", "b"), Size: 1})
		if p.Ready() {
			t.Error("ready before the first dial has ended")
		}
		far.refuse("b")
		time.Sleep(2 * time.Second)
		if !p.Ready() {
			t.Error("not ready with one endpoint connected")
		}
		far.breakAll("")
		synctest.Wait()
		if p.Ready() {
			t.Error("ready without a connection")
		}
		time.Sleep(2 * time.Second)
		p.Close()
		if p.Ready() {
			t.Error("ready after Close")
		}
	})
}

func TestShutdownWaitsForCallsInProgress(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := start(t, far, pool.Config[*conn]{Size: 1, InFlight: 1})
		running := hold(t, p)
		waiting := begin(t.Context(), p, "")
		ended := make(chan error, 1)
		go func() { ended <- p.Shutdown(t.Context()) }()
		synctest.Wait()
		if !isClosed(waiting.done) || !errors.Is(waiting.err, pool.ErrClosed) {
			t.Errorf("the waiter got %v, want ErrClosed at once", waiting.err)
		}
		if err := p.Do(t.Context(), nil); !errors.Is(err, pool.ErrClosed) {
			t.Errorf("a new call got %v, want ErrClosed", err)
		}
		time.Sleep(time.Hour)
		if len(ended) != 0 || isClosed(running.conn.closed) {
			t.Error("a call in progress was cut though the context allows more time")
		}
		if err := running.finish(nil); err != nil {
			t.Errorf("the call in progress: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if n := len(far.open("")); n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
}

func TestShutdownCutsWhatItsContextDoesNotAllow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := start(t, far, pool.Config[*conn]{})
		running := hold(t, p)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		err := p.Shutdown(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 calls in progress") {
			t.Errorf("error %v, want the number of calls and the context's error", err)
		}
		if took := time.Since(began); took != time.Second || len(far.open("")) != 0 {
			t.Errorf("ended after %v with %d connections open", took, len(far.open("")))
		}
		if running.finish(errReset) != errReset {
			t.Error("the call that was cut did not return its error")
		}
		if s := of(t, p, "a"); s.OpenConnections != 0 || s.InUse != 0 {
			t.Errorf("%d connections, %d in use after Shutdown", s.OpenConnections, s.InUse)
		}
	})
}

func TestCloseWaitsForDrainTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &farEnd{}, pool.Config[*conn]{DrainTimeout: 3 * time.Second})
		running := hold(t, p)
		began := time.Now()
		if err := p.Close(); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("error %v after %v", err, time.Since(began))
		}
		running.finish(nil)
		if err := p.Close(); err != nil {
			t.Errorf("second Close: %v", err)
		}
	})
}

// TestCloseEndsWhateverIsUnderWay relies on the bubble, which fails when a
// goroutine is left.
func TestCloseEndsWhateverIsUnderWay(t *testing.T) {
	t.Parallel()
	tests := map[string]func(t *testing.T, far *farEnd, p *pool.Pool[*conn]){
		"before anything happened": func(*testing.T, *farEnd, *pool.Pool[*conn]) {},
		"hanging dial": func(_ *testing.T, far *farEnd, _ *pool.Pool[*conn]) {
			far.set(func(f *farEnd) { f.stalls = true })
			far.breakAll("")
			time.Sleep(time.Second)
		},
		"backoff": func(_ *testing.T, far *farEnd, _ *pool.Pool[*conn]) {
			far.refuse("a", "b")
			far.breakAll("")
			time.Sleep(time.Second)
		},
		"connection that drains": func(_ *testing.T, far *farEnd, _ *pool.Pool[*conn]) {
			far.open("")[0].owed.Store(1)
			far.breakAll("")
			time.Sleep(time.Second)
		},
		"connections that broke this very moment": func(_ *testing.T, far *farEnd, _ *pool.Pool[*conn]) {
			far.breakAll("")
		},
	}
	for name, prepare := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				far := &farEnd{}
				p := start(t, far, pool.Config[*conn]{Endpoints: pool.Fixed("a", "b")})
				prepare(t, far, p)
				began := time.Now()
				if err := p.Close(); err != nil || time.Since(began) != 0 {
					t.Errorf("error %v after %v, want none at once", err, time.Since(began))
				}
				if n := len(far.open("")); n != 0 {
					t.Errorf("%d connections left", n)
				}
			})
		})
	}
}

func TestDialEndedByCloseIsNoDialError(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &farEnd{stalls: true}, pool.Config[*conn]{Size: 1})
		p.Close()
		if s := of(t, p, "a"); s.Dials != 1 || s.DialErrors != 0 {
			t.Errorf("%d dials and %d errors counted, want 1 and none", s.Dials, s.DialErrors)
		}
	})
}

func TestDialThatEndsAfterCloseIsClosed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		late := &conn{done: make(chan struct{}), closed: make(chan struct{})}
		p := pool.New(pool.Config[*conn]{
			Endpoints: pool.Fixed("a"), Size: 1,
			Dial: func(context.Context, string) (*conn, error) {
				time.Sleep(time.Second) // does not hear its context
				return late, nil
			},
		})
		synctest.Wait()
		p.Close()
		if !isClosed(late.closed) {
			t.Error("the late connection was left open")
		}
	})
}

func TestZeroConfigSaysWhatIsMissing(t *testing.T) {
	t.Parallel()
	tests := []struct {
		missing string
		cfg     pool.Config[*conn]
	}{
		{"Config.Endpoints is nil", pool.Config[*conn]{}},
		{"Config.Dial is nil", pool.Config[*conn]{Endpoints: pool.Fixed("a")}},
	}
	for _, test := range tests {
		t.Run(test.missing, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := pool.New(test.cfg)
				defer p.Close()
				err := p.Do(t.Context(), nil)
				if !errors.Is(err, pool.ErrUnavailable) || !strings.Contains(err.Error(), test.missing) {
					t.Errorf("error %v, want ErrUnavailable saying %q", err, test.missing)
				}
			})
		})
	}
}

func TestFixedKeepsItsOwnList(t *testing.T) {
	t.Parallel()
	addrs := []string{"a", "b"}
	fixed := pool.Fixed(addrs...)
	addrs[0] = "z"
	if got, err := fixed(t.Context()); err != nil || !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("%v, %v", got, err)
	}
}
