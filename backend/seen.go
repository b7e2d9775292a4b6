package backend

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gatehouse/backend/session"
)

const (
	// seenEvery is how far the kept time may lag behind: a session is
	// written at most once in this time, however busy it is. Where sessions
	// end sooner, it is a quarter of that.
	seenEvery = time.Minute
	// seenFlush is how often what gathered is written.
	seenFlush = 5 * time.Second
	// maxSeen bounds what gathers. A session that finds no room is noted at
	// its next use.
	maxSeen = 50_000
	// seenBatch is how many are written in one transaction.
	seenBatch = 500
	// seenTimeout bounds one such transaction.
	seenTimeout = 5 * time.Second
)

// seen gathers when sessions were last used and writes it behind, so that a
// read never waits for a write. What is lost with the process is at most
// seenFlush old, and makes a session end early by no more than seenEvery.
type seen struct {
	store session.Store
	log   *slog.Logger
	every time.Duration

	mu      sync.Mutex // guards the fields below
	pending map[seenKey]time.Time
	// noted is when each session was last noted by this process, written or
	// not: what a cache remembers of a session tells an older time.
	noted map[seenKey]time.Time
}

type seenKey struct {
	userID int64
	digest session.Digest
}

func newSeen(store session.Store, idle time.Duration, log *slog.Logger) *seen {
	return &seen{store: store, log: log, every: min(seenEvery, idle/4), pending: map[seenKey]time.Time{}, noted: map[seenKey]time.Time{}}
}

// note records that s was used now, if that is news.
func (n *seen) note(s session.Session, now time.Time) {
	if now.Sub(s.LastSeenAt) < n.every {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	key := seenKey{s.UserID, s.Digest}
	if at, ok := n.noted[key]; ok && now.Sub(at) < n.every || len(n.pending) >= maxSeen {
		return
	}
	if len(n.noted) >= maxSeen {
		clear(n.noted)
	}
	n.pending[key], n.noted[key] = now, now
}

// latest returns when s was last seen, as far as this process knows.
func (n *seen) latest(s session.Session) time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	if at, ok := n.noted[seenKey{s.UserID, s.Digest}]; ok && at.After(s.LastSeenAt) {
		return at
	}
	return s.LastSeenAt
}

// run writes what gathered until ctx ends, and then a last time.
func (n *seen) run(ctx context.Context) {
	tick := time.NewTicker(seenFlush)
	defer tick.Stop()
	own := context.WithoutCancel(ctx) // what was begun is written although ctx ends meanwhile
	for {
		select {
		case <-tick.C:
			n.flush(own)
		case <-ctx.Done():
			n.flush(own)
			return
		}
	}
}

// flush writes all that gathered. What could not be written is dropped: the
// sessions' next use notes them again.
func (n *seen) flush(ctx context.Context) {
	batch := n.take()
	for len(batch) > 0 {
		part := batch[:min(seenBatch, len(batch))]
		batch = batch[len(part):]
		ctx, cancel := context.WithTimeout(ctx, seenTimeout)
		err := n.store.Seen(ctx, part)
		cancel()
		if err != nil {
			n.log.Warn("times of last use not written", "sessions", len(part)+len(batch), "error", err)
			n.forget(part)
			n.forget(batch)
			return
		}
	}
}

// forget lets the next use of sessions be noted again.
func (n *seen) forget(lost []session.Seen) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, s := range lost {
		delete(n.noted, seenKey{s.UserID, s.Digest})
	}
}

func (n *seen) take() []session.Seen {
	n.mu.Lock()
	defer n.mu.Unlock()
	batch := make([]session.Seen, 0, len(n.pending))
	for key, at := range n.pending {
		batch = append(batch, session.Seen{UserID: key.userID, Digest: key.digest, At: at})
	}
	clear(n.pending)
	return batch
}
