package stresstest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// operation is what a request does.
type operation int

// The operations, in the order in which reports show them.
const (
	login      operation = iota // log in with the password
	profile                     // read one's profile
	update                      // write one's nickname
	page                        // read the page of one's profile, in HTML
	sessions                    // list one's sessions
	logout                      // end a session that the driver has made by a login
	verify                      // ask whose a session is, as a reverse proxy does
	operations = iota
)

// operationNames are the names of the operations, in their order.
var operationNames = [operations]string{"login", "profile", "update", "page", "sessions", "logout", "verify"}

// String returns the name of the operation in mixes and reports.
func (o operation) String() string { return operationNames[o] }

// anybodys tells whether the operation is of any account, and not only of
// those that hold a session.
func (o operation) anybodys() bool { return o == login || o == logout }

// parseOperation returns the operation of a name.
func parseOperation(name string) (operation, error) {
	for o := range operation(operations) {
		if o.String() == name {
			return o, nil
		}
	}
	return 0, fmt.Errorf("there is no operation %q: want one of %s", name, strings.Join(operationNames[:], ", "))
}

// Mix says how often each operation is drawn. The zero Mix stands for
// DefaultMix.
type Mix struct{ weights [operations]int }

// DefaultMix is that of people who look at their profile most of the time.
const DefaultMix = "login=1,profile=94,update=5"

// maxWeight bounds one weight of a mix.
const maxWeight = 1_000_000

// ParseMix reads a mix such as "login=1,profile=94,update=5". The numbers
// are weights: whole, and relative to their sum. An operation that is not
// named, or has weight 0, is not in the mix.
func ParseMix(text string) (Mix, error) {
	var m Mix
	var seen [operations]bool
	for _, part := range strings.Split(text, ",") {
		name, number, ok := strings.Cut(strings.TrimSpace(part), "=")
		if !ok {
			return Mix{}, fmt.Errorf("mix %q: %q is not OPERATION=WEIGHT", text, part)
		}
		op, err := parseOperation(name)
		if err != nil {
			return Mix{}, fmt.Errorf("mix %q: %w", text, err)
		}
		weight, err := strconv.ParseUint(number, 10, 32)
		if err != nil || weight > maxWeight {
			return Mix{}, fmt.Errorf("mix %q: the weight of %s is %q, want a whole number from 0 to %d", text, name, number, maxWeight)
		}
		if seen[op] {
			return Mix{}, fmt.Errorf("mix %q: %s is named twice", text, name)
		}
		seen[op], m.weights[op] = true, int(weight)
	}
	if m.sum() == 0 {
		return Mix{}, fmt.Errorf("mix %q: every weight is 0", text)
	}
	return m, nil
}

// String returns the mix in the form that ParseMix reads.
func (m Mix) String() string {
	var parts []string
	for _, op := range m.all() {
		parts = append(parts, op.String()+"="+strconv.Itoa(m.weights[op]))
	}
	return strings.Join(parts, ",")
}

// all returns the operations in the mix.
func (m Mix) all() (ops []operation) {
	for o := range operation(operations) {
		if m.has(o) {
			ops = append(ops, o)
		}
	}
	return ops
}

func (m Mix) has(o operation) bool { return m.weights[o] > 0 }

// needsSessions tells whether something in the mix needs an account that is
// logged in.
func (m Mix) needsSessions() bool {
	return slices.ContainsFunc(m.all(), func(o operation) bool { return !o.anybodys() })
}

func (m Mix) sum() (sum int) {
	for _, weight := range m.weights {
		sum += weight
	}
	return sum
}

// at returns the operation at a place on the line that the weights divide.
func (m Mix) at(place int) operation {
	for op, weight := range m.weights {
		if place < weight {
			return operation(op)
		}
		place -= weight
	}
	panic("stresstest: a place beyond the sum of the mix")
}
