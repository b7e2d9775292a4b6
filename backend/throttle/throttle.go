// Package throttle says who may try again when: logins by address, account and known device, registrations by address.
// It does not know passwords, whether a user exists, packets, SQL, or metrics.
//
// # No lockout
//
// An attacker who fails on purpose must not lock a victim out. So a login from a device that has logged in to the
// account before (see [Devices]) is measured by that device's own failures alone, and everybody else's failures at one
// account are counted together, whether the account exists or not (device cookies, OWASP "Slow Down Online Guessing
// Attacks with Device Cookies"). Failures are counted, successes never are.
//
// # Parallel guesses
//
// [Throttle.Login] only looks: it charges nothing, so any number of calls may be under way and none has to be given
// back. What counts is the answer. [Attempt.Fail] takes one failure from the budget, and [Attempt.Succeed] asks once more
// whether there is one; when there is none, either says "too many attempts" and the caller must not tell whether the
// password was right. A thousand guesses begun at the same moment therefore yield no more answers than a thousand in
// turn, while any number of people may log in from one address at once.
//
// # Memory
//
// Each limit has a table of 65,536 entries made at start, 1 MiB, and nothing grows. An entry that has recovered in full
// is the same as none. Where a new key finds all 16 entries of its set taken, it replaces the one closest to full
// recovery. Which keys share a set is secret (a random seed per process), so whoever wants a key forgotten has to bring
// fifteen keys further from recovery into every one of the 4,096 sets, all within one recovery; keys nearer to it only
// replace each other. Under such a flood the least limited keys get more tries than their limit.
//
// Budgets are per process: they begin afresh with it, and n backends together allow up to n times each limit.
package throttle

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

// Config configures a Throttle. The zero value works: a zero Limit means the default named beside it.
type Config struct {
	FailedLogins    Limit // of one address, by devices not known; default 10/1m
	Registrations   Limit // of one address, successful or not; default 10/1m,20
	AccountFailures Limit // at one account, by all devices not known together; default 20/1h
	DeviceFailures  Limit // of one known device at one account; default 10/1h

	Now func() time.Time // nil means time.Now
}

// Scope names the limit that was exceeded.
type Scope string

// The scopes, for logs and counters. Clients need not be told which it was.
const (
	Address      Scope = "address"
	Registration Scope = "registration"
	Account      Scope = "account"
	KnownDevice  Scope = "device"
)

// ErrLimited means that there were too many attempts. The error is a *LimitedError.
var ErrLimited = errors.New("too many attempts")

// LimitedError is an ErrLimited that says which limit was met and when to come back.
type LimitedError struct {
	Scope      Scope
	RetryAfter time.Duration // until the next attempt is allowed, if nobody else takes it
}

func (e *LimitedError) Error() string {
	return fmt.Sprintf("%v (%s), retry after %v", ErrLimited, e.Scope, e.RetryAfter)
}

// Is makes errors.Is(err, ErrLimited) true.
func (e *LimitedError) Is(target error) bool { return target == ErrLimited }

// Throttle keeps the budgets. It is safe for concurrent use, never blocks for long, and holds nothing to close.
type Throttle struct {
	addresses     *budget
	registrations *budget
	accounts      *budget
	devices       *budget
}

// New makes a Throttle in which everybody's budget is full.
func New(cfg Config) *Throttle {
	now := cfg.Now
	if now == nil {
		now = time.Now
	}
	return &Throttle{
		addresses:     newBudget(Address, cfg.FailedLogins.or(Limit{count: 10, period: time.Minute, burst: 10}), now),
		registrations: newBudget(Registration, cfg.Registrations.or(Limit{count: 10, period: time.Minute, burst: 20}), now),
		accounts:      newBudget(Account, cfg.AccountFailures.or(Limit{count: 20, period: time.Hour, burst: 20}), now),
		devices:       newBudget(KnownDevice, cfg.DeviceFailures.or(Limit{count: 10, period: time.Hour, burst: 10}), now),
	}
}

// Register takes one registration from the budget of the address, or returns a LimitedError. The returned function gives
// it back, for a registration that was refused for reasons of our own, such as overload; more calls do nothing.
func (t *Throttle) Register(addr netip.Addr) (giveBack func(), err error) {
	key := t.registrations.key(addressKey(addr))
	until, err := t.registrations.take(key)
	if err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { t.registrations.giveBack(key, until) }), nil
}

// addressKey is what addresses of one owner have in common: all of an IPv4 address, the first 56 bits of an IPv6 one,
// which providers hand out as a whole. Addresses that are not known (the zero Addr) share one key.
func addressKey(addr netip.Addr) string {
	addr = addr.Unmap()
	switch {
	case addr.Is4():
		b := addr.As4()
		return string(b[:])
	case addr.Is6():
		b := addr.As16()
		return string(b[:56/8])
	}
	return ""
}
