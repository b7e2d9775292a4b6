package user

import (
	"context"
	"time"
)

// Store keeps users. Each method is one transaction: all of it is applied or
// nothing is. A method that changes something returns nil only once the
// change is durable; it commits on a context of its own, so that a caller
// who goes away cannot cut a commit in half. Reads see every change that was
// acknowledged before they began.
type Store interface {
	// Create inserts u with its credential. It returns ErrTaken for a
	// username that exists, and ErrReplayed.
	Create(ctx context.Context, u User, credential []byte, idem *Idempotency) error
	// ByID and ByName return a user, or ErrNotFound.
	ByID(ctx context.Context, id int64) (User, error)
	ByName(ctx context.Context, username string) (User, error)
	// CredentialByID and CredentialByName return a user with its credential,
	// or ErrNotFound.
	CredentialByID(ctx context.Context, id int64) (User, []byte, error)
	CredentialByName(ctx context.Context, username string) (User, []byte, error)
	// Page returns at most limit users whose usernames come after a name, in
	// the order of the names' bytes.
	Page(ctx context.Context, after string, limit int) ([]User, error)
	// Update applies c if the record is at version c.Version, and returns
	// ErrNotFound, ErrConflict or ErrReplayed where it did not.
	Update(ctx context.Context, c Change) error
	// Delete removes the user with their sessions, picture reference and
	// idempotency records, if the record is at version. idem, recorded in
	// the same transaction, stays.
	Delete(ctx context.Context, id, version int64, idem *Idempotency) error
	// Fence waits until whoever is changing the user is done, and raises the
	// version, so that no change that was begun before is applied after. It
	// returns ErrNotFound.
	Fence(ctx context.Context, id int64) error
	// PicturesInUse returns those of keys that some user points at. It takes
	// at most 500 keys.
	PicturesInUse(ctx context.Context, keys []string) ([]string, error)
	// Replay returns the record of an idempotency key, or ErrNotFound.
	Replay(ctx context.Context, key [32]byte) (Idempotency, error)
	// Secret returns the secret of this name, and keeps fresh as that secret
	// if there is none yet. All instances on one database get the same.
	Secret(ctx context.Context, name string, fresh []byte) ([]byte, error)
	// Sweep removes at most limit idempotency records made before a time
	// and tells how many it removed.
	SweepIdempotency(ctx context.Context, before time.Time, limit int) (int, error)
}

// Change is a change of one user, compared and set on the version. Nil
// fields stay. Applying it raises the version by one.
type Change struct {
	ID, Version int64
	Nickname    *string
	Picture     *string
	Credential  []byte
	Disabled    *bool
	// EndSessions raises the auth epoch and removes all sessions but the one
	// whose digest is KeepSession, which is carried over to the new epoch.
	// KeepSession is zero where none is kept.
	EndSessions bool
	KeepSession [32]byte
	// Idempotency, where not nil, is recorded in the same transaction.
	Idempotency *Idempotency
}

// Idempotency remembers that a write was done and what was answered, so that
// the same request made again is answered alike.
type Idempotency struct {
	// Key is the digest of the scope (the user id, or for a registration the
	// folded username) and of the client's key.
	Key [32]byte
	// UserID is the user that the write concerned.
	UserID int64
	// Session is the digest of the token that the write was made with; zero
	// for a registration. Whoever shows that token may see the answer even
	// after the write ended the session.
	Session [32]byte
	// Request is the digest of the request without its passwords.
	Request [32]byte
	// Reply is the body that was answered, without any token.
	Reply     []byte
	CreatedAt time.Time
}
