package model

import "math/bits"

// The steps of a repair.
const (
	pIdle uint8 = iota
	pNoted
	pMarked
	pFenced
)

// repairs tells what a repair of marks that were left behind may do next.
func (m *move) repairs() {
	if m.AtOnce {
		m.repairAtOnce()
		return
	}
	switch p := m.s.repair; p.pc {
	case pIdle:
		if noted := m.s.cache.marks() &^ ownMark; m.s.left[repair] > 0 && noted != 0 {
			m.repairTo(didNote, pNoted, func(n *recordState) {
				n.left[repair]--
				n.repair.noted = noted
			})
		}
	case pNoted:
		m.repairTo(didOwnMark, pMarked, func(n *recordState) {
			if !m.NoMark {
				n.cache = held{marks, n.cache.marks() | ownMark}
			}
		})
	case pMarked:
		m.repairTo(didFence, pFenced, func(n *recordState) {
			if !m.NoFence {
				n.version++
			}
		})
	case pFenced:
		m.takeAway(p)
	}
	if m.s.repair.pc != pIdle && m.s.left[crash] > 0 {
		m.repairTo(didRepairCrash, pIdle, func(n *recordState) {
			n.left[crash]--
			n.repair.noted, n.left[repair] = 0, 0
		})
	}
}

func (m *move) repairTo(what, pc uint8, change func(*recordState)) {
	n := m.s
	n.repair.pc = pc
	change(&n)
	m.to(step{what: what, who: maxActors}, n)
}

// takeAway takes one mark after the other away, the repair's own as the last.
func (m *move) takeAway(p repairer) {
	if p.noted == 0 {
		m.repairTo(didTakeOwn, pIdle, func(n *recordState) {
			if !m.NoMark {
				n.cache = n.cache.unmarked(ownMark)
			}
		})
		return
	}
	first := uint8(bits.TrailingZeros8(p.noted))
	m.repairTo(didTake, pFenced, func(n *recordState) {
		n.repair.noted &^= 1 << first
		n.cache = n.cache.unmarked(1 << first)
	})
}

// repairAtOnce raises the version and clears all marks in one step.
func (m *move) repairAtOnce() {
	if m.s.left[repair] == 0 || m.s.cache.marks() == 0 {
		return
	}
	n := m.s
	n.left[repair]--
	n.version++
	n.cache = held{}
	m.to(step{what: didRepair}, n)
}
