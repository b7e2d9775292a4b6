package capacity

import (
	"slices"

	"gatehouse/stresstest"
)

// The driver's own part of a request, beside the tiers that the metrics name.
const (
	driver     = "driver"
	stageWait  = "wait"    // from when a request was due until a worker sent it
	stageSpent = "service" // from then to the answer
)

// within says which stage contains which, as monitoring's list of stages
// does. What is not in it is contained in handle, so that a new stage there
// is found without a change here.
var within = map[string]string{
	"http": stageSpent, "pool_get": "http", "send": "http", "round_trip": "http", "pool_put": "http", "render": "http", "picture": "http",
	"queue": "round_trip", "handle": "round_trip", "encode": "round_trip",
	"db_get_user": "cache_miss", "db_get_session": "cache_miss", // where the cache was asked first
}

// opsOf are the names that tier 1 and the packets have for what an operation
// of the driver's mix does.
var opsOf = map[string][]string{
	"login":   {"POST /api/v1/sessions", "login"},
	"profile": {"GET /api/v1/profile", "get_profile"},
	"update":  {"PATCH /api/v1/profile", "update_profile"},
}

// leastShare is the part of the requests at a stage that an operation must
// have to be looked at: a 99th percentile is not moved by less than one in a
// hundred, and half of that allows for the draw.
const leastShare = 0.005

const (
	// explains is the part of the growth of a stage that one stage within it
	// must have, to be the one that it comes from.
	explains = 0.5
	// steady is by how much answers may take longer and still not be what
	// makes requests wait in the driver: its workers wait for answers, so that
	// a slow target shows as a wait there too.
	steady = 1.5
)

// Change is a stage at the rate that is kept and at the one that is not.
type Change struct {
	Tier  string `json:"tier"`
	Stage string `json:"stage"`
	Op    string `json:"op"`
	// The 99th percentiles, in milliseconds.
	GoodP99 float64 `json:"good_p99_ms"`
	BadP99  float64 `json:"bad_p99_ms"`
	// The same as parts of the 99th percentile of the driver's latency, in
	// percent. Stages contain others, so that they do not add up to 100.
	GoodShare float64 `json:"good_share_percent"`
	BadShare  float64 `json:"bad_share_percent"`
	// Count is how many requests passed at the rate that is not kept.
	Count int64 `json:"count"`
}

func (c Change) growth() float64 { return c.BadP99 - c.GoodP99 }

func (c Change) weight() float64 { return c.growth() * float64(c.Count) }

// Weakest is the stage that gives way first: the innermost that explains the
// growth of the latency.
type Weakest struct {
	Change
	// Itself tells that the growth is in none of the stages within it that
	// are measured, but between them.
	Itself bool `json:"itself"`
}

// pair is a run at the rate that is kept and one at the rate that is not, as
// far as one operation, or all of them, are concerned.
type pair struct {
	good, bad         *stresstest.Report
	op                string // of the mix, "all" for all
	fromGood, fromBad stresstest.OpReport
}

// newPair looks at the operation whose service level was broken, where it is
// one operation's.
func newPair(good, bad *stresstest.Report) pair {
	p := pair{good: good, bad: bad, op: "all", fromGood: good.Total, fromBad: bad.Total}
	for _, level := range bad.Broken() {
		if _, one := opsOf[level.Op]; one {
			p.op, p.fromGood, p.fromBad = level.Op, good.Ops[level.Op], bad.Ops[level.Op]
			break
		}
	}
	return p
}

// changes compares the stages, the driver's first, then in the order in which
// a request meets them.
func (p pair) changes() []Change {
	before := map[[3]string]stresstest.Stage{}
	for _, s := range p.good.Stages {
		before[[3]string{s.Tier, s.Stage, s.Op}] = s
	}
	list := []Change{
		{Tier: driver, Stage: stageWait, Op: p.op, GoodP99: waited(p.fromGood), BadP99: waited(p.fromBad), Count: p.fromBad.Count},
		{Tier: driver, Stage: stageSpent, Op: p.op, GoodP99: p.fromGood.Service.P99, BadP99: p.fromBad.Service.P99, Count: p.fromBad.Count},
	}
	for _, s := range p.bad.Stages {
		list = append(list, Change{Tier: s.Tier, Stage: s.Stage, Op: s.Op, Count: s.Count, BadP99: s.P99,
			GoodP99: before[[3]string{s.Tier, s.Stage, s.Op}].P99})
	}
	for i := range list {
		c := &list[i]
		c.GoodShare, c.BadShare = share(c.GoodP99, p.fromGood), share(c.BadP99, p.fromBad)
	}
	return list
}

// waited is how much later than due requests were sent, as far as two
// percentiles can tell.
func waited(o stresstest.OpReport) float64 { return max(0, o.Latency.P99-o.Service.P99) }

func share(p99 float64, o stresstest.OpReport) float64 {
	if o.Latency.P99 <= 0 {
		return 0
	}
	return 100 * p99 / o.Latency.P99
}

// weakest finds the stage that gives way, nil where nothing became slower or
// the tiers' metrics were not read. It begins at the driver's latency and goes
// into the stage that explains the growth, as long as one does.
func (p pair) weakest() *Weakest {
	if len(p.good.Stages) == 0 || len(p.bad.Stages) == 0 || p.fromBad.Latency.P99 <= p.fromGood.Latency.P99 {
		return nil
	}
	all := p.changes()
	wait, service := all[0], all[1]
	if wait.growth() > service.growth() && service.BadP99 < steady*service.GoodP99 {
		return &Weakest{Change: wait}
	}
	found, list := &Weakest{Change: service}, p.relevant(all)
	for {
		next, ok := largest(list, found.Change)
		if !ok {
			return found
		}
		if next.growth() < explains*found.growth() {
			found.Itself = true
			return found
		}
		found = &Weakest{Change: next}
	}
}

// relevant leaves out the driver, the operations that are not looked at, and
// those that are too rare to matter to all.
func (p pair) relevant(list []Change) (kept []Change) {
	for _, c := range list {
		rare := float64(c.Count) < leastShare*float64(p.fromBad.Count)
		other := p.op != "all" && !slices.Contains(opsOf[p.op], c.Op)
		if c.Tier != driver && !rare && !other {
			kept = append(kept, c)
		}
	}
	return kept
}

// largest is the stage within another that grew most, where the growth of an
// operation counts as much as there are requests that have it: otherwise one
// that is rare, and slow in any case, would be named for what is common. Below
// the webserver's handling of a request, which has names of its own, it is one
// of the same packet type.
func largest(list []Change, outer Change) (most Change, ok bool) {
	sameOp := outer.Stage != stageSpent && outer.Stage != "http"
	for _, c := range list {
		if container(list, c) == outer.Stage && (!sameOp || c.Op == outer.Op) && (!ok || c.weight() > most.weight()) {
			most, ok = c, true
		}
	}
	return most, ok
}

// container is the stage around another, of those that were measured: a
// tcp:// target has no webserver, so that the backend's stages stand within
// the driver's service there.
func container(list []Change, c Change) string {
	stage := c.Stage
	for {
		outer, known := within[stage]
		if !known {
			outer = "handle"
		}
		if outer == stageSpent || outer == stage || measured(list, outer, c.Op) {
			return outer
		}
		stage = outer
	}
}

// measured tells whether a stage was; the routes of http are not packet types.
func measured(list []Change, stage, op string) bool {
	return slices.ContainsFunc(list, func(c Change) bool { return c.Stage == stage && (stage == "http" || c.Op == op) })
}
