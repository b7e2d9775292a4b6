package model

import (
	"strconv"
	"strings"
)

// step is what leads from one state to the next: an actor does something,
// with up to two numbers that tell more.
type step struct {
	what, who, a, b uint8
}

// What steps do.
const (
	didEvict uint8 = iota
	didFlush
	didReplicate
	didFailover
	didCrash
	didBegin
	didMark
	didCommit
	didConflict
	didDelete
	didSet
	didAck
	didUnmark
	didUnknown
	didSkip
	didStart
	didJoin
	didHit
	didMiss
	didLease
	didBlocked
	didGetFail
	didRead
	didFill
	didNoFill
	didRepair
	didNote
	didOwnMark
	didFence
	didTake
	didTakeOwn
	didRepairCrash
	didDisable
	didEnable
	didDrain
	didExpire
	didRefresh
	didTrust
	didDoubt
	didAskGiven
	didEpochMark
	didBareCommit
	didAbort
)

// words say what each step does, for whoever reads a trace.
var words = [...]string{
	didEvict:       "the cache evicts the record",
	didFlush:       "the cache is flushed",
	didReplicate:   "the replica catches up",
	didFailover:    "the replica takes over",
	didCrash:       "W{who} stops for ever",
	didBegin:       "W{who} reads version {a}",
	didMark:        "W{who} marks",
	didCommit:      "W{who} commits {a}",
	didConflict:    "W{who} meets another version",
	didDelete:      "W{who} deletes from the cache",
	didSet:         "W{who} sets {a} in the cache",
	didAck:         "W{who} acknowledges",
	didUnmark:      "W{who} unmarks",
	didUnknown:     "W{who} waits no longer for its commit",
	didSkip:        "W{who} goes on",
	didStart:       "R{who} begins",
	didJoin:        "R{who} begins and joins R{a}",
	didHit:         "R{who} returns {a} from the cache",
	didMiss:        "R{who} misses",
	didLease:       "R{who} is granted a lease",
	didBlocked:     "R{who} may not fill",
	didGetFail:     "R{who} cannot ask the cache",
	didRead:        "R{who} reads {a} from the database",
	didFill:        "R{who} fills and returns {a}",
	didNoFill:      "R{who} returns {a}",
	didRepair:      "a repair raises the version and clears the marks",
	didNote:        "a repair notes the marks",
	didOwnMark:     "the repair marks",
	didFence:       "the repair raises the version",
	didTake:        "the repair takes a mark away",
	didTakeOwn:     "the repair unmarks",
	didRepairCrash: "the repair stops for ever",
	didDisable:     "the cache is switched off, epoch {a} begins",
	didEnable:      "cache {who} is switched on",
	didDrain:       "all is drained",
	didExpire:      "the view of process {who} ends",
	didRefresh:     "process {who} sees epoch {a}",
	didTrust:       "R{who} trusts its view",
	didDoubt:       "R{who} has no view and goes to the database",
	didAskGiven:    "R{who} is sent {a} by cache {b}",
	didEpochMark:   "W{who} marks in cache {a}",
	didBareCommit:  "W{who} commits {a} without a mark",
	didAbort:       "W{who} gives up",
}

func (s step) String() string {
	number := func(n uint8) string { return strconv.Itoa(int(n)) }
	return strings.NewReplacer("{who}", number(s.who), "{a}", number(s.a), "{b}", number(s.b)).Replace(words[s.what])
}
