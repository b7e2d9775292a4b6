package backend

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"

	"golang.org/x/time/rate"

	"gatehouse/backend/cache"
	"gatehouse/backend/user"
)

// recent are the users read lately, of whom the auditor takes its samples:
// those are the ones that the cache holds. An older one is overwritten.
type recent struct {
	ids  [1024]atomic.Int64
	next atomic.Uint64
}

func (r *recent) note(id int64) { r.ids[r.next.Add(1)%uint64(len(r.ids))].Store(id) }

func (r *recent) sample() int64 { return r.ids[rand.N(len(r.ids))].Load() }

// audit compares, so many times a second, what the cache says with what the
// database says, until ctx ends.
func (b *Backend) audit(ctx context.Context, perSecond float64) {
	limit := rate.NewLimiter(rate.Limit(perSecond), 1)
	for limit.Wait(ctx) == nil {
		if id := b.records.recent.sample(); id != 0 {
			b.auditUser(ctx, id)
		}
	}
}

// auditUser reads a user from the database first and from the cache after.
// A change marks the cache before it commits, so that whatever the database
// showed, the cache can only show the same or something newer: anything older
// is a violation, without a window in which it would be forgiven.
func (b *Backend) auditUser(ctx context.Context, id int64) {
	view := b.records.cache.View()
	if view.Mode != cache.On {
		return
	}
	stored, err := b.records.users.ByID(ctx, id)
	if err != nil && !errors.Is(err, user.ErrNotFound) {
		return
	}
	within, cancel := context.WithTimeout(ctx, cacheReadTimeout)
	defer cancel()
	entries, cacheErr := view.Cache.Get(within, keys(view.Epoch).user(id))
	if now := b.records.cache.View(); cacheErr != nil || now.Mode != cache.On || now.Epoch != view.Epoch {
		return
	}
	var cached user.User
	if entries[0].State != cache.Hit || !decodeUser(entries[0].Value, &cached) {
		return
	}
	violated := err != nil || cached.ID != id || cached.Version < stored.Version
	if violated {
		b.log.Error("the cache shows what is older than the database", "user", id, "cached", cached.Version, "stored", stored.Version)
	}
	b.observe.audited(violated)
}
