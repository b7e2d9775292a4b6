package throttle

import "net/netip"

// Attempt is a login whose password may be verified. Exactly one of Fail and Succeed is to be called with the outcome;
// neither, if there is none: when the caller gave up or the password could not be verified.
type Attempt struct {
	charges [2]charge
	count   int
}

// charge is a budget and whose it is.
type charge struct {
	budget *budget
	key    uint64
}

// Login reports whether an attempt to log in may be made, with a LimitedError if not. folded is the username as folded,
// whatever it names: unknown users are treated as known ones. device is what Devices.Known returned, zero if not known.
// A known device is measured by its own failures only; any other by those of its address and of the account.
//
// Login charges nothing. It may be called again with the zero Device when the user found under the name turns out not
// to be the one the device belongs to (Device.UserID): names can be given to somebody else.
func (t *Throttle) Login(addr netip.Addr, folded string, device Device) (Attempt, error) {
	var a Attempt
	if device != (Device{}) {
		a = Attempt{[2]charge{{t.devices, t.devices.key(string(device.ID[:]) + folded)}}, 1}
	} else {
		a = Attempt{[2]charge{
			{t.addresses, t.addresses.key(addressKey(addr))},
			{t.accounts, t.accounts.key(folded)},
		}, 2}
	}
	return a, a.Succeed()
}

// Succeed reports whether the attempt still stands: nil, or a LimitedError when others have meanwhile used up the
// budget. Then the login must be refused like any other beyond the limit, although the password was right.
func (a Attempt) Succeed() error {
	for _, c := range a.charges[:a.count] {
		if err := c.budget.check(c.key); err != nil {
			return err
		}
	}
	return nil
}

// Fail counts a wrong password. It returns nil when the caller may be told that it was wrong, or a LimitedError, to be
// answered as such, when the budget was already used up. An address beyond its limit costs the account nothing: nobody
// learns from its tries.
func (a Attempt) Fail() error {
	for _, c := range a.charges[:a.count] {
		if _, err := c.budget.take(c.key); err != nil {
			return err
		}
	}
	return nil
}
