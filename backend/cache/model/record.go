package model

// Write is how writers treat the cache.
type Write uint8

// The ways to write. All but the marked ones are wrong, and kept because a
// checker that could not tell would be worth nothing.
const (
	// Marked: read the version, mark, commit if the version is still that,
	// unmark.
	Marked Write = iota
	// MarkedInstall is Marked whose last unmark leaves the writer's own value.
	MarkedInstall
	// Unmarked is Marked without any mark.
	Unmarked
	// DeleteAfter: commit, delete from the cache.
	DeleteAfter
	// DeleteBefore: delete from the cache, commit.
	DeleteBefore
	// SetAfter: commit, set the new value in the cache.
	SetAfter
)

// FillRule is when a reader may put what it read into the cache.
type FillRule uint8

// The rules.
const (
	Leased  FillRule = iota // under the lease it was granted, if that is still there
	Always                  // in any case
	IfNewer                 // unless what is there is as new
)

// Share is what readers that meet in one process share.
type Share uint8

// The ways to share.
const (
	Nothing       Share = iota
	Flights             // any read under way is joined
	CertainFlight       // its result is shared only if it was filled, which proves it fresh
)

// Repair is how marks that were left behind are taken away.
type Repair struct {
	Times uint8 // at most so often
	// AtOnce does it in one step: raise the version, clear every mark.
	// Otherwise it goes step by step, and may stop anywhere like a writer:
	// note the marks, set its own, raise the version, take away those noted
	// and its own. NoFence and NoMark leave a step out.
	AtOnce, NoFence, NoMark bool
}

// Record is a protocol for one record, and its scope.
type Record struct {
	Write
	FillRule
	Share
	Repair
	// AckFirst acknowledges a write before it is unmarked.
	AckFirst bool
	// AckOnly checks the weaker promise: no read is older than an
	// acknowledged write, whatever other reads returned.
	AckOnly bool
	// UnmarkUnknown unmarks a write whose outcome is unknown.
	UnmarkUnknown bool

	Writers, Readers, Reads uint8
	// How often what may go wrong does: a value or lease is evicted, a
	// process stops, a look-up fails, everything is flushed, a replica that
	// lags takes over, a fill fails, the outcome of a commit is unknown.
	Evict, Crash, GetFails, Flush, Failover, FillFails, Unknown uint8
}

// Check searches at most limit states.
func (r Record) Check(limit int) (Result, error) { return search(r, limit) }

// What a key of the cache holds.
const (
	nothing uint8 = iota
	value         // its number is that of the commit it was read after
	lease         // its number is the reader's token
	marks         // its number is a set of bits, one for each writer
)

// held is what a key holds.
type held struct{ kind, n uint8 }

// writer, reader and repairer are processes, each at its next step.
type writer struct{ pc, expects, wrote uint8 }

type reader struct {
	pc    uint8
	floor uint8 // what a read that began when this one did must return at least
	val   uint8
	token uint8 // a lease, or the reader whose flight was joined
	reads uint8
}

type repairer struct{ pc, noted uint8 }

// The steps of writers.
const (
	wBegin uint8 = iota
	w1
	w2
	w3
	w4
	wPending // the outcome is unknown, the commit may still come
	wOver
	wDead
)

// The steps of readers.
const (
	rIdle uint8 = iota
	rLook
	rRead
	rFill
	rJoined
)

const (
	maxActors = 3
	ownMark   = 1 << maxActors // of the repairer
)

// recordState is a state, unpacked.
type recordState struct {
	commits, version uint8
	cache, replica   held
	w                [maxActors]writer
	r                [maxActors]reader
	repair           repairer
	floor            uint8 // what a read that begins now must return at least
	left             [faults]uint8
}

// The faults, as they are counted in recordState.left.
const (
	evict = iota
	crash
	getFails
	flush
	failover
	repair
	fillFails
	unknown
	faults
)

func (r Record) start() state {
	s := recordState{cache: held{kind: value}, replica: held{kind: value},
		left: [faults]uint8{r.Evict, r.Crash, r.GetFails, r.Flush, r.Failover, r.Repair.Times, r.FillFails, r.Unknown}}
	return s.pack()
}

func (s *recordState) pack() state {
	p := packer{write: true}
	s.all(&p)
	return p.s
}

func unpackRecord(packed state) (s recordState) {
	s.all(&packer{s: packed})
	return s
}

// all passes every field through p.
func (s *recordState) all(p *packer) {
	p.bits(&s.commits, 3)
	p.bits(&s.version, 3)
	for _, h := range []*held{&s.cache, &s.replica} {
		p.bits(&h.kind, 2)
		p.bits(&h.n, 4)
	}
	for i := range s.w {
		w := &s.w[i]
		p.bits(&w.pc, 3)
		p.bits(&w.expects, 3)
		p.bits(&w.wrote, 3)
	}
	for i := range s.r {
		r := &s.r[i]
		p.bits(&r.pc, 3)
		p.bits(&r.floor, 3)
		p.bits(&r.val, 3)
		p.bits(&r.token, 4)
		p.bits(&r.reads, 2)
	}
	p.bits(&s.repair.pc, 3)
	p.bits(&s.repair.noted, 3)
	p.bits(&s.floor, 3)
	for i := range s.left {
		p.bits(&s.left[i], 2)
	}
}

// move is a search's view of one state: what leads away from it is told.
type move struct {
	Record
	s    recordState
	tell func(step, state, bool)
}

func (r Record) next(packed state, tell func(step, state, bool)) {
	m := move{Record: r, s: unpackRecord(packed), tell: tell}
	for i := range r.Writers {
		m.writer(i)
	}
	for i := range r.Readers {
		m.reader(i)
	}
	m.loss()
	m.repairs()
}

// to tells a step that leads to s.
func (m *move) to(by step, s recordState) { m.tell(by, s.pack(), false) }

// marks are the marks that are set.
func (h held) marks() uint8 {
	if h.kind == marks {
		return h.n
	}
	return 0
}

// unmarked is what is left of what is held when a mark is taken away. Where
// there is no mark at all, whatever came in its place is dropped.
func (h held) unmarked(mark uint8) held {
	if rest := h.marks() &^ mark; rest != 0 {
		return held{marks, rest}
	}
	return held{}
}

// loss is what happens to the cache by itself.
func (m *move) loss() {
	s := m.s
	if s.left[evict] > 0 && (s.cache.kind == value || s.cache.kind == lease) {
		n := s
		n.left[evict]--
		n.cache = held{}
		m.to(step{what: didEvict}, n)
	}
	if s.left[flush] > 0 && s.cache.kind != nothing {
		n := s
		n.left[flush]--
		n.cache = held{}
		m.to(step{what: didFlush}, n)
	}
	if s.left[failover] > 0 && s.replica != s.cache {
		n := s
		n.replica = s.cache
		m.to(step{what: didReplicate}, n)
		n = s
		n.left[failover]--
		n.cache = s.replica
		m.to(step{what: didFailover}, n)
	}
}
