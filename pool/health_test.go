package pool_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/pool"
)

// watched is a pool that counts errReset against its endpoints.
func watched(t *testing.T, far *farEnd, endpoints ...string) *pool.Pool[*conn] {
	t.Helper()
	return start(t, far, pool.Config[*conn]{
		Endpoints: pool.Fixed(endpoints...), Size: 1,
		Failure: func(err error) bool { return errors.Is(err, errReset) },
	})
}

// report makes a call to an endpoint that ends with err. To get there with
// certainty, all others are avoided by holding a call on each of them.
func report(t *testing.T, p *pool.Pool[*conn], endpoint string, err error) {
	t.Helper()
	var held []*call
	defer func() {
		for _, c := range held {
			c.finish(context.Canceled) // says nothing about its endpoint
		}
	}()
	for {
		c := hold(t, p)
		if c.endpoint == endpoint {
			c.finish(err)
			return
		}
		if held = append(held, c); len(held) > 50 {
			t.Fatalf("no call reaches %s", endpoint)
		}
	}
}

// reportAll reports several outcomes.
func reportAll(t *testing.T, p *pool.Pool[*conn], endpoint string, n int, err error) {
	t.Helper()
	for range n {
		report(t, p, endpoint, err)
	}
}

func ejected(t *testing.T, p *pool.Pool[*conn]) []string {
	t.Helper()
	var names []string
	for _, e := range p.Stats().Endpoints {
		if e.Ejected {
			names = append(names, e.Endpoint)
		}
	}
	return names
}

// ejection tells how long the endpoint stays ejected from now.
func ejection(t *testing.T, p *pool.Pool[*conn], endpoint string) time.Duration {
	t.Helper()
	began := time.Now()
	for of(t, p, endpoint).Ejected {
		time.Sleep(10 * ms)
		synctest.Wait()
	}
	return time.Since(began)
}

func TestFailingEndpointIsEjected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := watched(t, &farEnd{}, "a", "b")
		reportAll(t, p, "a", 4, errReset)
		if e := ejected(t, p); e != nil {
			t.Fatalf("%v ejected after 4 failures", e)
		}
		report(t, p, "a", errReset)
		if e := ejected(t, p); !slices.Equal(e, []string{"a"}) {
			t.Fatalf("%v ejected after 5 failures, want a", e)
		}
		if served := succeed(t, p, 20); served["a"] != 0 {
			t.Errorf("%d calls went to the ejected endpoint", served["a"])
		}
		if long := ejection(t, p, "a"); long != time.Second {
			t.Errorf("ejected for %v, want 1s", long)
		}
		if served := succeed(t, p, 20); served["a"] != 10 {
			t.Errorf("%d of 20 calls went to the endpoint after its ejection, want 10", served["a"])
		}
	})
}

func TestSuccessEndsAStreak(t *testing.T) {
	t.Parallel()
	refused := errors.New("overloaded")
	tests := []struct {
		name string
		err  error
		want bool // ejected
	}{
		{"a reply", nil, false},
		{"a refusal", refused, false},
		{"a caller that gave up says nothing", fmt.Errorf("call: %w", context.Canceled), true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := watched(t, &farEnd{}, "a", "b")
				reportAll(t, p, "a", 4, errReset)
				report(t, p, "a", test.err)
				report(t, p, "a", errReset)
				if got := ejected(t, p) != nil; got != test.want {
					t.Errorf("ejected %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestPanicSaysNothingAboutTheEndpoint(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := watched(t, &farEnd{}, "a", "b")
		for range 40 {
			func() {
				defer func() { recover() }()
				p.Do(t.Context(), func(*conn) error { panic("closure") })
			}()
		}
		if e := ejected(t, p); e != nil {
			t.Errorf("%v ejected", e)
		}
	})
}

// TestEjectionIsNotProlonged has the ejected endpoint serve because it is the
// last, and the outcomes come in when it is not any more.
func TestEjectionIsNotProlonged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := watched(t, far, "a", "b", "c", "d")
		reportAll(t, p, "a", 5, errReset)
		far.refuse("b", "c", "d")
		for _, other := range []string{"b", "c", "d"} {
			far.breakAll(other)
		}
		synctest.Wait()
		calls := holdAll(t, p, 5)
		far.refuse()
		time.Sleep(900 * ms)
		for _, c := range calls {
			c.finish(errReset)
		}
		if s := of(t, p, "a"); !s.Ejected || s.Ejections != 1 {
			t.Errorf("ejected %v, %d ejections, want the first one", s.Ejected, s.Ejections)
		}
		if long := ejection(t, p, "a"); long != 100*ms {
			t.Errorf("it goes on for %v, want 100ms", long)
		}
	})
}

func TestRefusalsEjectNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := watched(t, &farEnd{}, "a", "b")
		reportAll(t, p, "a", 40, errors.New("overloaded"))
		if e := ejected(t, p); e != nil {
			t.Errorf("%v ejected for refusing", e)
		}
	})
}

func TestByDefaultNoErrorCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &farEnd{}, pool.Config[*conn]{Endpoints: pool.Fixed("a", "b")})
		reportAll(t, p, "a", 40, errReset)
		if e := ejected(t, p); e != nil {
			t.Errorf("%v ejected", e)
		}
	})
}

func TestEndpointThatFailsHalfOfItsCallsIsEjected(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		calls int // every second one fails, the last one too
		every time.Duration
		rest  time.Duration // after ten calls
		want  bool
	}{
		{"19 calls are too few", 19, 100 * ms, 0, false},
		{"20 calls", 20, 100 * ms, 0, true},
		{"20 calls over more than ten seconds", 20, 600 * ms, 0, false},
		{"10 calls and later another 10", 20, 0, 15 * time.Second, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := watched(t, &farEnd{}, "a", "b")
				time.Sleep(25 * time.Second)
				for i := range test.calls {
					if i == 10 {
						time.Sleep(test.rest)
					}
					if (test.calls-i)%2 == 1 {
						report(t, p, "a", errReset)
					} else {
						report(t, p, "a", nil)
					}
					time.Sleep(test.every)
				}
				if got := of(t, p, "a").Ejections == 1; got != test.want {
					t.Errorf("ejected %v, want %v", got, test.want)
				}
			})
		})
	}
}

func TestEndpointThatFailsFewerThanHalfStays(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := watched(t, &farEnd{}, "a", "b")
		for range 30 {
			report(t, p, "a", nil)
			report(t, p, "a", nil)
			report(t, p, "a", errReset)
		}
		if e := ejected(t, p); e != nil {
			t.Errorf("%v ejected", e)
		}
	})
}

func TestEjectionsGrowLongerAndFallBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := watched(t, &farEnd{}, "a", "b")
		for _, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30} {
			reportAll(t, p, "a", 5, errReset)
			if long := ejection(t, p, "a"); long != want*time.Second {
				t.Errorf("ejected for %v, want %vs", long, int(want))
			}
			report(t, p, "a", nil) // too early for a pardon
		}
		time.Sleep(time.Hour)
		reportAll(t, p, "a", 5, errReset)
		if long := ejection(t, p, "a"); long != 30*time.Second {
			t.Errorf("after an hour without a success ejected for %v, want 30s", long)
		}
		for range 4 { // each window with a success takes one doubling back
			time.Sleep(10 * time.Second)
			reportAll(t, p, "a", 3, nil)
		}
		reportAll(t, p, "a", 5, errReset)
		if long := ejection(t, p, "a"); long != 2*time.Second {
			t.Errorf("after four good windows ejected for %v, want 2s", long)
		}
	})
}

func TestEjectionsAreJitteredWithinTheMaximum(t *testing.T) {
	t.Parallel()
	tests := []struct {
		draw  float64
		first time.Duration
		last  time.Duration
	}{
		{0, 900 * ms, 27 * time.Second},
		{0.75, 1050 * ms, 30 * time.Second},
	}
	for _, test := range tests {
		t.Run(fmt.Sprint(test.draw), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, &farEnd{}, pool.Config[*conn]{
					Endpoints: pool.Fixed("a", "b"), Size: 1,
					Failure: func(error) bool { return true },
					Rand:    func() float64 { return test.draw },
				})
				var long []time.Duration
				for range 6 {
					for range 5 {
						failCall(t, p, "a")
					}
					long = append(long, ejection(t, p, "a"))
				}
				if long[0] != test.first || long[5] != test.last {
					t.Errorf("ejected for %v, want first %v and last %v", long, test.first, test.last)
				}
			})
		})
	}
}

// failCall makes a call to an endpoint of two fail, keeping the other one healthy.
func failCall(t *testing.T, p *pool.Pool[*conn], endpoint string) {
	t.Helper()
	for {
		c := hold(t, p)
		if c.endpoint == endpoint {
			c.finish(errReset)
			return
		}
		c.finish(nil)
	}
}

func TestNoMoreThanHalfIsEjected(t *testing.T) {
	t.Parallel()
	for n, want := range []int{0, 0, 1, 1, 2} {
		if n == 0 {
			continue
		}
		t.Run(fmt.Sprintf("%d endpoints", n), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				addrs := []string{"a", "b", "c", "d"}[:n]
				p := watched(t, &farEnd{}, addrs...)
				for range 40 {
					p.Do(t.Context(), func(*conn) error { return errReset })
				}
				if got := ejected(t, p); len(got) != want {
					t.Errorf("%v ejected, want %d of %d", got, want, n)
				}
			})
		})
	}
}

func TestLastUsableEndpointIsNotEjected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		far.refuse("b")
		p := watched(t, far, "a", "b")
		reportAll(t, p, "a", 40, errReset)
		if e := ejected(t, p); e != nil {
			t.Errorf("%v ejected though nobody else could serve", e)
		}
		far.refuse()
		time.Sleep(time.Second)
		report(t, p, "a", errReset)
		if e := ejected(t, p); !slices.Equal(e, []string{"a"}) {
			t.Errorf("%v ejected once another could serve, want a", e)
		}
	})
}

func TestEjectedEndpointServesWhenItBecomesTheLast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := start(t, far, pool.Config[*conn]{
			Endpoints: pool.Fixed("a", "b"), Size: 1, InFlight: 1,
			Failure: func(err error) bool { return errors.Is(err, errReset) },
		})
		reportAll(t, p, "a", 5, errReset)
		busy := hold(t, p)
		waiter := begin(t.Context(), p, "")
		if busy.endpoint != "b" || isClosed(waiter.got) {
			t.Fatalf("served by %q, waiter served %v", busy.endpoint, isClosed(waiter.got))
		}
		far.refuse("b")
		far.breakAll("b")
		synctest.Wait()
		if !isClosed(waiter.got) || waiter.endpoint != "a" {
			t.Error("the waiter was not served by the only endpoint left")
		}
		waiter.finish(nil)
		busy.finish(nil)
	})
}

func TestWaiterIsServedWhenAnEjectionEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &farEnd{}, pool.Config[*conn]{
			Endpoints: pool.Fixed("a", "b"), Size: 1, InFlight: 1, MaxWait: time.Minute,
			Failure: func(err error) bool { return errors.Is(err, errReset) },
		})
		reportAll(t, p, "a", 5, errReset)
		busy := hold(t, p)
		began := time.Now()
		waiter := begin(t.Context(), p, "")
		<-waiter.got
		if waited := time.Since(began); waiter.endpoint != "a" || waited != time.Second {
			t.Errorf("served by %q after %v, want a after 1s", waiter.endpoint, waited)
		}
		waiter.finish(nil)
		busy.finish(nil)
	})
}

// TestCallsFromBeforeAnEjectionDoNotCountTwice has calls under way when the
// endpoint is ejected; their failures come in during and after the ejection.
func TestCallsFromBeforeAnEjectionDoNotCountTwice(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := watched(t, &farEnd{}, "a", "b")
		var early []*call
		for _, c := range holdAll(t, p, 30) {
			if c.endpoint == "a" {
				early = append(early, c)
			} else {
				c.finish(nil)
			}
		}
		for _, c := range early[:5] {
			c.finish(errReset)
		}
		if long := ejection(t, p, "a"); long != time.Second {
			t.Fatalf("ejected for %v, want 1s", long)
		}
		for _, c := range early[5:] {
			c.finish(errReset)
		}
		if s := of(t, p, "a"); s.Ejected || s.Ejections != 1 {
			t.Errorf("ejected %v, %d ejections, want one that is over", s.Ejected, s.Ejections)
		}
	})
}
