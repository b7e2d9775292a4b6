// Package model checks the protocol of package cache by walking through every
// state that it can reach in a small scope: one record, a few writers and
// readers that may stop between any two of their steps, and a cache that
// loses what it may lose. It shares no code with the cache and knows no bytes,
// keys or clocks; what it says of the protocol it says within its scope.
//
// The promise that is checked: no read returns what is older than the last
// write acknowledged before the read began, nor older than what another read
// had returned by then, which for one record is linearizability.
package model

import "fmt"

// state is one state of a protocol, packed, so that millions fit in memory.
type state [3]uint64

// system is a protocol as the search sees it.
type system interface {
	start() state
	// next tells each step from s, where it leads, and whether a read
	// returned something stale in it.
	next(s state, tell func(by step, to state, stale bool))
}

// Result is how a search ended.
type Result struct {
	// States is how many were found, of which none but the last is bad.
	States int
	// Trace is a shortest way to a stale read, step by step; nil where there
	// is none.
	Trace []string
}

// search walks through all states that can be reached, the nearest first,
// until a read is stale. It returns an error where there are more than limit.
func search(sys system, limit int) (Result, error) {
	found := []state{sys.start()}
	from := []int32{-1}
	known := map[state]struct{}{found[0]: {}}
	for i := 0; i < len(found); i++ {
		var last *step
		sys.next(found[i], func(by step, to state, stale bool) {
			if stale && last == nil {
				last = &by
			}
			if _, ok := known[to]; !ok {
				known[to] = struct{}{}
				found, from = append(found, to), append(from, int32(i))
			}
		})
		if last != nil {
			return Result{States: len(found), Trace: trace(sys, found, from, i, *last)}, nil
		}
		if len(found) > limit {
			return Result{}, fmt.Errorf("more than %d states, no stale read so far", limit)
		}
	}
	return Result{States: len(found)}, nil
}

// trace describes the steps to state i, and then last.
func trace(sys system, found []state, from []int32, i int, last step) []string {
	steps := []string{last.String()}
	for ; from[i] >= 0; i = int(from[i]) {
		steps = append(steps, between(sys, found[from[i]], found[i]).String())
	}
	for i, j := 0, len(steps)-1; i < j; i, j = i+1, j-1 {
		steps[i], steps[j] = steps[j], steps[i]
	}
	return steps
}

// between finds a step that leads from one state to the next. Steps are not
// kept during the search, because only those of one trace are ever looked at.
func between(sys system, s, next state) (by step) {
	seen := false
	sys.next(s, func(b step, to state, _ bool) {
		if to == next && !seen {
			by, seen = b, true
		}
	})
	return by
}

// packer puts small numbers side by side into a state, or takes them out of
// it again, in the same order.
type packer struct {
	s     state
	at    uint
	write bool
}

// bits packs or unpacks the lowest n bits of v.
func (p *packer) bits(v *uint8, n uint) {
	word, off := p.at>>6, p.at&63
	p.at += n
	if p.write {
		if *v>>n != 0 {
			panic(fmt.Sprintf("model: %d does not fit in %d bits", *v, n))
		}
		p.s[word] |= uint64(*v) << off
		if off+n > 64 {
			p.s[word+1] |= uint64(*v) >> (64 - off)
		}
		return
	}
	x := p.s[word] >> off
	if off+n > 64 {
		x |= p.s[word+1] << (64 - off)
	}
	*v = uint8(x & (1<<n - 1))
}

// each is bits for several numbers.
func (p *packer) each(n uint, vs ...*uint8) {
	for _, v := range vs {
		p.bits(v, n)
	}
}
