package model

// Epoch is the layer that stands over marks where caches fail over: two
// caches, of which one is a replica that lags; a row in the database that
// tells which of them is in use since which epoch; and processes whose view of
// that row is leased.
type Epoch struct {
	// NoIncarnation leaves out the check that a connection leads to the cache
	// that the view names, NoFence the check of the row in the transaction of
	// a write, NoDrain the wait for old views before writes go without marks.
	NoIncarnation, NoFence, NoDrain bool
	// AckOnly checks the weaker promise, as that of a Record does.
	AckOnly bool
	// Recheck makes a reader look at its view once more when the answer came.
	Recheck bool

	Writers, Readers, Reads uint8
	// Switches is how often the cache is switched off, Crash how many writers
	// stop.
	Switches, Crash uint8
}

// Check searches at most limit states.
func (e Epoch) Check(limit int) (Result, error) { return search(e, limit) }

const (
	maxEpochs = 3
	maxViews  = 4
)

// row is the row in the database, and the record beside it.
type row struct{ commits, version, epoch, on, drained, cache uint8 }

// view is what a process takes the row to be while its lease lasts.
type view struct{ epoch, on, cache, live, drained uint8 }

type epochWriter struct{ pc, expects, wrote, epoch, cache uint8 }

type epochReader struct{ pc, floor, val, token, epoch, cache, reads uint8 }

// The steps of readers and writers beside those they have without epochs.
const (
	rAsk   = rJoined // the view was good, the cache is asked
	rGiven = rAsk + 1
	wBare  = wPending // to commit without a mark
	wAck   = wDead + 1
)

type epochState struct {
	row   row
	keys  [2][maxEpochs]held
	views [maxViews]view
	w     [2]epochWriter
	r     [2]epochReader
	floor uint8
	left  struct{ switches, crash, expiries uint8 }
}

func (e Epoch) start() state {
	s := epochState{row: row{on: 1, drained: 1}}
	s.keys[0][0], s.keys[1][0] = held{kind: value}, held{kind: value}
	for i := range e.Writers + e.Readers {
		s.views[i] = view{on: 1, live: 1, drained: 1}
	}
	s.left.switches, s.left.crash, s.left.expiries = e.Switches, e.Crash, 2*e.Switches
	return s.pack()
}

func (s *epochState) pack() state {
	p := packer{write: true}
	s.all(&p)
	return p.s
}

// all passes every field through p.
func (s *epochState) all(p *packer) {
	r := &s.row
	p.each(3, &r.commits, &r.version)
	p.each(2, &r.epoch)
	p.each(1, &r.on, &r.drained, &r.cache)
	for c := range s.keys {
		for e := range s.keys[c] {
			p.each(2, &s.keys[c][e].kind, &s.keys[c][e].n)
		}
	}
	for i := range s.views {
		v := &s.views[i]
		p.each(2, &v.epoch)
		p.each(1, &v.on, &v.cache, &v.live, &v.drained)
	}
	for i := range s.w {
		w := &s.w[i]
		p.each(4, &w.pc)
		p.each(2, &w.expects, &w.wrote, &w.epoch)
		p.each(1, &w.cache)
	}
	for i := range s.r {
		r := &s.r[i]
		p.each(3, &r.pc)
		p.each(2, &r.floor, &r.val, &r.token, &r.epoch, &r.reads)
		p.each(1, &r.cache)
	}
	p.each(2, &s.floor, &s.left.switches, &s.left.crash)
	p.each(3, &s.left.expiries)
}

// epochMove is a search's view of one state: what leads away from it is told.
type epochMove struct {
	Epoch
	s    epochState
	tell func(step, state, bool)
}

func (e Epoch) next(packed state, tell func(step, state, bool)) {
	m := epochMove{Epoch: e, tell: tell}
	m.s.all(&packer{s: packed})
	m.operator()
	for i := range e.Writers + e.Readers {
		m.lease(i)
	}
	for i := range e.Writers {
		m.writer(i)
	}
	for i := range e.Readers {
		m.reader(i)
	}
}

func (m *epochMove) to(by step, s epochState) { m.tell(by, s.pack(), false) }

// operator switches the cache off, waits for old views, and switches one of
// the two caches on.
func (m *epochMove) operator() {
	s := m.s
	if s.left.switches > 0 && s.row.on == 1 {
		n := s
		n.row.epoch++
		n.row.on, n.row.drained = 0, 0
		n.left.switches--
		m.to(step{what: didDisable, a: n.row.epoch}, n)
	}
	if s.row.on == 1 {
		return
	}
	if s.row.drained == 1 {
		for c := range uint8(2) {
			n := s
			n.row.on, n.row.cache = 1, c
			m.to(step{what: didEnable, who: c}, n)
		}
	} else if m.NoDrain || !s.oldViews() {
		n := s
		n.row.drained = 1
		m.to(step{what: didDrain}, n)
	}
}

func (s *epochState) oldViews() bool {
	for _, v := range s.views {
		if v.live == 1 && v.epoch < s.row.epoch {
			return true
		}
	}
	return false
}

// lease lets a view end, or be read anew.
func (m *epochMove) lease(i uint8) {
	v := m.s.views[i]
	if v.live == 1 && m.s.left.expiries > 0 {
		n := m.s
		n.views[i].live = 0
		n.left.expiries--
		m.to(step{what: didExpire, who: i}, n)
	}
	r := m.s.row
	fresh := view{r.epoch, r.on, r.cache, 1, r.drained}
	if v != fresh {
		n := m.s
		n.views[i] = fresh
		m.to(step{what: didRefresh, who: i, a: r.epoch}, n)
	}
}

// reached are the caches that a connection may lead to.
func (m *epochMove) reached(named uint8) []uint8 {
	if m.NoIncarnation {
		return []uint8{0, 1}
	}
	return []uint8{named}
}
