package backend

import (
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"sync"
	"time"

	"gatehouse/backend/cache"
	"gatehouse/backend/user"
)

const (
	// repairEvery is how often what is due is tried.
	repairEvery = 5 * time.Second
	// orphanAge is how old a mark must be to be taken for one that its writer
	// left behind. Writers need milliseconds.
	orphanAge = 30 * time.Second
	// maxRepairs bounds what waits. What finds no room is found again by the
	// readers that meet it.
	maxRepairs    = 10_000
	repairTimeout = 5 * time.Second
)

// repair is a set of marks to be taken away.
type repair struct {
	epoch        int64 // of the cache; in another one the marks mean nothing
	keys, tokens []string
	// fence is the user whose record must be held once before, so that a
	// commit which may still be under way is over. Zero means none.
	fence int64
	// remark sets the marks first, to drop what is remembered.
	remark bool
}

// repairs takes away marks that were left behind: by this process when it
// could not reach the cache or does not know how a commit ended, and by
// others that stopped, when a reader met them.
type repairs struct {
	records *records
	log     *slog.Logger

	mu      sync.Mutex // guards waiting and met
	waiting []repair
	met     map[string]bool // keys of marks that readers met, once each
}

func (r *repairs) add(one repair) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.waiting) < maxRepairs {
		r.waiting = append(r.waiting, one)
	}
}

// found notes a mark that a reader met, if it is old enough.
func (r *repairs) found(epoch int64, key string, e cache.Entry) {
	if time.Since(e.Oldest) < orphanAge {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.met[key] || len(r.waiting) >= maxRepairs {
		return
	}
	if r.met == nil {
		r.met = map[string]bool{}
	}
	r.met[key] = true
	r.waiting = append(r.waiting, repair{epoch: epoch, keys: []string{key}, tokens: e.Marks, fence: userOfKey(key)})
}

// run repairs until ctx ends.
func (r *repairs) run(ctx context.Context) {
	tick := time.NewTicker(repairEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			r.all(ctx)
		}
	}
}

// all tries everything that waits; what fails waits on.
func (r *repairs) all(ctx context.Context) {
	r.mu.Lock()
	due := r.waiting
	r.waiting, r.met = nil, nil
	r.mu.Unlock()
	for i, one := range due {
		if err := r.one(ctx, one); err != nil {
			r.log.Warn("marks in the cache not taken away yet", "waiting", len(due)-i, "error", err)
			for _, rest := range due[i:] {
				r.add(rest)
			}
			return
		}
	}
	if len(due) > 0 {
		r.log.Info("marks that were left in the cache are taken away", "changes", len(due))
	}
}

// one repairs one set of marks. The order is what makes it safe: after the
// fence no transaction that began before can still commit, so that the
// marks protect nothing.
func (r *repairs) one(ctx context.Context, one repair) error {
	view := r.records.cache.View()
	switch {
	case view.Mode == cache.Turning, view.Mode == cache.Lost:
		return errTurning
	case view.Mode == cache.Off, view.Epoch != one.epoch:
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, repairTimeout)
	defer cancel()
	if view.Guarded {
		ctx = user.WithGuard(ctx, user.Guard{Epoch: view.Epoch, Used: true})
	}
	if one.fence != 0 {
		// The fence is a change itself, and is marked as one: the marks that
		// are to go may be gone by now, and a reader may be about to fill.
		own := rand.Text()
		if err := view.Cache.Mark(ctx, own, one.keys...); err != nil {
			return err
		}
		defer r.records.unmark(ctx, view, own, one.keys)
		if err := r.records.users.Fence(ctx, one.fence); err != nil && !errors.Is(err, user.ErrNotFound) {
			return err
		}
	}
	for _, token := range one.tokens {
		if one.remark {
			if err := view.Cache.Mark(ctx, token, one.keys...); err != nil {
				return err
			}
		}
		if _, err := view.Cache.Unmark(ctx, token, one.keys...); err != nil {
			return err
		}
	}
	return nil
}

// breaker keeps reads from waiting for a cache that does not answer: after a
// few failures in a row it is left alone for a moment. Reads are right
// without it; changes never ask the breaker.
type breaker struct {
	mu       sync.Mutex // guards the fields below
	failures int
	until    time.Time
}

const (
	breakerFailures = 5
	breakerPause    = 500 * time.Millisecond
)

func (b *breaker) allows() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return !time.Now().Before(b.until)
}

// note records how a question ended. A client that gave up says nothing
// about the cache.
func (b *breaker) note(err error) {
	if errors.Is(err, context.Canceled) {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err == nil {
		b.failures = 0
		return
	}
	if b.failures++; b.failures >= breakerFailures {
		b.until = time.Now().Add(breakerPause)
	}
}
