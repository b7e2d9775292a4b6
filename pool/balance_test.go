package pool_test

import (
	"fmt"
	"maps"
	"testing"
	"testing/synctest"

	"gatehouse/pool"
)

func TestCallsSpreadOverTheLeastLoadedConnections(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := start(t, far, pool.Config[*conn]{Size: 3})
		calls := holdAll(t, p, 9)
		for _, c := range far.open("") {
			if n := c.carries.Load(); n != 3 {
				t.Errorf("a connection carries %d of 9 calls, want 3", n)
			}
		}
		freed := calls[4]
		freed.finish(nil)
		if next := holdAll(t, p, 1)[0]; next.conn != freed.conn {
			t.Error("the next call did not go to the connection with the least load")
		}
	})
}

func TestStalledConnectionAttractsNoCalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := start(t, far, pool.Config[*conn]{Size: 2})
		stalled := far.open("")[0]
		stalled.owed.Store(5) // its callers gave up: nothing is lent
		for _, c := range holdAll(t, p, 5) {
			if c.conn == stalled {
				t.Fatal("a call went to the stalled connection")
			}
		}
	})
}

func TestStalledEndpointAttractsNoCalls(t *testing.T) {
	t.Parallel()
	for which := range 2 { // it must not matter which of its connections stalls
		synctest.Test(t, func(t *testing.T) {
			far := &farEnd{}
			p := start(t, far, pool.Config[*conn]{Endpoints: pool.Fixed("a", "b"), Size: 2})
			far.open("a")[which].owed.Store(6)
			for _, c := range holdAll(t, p, 6) {
				if c.endpoint != "b" {
					t.Fatal("a call went to the endpoint whose answers are late")
				}
			}
		})
	}
}

func TestFullConnectionByWhatTheFarEndOwesTakesNoCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := start(t, far, pool.Config[*conn]{Size: 1, InFlight: 4})
		far.open("")[0].owed.Store(4)
		c := begin(t.Context(), p, "")
		if isClosed(c.got) {
			t.Error("a call was put on a connection whose far end owes as many answers as it may")
			c.finish(nil)
		}
		<-c.done
	})
}

func TestEqualsTakeTurns(t *testing.T) {
	t.Parallel()
	for endpoints := 1; endpoints <= 3; endpoints++ {
		t.Run(fmt.Sprintf("%d endpoints", endpoints), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				addrs := []string{"a", "b", "c"}[:endpoints]
				p := start(t, &farEnd{}, pool.Config[*conn]{Endpoints: pool.Fixed(addrs...), Size: 4})
				served := map[*conn]int{}
				for range 4 * endpoints * 10 {
					p.Do(t.Context(), func(c *conn) error { served[c]++; return nil })
				}
				if len(served) != 4*endpoints {
					t.Errorf("%d of %d connections served", len(served), 4*endpoints)
				}
				for _, n := range served {
					if n != 10 {
						t.Errorf("a connection served %d calls, want 10", n)
					}
				}
			})
		})
	}
}

func TestTurnsStayFairBesideAnEndpointWithoutConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		far.refuse("b")
		p := start(t, far, pool.Config[*conn]{Endpoints: pool.Fixed("a", "b", "c", "d")})
		want := map[string]int{"a": 10, "c": 10, "d": 10}
		if got := succeed(t, p, 30); !maps.Equal(got, want) {
			t.Errorf("served %v, want %v", got, want)
		}
	})
}

func TestEndpointWithFewConnectionsGetsAnEqualShare(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := start(t, far, pool.Config[*conn]{Endpoints: pool.Fixed("a", "b"), Size: 2})
		far.refuse("a")
		far.open("a")[0].breakOff()
		synctest.Wait()
		share := map[string]int{}
		for _, c := range holdAll(t, p, 8) {
			share[c.endpoint]++
		}
		if share["a"] != 4 || share["b"] != 4 {
			t.Errorf("shares %v, want 4 each", share)
		}
	})
}

func TestConnectionNeverCarriesMoreThanInFlight(t *testing.T) {
	t.Parallel()
	for _, limit := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d in flight", limit), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				far := &farEnd{}
				p := start(t, far, pool.Config[*conn]{Size: 4, InFlight: limit})
				holdAll(t, p, 4*limit)
				for _, c := range far.open("") {
					if n := c.carries.Load(); n != int64(limit) {
						t.Errorf("a connection carries %d calls, want %d", n, limit)
					}
				}
				extra := begin(t.Context(), p, "")
				if isClosed(extra.got) {
					t.Error("a call was lent a slot that does not exist")
					extra.finish(nil)
				}
				<-extra.done
			})
		})
	}
}

func TestDoExceptPrefersAnotherEndpoint(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		setup func(t *testing.T, far *farEnd, p *pool.Pool[*conn])
		avoid string
		want  string
	}{
		{"even one with more load", func(t *testing.T, far *farEnd, _ *pool.Pool[*conn]) {
			far.open("b")[0].owed.Store(1)
		}, "a", "b"},
		{"whichever it is", nil, "b", "a"},
		{"but not when the other has no connection", func(t *testing.T, far *farEnd, _ *pool.Pool[*conn]) {
			far.refuse("b")
			far.breakAll("b")
			synctest.Wait()
		}, "a", "a"},
		{"but not when the other has no slot", func(t *testing.T, far *farEnd, p *pool.Pool[*conn]) {
			far.open("b")[0].owed.Store(2)
		}, "a", "a"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				far := &farEnd{}
				p := start(t, far, pool.Config[*conn]{Endpoints: pool.Fixed("a", "b"), Size: 1, InFlight: 2})
				if test.setup != nil {
					test.setup(t, far, p)
				}
				for range 4 {
					c := begin(t.Context(), p, test.avoid)
					if !isClosed(c.got) {
						t.Fatal("the call had to wait")
					}
					if c.endpoint != test.want || c.conn.endpoint != test.want {
						t.Errorf("told %q and served by %q, want %q", c.endpoint, c.conn.endpoint, test.want)
					}
					c.finish(nil)
				}
			})
		})
	}
}
