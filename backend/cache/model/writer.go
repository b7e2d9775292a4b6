package model

// writer tells what writer i may do next.
func (m *move) writer(i uint8) {
	w := m.s.w[i]
	if w.pc == wOver || w.pc == wDead {
		return
	}
	if m.s.left[crash] > 0 && w.pc != wPending { // whose commit the database has
		m.at(didCrash, i, wDead, func(n *recordState) { n.left[crash]-- })
	}
	switch m.Write {
	case DeleteAfter, SetAfter:
		m.commitFirst(i, w)
	case DeleteBefore:
		m.deleteFirst(i, w)
	default:
		m.marked(i, w)
	}
}

// at tells a step of writer i that leads to its step pc.
func (m *move) at(what, i, pc uint8, change func(*recordState)) {
	n := m.s
	n.w[i].pc = pc
	if change != nil {
		change(&n)
	}
	m.to(step{what: what, who: i, a: m.s.w[i].wrote}, n)
}

// commit tells that writer i commits and goes to its step pc.
func (m *move) commit(i, pc uint8) {
	n := m.s
	n.commits++
	n.version++
	n.w[i].pc, n.w[i].wrote = pc, n.shown(m.Record)
	m.to(step{what: didCommit, who: i, a: n.w[i].wrote}, n)
}

// shown is what a reader finds in the database. Where repairs go step by step
// it is the version, which they raise too; a record is more than its version
// elsewhere.
func (s *recordState) shown(r Record) uint8 {
	if r.Repair.Times > 0 && !r.Repair.AtOnce {
		return s.version
	}
	return s.commits
}

func (m *move) ack(i uint8) func(*recordState) {
	return func(n *recordState) { n.floor = max(n.floor, n.w[i].wrote) }
}

func (m *move) commitFirst(i uint8, w writer) {
	switch w.pc {
	case wBegin:
		m.commit(i, w1)
	case w1:
		if m.Write == SetAfter {
			m.at(didSet, i, w2, func(n *recordState) { n.cache = held{value, w.wrote} })
		} else {
			m.at(didDelete, i, w2, func(n *recordState) { n.cache = held{} })
		}
	case w2:
		m.at(didAck, i, wOver, m.ack(i))
	}
}

func (m *move) deleteFirst(i uint8, w writer) {
	switch w.pc {
	case wBegin:
		m.at(didDelete, i, w1, func(n *recordState) { n.cache = held{} })
	case w1:
		m.commit(i, w2)
	case w2:
		m.at(didAck, i, wOver, m.ack(i))
	}
}

// marked is the protocol of package cache, in the order of its steps: read
// the version, mark, commit if it is still that version, unmark and
// acknowledge.
func (m *move) marked(i uint8, w writer) {
	switch w.pc {
	case wBegin:
		n := m.s
		n.w[i].pc, n.w[i].expects = w1, n.version
		m.to(step{what: didBegin, who: i, a: n.version}, n)
	case w1:
		m.at(didMark, i, w2, func(n *recordState) {
			if m.Write != Unmarked {
				n.cache = held{marks, n.cache.marks() | 1<<i}
			}
		})
	case w2:
		m.tryCommit(i, w)
	case wPending:
		m.pending(i, w)
	case w3:
		if m.AckFirst {
			m.at(didAck, i, w4, m.ack(i))
		} else {
			m.at(didSkip, i, w4, nil)
		}
	case w4:
		m.at(didUnmark, i, wOver, func(n *recordState) { m.unmark(i, n) })
	}
}

func (m *move) tryCommit(i uint8, w writer) {
	if w.expects == m.s.version {
		m.commit(i, w3)
	} else {
		m.at(didConflict, i, w4, nil)
	}
	if m.s.left[unknown] > 0 {
		m.at(didUnknown, i, wPending, func(n *recordState) {
			n.left[unknown]--
			if m.UnmarkUnknown {
				n.cache = n.cache.unmarked(1 << i)
			}
		})
	}
}

// pending is a writer that gave up waiting for its commit, which the database
// may still do. It never acknowledges, and its mark stays for a repair.
func (m *move) pending(i uint8, w writer) {
	if w.expects == m.s.version {
		m.commit(i, wOver)
	}
}

// unmark takes writer i's mark away and, where that is the order,
// acknowledges.
func (m *move) unmark(i uint8, n *recordState) {
	last := n.cache.marks() == 1<<i
	n.cache = n.cache.unmarked(1 << i)
	if m.Write == MarkedInstall && last && n.w[i].wrote > 0 {
		n.cache = held{value, n.w[i].wrote}
	}
	if !m.AckFirst {
		m.ack(i)(n)
	}
}
