package stresstest

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	sequenceShards = 64
	// maxDoubts bounds what is remembered of the updates of one account
	// whose outcome nobody knows, and as much of those that were refused.
	maxDoubts = 32
)

// sequences remembers what this run has written to which account. An account
// appears in it with its first update, so that it is never larger than the
// number of updates.
type sequences struct {
	// base is below every number that this run writes and, because it comes
	// from the clock, above those of runs before.
	base   int64
	shards [sequenceShards]sequenceShard
}

type sequenceShard struct {
	mu       sync.Mutex // guards accounts
	accounts map[int]*sequence
}

// sequence is what has been written to one account.
type sequence struct {
	// turn is full while a worker updates the account, so that each update
	// of it is over before the next begins.
	turn chan struct{}

	mu    sync.Mutex // guards the fields below
	sent  int64      // the last number that was sent
	acked int64      // the last number whose update was acknowledged; 0: none
	// doubts are updates that may have been applied, or may yet be; refused
	// are the last ones that were certainly not.
	doubts, refused []int64
}

func newSequences(now time.Time) *sequences {
	s := &sequences{base: now.UnixMilli()}
	for i := range s.shards {
		s.shards[i].accounts = map[int]*sequence{}
	}
	return s
}

// find returns what was written to an account, or nil for nothing.
func (s *sequences) find(account int) *sequence {
	shard := &s.shards[account%sequenceShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	return shard.accounts[account]
}

// of is find for an account that is about to be updated.
func (s *sequences) of(account int) *sequence {
	shard := &s.shards[account%sequenceShards]
	shard.mu.Lock()
	defer shard.mu.Unlock()
	q := shard.accounts[account]
	if q == nil {
		q = &sequence{turn: make(chan struct{}, 1), sent: s.base}
		shard.accounts[account] = q
	}
	return q
}

// tryTake begins an update of the account, unless another is under way.
func (q *sequence) tryTake() bool {
	select {
	case q.turn <- struct{}{}:
		return true
	default:
		return false
	}
}

// take begins an update of the account once no other is under way, and
// reports false if there still is one when ctx ends or at giveUp.
func (q *sequence) take(ctx context.Context, giveUp time.Time) bool {
	timer := time.NewTimer(time.Until(giveUp))
	defer timer.Stop()
	select {
	case q.turn <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// release ends an update.
func (q *sequence) release() { <-q.turn }

// next returns the number that the coming update writes.
func (q *sequence) next() int64 {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sent++
	return q.sent
}

// outcome is what is known of an update that is over.
type outcome int

const (
	applied outcome = iota
	notApplied
	unknown
)

// settle notes how the update that wrote number ended.
func (q *sequence) settle(number int64, o outcome) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case o == applied:
		q.acked = number
	case o == unknown && len(q.doubts) < maxDoubts:
		q.doubts = append(q.doubts, number)
	case o == notApplied:
		q.refused = append(q.refused[max(0, len(q.refused)+1-maxDoubts):], number)
	}
}

// acknowledged returns the last number that was acknowledged, 0 for none. A
// read that is sent after this must not show an older one.
func (q *sequence) acknowledged() int64 {
	if q == nil {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.acked
}

// allows tells whether a read may show number, when floor was acknowledged
// before it was sent: that or a later one that has been sent and was not
// refused, or that of an update which nobody knows the outcome of, because it
// may be applied at any time, even after later ones. What an account shows
// that has not been updated yet is of runs before, and unknown.
func (q *sequence) allows(number, floor int64) bool {
	if q == nil {
		return true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case slices.Contains(q.refused, number):
		return false
	case floor == 0:
		return true
	case floor <= number && number <= q.sent, slices.Contains(q.doubts, number):
		return true
	case len(q.doubts) == maxDoubts: // there may be more than are remembered
		return q.doubts[0] <= number && number <= q.sent
	}
	return false
}

// nicknameWith returns the nickname of an account that carries number.
func nicknameWith(account int, number int64) string {
	return Nickname(account) + " " + strconv.FormatInt(number, 10)
}

// numberIn returns the number that a nickname carries, 0 where it carries
// none. It reports false for one that was made for another account.
func numberIn(nickname string, account int) (number int64, ok bool) {
	rest, own := strings.CutPrefix(nickname, Nickname(account))
	if !own {
		return 0, !isGenerated(nickname)
	}
	digits, spaced := strings.CutPrefix(rest, " ")
	number, err := strconv.ParseInt(digits, 10, 64)
	if !spaced || err != nil || digits[0] == '-' || digits[0] == '+' {
		return 0, true
	}
	return number, true
}

// isGenerated tells whether a nickname has the form of a generated one.
func isGenerated(nickname string) bool {
	const form = "User 00000000"
	return len(nickname) >= len(form) && strings.HasPrefix(nickname, "User ") &&
		strings.Trim(nickname[len("User "):len(form)], "0123456789") == ""
}
