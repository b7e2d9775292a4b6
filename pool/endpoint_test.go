package pool_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/pool"
)

const ms = time.Millisecond

func TestEveryEndpointGetsItsConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		start(t, far, pool.Config[*conn]{Endpoints: pool.Fixed("a", "b"), Size: 3})
		if a, b := len(far.open("a")), len(far.open("b")); a != 3 || b != 3 {
			t.Errorf("%d and %d connections, want 3 each", a, b)
		}
	})
}

func TestFailedDialsBackOff(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		rand func() float64
		want []time.Duration // pauses
	}{
		{"half of the bound", half, []time.Duration{50 * ms, 100 * ms, 200 * ms, 400 * ms, 500 * ms, 500 * ms}},
		{"all of the bound", func() float64 { return 0 },
			[]time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1000 * ms, 1000 * ms}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				far := &farEnd{}
				far.refuse("a")
				began := time.Now()
				p := start(t, far, pool.Config[*conn]{Size: 4, Rand: test.rand})
				time.Sleep(10 * time.Second)
				// All four fail at once; that is one failure, and then one dial at a time.
				want := []time.Duration{0, 0, 0, 0}
				for at := time.Duration(0); len(want) < 10; {
					at += test.want[len(want)-4]
					want = append(want, at)
				}
				dials := far.dialTimes(began)
				if got := dials[:10]; !slices.Equal(got, want) {
					t.Errorf("dials at %v, want %v", got, want)
				}
				if s := of(t, p, "a"); s.Dials != int64(len(dials)) || s.DialErrors != s.Dials {
					t.Errorf("%d dials and %d errors counted, want %d", s.Dials, s.DialErrors, len(dials))
				}
			})
		})
	}
}

func TestBackoffStartsAgainAfterASuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		far.refuse("a")
		start(t, far, pool.Config[*conn]{Size: 2})
		time.Sleep(10 * time.Second)
		far.refuse()
		time.Sleep(10 * time.Second)
		if n := len(far.open("")); n != 2 {
			t.Fatalf("%d connections after the endpoint came back, want 2", n)
		}
		far.refuse("a")
		began := time.Now()
		far.breakAll("")
		time.Sleep(200 * ms)
		// Two dials after the jitter, then pauses as in the beginning.
		if got, want := far.dialTimes(began), []time.Duration{5 * ms, 5 * ms, 55 * ms, 155 * ms}; !slices.Equal(got, want) {
			t.Errorf("dials at %v, want %v", got, want)
		}
	})
}

func TestRestartedEndpointHealsAtOnce(t *testing.T) {
	t.Parallel()
	for _, age := range []time.Duration{100 * ms, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			far := &farEnd{}
			p := start(t, far, pool.Config[*conn]{})
			time.Sleep(age)
			old := far.open("")
			far.breakAll("")
			began := time.Now()
			err := p.Do(t.Context(), func(c *conn) error {
				if slices.Contains(old, c) {
					t.Error("a dead connection was lent")
				}
				return nil
			})
			if waited := time.Since(began); err != nil || waited != 5*ms {
				t.Errorf("error %v after %v, want a new connection after 5ms of jitter", err, waited)
			}
			synctest.Wait()
			if s := of(t, p, "a"); s.OpenConnections != 4 || s.Dials != 8 {
				t.Errorf("%d connections after %d dials, want 4 after 8", s.OpenConnections, s.Dials)
			}
		})
	}
}

// TestBrokenConnectionIsNotLentTwice makes the second call from the very
// goroutine that saw the break, before any other could notice it.
func TestBrokenConnectionIsNotLentTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := start(t, far, pool.Config[*conn]{Size: 1})
		for range 100 {
			var broken *conn
			err := p.Do(t.Context(), func(c *conn) error {
				broken = c
				c.breakOff()
				return errReset
			})
			if !errors.Is(err, errReset) {
				t.Fatalf("error %v, want that of the closure", err)
			}
			err = p.Do(t.Context(), func(c *conn) error {
				if c == broken {
					t.Error("a connection was lent again after it broke")
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second) // old enough to count as a restart, not as a flap
		}
	})
}

func TestGoodbyeLetsCallsFinish(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		callEnd time.Duration
		answer  time.Duration // when the far end owes nothing any more
		closed  time.Duration
	}{
		{"closed after the call", 295 * ms, 0, 300 * ms},
		{"closed after the late answer", 95 * ms, 495 * ms, 500 * ms},
		{"closed after the timeout", 20 * time.Second, 0, 2 * time.Second},
		{"closed at once when unused", 0, 0, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				far := &farEnd{}
				p := start(t, far, pool.Config[*conn]{Size: 1, DrainTimeout: 2 * time.Second})
				leaving := far.open("")[0]
				leaving.owed.Store(1)
				if test.callEnd > 0 {
					c := hold(t, p)
					time.AfterFunc(test.callEnd, func() { c.result <- nil })
				}
				time.AfterFunc(test.answer, func() { leaving.owed.Store(0) })
				synctest.Wait()
				began := time.Now()
				leaving.breakOff()
				<-leaving.closed
				if took := time.Since(began); took != test.closed {
					t.Errorf("closed after %v, want %v", took, test.closed)
				}
				time.Sleep(time.Minute)
				if s := of(t, p, "a"); s.OpenConnections != 1 || s.InUse != 0 {
					t.Errorf("%d connections, %d in use, want the replacement alone", s.OpenConnections, s.InUse)
				}
			})
		})
	}
}

func TestLeavingConnectionTakesNoCallWhileAnotherIsDialled(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := start(t, far, pool.Config[*conn]{Size: 1})
		old := hold(t, p)
		old.conn.breakOff()
		next := begin(t.Context(), p, "")
		if isClosed(next.got) {
			t.Error("a call was put on a connection that leaves")
		}
		if err := next.finish(nil); err != nil || next.conn == old.conn {
			t.Errorf("error %v, same connection %v", err, next.conn == old.conn)
		}
		old.finish(nil)
	})
}

func TestSlotsOfALostConnectionAreReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &farEnd{}, pool.Config[*conn]{Size: 1, InFlight: 4})
		lost := holdAll(t, p, 3)
		lost[0].conn.breakOff()
		time.Sleep(time.Second)
		holdAll(t, p, 2)
		for _, c := range lost {
			c.finish(errReset)
		}
		holdAll(t, p, 2)
	})
}

// TestFlappingEndpointIsNotHammered accepts every dial and breaks every
// connection at once, as a proxy in front of a dead backend does.
func TestFlappingEndpointIsNotHammered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{fragile: true}
		p := start(t, far, pool.Config[*conn]{Size: 4})
		time.Sleep(time.Minute)
		// At most 4 dials each half second, and a few more in the beginning.
		if n := len(far.dialTimes(time.Time{})); n > 520 {
			t.Errorf("%d dials in a minute", n)
		}
		if err := p.Do(t.Context(), nil); !errors.Is(err, pool.ErrUnavailable) {
			t.Errorf("error %v, want ErrUnavailable", err)
		}
		far.set(func(f *farEnd) { f.fragile = false })
		succeed(t, p, 1)
	})
}

func TestDialsAreBounded(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]int{"healthy": 8, "failing": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				far := &farEnd{}
				if name == "failing" {
					far.refuse("a")
				}
				start(t, far, pool.Config[*conn]{Size: 100})
				far.set(func(f *farEnd) { f.takes, f.peak = 10*ms, 0 })
				time.Sleep(time.Minute)
				if name == "healthy" {
					far.breakAll("")
					time.Sleep(time.Minute)
					if n := len(far.open("")); n != 100 {
						t.Errorf("%d connections, want 100", n)
					}
				}
				far.set(func(f *farEnd) {
					if f.peak != want {
						t.Errorf("%d dials at once, want %d", f.peak, want)
					}
				})
			})
		})
	}
}

func TestDialIsBoundedInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{stalls: true}
		p := start(t, far, pool.Config[*conn]{Size: 1, DialTimeout: 300 * ms})
		time.Sleep(310 * ms)
		if s := of(t, p, "a"); s.DialErrors != 1 {
			t.Errorf("%d dials ended after DialTimeout, want 1", s.DialErrors)
		}
		far.set(func(f *farEnd) { f.stalls = false })
		succeed(t, p, 1)
	})
}

func TestAgedConnectionIsReplacedBeforeItLeaves(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := start(t, far, pool.Config[*conn]{Size: 1, DrainTimeout: time.Minute})
		old := hold(t, p)
		far.set(func(f *farEnd) { f.takes = 1500 * ms })
		time.Sleep(30*time.Minute + time.Second)
		if c := hold(t, p); c.conn != old.conn {
			t.Error("the old connection did not serve while its replacement was dialled")
		} else {
			c.finish(nil)
		}
		time.Sleep(5 * time.Second)
		if c := hold(t, p); c.conn == old.conn {
			t.Error("the old connection still takes calls")
		} else {
			c.finish(nil)
		}
		if s := of(t, p, "a"); isClosed(old.conn.closed) || s.OpenConnections != 2 || s.MaxLifetimeClosed != 1 {
			t.Errorf("old one closed %v, %d open, %d aged", isClosed(old.conn.closed), s.OpenConnections, s.MaxLifetimeClosed)
		}
		old.finish(nil)
		time.Sleep(time.Second)
		if s := of(t, p, "a"); !isClosed(old.conn.closed) || s.OpenConnections != 1 || s.Dials != 2 {
			t.Errorf("old one closed %v, %d open, %d dials", isClosed(old.conn.closed), s.OpenConnections, s.Dials)
		}
	})
}

func TestAgedConnectionServesOnWhileItCannotBeReplaced(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := start(t, far, pool.Config[*conn]{Size: 2, MaxAge: time.Minute})
		far.refuse("a")
		time.Sleep(time.Hour)
		if s := of(t, p, "a"); s.OpenConnections != 2 || s.DialErrors == 0 {
			t.Errorf("%d connections, %d dial errors", s.OpenConnections, s.DialErrors)
		}
		succeed(t, p, 2)
		old := far.open("")
		far.refuse()
		time.Sleep(2 * time.Second)
		for _, c := range old {
			if !isClosed(c.closed) {
				t.Error("an aged connection was not replaced when it could be")
			}
		}
	})
}

func TestAgesDiffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far, draws := &farEnd{}, []float64{0, 0.25, 0.5, 0.75}
		start(t, far, pool.Config[*conn]{Size: 4, MaxAge: 100 * time.Second, Rand: func() float64 {
			if len(draws) == 0 {
				return 0.5
			}
			defer func() { draws = draws[1:] }()
			return draws[0]
		}})
		began := time.Now()
		time.Sleep(115 * time.Second)
		want := []time.Duration{90 * time.Second, 95 * time.Second, 100 * time.Second, 105 * time.Second}
		if got := far.dialTimes(began)[4:]; !slices.Equal(got, want) {
			t.Errorf("replaced after %v, want %v", got, want)
		}
	})
}
