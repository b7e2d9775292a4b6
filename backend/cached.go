package backend

import (
	"context"
	"errors"
	"fmt"

	"gatehouse/backend/session"
	"gatehouse/backend/user"
)

// records are the user and session records as handlers see them. Every
// handler reads and changes them here and nowhere else, so that this is the
// one place where a cache stands between handlers and stores, and the one
// where a change can be announced to it before it is committed and withdrawn
// after. Credentials are not among them: they are read from the store alone.
type records struct {
	users    user.Store
	sessions session.Store
}

// errNoSession means that there is no such session, or no such user.
var errNoSession = errors.New("no such session")

// session returns the session of this digest with its user. Whether the
// session is live is not looked at.
func (r *records) session(ctx context.Context, userID int64, d session.Digest) (user.User, session.Session, error) {
	s, err := r.sessions.Session(ctx, userID, d)
	if errors.Is(err, session.ErrNotFound) {
		return user.User{}, session.Session{}, errNoSession
	}
	if err != nil {
		return user.User{}, session.Session{}, fmt.Errorf("read session of user %d: %w", userID, err)
	}
	u, err := r.users.ByID(ctx, userID)
	if errors.Is(err, user.ErrNotFound) {
		return user.User{}, session.Session{}, errNoSession
	}
	if err != nil {
		return user.User{}, session.Session{}, fmt.Errorf("read user %d: %w", userID, err)
	}
	return u, s, nil
}

// byName returns a user by folded username, or user.ErrNotFound.
func (r *records) byName(ctx context.Context, username string) (user.User, error) {
	return r.users.ByName(ctx, username)
}

// create, update, remove, putSession and endSession are those of the stores.
func (r *records) create(ctx context.Context, u user.User, credential []byte, idem *user.Idempotency) error {
	return r.users.Create(ctx, u, credential, idem)
}

func (r *records) update(ctx context.Context, c user.Change) error {
	return r.users.Update(ctx, c)
}

func (r *records) remove(ctx context.Context, u user.User, idem *user.Idempotency) error {
	return r.users.Delete(ctx, u.ID, u.Version, idem)
}

func (r *records) putSession(ctx context.Context, s session.Session, perUser int) error {
	return r.sessions.PutSession(ctx, s, perUser)
}

func (r *records) endSession(ctx context.Context, userID int64, d session.Digest, idem *user.Idempotency) error {
	return r.sessions.EndSession(ctx, userID, d, idem)
}
