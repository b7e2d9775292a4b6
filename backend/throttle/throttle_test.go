package throttle_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/backend/throttle"
)

var (
	home   = netip.MustParseAddr("192.0.2.1")
	nobody throttle.Device // not known
)

// guess is a login with a wrong password. It reports whether the guesser learnt that it was wrong.
func guess(th *throttle.Throttle, addr netip.Addr, folded string, device throttle.Device) error {
	a, err := th.Login(addr, folded, device)
	if err != nil {
		return err
	}
	return a.Fail()
}

// guesses counts how many of n guesses in a row were answered, and returns the refusal of the last.
func guesses(th *throttle.Throttle, n int, addr netip.Addr, folded string, device throttle.Device) (answered int, last error) {
	for range n {
		if last = guess(th, addr, folded, device); last == nil {
			answered++
		}
	}
	return answered, last
}

// login is a login with the right password.
func login(th *throttle.Throttle, addr netip.Addr, folded string, device throttle.Device) error {
	a, err := th.Login(addr, folded, device)
	if err != nil {
		return err
	}
	return a.Succeed()
}

// attacker returns the nth of many addresses, each an owner's.
func attacker(n int) netip.Addr {
	var b [16]byte
	b[0], b[1] = 0x20, 0x01
	binary.BigEndian.PutUint32(b[2:], uint32(n))
	return netip.AddrFrom16(b)
}

// wantLimited checks an error for its scope and the time to wait.
func wantLimited(t *testing.T, err error, scope throttle.Scope, wait time.Duration) {
	t.Helper()
	var limited *throttle.LimitedError
	if !errors.Is(err, throttle.ErrLimited) || !errors.As(err, &limited) {
		t.Errorf("error %v, want ErrLimited", err)
		return
	}
	if limited.Scope != scope || limited.RetryAfter != wait {
		t.Errorf("limited by %s for %v, want %s for %v", limited.Scope, limited.RetryAfter, scope, wait)
	}
	if want := fmt.Sprintf("too many attempts (%s), retry after %v", scope, wait); err.Error() != want {
		t.Errorf("error %q, want %q", err, want)
	}
}

func TestAddressIsRefusedAfterItsFailures(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(throttle.Config{})
		for i := range 10 {
			if err := guess(th, home, fmt.Sprint("user", i), nobody); err != nil {
				t.Fatalf("failure %d: %v, want it answered", i+1, err)
			}
		}
		wantLimited(t, guess(th, home, "another", nobody), throttle.Address, 6*time.Second)
		wantLimited(t, login(th, home, "another", nobody), throttle.Address, 6*time.Second)
		if err := login(th, attacker(1), "another", nobody); err != nil {
			t.Errorf("another address: %v", err)
		}
		time.Sleep(6*time.Second - 1)
		wantLimited(t, guess(th, home, "another", nobody), throttle.Address, 1)
		time.Sleep(time.Nanosecond)
		if n, err := guesses(th, 2, home, "another", nobody); n != 1 {
			t.Errorf("after 6s: %d of 2 answered, %v, want 1", n, err)
		}
		time.Sleep(time.Hour)
		if n, _ := guesses(th, 12, home, "yet another", nobody); n != 10 {
			t.Errorf("after an hour: %d of 12 answered, want 10", n)
		}
	})
}

func TestSuccessesAreNeverCounted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(throttle.Config{})
		for i := range 1000 {
			if err := login(th, home, "ada", nobody); err != nil {
				t.Fatalf("login %d: %v", i, err)
			}
		}
		if n, _ := guesses(th, 12, home, "ada", nobody); n != 10 {
			t.Errorf("%d of 12 failures answered after the logins, want 10", n)
		}
	})
}

// Any number of logins of one address and account may be under way: only answers are counted.
func TestLoginsUnderWayDoNotLimitEachOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(throttle.Config{})
		var attempts []throttle.Attempt
		for i := range 1000 {
			a, err := th.Login(home, "ada", nobody)
			if err != nil {
				t.Fatalf("login %d: %v", i, err)
			}
			attempts = append(attempts, a)
		}
		for i, a := range attempts {
			if err := a.Succeed(); err != nil {
				t.Fatalf("success %d: %v", i, err)
			}
		}
	})
}

func TestParallelGuessesYieldNoMoreAnswersThanTheLimit(t *testing.T) {
	t.Parallel()
	known := throttle.Device{ID: [16]byte{1}, UserID: 1}
	for name, c := range map[string]struct {
		addr   func(int) netip.Addr
		device throttle.Device
		want   int32
	}{
		"one address":    {func(int) netip.Addr { return home }, nobody, 10},
		"many addresses": {attacker, nobody, 20},
		"known device":   {attacker, known, 10},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
			th := throttle.New(throttle.Config{Now: func() time.Time { return noon }})
			var attempts []throttle.Attempt
			for i := range 1000 {
				a, err := th.Login(c.addr(i), "ada", c.device)
				if err != nil {
					t.Fatalf("guess %d: %v", i, err)
				}
				attempts = append(attempts, a)
			}
			var answered atomic.Int32
			var guessers sync.WaitGroup
			for part := range 8 {
				guessers.Go(func() {
					for i := part; i < len(attempts); i += 8 {
						if attempts[i].Fail() == nil {
							answered.Add(1)
						}
					}
				})
			}
			guessers.Wait()
			if answered.Load() != c.want {
				t.Errorf("%d guesses answered, want %d", answered.Load(), c.want)
			}
			if err := attempts[0].Succeed(); !errors.Is(err, throttle.ErrLimited) {
				t.Errorf("the right guess after them: %v, want ErrLimited", err)
			}
		})
	}
}

func TestAccountIsLimitedForUnknownDevicesTogether(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(throttle.Config{})
		for i := range 20 {
			if err := guess(th, attacker(i), "ada", nobody); err != nil {
				t.Fatalf("failure %d: %v, want it answered", i+1, err)
			}
		}
		wantLimited(t, guess(th, attacker(20), "ada", nobody), throttle.Account, 3*time.Minute)
		wantLimited(t, login(th, home, "ada", nobody), throttle.Account, 3*time.Minute)
		if err := login(th, home, "grace", nobody); err != nil {
			t.Errorf("another account: %v", err)
		}
		time.Sleep(3 * time.Minute)
		if err := login(th, home, "ada", nobody); err != nil {
			t.Errorf("after 3m: %v", err)
		}
	})
}

// A refused address learns nothing, so it must not use up the account's budget.
func TestAddressBeyondItsLimitCostsTheAccountNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(throttle.Config{})
		var attempts []throttle.Attempt
		for range 100 {
			a, err := th.Login(home, "ada", nobody)
			if err != nil {
				t.Fatal(err)
			}
			attempts = append(attempts, a)
		}
		for _, a := range attempts {
			_ = a.Fail()
		}
		answered := 0
		for i := range 20 {
			if guess(th, attacker(i), "ada", nobody) == nil {
				answered++
			}
		}
		if answered != 10 {
			t.Errorf("%d failures left for others, want 10 of 20", answered)
		}
	})
}

func TestVictimOnAKnownDeviceIsUnaffected(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(throttle.Config{})
		victim := throttle.Device{ID: [16]byte{42}, UserID: 7}
		answered := 0
		for i := range 100_000 {
			addr := attacker(i % 10_000)
			if i%3 == 0 {
				addr = home // the victim's own address too
			}
			if guess(th, addr, "ada", nobody) == nil {
				answered++
			}
			if i%10_000 == 0 {
				if err := login(th, home, "ada", victim); err != nil {
					t.Fatalf("victim after %d attacks: %v", i, err)
				}
			}
		}
		if answered != 20 {
			t.Errorf("%d attacks answered, want 20", answered)
		}
		if n, err := guesses(th, 9, home, "ada", victim); n != 9 {
			t.Errorf("victim's own typing errors: %d of 9 answered, %v", n, err)
		}
		if err := login(th, home, "ada", victim); err != nil {
			t.Errorf("victim in the end: %v", err)
		}
	})
}

func TestKnownDeviceIsCooledAlone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(throttle.Config{})
		thief, own := throttle.Device{ID: [16]byte{1}, UserID: 7}, throttle.Device{ID: [16]byte{2}, UserID: 7}
		n, err := guesses(th, 11, home, "ada", thief)
		if n != 10 {
			t.Errorf("%d of 11 answered, want 10", n)
		}
		wantLimited(t, err, throttle.KnownDevice, 6*time.Minute)
		for who, device := range map[string]throttle.Device{"another device": own, "an unknown one": nobody} {
			if err := login(th, home, "ada", device); err != nil {
				t.Errorf("%s: %v", who, err)
			}
		}
		if err := login(th, home, "grace", thief); err != nil {
			t.Errorf("the device at another account: %v", err)
		}
		if n, _ := guesses(th, 12, home, "ada", nobody); n != 10 {
			t.Errorf("%d of 12 by address answered, want 10: a known device's failures are its own", n)
		}
	})
}

func TestRegistrationsAreCountedAndGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(throttle.Config{})
		var giveBack func()
		for i := range 20 {
			back, err := th.Register(home)
			if err != nil {
				t.Fatalf("registration %d: %v", i+1, err)
			}
			giveBack = back
		}
		_, err := th.Register(home)
		wantLimited(t, err, throttle.Registration, 6*time.Second)
		if _, err := th.Register(attacker(1)); err != nil {
			t.Errorf("another address: %v", err)
		}
		if err := login(th, home, "ada", nobody); err != nil {
			t.Errorf("a login from the address: %v", err)
		}
		giveBack()
		giveBack()
		if _, err := th.Register(home); err != nil {
			t.Errorf("after one was given back: %v", err)
		}
		_, err = th.Register(home)
		wantLimited(t, err, throttle.Registration, 6*time.Second)
	})
}

func TestGivingBackReturnsOnlyWhatIsNotRecoveredYet(t *testing.T) {
	t.Parallel()
	for after, want := range map[time.Duration]time.Duration{
		// Two of two are taken: 12 s to recover. The first is given back, then one taken again: 6 s, and the rest must wait.
		0:               6 * time.Second,
		4 * time.Second: 6 * time.Second, // 8 s left, 2 s of the first given back
		6 * time.Second: 6 * time.Second, // nothing left of the first
		7 * time.Second: 5 * time.Second,
	} {
		synctest.Test(t, func(t *testing.T) {
			th := throttle.New(throttle.Config{Registrations: mustParse(t, "10/1m,2")})
			back, err := th.Register(home)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := th.Register(home); err != nil {
				t.Fatal(err)
			}
			time.Sleep(after)
			back()
			if _, err := th.Register(home); err != nil {
				t.Errorf("given back after %v: %v", after, err)
			}
			_, err = th.Register(home)
			wantLimited(t, err, throttle.Registration, want)
		})
	}
}

func TestAddressesOfOneOwnerShareABudget(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"192.0.2.1", "192.0.2.1", true},
		{"192.0.2.1", "::ffff:192.0.2.1", true},
		{"192.0.2.1", "192.0.2.2", false},
		{"2001:db8:0:1200::1", "2001:db8:0:12ff:ffff::9", true},
		{"2001:db8:0:1200::1", "2001:db8:0:1300::1", false},
		{"fe80::1%eth0", "fe80::2%eth1", true},
		{"", "", true},
		{"", "::", false},
		{"", "0.0.0.0", false},
	} {
		synctest.Test(t, func(t *testing.T) {
			th := throttle.New(throttle.Config{})
			a, b := netip.Addr{}, netip.Addr{}
			if c.a != "" {
				a = netip.MustParseAddr(c.a)
			}
			if c.b != "" {
				b = netip.MustParseAddr(c.b)
			}
			guesses(th, 10, a, "ada", nobody)
			err := login(th, b, "grace", nobody)
			if errors.Is(err, throttle.ErrLimited) != c.same {
				t.Errorf("%q after ten failures of %q: %v, same owner: %t", c.b, c.a, err, c.same)
			}
		})
	}
}

func TestLimitsAreConfigured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th := throttle.New(throttle.Config{
			FailedLogins:    mustParse(t, "7/1m,5"),
			Registrations:   mustParse(t, "1/1h"),
			AccountFailures: mustParse(t, "2/1h,7"),
			DeviceFailures:  mustParse(t, "4/1h,2"),
		})
		n, err := guesses(th, 6, home, "ada", nobody)
		if n != 5 {
			t.Errorf("%d failures by address, want 5", n)
		}
		wantLimited(t, err, throttle.Address, time.Minute/7+1) // rounded up
		n, err = guesses(th, 3, attacker(1), "ada", nobody)
		if n != 2 {
			t.Errorf("%d more failures at the account, want 2", n)
		}
		wantLimited(t, err, throttle.Account, 30*time.Minute)
		n, err = guesses(th, 3, home, "ada", throttle.Device{UserID: 1})
		if n != 2 {
			t.Errorf("%d failures of the device, want 2", n)
		}
		wantLimited(t, err, throttle.KnownDevice, 15*time.Minute)
		_, first := th.Register(home)
		_, second := th.Register(home)
		if first != nil {
			t.Errorf("first registration: %v", first)
		}
		wantLimited(t, second, throttle.Registration, time.Hour)
	})
}

func TestOffMeansNoLimit(t *testing.T) {
	t.Parallel()
	off := mustParse(t, "off")
	th := throttle.New(throttle.Config{FailedLogins: off, Registrations: off, AccountFailures: off, DeviceFailures: off})
	for range 1000 {
		back, err := th.Register(home)
		if err != nil {
			t.Fatal(err)
		}
		back()
		if err := guess(th, home, "ada", nobody); err != nil {
			t.Fatal(err)
		}
		if err := guess(th, home, "ada", throttle.Device{UserID: 1}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConcurrentUseKeepsTheCount(t *testing.T) {
	t.Parallel()
	noon := time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)
	th := throttle.New(throttle.Config{Now: func() time.Time { return noon }})
	var answered, registered atomic.Int32
	var users sync.WaitGroup
	for part := range 8 {
		users.Go(func() {
			for i := range 500 {
				if guess(th, attacker(part*500+i), "ada", nobody) == nil {
					answered.Add(1)
				}
				if back, err := th.Register(home); err == nil {
					registered.Add(1)
					if i%2 == 0 {
						registered.Add(-1)
						back()
					}
				}
				_ = login(th, home, fmt.Sprint("user", i), throttle.Device{UserID: int64(part + 1)})
			}
		})
	}
	users.Wait()
	if answered.Load() != 20 || registered.Load() != 20 {
		t.Errorf("%d failures answered, %d registrations kept, want 20 and 20", answered.Load(), registered.Load())
	}
}
