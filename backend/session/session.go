// Package session is what a session is: the token that a browser holds, the
// record that is kept of it, and when it ends. It does not know where
// records are kept or how tokens travel.
package session

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"gatehouse/backend/user"
)

// Digest is the SHA-256 of a token: all that is kept of it. A token holds
// 256 random bits, so that a plain hash of it cannot be searched.
type Digest [sha256.Size]byte

// Session is the record of one token.
type Session struct {
	UserID int64
	Digest Digest
	// AuthEpoch is the user's at the time of login. A session whose epoch is
	// not the user's is dead.
	AuthEpoch int64
	CreatedAt time.Time
	// LastSeenAt is written behind, at most once a minute.
	LastSeenAt time.Time
	// ExpiresAt is the end of the session's lifetime, however busy it is.
	ExpiresAt time.Time
	// IP and UserAgent are those of the login, cut to MaxIP and MaxUserAgent bytes.
	IP, UserAgent string
}

// Limits of what is kept about the client, in bytes.
const (
	MaxIP        = 45
	MaxUserAgent = 255
)

// ErrNotFound means that there is no such session.
var ErrNotFound = errors.New("no such session")

// ID is the name by which the session's owner ends it: 63 bits of the
// digest, in decimal. It says nothing about the token.
func (s Session) ID() string {
	return strconv.FormatUint(binary.BigEndian.Uint64(s.Digest[:8])>>1, 10)
}

// tokenBytes is the length of a token before it is encoded: 8 bytes of user
// id, big endian, and 32 random ones.
const tokenBytes = 8 + 32

// NewToken makes a token for a user, and its digest.
func NewToken(userID int64, random io.Reader) (string, Digest, error) {
	var raw [tokenBytes]byte
	binary.BigEndian.PutUint64(raw[:8], uint64(userID))
	if _, err := io.ReadFull(random, raw[8:]); err != nil {
		return "", Digest{}, fmt.Errorf("make session token: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(raw[:]), sha256.Sum256(raw[:]), nil
}

// ParseToken returns the user whom a token names and the digest to look its
// session up by. The user id is a claim until the session was found under it.
func ParseToken(token string) (userID int64, digest Digest, ok bool) {
	if len(token) != base64.RawURLEncoding.EncodedLen(tokenBytes) {
		return 0, Digest{}, false
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(raw) != tokenBytes {
		return 0, Digest{}, false
	}
	id := binary.BigEndian.Uint64(raw[:8])
	if id == 0 || id>>63 != 0 {
		return 0, Digest{}, false
	}
	return int64(id), sha256.Sum256(raw), true
}

// Limits is how long sessions live.
type Limits struct {
	// Idle is the longest time between two requests, Lifetime the longest
	// time from login. PerUser is how many a user may have at once.
	Idle, Lifetime time.Duration
	PerUser        int
}

// End returns when s ends if it is not seen again.
func (l Limits) End(s Session) time.Time {
	idle := s.LastSeenAt.Add(l.Idle)
	if idle.Before(s.ExpiresAt) {
		return idle
	}
	return s.ExpiresAt
}

// Live tells whether s can still be used by a user whose epoch is authEpoch.
func (l Limits) Live(s Session, authEpoch int64, now time.Time) bool {
	return s.AuthEpoch == authEpoch && now.Before(l.End(s))
}

// Store keeps sessions, with the same promises as user.Store and the same
// errors where it could not do its work.
type Store interface {
	// PutSession inserts s. Where the user has perUser sessions or more, those
	// seen least recently are removed first, so that perUser remain; their
	// digests are returned.
	PutSession(ctx context.Context, s Session, perUser int) (ended []Digest, err error)
	// Session returns a session with its user, read at one moment, or
	// ErrNotFound where either is missing.
	Session(ctx context.Context, userID int64, d Digest) (user.User, Session, error)
	// Sessions returns all sessions of a user, at most limit of them.
	Sessions(ctx context.Context, userID int64, limit int) ([]Session, error)
	// EndSession removes a session, recording idem (where not nil) in the
	// same transaction. It returns ErrNotFound, and user.ErrReplayed.
	EndSession(ctx context.Context, userID int64, d Digest, idem *user.Idempotency) error
	// Seen sets LastSeenAt of each session that is older there. Sessions
	// that are gone are passed over.
	Seen(ctx context.Context, seen []Seen) error
	// SweepSessions removes at most limit sessions that expired before a
	// time and tells how many it removed.
	SweepSessions(ctx context.Context, before time.Time, limit int) (int, error)
}

// Seen is that a session was used.
type Seen struct {
	UserID int64
	Digest Digest
	At     time.Time
}
