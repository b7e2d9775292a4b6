package pool

import (
	"cmp"
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// Config tells a pool where to connect and how much to keep. Endpoints and Dial
// are required; a pool without them answers ErrUnavailable. Every other field
// works when zero.
type Config[C Conn] struct {
	// Endpoints resolves the list of addresses. It is asked at the start, every
	// ResolveEvery, and about every BackoffMax while nothing can be reached.
	// Addresses that are new are dialled, those that are missing drained. An
	// error, an empty list, or one longer than 256 keeps the old list.
	// It must obey its context, which ends after DialTimeout. See Fixed.
	Endpoints func(ctx context.Context) ([]string, error)
	// ResolveEvery is the time between two resolutions. Default 30 s.
	ResolveEvery time.Duration

	// Dial makes a connection that is ready for calls, handshake included. It
	// must obey its context, which ends after DialTimeout or when the pool is
	// closed, and the connection must outlive that context.
	Dial func(ctx context.Context, endpoint string) (C, error)
	// DialTimeout bounds one Dial and one resolution. Default 2 s.
	DialTimeout time.Duration
	// BackoffMin and BackoffMax bound the pause after a failed dial: it is drawn
	// evenly from (0, b], b doubling from BackoffMin to BackoffMax and starting
	// again after a success. Default 100 ms and 1 s.
	BackoffMin, BackoffMax time.Duration

	// Size is the number of connections to each endpoint. Default 4.
	Size int
	// InFlight is the number of calls one connection carries at once; 1 makes
	// every loan exclusive. Default 64.
	InFlight int

	// MaxWait bounds the wait for a slot; the context may be shorter. Default 1 s.
	MaxWait time.Duration
	// MaxWaiters bounds the number of calls that wait. Default 1024.
	MaxWaiters int
	// FailFast bounds the wait while no endpoint has a connection and each of
	// them failed its last dial, so that a page says so promptly. Default 250 ms.
	FailFast time.Duration

	// MaxAge is the age at which a connection is replaced, so that load spreads
	// to endpoints that came later; each gets its own, up to 10 % more or less.
	// The replacement comes first. Default 30 min.
	MaxAge time.Duration
	// DrainTimeout is how long the calls of a connection that takes no new ones
	// may go on. Default 10 s.
	DrainTimeout time.Duration

	// Failure tells whether an error returned by a closure counts against the
	// endpoint: transport failures and timeouts should, refusals should not.
	// Default: none counts.
	Failure func(error) bool

	// Rand draws from [0, 1) for all jitter. The pool calls it from one
	// goroutine at a time. Default math/rand/v2.Float64.
	Rand func() float64
	// Trace is told how long getting and giving back took.
	Trace Trace
}

// Trace holds functions that are called on the goroutine of the call, outside
// the pool's lock. Each may be nil.
type Trace struct {
	// Got is told how long a call waited for its slot, and the error when it
	// got none.
	Got func(ctx context.Context, wait time.Duration, err error)
	// Put is told how long giving the slot back took.
	Put func(ctx context.Context, took time.Duration)
}

// withDefaults fills in the fields left zero.
func (c Config[C]) withDefaults() Config[C] {
	c.ResolveEvery = cmp.Or(c.ResolveEvery, 30*time.Second)
	c.DialTimeout = cmp.Or(c.DialTimeout, 2*time.Second)
	c.BackoffMin = cmp.Or(c.BackoffMin, 100*time.Millisecond)
	c.BackoffMax = cmp.Or(c.BackoffMax, time.Second)
	c.Size = cmp.Or(c.Size, 4)
	c.InFlight = cmp.Or(c.InFlight, 64)
	c.MaxWait = cmp.Or(c.MaxWait, time.Second)
	c.MaxWaiters = cmp.Or(c.MaxWaiters, 1024)
	c.FailFast = cmp.Or(c.FailFast, 250*time.Millisecond)
	c.MaxAge = cmp.Or(c.MaxAge, 30*time.Minute)
	c.DrainTimeout = cmp.Or(c.DrainTimeout, 10*time.Second)
	if c.Endpoints == nil {
		c.Endpoints = func(context.Context) ([]string, error) { return nil, errors.New("Config.Endpoints is nil") }
	}
	if c.Dial == nil {
		c.Dial = func(context.Context, string) (conn C, err error) { return conn, errors.New("Config.Dial is nil") }
	}
	if c.Failure == nil {
		c.Failure = func(error) bool { return false }
	}
	if c.Rand == nil {
		c.Rand = rand.Float64
	}
	return c
}

// backoff is the pause after the given number of failures in a row: full
// jitter, as in "Exponential Backoff And Jitter" of the AWS Architecture Blog,
// but never zero, which would be no pause.
func (c *Config[C]) backoff(failures int) time.Duration {
	most := doubled(c.BackoffMin, failures-1, c.BackoffMax)
	return time.Duration((1 - c.Rand()) * float64(most))
}

// spread is d, up to a tenth more or less.
func (c *Config[C]) spread(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (1 + (2*c.Rand()-1)/10))
}

// doubled is d doubled n times, but no more than most.
func doubled(d time.Duration, n int, most time.Duration) time.Duration {
	for ; n > 0 && d < most; n-- {
		d *= 2
	}
	return min(d, most)
}
