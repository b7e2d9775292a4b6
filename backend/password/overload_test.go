package password_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/backend/password"
)

func TestOverloadIsRefusedAtOnceAndHashesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &forge{}
		h := f.open(t, password.Config{Workers: 2, MaxWait: 2 * time.Second})
		defer h.Close()
		gate := make(chan struct{})
		f.set(0, gate)
		c := crowd{h: h}
		// Two at work and 2 workers × 2 s / 100 ms waiting.
		for _, name := range names("in", 2+40) {
			c.join(t.Context(), name)
		}
		start := time.Now()
		if c.count() != 0 {
			t.Fatalf("%d calls ended, want all 42 to wait: %v", c.count(), c.results)
		}
		for _, name := range names("out", 10) {
			c.join(t.Context(), name)
			err := c.ended(t, name)
			var overloaded *password.OverloadedError
			if !errors.Is(err, password.ErrOverloaded) || !errors.As(err, &overloaded) {
				t.Fatalf("call %s: %v, want ErrOverloaded", name, err)
			}
			if want := 2050 * time.Millisecond; overloaded.RetryAfter != want {
				t.Errorf("call %s: retry after %v, want %v", name, overloaded.RetryAfter, want)
			}
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("refusals took %v", d)
		}
		close(gate)
		c.running.Wait()
		got := f.seen()
		slices.Sort(got)
		want := names("in", 42)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("hashed %v, want the 42 admitted ones", got)
		}
		for _, name := range want {
			if err := c.ended(t, name); err != nil {
				t.Errorf("call %s: %v", name, err)
			}
		}
	})
}

// Where one hash takes longer than the longest wait, two a worker may still wait.
func TestShortBurstWaitsWhateverAHashTakes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &forge{}
		h := f.open(t, password.Config{Workers: 1, MaxWait: 50 * time.Millisecond})
		defer h.Close()
		gate := make(chan struct{})
		f.set(0, gate)
		c := crowd{h: h}
		for _, name := range names("p", 4) {
			c.join(t.Context(), name)
		}
		if err := c.ended(t, "p3"); !errors.Is(err, password.ErrOverloaded) || c.count() != 1 {
			t.Errorf("the third waiting call: %v, %d ended, want it alone refused", err, c.count())
		}
		close(gate)
		c.running.Wait()
	})
}

func TestQueueIsBoundedHoweverQuickAHashIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &forge{}
		h, err := password.NewWithDerive(password.Config{Workers: 1}, f.derive)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		gate := make(chan struct{})
		f.set(0, gate)
		c := crowd{h: h}
		for _, name := range names("p", 1+1024+5) {
			c.join(t.Context(), name)
		}
		if c.count() != 5 {
			t.Errorf("%d calls refused, want the 5 beyond 1024 waiting", c.count())
		}
		close(gate)
		c.running.Wait()
	})
}

func TestDeadlineTheQueueCannotMeetIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &forge{}
		h := f.open(t, password.Config{Workers: 1})
		defer h.Close()
		c := crowd{h: h}
		for _, name := range names("p", 5) { // 1 at work, 4 waiting: the next begins after 500 ms, ends after 600 ms
			c.join(t.Context(), name)
		}
		tight, cancel := context.WithTimeout(t.Context(), 599*time.Millisecond)
		defer cancel()
		c.join(tight, "tight")
		if err := c.ended(t, "tight"); !errors.Is(err, password.ErrOverloaded) {
			t.Errorf("deadline in 599 ms: %v, want ErrOverloaded", err)
		}
		enough, cancel := context.WithTimeout(t.Context(), 601*time.Millisecond)
		defer cancel()
		c.join(enough, "enough")
		c.running.Wait()
		if err := c.ended(t, "enough"); err != nil {
			t.Errorf("deadline in 601 ms: %v, want success", err)
		}
		if slices.Contains(f.seen(), "tight") {
			t.Error("the refused call was hashed")
		}
	})
}

// A machine that slept during a hash must not refuse every short deadline from then on.
func TestIdleWorkerServesDeadlinesBelowTheMeasuredTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &forge{took: time.Hour}
		h, err := password.NewWithDerive(password.Config{Workers: 1}, f.derive)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		f.set(time.Millisecond, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := h.Hash(ctx, "p"); err != nil {
			t.Errorf("idle worker: %v", err)
		}
	})
}

func TestExpectedWaitFollowsTheMeasuredTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &forge{}
		h := f.open(t, password.Config{Workers: 1})
		defer h.Close()
		f.set(900*time.Millisecond, nil) // 100 + (900 - 100) / 8 = 200
		c := crowd{h: h}
		c.join(t.Context(), "slow")
		c.running.Wait()
		f.set(100*time.Millisecond, nil)
		c.join(t.Context(), "at work")
		for name, wait := range map[string]time.Duration{"tight": 399, "enough": 401} {
			ctx, cancel := context.WithTimeout(t.Context(), wait*time.Millisecond)
			defer cancel()
			c.join(ctx, name)
		}
		c.running.Wait()
		if err := c.ended(t, "tight"); !errors.Is(err, password.ErrOverloaded) {
			t.Errorf("deadline in 399 ms: %v, want ErrOverloaded", err)
		}
		if err := c.ended(t, "enough"); err != nil {
			t.Errorf("deadline in 401 ms: %v, want success", err)
		}
	})
}

func TestNobodyWaitsLongerThanMaxWait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &forge{}
		h := f.open(t, password.Config{Workers: 1, MaxWait: 2 * time.Second})
		defer h.Close()
		gate := make(chan struct{})
		f.set(0, gate)
		c := crowd{h: h}
		c.join(t.Context(), "stuck")
		start := time.Now()
		_, err := h.Hash(t.Context(), "waits")
		if d := time.Since(start); !errors.Is(err, password.ErrOverloaded) || d != 2*time.Second {
			t.Errorf("ended after %v with %v, want ErrOverloaded after 2s", d, err)
		}
		close(gate)
		c.running.Wait()
		if got := f.seen(); !slices.Equal(got, []string{"stuck"}) || c.ended(t, "stuck") != nil {
			t.Errorf("hashed %q, want the one that had begun", got)
		}
	})
}
