package model_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"gatehouse/backend/cache/model"
)

// limit bounds a search, so that a model which runs away is told rather than
// the memory filled.
const limit = 30_000_000

// row is one protocol, with what is known of it.
type row struct {
	name    string
	checker interface {
		Check(limit int) (model.Result, error)
	}
	// states is how many states there are where the promise holds. It is
	// pinned because a model that lost a step would hold all the better.
	states int
	// steps is the length of a shortest way to a stale read where it fails.
	steps int
}

func check(t *testing.T, rows []row) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, err := row.checker.Check(limit)
			trace := "\n\t" + strings.Join(got.Trace, "\n\t")
			switch {
			case err != nil:
				t.Fatal(err)
			case row.steps == 0 && got.Trace != nil:
				t.Errorf("a read is stale after %d steps:%s", len(got.Trace), trace)
			case row.steps > 0 && got.Trace == nil:
				t.Errorf("no read is stale in %d states, but one should be after %d steps", got.States, row.steps)
			case len(got.Trace) != row.steps:
				t.Errorf("a read is stale after %d steps, not %d:%s", len(got.Trace), row.steps, trace)
			case row.steps > 0:
				t.Logf("a read is stale, as it should be, after %d steps:%s", len(got.Trace), trace)
			case got.States != row.states:
				t.Errorf("holds in all of %d states, but there should be %d", got.States, row.states)
			default:
				t.Logf("holds in all of %d states", got.States)
			}
		})
	}
}

// m is the protocol in the scope in which most of it is checked, with a crash,
// a look-up that fails and an eviction. M acknowledges before it unmarks,
// which is what it is checked with unless a row says otherwise: what holds
// then holds the other way round too, as the rows of the product show.
func m(change func(*model.Record)) model.Record {
	r := model.Record{AckFirst: true, Writers: 2, Readers: 2, Reads: 2, Crash: 1, GetFails: 1, Evict: 1}
	if change != nil {
		change(&r)
	}
	return r
}

func ackOnly(r model.Record) model.Record {
	r.AckOnly = true
	return r
}

// before acknowledges after the unmark.
func before(r model.Record) model.Record {
	r.AckFirst = false
	return r
}

// The protocols that are known to be wrong, each as it is written in papers,
// libraries or first drafts.
var (
	deleteAfter  = model.Record{Write: model.DeleteAfter, FillRule: model.Always, Writers: 1, Readers: 2, Reads: 2, Crash: 1, GetFails: 1, Evict: 1}
	deleteBefore = model.Record{Write: model.DeleteBefore, FillRule: model.Always, Writers: 1, Readers: 2, Reads: 2, Evict: 1}
	setAfter     = model.Record{Write: model.SetAfter, FillRule: model.Always, Writers: 2, Readers: 2, Reads: 2}
	ifNewer      = model.Record{Write: model.DeleteAfter, FillRule: model.IfNewer, Writers: 1, Readers: 2, Reads: 2, Evict: 1}
	leases       = model.Record{Write: model.DeleteAfter, Writers: 2, Readers: 2, Reads: 2, Evict: 1}
	leasesFaulty = model.Record{Write: model.DeleteAfter, Writers: 1, Readers: 2, Reads: 2, Crash: 1, GetFails: 1, Evict: 1}
	install      = model.Record{Write: model.MarkedInstall, AckFirst: true, Writers: 2, Readers: 2, Reads: 2}
	naiveFlights = model.Record{Share: model.Flights, AckFirst: true, Writers: 1, Readers: 2, Reads: 2, Evict: 1}
	flushed      = model.Record{AckFirst: true, Writers: 2, Readers: 2, Reads: 2, GetFails: 1, Evict: 1, Flush: 1}
	flushedCrash = model.Record{AckFirst: true, Writers: 1, Readers: 2, Reads: 2, Crash: 1, Flush: 1}
	failedOver   = model.Record{AckFirst: true, Writers: 1, Readers: 2, Reads: 2, Failover: 1}
)

// TestATraceTellsEachStep pins a trace that can be followed by hand: what R0
// read before the write it keeps after it.
func TestATraceTellsEachStep(t *testing.T) {
	t.Parallel()
	r := deleteAfter
	r.Crash, r.GetFails, r.Readers, r.AckOnly = 0, 0, 1, true
	got, err := r.Check(limit)
	want := []string{"R0 begins", "the cache evicts the record", "R0 misses", "R0 reads 0 from the database", "W0 commits 1",
		"W0 deletes from the cache", "W0 acknowledges", "R0 fills and returns 0", "R0 begins", "R0 returns 0 from the cache"}
	if err != nil || !slices.Equal(got.Trace, want) {
		t.Errorf("got %q, error %v", got.Trace, err)
	}
}

func TestASearchThatRunsAwayIsTold(t *testing.T) {
	t.Parallel()
	if got, err := m(nil).Check(1000); err == nil {
		t.Errorf("got %d states", got.States)
	}
}

func TestProtocolsThatShowStaleReads(t *testing.T) {
	t.Parallel()
	check(t, []row{
		{name: "A: delete after the commit", checker: deleteAfter, steps: 7},
		{name: "A2: delete before the commit", checker: deleteBefore, steps: 9},
		{name: "A3: set after the commit", checker: setAfter, steps: 7},
		{name: "B: set only what is newer", checker: ifNewer, steps: 10},
		{name: "C: leases", checker: leases, steps: 12},
		{name: "C1: leases, with faults", checker: leasesFaulty, steps: 7},
		{name: "M whose last unmark installs a value", checker: install, steps: 12},
		{name: "M with shared flights", checker: naiveFlights, steps: 9},
		{name: "M when the cache is flushed", checker: flushed, steps: 11},
		{name: "M when the cache is flushed and a writer stops", checker: flushedCrash, steps: 11},
		{name: "M when a replica takes over", checker: failedOver, steps: 7},
		{name: "M when the cache is flushed, unmarked before it is acknowledged", checker: before(flushed), steps: 14},
		{name: "M when a replica takes over, unmarked before it is acknowledged", checker: before(failedOver), steps: 8},
	})
}

func TestProtocolsThatShowWhatIsOlderThanAnAcknowledgedWrite(t *testing.T) {
	t.Parallel()
	check(t, []row{
		{name: "A: delete after the commit", checker: ackOnly(deleteAfter), steps: 10},
		{name: "A2: delete before the commit", checker: ackOnly(deleteBefore), steps: 9},
		{name: "A3: set after the commit", checker: ackOnly(setAfter), steps: 7},
		{name: "B: set only what is newer", checker: ackOnly(ifNewer), steps: 10},
		{name: "M whose last unmark installs a value", checker: ackOnly(install), steps: 12},
		{name: "M with shared flights", checker: ackOnly(naiveFlights), steps: 9},
		{name: "M when the cache is flushed", checker: ackOnly(flushed), steps: 11},
		{name: "M when the cache is flushed and a writer stops", checker: ackOnly(flushedCrash), steps: 11},
		{name: "M when a replica takes over", checker: ackOnly(failedOver), steps: 7},
		{name: "the same, unmarked before it is acknowledged", checker: ackOnly(before(failedOver)), steps: 8},
	})
}

func TestProtocolsThatAreNeverOlderThanAnAcknowledgedWrite(t *testing.T) {
	t.Parallel()
	crash := flushedCrash
	crash.Writers = 2
	check(t, []row{
		{name: "C: leases", checker: ackOnly(leases), states: 39_537},
		{name: "C1: leases, with faults", checker: ackOnly(model.Record{Write: model.DeleteAfter, Writers: 2, Readers: 2, Reads: 2, Crash: 1, GetFails: 1, Evict: 1}), states: 152_134},
		{name: "M when the cache is flushed, unmarked before it is acknowledged", checker: ackOnly(before(flushed)), states: 487_244},
		{name: "and when a writer stops", checker: ackOnly(before(crash)), states: 170_186},
	})
}

func TestMarksAreLinearizable(t *testing.T) {
	t.Parallel()
	rows := []row{
		{name: "M", checker: m(func(r *model.Record) { r.FillFails = 1 }), states: 454_974},
		{name: "M, everything twice", checker: m(func(r *model.Record) { r.Crash, r.GetFails, r.Evict = 2, 2, 2 }), states: 771_959},
		{name: "M, three writers", checker: m(func(r *model.Record) { r.Writers, r.Reads = 3, 1 }), states: 2_628_518},
		{name: "M with a repair at once", checker: m(func(r *model.Record) { r.Repair = model.Repair{Times: 1, AtOnce: true} }), states: 1_608_594},
		{name: "M with flights that are shared when certain", checker: m(func(r *model.Record) { r.Share = model.CertainFlight }), states: 391_812},
		{name: "the same, three readers", checker: m(func(r *model.Record) { r.Share, r.Writers, r.Readers = model.CertainFlight, 1, 3 }), states: 353_337},
	}
	check(t, rows)
}

// shipped is the protocol as package cache and its user have it: unmarked
// before it is acknowledged, with repairs step by step, of which any may stop,
// and commits whose outcome is unknown.
func shipped(change func(*model.Record)) model.Record {
	r := model.Record{Repair: model.Repair{Times: 1}, Writers: 2, Readers: 2, Reads: 1, Crash: 1, GetFails: 1, Evict: 1, Unknown: 1}
	if change != nil {
		change(&r)
	}
	return r
}

func TestTheProtocolOfTheProductIsLinearizable(t *testing.T) {
	t.Parallel()
	check(t, []row{
		{name: "as it is", checker: shipped(nil), states: 2_148_422},
		{name: "and reads that follow each other", checker: shipped(func(r *model.Record) { r.Reads, r.Crash, r.GetFails, r.Unknown = 2, 0, 0, 0 }), states: 2_295_844},
	})
}

// TestTheProtocolOfTheProductIsLinearizableInLargerScopes takes minutes and
// gigabytes, so that it runs only when asked for.
func TestTheProtocolOfTheProductIsLinearizableInLargerScopes(t *testing.T) {
	if os.Getenv("TEST_SCOPE") != "large" {
		return
	}
	check(t, []row{
		{name: "two reads each", checker: shipped(func(r *model.Record) { r.Reads = 2 }), states: 13_581_304},
		{name: "three writers", checker: shipped(func(r *model.Record) { r.Writers, r.Crash, r.Evict, r.Unknown = 3, 0, 0, 0 }), states: 16_464_338},
		{name: "everything twice", checker: shipped(func(r *model.Record) { r.Repair.Times, r.Crash, r.GetFails, r.Evict, r.Unknown = 2, 2, 2, 2, 2 }), states: 9_172_308},
	})
}

func TestTheProtocolOfTheProductNeedsEachOfItsSteps(t *testing.T) {
	t.Parallel()
	shipped := func(change func(*model.Record)) model.Record {
		return shipped(func(r *model.Record) {
			r.Reads, r.Crash, r.Evict = 2, 0, 0
			change(r)
		})
	}
	check(t, []row{
		{name: "no mark at all", checker: shipped(func(r *model.Record) { r.Write = model.Unmarked }), steps: 9},
		{name: "a repair that does not raise the version", checker: shipped(func(r *model.Record) { r.NoFence = true }), steps: 18},
		{name: "a repair without a mark of its own", checker: shipped(func(r *model.Record) { r.NoMark = true }), steps: 18},
		{name: "unmarked where the outcome is unknown", checker: shipped(func(r *model.Record) { r.UnmarkUnknown = true }), steps: 14},
		{name: "unmarked with a value", checker: shipped(func(r *model.Record) { r.Write = model.MarkedInstall }), steps: 12},
		{name: "filled without a lease", checker: shipped(func(r *model.Record) { r.FillRule = model.Always }), steps: 11},
		{name: "reads that share a flight", checker: shipped(func(r *model.Record) { r.Share = model.Flights }), steps: 10},
	})
}

func TestEpochsAreLinearizable(t *testing.T) {
	t.Parallel()
	one := model.Epoch{Recheck: true, Writers: 1, Readers: 1, Reads: 2, Switches: 1}
	with := func(change func(*model.Epoch)) model.Epoch {
		e := one
		change(&e)
		return e
	}
	check(t, []row{
		{name: "E", checker: one, states: 62_624},
		{name: "E, a writer stops", checker: with(func(e *model.Epoch) { e.Crash = 1 }), states: 90_340},
		{name: "E, the view is not looked at again", checker: with(func(e *model.Epoch) { e.Recheck = false }), states: 62_624},
		{name: "the same, two readers", checker: with(func(e *model.Epoch) { e.Recheck, e.Readers, e.Reads = false, 2, 1 }), states: 1_494_448},
		{name: "E without the fence in the transaction", checker: with(func(e *model.Epoch) { e.NoFence = true }), steps: 19},
		{name: "E without the incarnation", checker: with(func(e *model.Epoch) { e.NoIncarnation = true }), steps: 8},
		{name: "E without the wait", checker: with(func(e *model.Epoch) { e.NoDrain = true }), steps: 9},
		{name: "E without the fence, acknowledged changes alone", checker: with(func(e *model.Epoch) { e.NoFence, e.AckOnly = true, true }), steps: 19},
		{name: "E without the incarnation, acknowledged changes alone", checker: with(func(e *model.Epoch) { e.NoIncarnation, e.AckOnly = true, true }), steps: 8},
		{name: "E without the wait, acknowledged changes alone", checker: with(func(e *model.Epoch) { e.NoDrain, e.AckOnly = true, true }), steps: 9},
	})
}
