package stresstest

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Dist says which accounts requests are about. The zero Dist is uniform.
type Dist struct {
	fixed int     // accounts 1 to fixed alone; 0 for all
	zipf  float64 // the exponent; 0 for evenly
}

// maxExponent bounds that of a Zipf distribution. Far below it nearly every
// draw is account 1 already.
const maxExponent = 10

// ParseDist reads a distribution: "uniform" draws every account equally
// often, "fixed:N" accounts 1 to N equally often and no others, and "zipf:S",
// with S above 1, account k in proportion to 1/k^S.
func ParseDist(text string) (Dist, error) {
	kind, number, _ := strings.Cut(text, ":")
	switch kind {
	case "uniform":
		if text == kind {
			return Dist{}, nil
		}
	case "fixed":
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > maxUsers {
			return Dist{}, fmt.Errorf("distribution %q: want fixed:N, with N a number of accounts from 1 to %d", text, maxUsers)
		}
		return Dist{fixed: n}, nil
	case "zipf":
		s, err := strconv.ParseFloat(number, 64)
		if err != nil || !(s > 1 && s <= maxExponent) {
			return Dist{}, fmt.Errorf("distribution %q: want zipf:S, with S above 1 and up to %d", text, maxExponent)
		}
		return Dist{zipf: s}, nil
	}
	return Dist{}, fmt.Errorf("distribution %q: want uniform, fixed:N or zipf:S", text)
}

// String returns the distribution in the form that ParseDist reads.
func (d Dist) String() string {
	switch {
	case d.fixed > 0:
		return "fixed:" + strconv.Itoa(d.fixed)
	case d.zipf > 0:
		return "zipf:" + strconv.FormatFloat(d.zipf, 'g', -1, 64)
	}
	return "uniform"
}

// population returns how many of so many accounts can be drawn: 1 to that.
func (d Dist) population(users int) int {
	if d.fixed > 0 {
		return min(d.fixed, users)
	}
	return users
}

// drawer returns a function that draws an account from 1 to population.
func (d Dist) drawer(r *rand.Rand, population int) func() int {
	if d.zipf > 0 && population > 1 {
		z := rand.NewZipf(r, d.zipf, 1, uint64(population-1))
		return func() int { return 1 + int(z.Uint64()) }
	}
	return func() int { return 1 + r.IntN(population) }
}

// request is one request of a run: what it does, and for whom. A login or
// logout is of the account whose; any other operation is of the holder at that
// place.
type request struct {
	op    operation
	whose int
}

// plan says what each request of a run is. Request i is the same in every
// run with the same plan, whichever worker sends it and whenever.
type plan struct {
	seed uint64
	mix  Mix
	dist Dist
	// everybody is how many accounts a login or logout may be of, and holders
	// how many any other operation: those who have a session.
	everybody, holders int
}

// picker returns a function that tells request i. It is for one goroutine;
// every picker of a plan tells the same.
func (p plan) picker() func(i int64) request {
	source := new(rand.PCG)
	r := rand.New(source)
	sum := p.mix.sum()
	anybody := p.dist.drawer(r, max(1, p.everybody))
	holder := p.dist.drawer(r, max(1, p.holders))
	return func(i int64) request {
		source.Seed(p.seed, scatter(uint64(i)))
		op := p.mix.at(r.IntN(sum))
		if op.anybodys() {
			return request{op, anybody()}
		}
		return request{op, holder()}
	}
}

// scatter makes numbers that follow each other differ in every bit, so that
// a generator seeded with them begins with draws that have nothing to do with
// each other. The steps are those of the finalizer of SplitMix64 (Steele, Lea
// and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
func scatter(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
