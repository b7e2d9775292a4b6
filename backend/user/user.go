// Package user is what a user is: the record, the rules for its fields, and
// what a store of users must promise. It does not know where one is kept, how
// one is asked for, or what a password hash is made of.
package user

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// User is one account without its credential.
type User struct {
	// ID is positive, made by NewID, and never used again.
	ID int64
	// Username is folded; see Fold.
	Username string
	Nickname string
	// Picture is the key of the stored picture, 64 small hexadecimal
	// digits, or empty.
	Picture string
	// Version grows by at least one with every change of the record.
	Version int64
	// AuthEpoch is carried by the user's sessions; raising it ends them all.
	AuthEpoch int64
	// Disabled users cannot log in, and their sessions are not answered.
	Disabled  bool
	CreatedAt time.Time
}

// The failures of a Store and of the rules. Everything else that a Store
// returns means that it could not do its work.
var (
	ErrNotFound = errors.New("no such user")
	ErrTaken    = errors.New("username is taken")
	// ErrConflict means that the record is not at the version that the
	// change was made for; nothing was changed.
	ErrConflict = errors.New("user was changed meanwhile")
	// ErrReplayed means that a record of the same idempotency key exists;
	// nothing was changed. Read it with Store.Replay.
	ErrReplayed = errors.New("idempotency key was used before")
	// ErrUnknownOutcome means that the connection was lost, or time ran out,
	// while the change was being committed: it may or may not be applied.
	ErrUnknownOutcome = errors.New("outcome of the change is unknown")
	// ErrUnavailable means that the store could not be reached or refused to
	// work; nothing was changed.
	ErrUnavailable = errors.New("store is unavailable")
)

// idEpoch is where the time part of ids starts: the beginning of 2020, UTC,
// in Unix milliseconds.
const idEpoch = 1_577_836_800_000

// NewID makes an id: 42 bits of milliseconds since 2020 above 21 random
// bits, so that ids are roughly in the order they were made in (which keeps
// inserts at the end of the index) and two processes need not talk to make
// them. Two of the same millisecond collide once in two million; an insert
// that meets a taken id makes another. A time before 2020 or beyond the year
// 2159 is an error: its id would not be positive.
func NewID(now time.Time, random io.Reader) (int64, error) {
	since := now.UnixMilli() - idEpoch
	if since <= 0 || since >= 1<<42 {
		return 0, fmt.Errorf("make user id: the clock says %s", now.UTC().Format(time.RFC3339))
	}
	var b [4]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return 0, fmt.Errorf("make user id: %w", err)
	}
	low := int64(binary.BigEndian.Uint32(b[:]) >> 11)
	return since<<21 | low, nil
}
