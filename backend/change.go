package backend

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"gatehouse/backend/session"
	"gatehouse/backend/user"
)

// create inserts a user. That nobody had the name may be remembered, so that
// the name is marked.
func (r *records) create(ctx context.Context, u user.User, credential []byte, idem *user.Idempotency) error {
	return r.change(ctx, u.ID, []string{nameKey(u.Username)}, func() error {
		return r.users.Create(ctx, u, credential, idem)
	})
}

// update applies a change of a user.
func (r *records) update(ctx context.Context, c user.Change) error {
	keys := []string{userKey(c.ID)}
	if c.EndSessions && c.KeepSession != (session.Digest{}) {
		keys = append(keys, sessionKey(c.ID, c.KeepSession)) // it is carried over to the new epoch
	}
	return r.change(ctx, c.ID, keys, func() error { return r.users.Update(ctx, c) })
}

// remove deletes a user. Their sessions end with the record that they need.
func (r *records) remove(ctx context.Context, u user.User, idem *user.Idempotency) error {
	return r.change(ctx, u.ID, []string{userKey(u.ID), nameKey(u.Username)}, func() error {
		return r.users.Delete(ctx, u.ID, u.Version, idem)
	})
}

// endSession removes a session.
func (r *records) endSession(ctx context.Context, userID int64, d session.Digest, idem *user.Idempotency) error {
	return r.change(ctx, userID, []string{sessionKey(userID, d)}, func() error {
		return r.sessions.EndSession(ctx, userID, d, idem)
	})
}

// putSession inserts a session, which needs no mark, since its absence was
// never remembered. Those that it displaced are known only afterwards; they
// are dropped before the new one is acknowledged.
func (r *records) putSession(ctx context.Context, s session.Session, perUser int) error {
	ended, err := r.sessions.PutSession(ctx, s, perUser)
	if err != nil || len(ended) == 0 || r.cache == nil {
		return err
	}
	keys := make([]string, len(ended))
	for i, d := range ended {
		keys[i] = sessionKey(s.UserID, d)
	}
	token := rand.Text()
	if err := r.mark(ctx, token, keys); err != nil {
		// The login stands. What it displaced goes when the cache is back.
		r.repairs.add(repair{keys: keys, tokens: []string{token}, remark: true})
		return nil
	}
	r.unmark(ctx, token, keys)
	return nil
}

// change marks keys, commits, and unmarks them before it returns. Without
// marks nothing is committed. Where the outcome of the commit is not known
// the marks stay, so that every reader asks the store, until a repair has
// made sure that it is over.
func (r *records) change(ctx context.Context, userID int64, keys []string, commit func() error) error {
	if r.cache == nil {
		return commit()
	}
	token := rand.Text()
	if err := r.mark(ctx, token, keys); err != nil {
		r.repairs.add(repair{keys: keys, tokens: []string{token}}) // some may have been set
		return fmt.Errorf("%w: %w", user.ErrUnavailable, err)
	}
	err := commit()
	if errors.Is(err, user.ErrUnknownOutcome) {
		r.repairs.add(repair{fence: userID, keys: keys, tokens: []string{token}})
		return err
	}
	r.unmark(ctx, token, keys)
	return err
}

// mark sets the marks, trying twice: a mark that is set already is set.
func (r *records) mark(ctx context.Context, token string, keys []string) error {
	start := time.Now()
	defer func() { r.observe.stage(ctx, stageCacheMark, start) }()
	for try := 1; ; try++ {
		err := r.within(ctx, cacheMarkTimeout, func(ctx context.Context) error { return r.cache.Mark(ctx, token, keys...) })
		if err == nil || try == 2 || ctx.Err() != nil {
			return err
		}
	}
}

// unmark takes the marks away on a context of its own: a client that went
// away must not leave them. One that stays protects the record all the same,
// and is taken away later.
func (r *records) unmark(ctx context.Context, token string, keys []string) {
	start := time.Now()
	defer func() { r.observe.stage(ctx, stageCacheUnmark, start) }()
	var lost bool
	err := r.within(context.WithoutCancel(ctx), cacheUnmarkTimeout, func(ctx context.Context) (err error) {
		lost, err = r.cache.Unmark(ctx, token, keys...)
		return err
	})
	if err != nil {
		r.repairs.add(repair{keys: keys, tokens: []string{token}})
	}
	if lost {
		r.observe.markLost()
	}
}

func (r *records) within(ctx context.Context, limit time.Duration, do func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return do(ctx)
}
