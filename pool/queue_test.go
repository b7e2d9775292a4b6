package pool_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/pool"
)

// exclusive is a pool with one slot.
func exclusive(t *testing.T, far *farEnd) *pool.Pool[*conn] {
	t.Helper()
	return start(t, far, pool.Config[*conn]{Size: 1, InFlight: 1})
}

func TestWaitersAreServedInTheOrderTheyCame(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := exclusive(t, &farEnd{})
		holder := hold(t, p)
		var order []int
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				p.Do(t.Context(), func(*conn) error { order = append(order, i); return nil })
			})
			synctest.Wait()
		}
		if got := p.Stats().Waiting; got != 10 {
			t.Errorf("%d calls wait, want 10", got)
		}
		holder.finish(nil)
		all.Wait()
		if !slices.Equal(order, []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) {
			t.Errorf("served in the order %v", order)
		}
	})
}

func TestNewcomerDoesNotOvertakeAWaiter(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := exclusive(t, &farEnd{})
		var order []string
		var waiter *call
		p.Do(t.Context(), func(*conn) error {
			waiter = begin(t.Context(), p, "")
			waiter.result <- nil
			return nil
		})
		if got := p.Stats().Waiting; got != 0 {
			t.Error("the slot was not handed on when it was given back")
		}
		err := p.Do(t.Context(), func(*conn) error {
			if isClosed(waiter.got) {
				order = append(order, "waiter")
			}
			order = append(order, "newcomer")
			return nil
		})
		if err != nil || !slices.Equal(order, []string{"waiter", "newcomer"}) {
			t.Errorf("served %v, error %v", order, err)
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, &farEnd{}, pool.Config[*conn]{Size: 1, InFlight: 1, MaxWaiters: 2})
		holder := hold(t, p)
		first, second := begin(t.Context(), p, ""), begin(t.Context(), p, "")
		began := time.Now()
		err := p.Do(t.Context(), func(*conn) error { return nil })
		if !errors.Is(err, pool.ErrBusy) || time.Since(began) != 0 {
			t.Errorf("error %v after %v, want ErrBusy at once", err, time.Since(began))
		}
		if got := p.Stats().Busy; got != 1 {
			t.Errorf("%d calls counted as busy, want 1", got)
		}
		holder.finish(nil)
		if err := errors.Join(first.finish(nil), second.finish(nil)); err != nil {
			t.Errorf("those in the queue: %v", err)
		}
	})
}

func TestWaitEnds(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name     string
		patience time.Duration // of the context
		maxWait  time.Duration
		after    time.Duration
		want     error
	}{
		{"after MaxWait", time.Minute, 700 * time.Millisecond, 700 * time.Millisecond, pool.ErrBusy},
		{"after MaxWait shorter than FailFast", time.Minute, 20 * time.Millisecond, 20 * time.Millisecond, pool.ErrBusy},
		{"after a second by default", time.Minute, 0, time.Second, pool.ErrBusy},
		{"with its context", 300 * time.Millisecond, 0, 300 * time.Millisecond, context.DeadlineExceeded},
		{"before it begins, with its context", 0, 0, 0, context.DeadlineExceeded},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, &farEnd{}, pool.Config[*conn]{Size: 1, InFlight: 1, MaxWait: test.maxWait})
				holder := hold(t, p)
				ctx, cancel := context.WithTimeout(t.Context(), test.patience)
				defer cancel()
				began := time.Now()
				err := p.Do(ctx, func(*conn) error { t.Error("the closure was called"); return nil })
				if !errors.Is(err, test.want) || time.Since(began) != test.after {
					t.Errorf("error %v after %v, want %v after %v", err, time.Since(began), test.want, test.after)
				}
				if got := p.Stats().Waiting; got != 0 {
					t.Errorf("%d calls still wait", got)
				}
				holder.finish(nil)
				succeed(t, p, 1)
			})
		})
	}
}

func TestEndedContextGetsNoConnectionThoughOneIsFree(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := exclusive(t, &farEnd{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		err := p.Do(ctx, func(*conn) error { t.Error("the closure was called"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("error %v, want context.Canceled", err)
		}
	})
}

func TestWaiterThatGivesUpLeavesTheQueueAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := exclusive(t, &farEnd{})
		holder := hold(t, p)
		ctx, cancel := context.WithCancel(t.Context())
		first, second := begin(ctx, p, ""), begin(t.Context(), p, "")
		cancel()
		synctest.Wait()
		if !isClosed(first.done) || !errors.Is(first.err, context.Canceled) {
			t.Errorf("the waiter did not return with its context's error: %v", first.err)
		}
		if got := p.Stats().Waiting; got != 1 {
			t.Errorf("%d calls wait, want 1", got)
		}
		holder.finish(nil)
		synctest.Wait()
		if !isClosed(second.got) {
			t.Error("the slot did not go to the next waiter")
		}
		second.finish(nil)
	})
}

// TestSlotIsNotLostToAWaiterThatGaveUp ends the waiter's context and gives the
// slot back a moment later, before the waiter can leave the queue: it is handed
// the slot it no longer wants. Many times over, so that all orders happen.
func TestSlotIsNotLostToAWaiterThatGaveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := exclusive(t, &farEnd{})
		var served, gaveUp int
		for range 1000 {
			var waiter *call
			err := p.Do(t.Context(), func(*conn) error {
				ctx, cancel := context.WithCancel(t.Context())
				waiter = begin(ctx, p, "")
				waiter.result <- nil
				cancel()
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			<-waiter.done
			switch {
			case waiter.err == nil:
				served++
			case errors.Is(waiter.err, context.Canceled):
				gaveUp++
			default:
				t.Fatal(waiter.err)
			}
			synctest.Wait()
			next := begin(t.Context(), p, "")
			if !isClosed(next.got) {
				t.Fatalf("the slot is lost after %d waiters were served and %d gave up", served, gaveUp)
			}
			next.finish(nil)
		}
		if s := of(t, p, "a"); s.InUse != 0 || p.Stats().Waiting != 0 {
			t.Errorf("in use %d, waiting %d, want none", s.InUse, p.Stats().Waiting)
		}
	})
}

// TestLateAnswerFreesASlot covers both moments at which the slot can be found
// owing: when the caller joins the queue and when the caller before gives back.
func TestLateAnswerFreesASlot(t *testing.T) {
	t.Parallel()
	for _, early := range []bool{true, false} {
		name := map[bool]string{true: "waiter came before the caller gave up", false: "waiter came after"}[early]
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				far := &farEnd{}
				p := exclusive(t, far)
				holder := hold(t, p)
				holder.conn.owed.Store(1)
				var waiter *call
				if early {
					waiter = begin(t.Context(), p, "")
				}
				holder.finish(context.DeadlineExceeded)
				if !early {
					waiter = begin(t.Context(), p, "")
				}
				time.Sleep(100 * time.Millisecond)
				if isClosed(waiter.got) {
					t.Error("the waiter was served while the answer was owed")
				}
				holder.conn.owed.Store(0)
				if err := waiter.finish(nil); err != nil {
					t.Errorf("the waiter was not served after the late answer: %v", err)
				}
			})
		})
	}
}

func TestNewcomerDoesNotTakeTheSlotOfALateAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := exclusive(t, far)
		far.open("")[0].owed.Store(1)
		waiter := begin(t.Context(), p, "")
		far.open("")[0].owed.Store(0)
		newcomer := begin(t.Context(), p, "")
		if !isClosed(waiter.got) || isClosed(newcomer.got) {
			t.Errorf("waiter served %v, newcomer served %v", isClosed(waiter.got), isClosed(newcomer.got))
		}
		waiter.finish(nil)
		newcomer.finish(nil)
	})
}

func TestEverythingDownIsSaidWithinFailFast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		far.refuse("a", "b")
		p := start(t, far, pool.Config[*conn]{Endpoints: pool.Fixed("a", "b")})
		began := time.Now()
		err := p.Do(t.Context(), func(*conn) error { return nil })
		if !errors.Is(err, pool.ErrUnavailable) || !errors.Is(err, errRefused) {
			t.Errorf("error %v, want ErrUnavailable with the dial's error", err)
		}
		if waited := time.Since(began); waited != 250*time.Millisecond {
			t.Errorf("said after %v, want 250ms", waited)
		}
		if s := p.Stats(); s.Unavailable != 1 || p.Ready() {
			t.Errorf("unavailable %d, ready %v", s.Unavailable, p.Ready())
		}
	})
}

// TestGoingDownDuringAWaitIsSaidWithinFailFast breaks everything while calls
// wait in a queue: they, too, are told FailFast after the first failed dial.
func TestGoingDownDuringAWaitIsSaidWithinFailFast(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		p := start(t, far, pool.Config[*conn]{Size: 1, InFlight: 1, MaxWait: 5 * time.Second})
		holder := hold(t, p)
		began := time.Now()
		waiter := begin(t.Context(), p, "")
		time.Sleep(600 * time.Millisecond)
		far.refuse("a")
		far.breakAll("")
		holder.finish(errReset)
		<-waiter.done
		const want = (600 + 5 + 250) * time.Millisecond // 5: half of the jitter of the first dial
		if waited := time.Since(began); waited != want || !errors.Is(waiter.err, pool.ErrUnavailable) {
			t.Errorf("error %v after %v, want ErrUnavailable after %v", waiter.err, waited, want)
		}
	})
}

func TestFirstDialMayTakeAsLongAsMaxWait(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		takes time.Duration
		want  error
	}{
		{"in time", 900 * time.Millisecond, nil},
		{"too late", 1100 * time.Millisecond, pool.ErrUnavailable},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := start(t, &farEnd{takes: test.takes}, pool.Config[*conn]{})
				if err := p.Do(t.Context(), func(*conn) error { return nil }); !errors.Is(err, test.want) {
					t.Errorf("error %v, want %v", err, test.want)
				}
			})
		})
	}
}

func TestUnavailableTellsTheLastDialErrorOnly(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		setup func(far *farEnd, names *resolver)
		want  bool          // errRefused, the dial's
		after time.Duration // hope lasts longer than failure
	}{
		{"not one from before a success", func(far *farEnd, _ *resolver) {
			far.refuse()
			time.Sleep(time.Minute)
			far.set(func(f *farEnd) { f.stalls = true })
			far.breakAll("")
		}, false, time.Second},
		{"nor the resolver's", func(_ *farEnd, names *resolver) {
			names.answer(errReset)
			time.Sleep(time.Minute)
		}, true, 250 * time.Millisecond},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				far, names := &farEnd{}, &resolver{addrs: []string{"a"}}
				far.refuse("a")
				p := start(t, far, pool.Config[*conn]{Endpoints: names.endpoints, DialTimeout: time.Minute})
				test.setup(far, names)
				began := time.Now()
				err := p.Do(t.Context(), nil)
				if waited := time.Since(began); waited != test.after {
					t.Errorf("told after %v, want %v", waited, test.after)
				}
				if !errors.Is(err, pool.ErrUnavailable) || errors.Is(err, errRefused) != test.want || errors.Is(err, errReset) {
					t.Errorf("error %v, with the dial's %v", err, test.want)
				}
			})
		})
	}
}

func TestFullQueueWithoutConnectionIsUnavailable(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		far.refuse("a")
		p := start(t, far, pool.Config[*conn]{MaxWaiters: 1})
		waiter := begin(t.Context(), p, "")
		if err := p.Do(t.Context(), nil); !errors.Is(err, pool.ErrUnavailable) || !errors.Is(err, errRefused) {
			t.Errorf("error %v, want ErrUnavailable with the dial's error", err)
		}
		<-waiter.done
	})
}

func TestDialGoesOnAfterItsWaiterGaveUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{takes: 400 * time.Millisecond}
		p := start(t, far, pool.Config[*conn]{Size: 1})
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		if err := p.Do(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want context.DeadlineExceeded", err)
		}
		succeed(t, p, 1)
		if n := len(far.dialTimes(time.Time{})); n != 1 {
			t.Errorf("%d dials, want 1", n)
		}
	})
}

func TestWaiterIsServedByTheConnectionThatComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		far := &farEnd{}
		far.refuse("a")
		p := start(t, far, pool.Config[*conn]{})
		waiter := begin(t.Context(), p, "")
		far.refuse()
		if err := waiter.finish(nil); err != nil {
			t.Errorf("error %v though the endpoint came back", err)
		}
		if s := of(t, p, "a"); s.WaitCount != 1 || s.WaitDuration != 50*time.Millisecond {
			t.Errorf("%d waits of %v counted, want 1 of 50ms", s.WaitCount, s.WaitDuration)
		}
	})
}
