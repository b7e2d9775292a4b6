package password

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// The bounds of Params. The lower bound of memory holds for ParseParams only: it is the last of the equal-strength rows
// of the OWASP Password Storage Cheat Sheet. The upper bounds hold for stored credentials too, so that a corrupt row
// cannot make the server allocate without limit.
const (
	minMemory  = 7168
	maxMemory  = 1 << 20
	maxTime    = 16
	maxThreads = 16
)

// Params are the cost parameters of argon2id (RFC 9106, section 3.1).
type Params struct {
	Memory  uint32 // m: KiB, at least 8 a thread
	Time    uint8  // t: passes over the memory
	Threads uint8  // p: lanes, and threads computing one hash
}

// DefaultParams are the minimum the OWASP Password Storage Cheat Sheet names first: 19 MiB, two passes, one lane.
func DefaultParams() Params { return Params{Memory: 19456, Time: 2, Threads: 1} }

// ParseParams reads the form of --hash-params: argon2id:m=19456,t=2,p=1, all three in any order. Bounds: m 7168 to
// 1048576 KiB (1 GiB), t 1 to 16, p 1 to 16.
func ParseParams(text string) (Params, error) {
	fail := func(err error) (Params, error) {
		return Params{}, fmt.Errorf("hash parameters %q: %w", text, err)
	}
	list, ok := strings.CutPrefix(text, "argon2id:")
	if !ok {
		return fail(errors.New("want argon2id:m=KIB,t=PASSES,p=THREADS"))
	}
	seen := map[string]uint32{}
	for part := range strings.SplitSeq(list, ",") {
		name, value, err := parseParam(part)
		if err != nil {
			return fail(err)
		}
		if _, twice := seen[name]; twice {
			return fail(fmt.Errorf("%s is given twice", name))
		}
		seen[name] = value
	}
	for _, name := range []string{"m", "t", "p"} {
		if _, given := seen[name]; !given {
			return fail(fmt.Errorf("%s is missing", name))
		}
	}
	return Params{Memory: seen["m"], Time: uint8(seen["t"]), Threads: uint8(seen["p"])}, nil
}

// parseParam reads one name=value and checks the value against the range of its name.
func parseParam(part string) (name string, value uint32, err error) {
	name, digits, _ := strings.Cut(part, "=")
	low, high := uint64(1), uint64(0)
	switch name {
	case "m":
		low, high = minMemory, maxMemory
	case "t":
		high = maxTime
	case "p":
		high = maxThreads
	default:
		return "", 0, fmt.Errorf("%q is none of m=, t=, p=", part)
	}
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n < low || n > high {
		return "", 0, fmt.Errorf("%s is %q, want a whole number from %d to %d", name, digits, low, high)
	}
	return name, uint32(n), nil
}

// String returns the form ParseParams reads.
func (p Params) String() string {
	return fmt.Sprintf("argon2id:m=%d,t=%d,p=%d", p.Memory, p.Time, p.Threads)
}

// Weak reports whether p is below every one of the equal-strength rows of the OWASP Password Storage Cheat Sheet. Weak
// parameters work; whoever starts the server should be warned.
func (p Params) Weak() bool {
	rows := []Params{{Memory: 47104, Time: 1}, {Memory: 19456, Time: 2}, {Memory: 12288, Time: 3},
		{Memory: 9216, Time: 4}, {Memory: minMemory, Time: 5}}
	for _, row := range rows {
		if p.Memory >= row.Memory && p.Time >= row.Time {
			return false
		}
	}
	return true
}

// check reports parameters that cannot be computed or are out of bounds. It takes less memory than ParseParams does:
// credentials may come from elsewhere, and tests should be quick.
func (p Params) check() error {
	switch {
	case p.Time < 1 || p.Time > maxTime:
		return fmt.Errorf("t is %d, want 1 to %d", p.Time, maxTime)
	case p.Threads < 1 || p.Threads > maxThreads:
		return fmt.Errorf("p is %d, want 1 to %d", p.Threads, maxThreads)
	case p.Memory < 8*uint32(p.Threads) || p.Memory > maxMemory:
		return fmt.Errorf("m is %d KiB, want %d to %d", p.Memory, 8*uint32(p.Threads), maxMemory)
	}
	return nil
}
