package password_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/backend/password"
)

// A forge computes tags in the time it is told, and remembers which passwords it was given.
type forge struct {
	mu   sync.Mutex // guards the fields below
	took time.Duration
	gate chan struct{} // when set, computations wait until it is closed
	log  []string
	busy int
	most int // the most computations at the same time
}

func (f *forge) derive(plain string, _ password.Params, _ [16]byte) (tag [32]byte) {
	f.mu.Lock()
	f.log = append(f.log, plain)
	f.busy++
	f.most = max(f.most, f.busy)
	took, gate := f.took, f.gate
	f.mu.Unlock()
	if gate != nil {
		<-gate
	}
	time.Sleep(took)
	f.mu.Lock()
	f.busy--
	f.mu.Unlock()
	copy(tag[:], plain)
	return tag
}

// seen returns the passwords hashed since the last call.
func (f *forge) seen() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	log := f.log
	f.log = nil
	return log
}

func (f *forge) set(took time.Duration, gate chan struct{}) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.took, f.gate = took, gate
}

// open makes a Hasher that has learnt that a computation takes 100 ms. The caller closes it.
func (f *forge) open(t *testing.T, cfg password.Config) *password.Hasher {
	t.Helper()
	f.set(100*time.Millisecond, nil)
	h, err := password.NewWithDerive(cfg, f.derive)
	if err != nil {
		t.Fatal(err)
	}
	f.seen()
	return h
}

// A crowd is a number of calls under way.
type crowd struct {
	h       *password.Hasher
	running sync.WaitGroup
	mu      sync.Mutex // guards results
	results map[string]error
}

// join starts a call in the order of its name and returns once it waits or has ended.
func (c *crowd) join(ctx context.Context, name string) {
	c.running.Go(func() {
		_, err := c.h.Hash(ctx, name)
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.results == nil {
			c.results = map[string]error{}
		}
		c.results[name] = err
	})
	synctest.Wait()
}

// ended returns the result of a call that has ended.
func (c *crowd) ended(t *testing.T, name string) error {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	err, ok := c.results[name]
	if !ok {
		t.Fatalf("call %s has not ended", name)
	}
	return err
}

func (c *crowd) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.results)
}

func names(prefix string, n int) []string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprint(prefix, i))
	}
	return list
}

func TestExactlyWorkersComputeAtTheSameTime(t *testing.T) {
	t.Parallel()
	for workers, want := range map[int]int{0: max(1, runtime.GOMAXPROCS(0)/2), 1: 1, 3: 3} {
		synctest.Test(t, func(t *testing.T) {
			f := &forge{}
			h := f.open(t, password.Config{Workers: workers})
			defer h.Close()
			c := crowd{h: h}
			for _, name := range names("p", 12) {
				c.join(t.Context(), name)
			}
			c.running.Wait()
			if f.most != want || len(f.seen()) != 12 {
				t.Errorf("Workers %d: %d at the same time, want %d", workers, f.most, want)
			}
		})
	}
}

func TestCancelledInTheQueueIsNeverHashedAndFreesItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &forge{}
		h := f.open(t, password.Config{Workers: 1, MaxWait: 500 * time.Millisecond})
		defer h.Close()
		gate := make(chan struct{})
		f.set(0, gate)
		c := crowd{h: h}
		ctx, cancel := context.WithCancel(t.Context())
		c.join(t.Context(), "at work")
		for _, name := range names("p", 4) {
			c.join(t.Context(), name)
		}
		c.join(ctx, "leaves")
		c.join(t.Context(), "too many")
		if err := c.ended(t, "too many"); !errors.Is(err, password.ErrOverloaded) {
			t.Fatalf("full queue: %v, want ErrOverloaded", err)
		}
		cancel()
		synctest.Wait()
		if err := c.ended(t, "leaves"); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled call: %v, want context.Canceled", err)
		}
		c.join(t.Context(), "takes the place")
		close(gate)
		c.running.Wait()
		if err := c.ended(t, "takes the place"); err != nil {
			t.Errorf("call in the free place: %v", err)
		}
		if got, want := f.seen(), append([]string{"at work"}, append(names("p", 4), "takes the place")...); !slices.Equal(got, want) {
			t.Errorf("hashed %q, want %q", got, want)
		}
	})
}

func TestEndedContextIsNotHashed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &forge{}
		h := f.open(t, password.Config{})
		defer h.Close()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := h.Verify(ctx, nil, "p"); !errors.Is(err, context.Canceled) || len(f.seen()) != 0 {
			t.Errorf("ended context: %v, want context.Canceled and no work", err)
		}
	})
}

// endingContext ends while a worker takes its call: the caller has not noticed yet.
type endingContext struct {
	context.Context
	ended atomic.Bool
}

func (c *endingContext) Err() error {
	if c.ended.Load() {
		return context.Canceled
	}
	return nil
}

func TestWorkerDropsACallWhoseContextEndedUnnoticed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &forge{}
		h := f.open(t, password.Config{Workers: 1})
		defer h.Close()
		c, ctx := crowd{h: h}, &endingContext{Context: context.Background()}
		c.join(t.Context(), "at work")
		c.join(ctx, "leaves")
		ctx.ended.Store(true)
		c.running.Wait()
		if err := c.ended(t, "leaves"); !errors.Is(err, context.Canceled) {
			t.Errorf("ended context: %v, want context.Canceled", err)
		}
		if got := f.seen(); !slices.Equal(got, []string{"at work"}) {
			t.Errorf("hashed %q, want only the other call", got)
		}
	})
}

func TestCallEndsWithItsContextDuringTheHash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &forge{}
		h := f.open(t, password.Config{Workers: 1})
		defer h.Close()
		f.set(time.Minute, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, _, err := h.Verify(ctx, nil, "p")
		if d := time.Since(start); !errors.Is(err, context.DeadlineExceeded) || d != time.Second {
			t.Errorf("ended after %v with %v, want the deadline after 1s", d, err)
		}
	})
}

func TestNewestFirstOnlyWhileTheOldestWaitsForLong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &forge{}
		h := f.open(t, password.Config{Workers: 1, MaxWait: 2 * time.Second})
		defer h.Close()
		c := crowd{h: h}
		a := names("a", 15)
		for _, name := range a {
			c.join(t.Context(), name)
		}
		c.running.Wait()
		// The eleventh has waited for 1 s, half of MaxWait, when its turn comes; the rest for longer.
		want := append(slices.Clone(a[:11]), "a14", "a13", "a12", "a11")
		if got := f.seen(); !slices.Equal(got, want) {
			t.Errorf("order %q, want %q", got, want)
		}
		// Five wait all the time, for 500 ms each, and the queue is never empty.
		b := names("b", 40)
		for i, name := range b {
			if i > 5 {
				time.Sleep(100 * time.Millisecond)
			}
			c.join(t.Context(), name)
		}
		c.running.Wait()
		if got := f.seen(); !slices.Equal(got, b) {
			t.Errorf("of a queue that is never empty: order %q, want %q", got, b)
		}
	})
}

func TestTraceTellsWaitAndWorkWithTheContextOfTheCall(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		var got []string
		note := func(stage string) func(context.Context, time.Duration) {
			return func(ctx context.Context, d time.Duration) {
				got = append(got, fmt.Sprint(ctx.Value(key{}), " ", stage, " ", d))
			}
		}
		f := &forge{}
		h := f.open(t, password.Config{Workers: 1, Trace: password.Trace{Waited: note("waited"), Worked: note("worked")}})
		defer h.Close()
		c := crowd{h: h}
		c.join(context.WithValue(t.Context(), key{}, "first"), "a")
		c.join(context.WithValue(t.Context(), key{}, "second"), "b")
		c.running.Wait()
		want := []string{"first waited 0s", "first worked 100ms", "second waited 100ms", "second worked 100ms"}
		if !slices.Equal(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	})
}

func TestCloseWaitsForTheWorkAndRefusesTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &forge{}
		h := f.open(t, password.Config{Workers: 1})
		c := crowd{h: h}
		c.join(t.Context(), "at work")
		c.join(t.Context(), "waiting")
		start := time.Now()
		h.Close()
		if d := time.Since(start); d != 100*time.Millisecond {
			t.Errorf("Close took %v, want the 100ms of the work under way", d)
		}
		c.running.Wait()
		if err := c.ended(t, "at work"); err != nil {
			t.Errorf("the call at work: %v, want success", err)
		}
		if err := c.ended(t, "waiting"); !errors.Is(err, password.ErrClosed) {
			t.Errorf("the waiting call: %v, want ErrClosed", err)
		}
		if _, _, err := h.Verify(t.Context(), nil, "late"); !errors.Is(err, password.ErrClosed) {
			t.Errorf("a later call: %v, want ErrClosed", err)
		}
		h.Close()
		if got := f.seen(); !slices.Equal(got, []string{"at work"}) {
			t.Errorf("hashed %q, want only what had begun", got)
		}
	})
}

// Real hashes, callers that come and go, and Close in the middle of it, for the race detector; and no answer is wrong.
func TestManyCallersGetTheirOwnAnswers(t *testing.T) {
	t.Parallel()
	h, err := password.New(password.Config{Params: tiny(), Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	var callers sync.WaitGroup
	for i := range 16 {
		callers.Go(func() { callALot(t, h, fmt.Sprint("password of caller ", i), i%4 == 0) })
	}
	callers.Go(func() {
		callALot(t, h, "password of who closes", false)
		h.Close()
	})
	callers.Wait()
	h.Close()
}

// callALot verifies right and wrong passwords in turn, some with contexts that end at any point of the call.
func callALot(t *testing.T, h *password.Hasher, plain string, hasty bool) {
	c, err := h.Hash(t.Context(), plain)
	for n := 0; n < 100 && err == nil; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		if hasty {
			time.AfterFunc(time.Duration(n)*10*time.Microsecond, cancel)
		}
		tried := plain
		if n%2 == 1 {
			tried = "password of nobody"
		}
		var ok bool
		ok, _, err = h.Verify(ctx, c, tried)
		cancel()
		if err == nil && ok != (n%2 == 0) {
			t.Errorf("%q against %q: %t", tried, plain, ok)
		}
		if errors.Is(err, context.Canceled) && hasty || errors.Is(err, password.ErrOverloaded) {
			err = nil
		}
	}
	if err != nil && !errors.Is(err, password.ErrClosed) {
		t.Errorf("caller of %q: %v", plain, err)
	}
}
