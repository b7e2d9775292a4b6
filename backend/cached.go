package backend

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/backend/cache"
	"gatehouse/backend/session"
	"gatehouse/backend/user"
)

// Bounds of what is asked of the cache. It is there to save time: what it
// does not say quickly is not waited for.
const (
	cacheReadTimeout   = 50 * time.Millisecond
	cacheMarkTimeout   = 100 * time.Millisecond
	cacheUnmarkTimeout = 100 * time.Millisecond
	// recordTTL is how long a record is remembered. Records are right without
	// it; it bounds what a defect could do. absentTTL is how long it is
	// remembered that there is no user of a name.
	recordTTL = 10 * time.Minute
	absentTTL = 10 * time.Second
)

// busyWaits is how long a reader waits for another one to fill, before it
// goes to the database itself.
var busyWaits = []time.Duration{5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond}

// records are the user and session records as handlers see them. Every
// handler reads and changes them here and nowhere else, so that this is the
// one place where a cache stands between handlers and stores. Reads use it
// as package cache describes, and do without it where it is away; changes
// mark what they change before they commit, and unmark it before they are
// acknowledged. Credentials are not among the records: they are read from the
// store alone.
type records struct {
	users    user.Store
	sessions session.Store
	cache    cache.Views
	breaker  breaker
	flights  flights
	recent   recent
	repairs  repairs
	observe  observer
}

// errNoSession means that there is no such session, or no such user.
var errNoSession = errors.New("no such session")

// session returns the session of this digest with its user, in one round
// trip to the cache and one to the store where the cache lacks the session. Whether the session is live is not looked
// at. That a session is absent is never remembered.
func (r *records) session(ctx context.Context, userID int64, d session.Digest) (user.User, session.Session, error) {
	var s session.Session
	var u user.User
	both := false // a session that is read brings its user
	readSession := lookup{
		record: "session",
		key:    func(k keys) string { return k.session(userID, d) },
		decode: func(b []byte) bool { return decodeSession(b, &s) && s.UserID == userID && s.Digest == d },
		read: func(ctx context.Context) (value []byte, err error) {
			u, s, err = r.sessions.Session(ctx, userID, d)
			if errors.Is(err, session.ErrNotFound) {
				return nil, errNoSession
			}
			if err != nil {
				return nil, fmt.Errorf("read session of user %d: %w", userID, err)
			}
			both = true
			return encodeSession(s), nil
		},
	}
	readUser := lookup{
		record: "user",
		key:    func(k keys) string { return k.user(userID) },
		decode: func(b []byte) bool { return decodeUser(b, &u) && u.ID == userID },
		read: func(ctx context.Context) (value []byte, err error) {
			if both {
				return encodeUser(u), nil
			}
			u, err = r.users.ByID(ctx, userID)
			if errors.Is(err, user.ErrNotFound) {
				return nil, errNoSession
			}
			if err != nil {
				return nil, fmt.Errorf("read user %d: %w", userID, err)
			}
			return encodeUser(u), nil
		},
	}
	err := r.look(ctx, &readSession, &readUser)
	if err == nil {
		r.recent.note(userID)
	}
	return u, s, err
}

// byName returns a user by folded username, or user.ErrNotFound. The name
// leads to an id, which never changes hands while the name exists, and the id
// to the record.
func (r *records) byName(ctx context.Context, username string) (user.User, error) {
	var id int64
	var u user.User
	name := lookup{
		record: "name",
		key:    func(k keys) string { return k.name(username) },
		decode: func(b []byte) bool {
			return decodeName(b, username, &id)
		},
		absent: user.ErrNotFound,
		read: func(ctx context.Context) (value []byte, err error) {
			if u, err = r.users.ByName(ctx, username); err != nil {
				return nil, err
			}
			id = u.ID
			return encodeName(username, id), nil
		},
	}
	if err := r.look(ctx, &name); err != nil {
		return user.User{}, err
	}
	if u.ID != 0 { // read just now
		return u, nil
	}
	record := lookup{
		record: "user",
		key:    func(k keys) string { return k.user(id) },
		decode: func(b []byte) bool { return decodeUser(b, &u) && u.ID == id && u.Username == username },
		read: func(ctx context.Context) (value []byte, err error) {
			if u, err = r.users.ByID(ctx, id); err != nil {
				return nil, err
			}
			return encodeUser(u), nil
		},
	}
	if err := r.look(ctx, &record); err != nil {
		return user.User{}, err
	}
	return u, nil
}
