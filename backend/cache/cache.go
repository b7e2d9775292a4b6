// Package cache remembers records for a while, so that a read need not ask
// the database, and forgets them so that no read shows anything older than
// an acknowledged write. It knows keys and bytes; it does not know what the
// records are, where they really are kept, or who reads them.
//
// # The protocol
//
// A read looks keys up. What is there is used. Where nothing is there, the
// reader asks for a lease, reads the database, and fills: the value is kept
// only if the lease is still there, which is a certificate that no write began
// since.
//
// A write marks the keys of what it will change before it commits, and
// unmarks them after, before it acknowledges. A mark drops value and lease;
// while it stands every reader goes to the database and nobody fills. Marks
// have no lifetime, because a writer may be stopped for any time between the
// two; one that is left behind is taken away by a repair, which first makes
// sure that the writer can no longer commit.
//
// Nobody ever writes the new value into the cache after a commit: of two
// writers the one that commits first may write last.
//
// This is leases as in "Scaling Memcache at Facebook" (NSDI 2013), with marks
// in place of deletes, which makes it hold when a writer or a reader stops
// anywhere.
package cache

import (
	"context"
	"errors"
	"time"
)

// ErrMarks means that a key has more marks than it can hold: writers left
// them and no repair took them away.
var ErrMarks = errors.New("too many marks on one key")

// State is what a look-up found.
type State int

// The states.
const (
	// Absent: nothing is known. Only a reader with a lease may fill. As the
	// result of Lease it means that there is no room for another lease.
	Absent State = iota
	// Hit: the value is there.
	Hit
	// Negative: it is known that there is no such record.
	Negative
	// Leased, as the result of Lease: the caller may fill with the token.
	Leased
	// Busy: another reader has the lease and will fill soon.
	Busy
	// Marked: a writer is changing the record, or left a mark behind.
	Marked
)

// Entry is what is known of one key.
type Entry struct {
	State State
	// Value is the record of a Hit. It must not be changed.
	Value []byte
	// Token is that of a lease that was granted.
	Token string
	// Marks are the tokens of a Marked key, and Oldest when the first of them
	// was set, to the second and by the clock of the cache, which may be
	// another machine's.
	Marks  []string
	Oldest time.Time
}

// Cache keeps these promises, each implementation the same, as cachetest
// checks:
//
//   - Get and Lease show, for each key, what some moment between their call
//     and their return saw.
//   - A Fill is applied only if no Mark of the key was set since its lease
//     was granted, and nobody else was granted a lease that came after it.
//   - Once Mark returned nil, no Get or Lease returns a value filled before,
//     and none is filled, until each token that was set is unmarked.
//   - Mark and Unmark may be repeated with the same token and do the same
//     once, except that an Unmark which comes again after a reader came in
//     between calls the mark lost.
//   - An operation that fails may or may not have been applied, or be applied
//     later: a mark may appear even after its Unmark. Every one obeys the
//     deadline of its context.
//
// Values and leases may be lost at any time; marks may not, as long as the
// cache lives.
type Cache interface {
	// Get looks keys up in one round trip. It grants nothing.
	Get(ctx context.Context, keys ...string) ([]Entry, error)
	// Lease grants a lease for each key of which nothing is known, and
	// returns what is known of the others, in one round trip. A lease ends by
	// itself after LeaseTime. The keys have the same text in their braces.
	Lease(ctx context.Context, keys ...string) ([]Entry, error)
	// Fill keeps values under their leases and tells which were kept.
	Fill(ctx context.Context, fills ...Fill) ([]bool, error)
	// Mark sets a mark on each key. The token is of letters and digits, and
	// made for this one write.
	Mark(ctx context.Context, token string, keys ...string) error
	// Unmark takes the marks of this token away. lost tells that a value or a
	// lease was found where no mark was left: the cache forgot the mark, or a
	// repair took it away, and readers may have seen what is older than the
	// write. What took its place is dropped, so that from now on none does.
	Unmark(ctx context.Context, token string, keys ...string) (lost bool, err error)
	// Ping tells whether the cache answers.
	Ping(ctx context.Context) error
	// Close ends the use of the cache.
	Close() error
}

// Fill is one value to keep.
type Fill struct {
	Key   string
	Token string        // of the lease
	Value []byte        // nil means that there is no such record
	TTL   time.Duration // give or take a tenth
}

const (
	// LeaseTime is how long a reader may take to fill.
	LeaseTime = 3 * time.Second
	// maxMarks bounds the marks on one key.
	maxMarks = 64
)
