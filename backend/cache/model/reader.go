package model

// reader tells what reader i may do next.
func (m *move) reader(i uint8) {
	r := m.s.r[i]
	switch r.pc {
	case rIdle:
		if r.reads < m.Reads {
			m.begin(i, r)
		}
	case rLook:
		m.look(i, r)
	case rRead:
		n := m.s
		n.r[i].pc, n.r[i].val = rFill, n.shown(m.Record)
		m.to(step{what: didRead, who: i, a: n.r[i].val}, n)
	case rFill:
		m.fill(i, r)
	}
}

// begin starts a read, or joins one that is under way.
func (m *move) begin(i uint8, r reader) {
	fresh := reader{pc: rLook, floor: m.s.floor, reads: r.reads}
	for j := range m.Readers {
		if other := m.s.r[j].pc; m.Share != Nothing && j != i && (other == rRead || other == rFill) {
			n := m.s
			n.r[i] = fresh
			n.r[i].pc, n.r[i].token = rJoined, j
			m.to(step{what: didJoin, who: i, a: j}, n)
		}
	}
	n := m.s
	n.r[i] = fresh
	m.to(step{what: didStart, who: i}, n)
}

// goes tells that reader i goes on to the database, with a token or without.
func (m *move) goes(what, i, token uint8, change func(*recordState)) {
	n := m.s
	n.r[i].pc, n.r[i].val, n.r[i].token = rRead, 0, token
	if change != nil {
		change(&n)
	}
	m.to(step{what: what, who: i}, n)
}

// look asks the cache.
func (m *move) look(i uint8, r reader) {
	if m.s.left[getFails] > 0 {
		m.goes(didGetFail, i, 0, func(n *recordState) { n.left[getFails]-- })
	}
	switch h := m.s.cache; {
	case h.kind == value:
		n := m.s
		n.r[i] = reader{reads: r.reads + 1}
		m.returns(&n, h.n)
		m.tell(step{what: didHit, who: i, a: h.n, b: r.floor}, n.pack(), h.n < r.floor)
	case m.FillRule != Leased:
		m.goes(didMiss, i, 1, nil)
	case h.kind == nothing:
		token := i*4 + r.reads + 1
		m.goes(didLease, i, token, func(n *recordState) { n.cache = held{lease, token} })
	default:
		m.goes(didBlocked, i, 0, nil)
	}
}

// returns raises the floor to what a read returned.
func (m *move) returns(n *recordState, val uint8) {
	if !m.AckOnly {
		n.floor = max(n.floor, val)
	}
}

// fill ends a read of the database: with a fill, without, or with one that
// fails.
func (m *move) fill(i uint8, r reader) {
	filled := m.mayFill(r)
	m.ends(i, r, filled, 0)
	if filled && m.FillRule == Leased && m.s.left[fillFails] > 0 {
		m.ends(i, r, false, 1)
	}
}

func (m *move) mayFill(r reader) bool {
	h := m.s.cache
	switch m.FillRule {
	case Always:
		return r.token != 0
	case IfNewer:
		return r.token != 0 && (h.kind != value || h.n < r.val)
	default:
		return r.token != 0 && h == held{lease, r.token}
	}
}

// ends hands the result of a read over, also to those that joined it.
func (m *move) ends(i uint8, r reader, filled bool, failed uint8) {
	n := m.s
	n.left[fillFails] -= failed
	what := didNoFill
	if filled {
		what = didFill
		n.cache = held{value, r.val}
	}
	stale := r.val < r.floor
	for j := range m.Readers {
		joined := m.s.r[j]
		if joined.pc != rJoined || joined.token != i {
			continue
		}
		if m.Share == Flights || filled {
			n.r[j] = reader{reads: joined.reads + 1}
			stale = stale || r.val < joined.floor
		} else {
			n.r[j] = reader{pc: rLook, floor: joined.floor, reads: joined.reads}
		}
	}
	n.r[i] = reader{reads: r.reads + 1}
	m.returns(&n, r.val)
	m.tell(step{what: what, who: i, a: r.val}, n.pack(), stale)
}
