package backend_test

import (
	"context"
	"sync"
	"time"

	"gatehouse/backend/session"
	"gatehouse/backend/store"
	"gatehouse/backend/user"
)

// meddled is a real store that a test can put itself in front of: to make a
// method fail, before or after it did its work, or to let something else
// happen at just that moment.
type meddled struct {
	*store.Store

	mu       sync.Mutex // guards the fields below
	meddlers map[string]meddler
	kept     []user.Idempotency // all that were to be recorded
}

// meddler stands in for a method. real is what the method would have done.
type meddler func(real func() error) error

// always lets f stand in for a method; nil takes it away again.
func (m *meddled) always(method string, f meddler) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.meddlers == nil {
		m.meddlers = map[string]meddler{}
	}
	m.meddlers[method] = f
}

// next lets f stand in for the next call of a method alone. It is gone when
// f runs, so that f may make calls that meet the method too.
func (m *meddled) next(method string, f meddler) {
	m.always(method, func(real func() error) error {
		m.always(method, nil)
		return f(real)
	})
}

// before lets f happen before the next call of a method.
func (m *meddled) before(method string, f func()) {
	m.next(method, func(real func() error) error {
		f()
		return real()
	})
}

func (m *meddled) run(method string, real func() error) error {
	m.mu.Lock()
	f := m.meddlers[method]
	m.mu.Unlock()
	if f == nil {
		return real()
	}
	return f(real)
}

func (m *meddled) keep(idem *user.Idempotency) {
	if idem == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept = append(m.kept, *idem)
}

func (m *meddled) Create(ctx context.Context, u user.User, credential []byte, idem *user.Idempotency) error {
	m.keep(idem)
	return m.run("Create", func() error { return m.Store.Create(ctx, u, credential, idem) })
}

func (m *meddled) Update(ctx context.Context, c user.Change) error {
	m.keep(c.Idempotency)
	return m.run("Update", func() error { return m.Store.Update(ctx, c) })
}

func (m *meddled) Fence(ctx context.Context, id int64) error {
	return m.run("Fence", func() error { return m.Store.Fence(ctx, id) })
}

func (m *meddled) Delete(ctx context.Context, id, version int64, idem *user.Idempotency) error {
	m.keep(idem)
	return m.run("Delete", func() error { return m.Store.Delete(ctx, id, version, idem) })
}

func (m *meddled) EndSession(ctx context.Context, userID int64, d session.Digest, idem *user.Idempotency) error {
	m.keep(idem)
	return m.run("EndSession", func() error { return m.Store.EndSession(ctx, userID, d, idem) })
}

func (m *meddled) PutSession(ctx context.Context, s session.Session, perUser int) (ended []session.Digest, err error) {
	err = m.run("PutSession", func() (err error) {
		ended, err = m.Store.PutSession(ctx, s, perUser)
		return err
	})
	return ended, err
}

func (m *meddled) Seen(ctx context.Context, seen []session.Seen) error {
	return m.run("Seen", func() error { return m.Store.Seen(ctx, seen) })
}

func (m *meddled) ByID(ctx context.Context, id int64) (u user.User, err error) {
	err = m.run("ByID", func() (err error) { u, err = m.Store.ByID(ctx, id); return err })
	return u, err
}

func (m *meddled) ByName(ctx context.Context, name string) (u user.User, err error) {
	err = m.run("ByName", func() (err error) { u, err = m.Store.ByName(ctx, name); return err })
	return u, err
}

func (m *meddled) CredentialByID(ctx context.Context, id int64) (u user.User, credential []byte, err error) {
	err = m.run("CredentialByID", func() (err error) { u, credential, err = m.Store.CredentialByID(ctx, id); return err })
	return u, credential, err
}

func (m *meddled) CredentialByName(ctx context.Context, name string) (u user.User, credential []byte, err error) {
	err = m.run("CredentialByName", func() (err error) { u, credential, err = m.Store.CredentialByName(ctx, name); return err })
	return u, credential, err
}

func (m *meddled) PicturesInUse(ctx context.Context, keys []string) (used []string, err error) {
	err = m.run("PicturesInUse", func() (err error) { used, err = m.Store.PicturesInUse(ctx, keys); return err })
	return used, err
}

func (m *meddled) Replay(ctx context.Context, key [32]byte) (idem user.Idempotency, err error) {
	err = m.run("Replay", func() (err error) { idem, err = m.Store.Replay(ctx, key); return err })
	return idem, err
}

func (m *meddled) Session(ctx context.Context, userID int64, d session.Digest) (u user.User, one session.Session, err error) {
	err = m.run("Session", func() (err error) { u, one, err = m.Store.Session(ctx, userID, d); return err })
	return u, one, err
}

func (m *meddled) Sessions(ctx context.Context, userID int64, limit int) (all []session.Session, err error) {
	err = m.run("Sessions", func() (err error) { all, err = m.Store.Sessions(ctx, userID, limit); return err })
	return all, err
}

func (m *meddled) SweepSessions(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = m.run("SweepSessions", func() (err error) { n, err = m.Store.SweepSessions(ctx, before, limit); return err })
	return n, err
}

func (m *meddled) SweepIdempotency(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = m.run("SweepIdempotency", func() (err error) { n, err = m.Store.SweepIdempotency(ctx, before, limit); return err })
	return n, err
}
