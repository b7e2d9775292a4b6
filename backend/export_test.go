package backend

import (
	"context"
	"log/slog"
	"time"

	"gatehouse/backend/session"
)

// Gather notes that these sessions were used now, and writes it. It is for
// more sessions than a test has time to make calls with.
func Gather(store session.Store, sessions []session.Session, now time.Time) {
	n := newSeen(store, DefaultIdle, slog.New(slog.DiscardHandler))
	for _, s := range sessions {
		n.note(s, now)
	}
	n.flush(context.Background())
}

// UserKey is the key of a user in the cache.
func UserKey(id int64) string { return keys(1).user(id) }

// Repair takes away the marks that were met so far.
func (b *Backend) Repair(ctx context.Context) { b.records.repairs.all(ctx) }

// Repairs is how many repairs wait.
func (b *Backend) Repairs() int {
	b.records.repairs.mu.Lock()
	defer b.records.repairs.mu.Unlock()
	return len(b.records.repairs.waiting)
}
