package model

// writer tells what writer i may do next.
func (m *epochMove) writer(i uint8) {
	w := m.s.w[i]
	if w.pc == wOver || w.pc == wDead {
		return
	}
	if m.s.left.crash > 0 && w.pc != wBegin {
		n := m.s
		n.w[i] = epochWriter{pc: wDead}
		n.left.crash--
		m.to(step{what: didCrash, who: i}, n)
	}
	switch w.pc {
	case wBegin:
		m.beginWrite(i)
	case w1:
		m.markIn(i, w)
	case w2:
		m.commit(i, w, w3, m.s.row.on == 1)
	case wBare:
		m.commit(i, w, wAck, m.s.row.on == 0 && (m.s.row.drained == 1 || m.NoDrain))
	case wAck:
		n := m.s
		n.w[i] = epochWriter{pc: wOver}
		n.floor = max(n.floor, w.wrote)
		m.to(step{what: didAck, who: i}, n)
	case w3:
		n := m.s
		n.w[i].pc = w4
		n.floor = max(n.floor, w.wrote)
		m.to(step{what: didAck, who: i}, n)
	case w4:
		n := m.s
		n.w[i] = epochWriter{pc: wOver}
		key := &n.keys[w.cache][w.epoch]
		*key = key.unmarked(1 << i)
		m.to(step{what: didUnmark, who: i}, n)
	}
}

func (m *epochMove) beginWrite(i uint8) {
	v := m.s.views[i]
	pc := w1
	switch {
	case v.live == 0:
		return
	case v.on == 0 && m.NoFence && !m.NoDrain && v.drained == 0:
		return
	case v.on == 0:
		pc = wBare
	}
	n := m.s
	n.w[i] = epochWriter{pc: pc, expects: n.row.version, epoch: v.epoch, cache: v.cache}
	m.to(step{what: didBegin, who: i, a: n.row.version}, n)
}

func (m *epochMove) markIn(i uint8, w epochWriter) {
	for _, c := range m.reached(w.cache) {
		n := m.s
		n.w[i].pc, n.w[i].cache = w2, c
		key := &n.keys[c][w.epoch]
		*key = held{marks, key.marks() | 1<<i}
		m.to(step{what: didEpochMark, who: i, a: c}, n)
	}
}

// commit commits if the version is still the one that was read and the row
// says that the epoch is the writer's, and its kind of write allowed.
func (m *epochMove) commit(i uint8, w epochWriter, pc uint8, allowed bool) {
	n := m.s
	if w.expects != n.row.version || !m.NoFence && !(allowed && w.epoch == n.row.epoch) {
		n.w[i] = epochWriter{pc: wOver}
		m.to(step{what: didAbort, who: i}, n)
		return
	}
	n.row.commits++
	n.row.version++
	n.w[i].pc, n.w[i].wrote = pc, n.row.commits
	what := didCommit
	if pc == wAck {
		what = didBareCommit
	}
	m.to(step{what: what, who: i, a: n.row.commits}, n)
}

// reader tells what reader i may do next.
func (m *epochMove) reader(i uint8) {
	r := m.s.r[i]
	switch r.pc {
	case rIdle:
		if r.reads < m.Reads {
			m.readerTo(didStart, i, epochReader{pc: rLook, floor: m.s.floor, reads: r.reads})
		}
	case rLook:
		if v := m.s.views[m.Writers+i]; v.live == 1 && v.on == 1 {
			m.readerTo(didTrust, i, epochReader{pc: rAsk, floor: r.floor, epoch: v.epoch, cache: v.cache, reads: r.reads})
		} else {
			m.readerTo(didDoubt, i, epochReader{pc: rRead, floor: r.floor, reads: r.reads})
		}
	case rAsk:
		for _, c := range m.reached(r.cache) {
			m.ask(i, r, c)
		}
	case rGiven:
		if v := m.s.views[m.Writers+i]; !m.Recheck || v.live == 1 && v.epoch == r.epoch {
			m.returns(didHit, i, r, m.s)
		} else {
			m.readerTo(didDoubt, i, epochReader{pc: rRead, floor: r.floor, reads: r.reads})
		}
	case rRead:
		r.pc, r.val = rFill, m.s.row.commits
		m.readerTo(didRead, i, r)
	case rFill:
		m.fill(i, r)
	}
}

func (m *epochMove) readerTo(what, i uint8, r epochReader) {
	n := m.s
	n.r[i] = r
	m.to(step{what: what, who: i, a: r.val, b: r.cache}, n)
}

// ask asks one cache.
func (m *epochMove) ask(i uint8, r epochReader, c uint8) {
	r.cache = c
	switch key := m.s.keys[c][r.epoch]; key.kind {
	case value:
		r.pc, r.val = rGiven, key.n
		m.readerTo(didAskGiven, i, r)
	case nothing:
		r.pc, r.token = rRead, i+1
		n := m.s
		n.r[i] = r
		n.keys[c][r.epoch] = held{lease, i + 1}
		m.to(step{what: didLease, who: i}, n)
	default:
		r.pc, r.token, r.epoch = rRead, 0, 0
		m.readerTo(didBlocked, i, r)
	}
}

func (m *epochMove) fill(i uint8, r epochReader) {
	n := m.s
	if key := &n.keys[r.cache][r.epoch]; r.token != 0 && *key == (held{lease, r.token}) {
		*key = held{value, r.val}
		m.returns(didFill, i, r, n)
		return
	}
	m.returns(didNoFill, i, r, n)
}

// returns ends a read.
func (m *epochMove) returns(what, i uint8, r epochReader, n epochState) {
	n.r[i] = epochReader{reads: r.reads + 1}
	if !m.AckOnly {
		n.floor = max(n.floor, r.val)
	}
	m.tell(step{what: what, who: i, a: r.val, b: r.floor}, n.pack(), r.val < r.floor)
}
