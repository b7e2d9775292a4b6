package backend

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"gatehouse/backend/cache"
	"gatehouse/backend/session"
	"gatehouse/backend/user"
)

// create inserts a user. That nobody had the name may be remembered, so that
// the name is marked.
func (r *records) create(ctx context.Context, u user.User, credential []byte, idem *user.Idempotency) error {
	touched := func(k keys) []string { return []string{k.name(u.Username)} }
	return r.change(ctx, u.ID, touched, func(ctx context.Context) error {
		return r.users.Create(ctx, u, credential, idem)
	})
}

// update applies a change of a user.
func (r *records) update(ctx context.Context, c user.Change) error {
	touched := func(k keys) []string {
		if c.EndSessions && c.KeepSession != (session.Digest{}) {
			return []string{k.user(c.ID), k.session(c.ID, c.KeepSession)} // it is carried over to the new epoch
		}
		return []string{k.user(c.ID)}
	}
	return r.change(ctx, c.ID, touched, func(ctx context.Context) error { return r.users.Update(ctx, c) })
}

// remove deletes a user. Their sessions end with the record that they need.
func (r *records) remove(ctx context.Context, u user.User, idem *user.Idempotency) error {
	touched := func(k keys) []string { return []string{k.user(u.ID), k.name(u.Username)} }
	return r.change(ctx, u.ID, touched, func(ctx context.Context) error {
		return r.users.Delete(ctx, u.ID, u.Version, idem)
	})
}

// endSession removes a session.
func (r *records) endSession(ctx context.Context, userID int64, d session.Digest, idem *user.Idempotency) error {
	touched := func(k keys) []string { return []string{k.session(userID, d)} }
	return r.change(ctx, userID, touched, func(ctx context.Context) error {
		return r.sessions.EndSession(ctx, userID, d, idem)
	})
}

// putSession inserts a session, which needs no mark, since its absence was
// never remembered. Those that it displaced are known only afterwards; they
// are dropped before the new one is acknowledged.
func (r *records) putSession(ctx context.Context, s session.Session, perUser int) error {
	ended, err := r.sessions.PutSession(ctx, s, perUser)
	view := r.cache.View()
	if err != nil || len(ended) == 0 || view.Mode == cache.Off {
		return err
	}
	touched := make([]string, len(ended))
	for i, d := range ended {
		touched[i] = keys(view.Epoch).session(s.UserID, d)
	}
	token := rand.Text()
	if view.Mode != cache.On || r.mark(ctx, view, token, touched) != nil {
		// The login stands. What it displaced goes when the cache is back.
		r.repairs.add(repair{epoch: view.Epoch, keys: touched, tokens: []string{token}, remark: true})
		return nil
	}
	r.unmark(ctx, view, token, touched)
	return nil
}

// errTurning means that for a moment it is not known whether others use the
// cache, so that nothing may be changed.
var errTurning = errors.New("the cache is being turned on or off")

// change marks what is touched, commits, and unmarks it before it returns.
// Without marks nothing is committed, unless nobody uses the cache; which of
// the two it is, the transaction itself looks at. Where the outcome of the
// commit is not known the marks stay, so that every reader asks the store,
// until a repair has made sure that it is over.
func (r *records) change(ctx context.Context, userID int64, touched func(keys) []string, commit func(context.Context) error) error {
	view := r.cache.View()
	if view.Guarded {
		ctx = user.WithGuard(ctx, user.Guard{Epoch: view.Epoch, Used: view.Mode == cache.On})
	}
	switch view.Mode {
	case cache.Off:
		return commit(ctx)
	case cache.Turning, cache.Lost:
		return fmt.Errorf("%w: %w", user.ErrUnavailable, errTurning)
	}
	token, marked := rand.Text(), touched(keys(view.Epoch))
	if err := r.mark(ctx, view, token, marked); err != nil {
		r.repairs.add(repair{epoch: view.Epoch, keys: marked, tokens: []string{token}}) // some may have been set
		return fmt.Errorf("%w: %w", user.ErrUnavailable, err)
	}
	err := commit(ctx)
	if errors.Is(err, user.ErrUnknownOutcome) {
		r.repairs.add(repair{epoch: view.Epoch, fence: userID, keys: marked, tokens: []string{token}})
		return err
	}
	r.unmark(ctx, view, token, marked)
	return err
}

// mark sets the marks, trying twice: a mark that is set already is set.
func (r *records) mark(ctx context.Context, view cache.View, token string, marked []string) error {
	start := time.Now()
	defer func() { r.observe.stage(ctx, stageCacheMark, start) }()
	for try := 1; ; try++ {
		err := r.within(ctx, cacheMarkTimeout, func(ctx context.Context) error { return view.Cache.Mark(ctx, token, marked...) })
		switch {
		case err == nil:
			r.cache.Marked()
			return nil
		case ctx.Err() != nil:
			return err // that the caller left says nothing of the cache
		case try == 2:
			r.cache.MarkFailed()
			return err
		}
	}
}

// unmark takes the marks away on a context of its own: a client that went
// away must not leave them. One that stays protects the record all the same,
// and is taken away later.
func (r *records) unmark(ctx context.Context, view cache.View, token string, marked []string) {
	start := time.Now()
	defer func() { r.observe.stage(ctx, stageCacheUnmark, start) }()
	var lost bool
	err := r.within(context.WithoutCancel(ctx), cacheUnmarkTimeout, func(ctx context.Context) (err error) {
		lost, err = view.Cache.Unmark(ctx, token, marked...)
		return err
	})
	if err != nil {
		r.repairs.add(repair{epoch: view.Epoch, keys: marked, tokens: []string{token}})
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
