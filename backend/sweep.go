package backend

import (
	"context"
	"time"
)

const (
	// sweepEvery is the pause between two sweeps when nothing is left to do.
	sweepEvery = 10 * time.Minute
	// sweepBatch is how many rows one transaction removes, sweepPause the
	// pause after a full one, so that sweeping never holds up the rest.
	sweepBatch   = 500
	sweepPause   = 100 * time.Millisecond
	sweepTimeout = 10 * time.Second
	// idempotencyLifetime is how long a key is remembered.
	idempotencyLifetime = 24 * time.Hour
)

// sweep removes expired sessions and idempotency records until ctx ends.
func (b *Backend) sweep(ctx context.Context) {
	timer := time.NewTimer(sweepPause)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		sessions := b.sweepOne(ctx, "sessions", b.cfg.Sessions.SweepSessions, b.now())
		keys := b.sweepOne(ctx, "idempotency records", b.cfg.Users.SweepIdempotency, b.now().Add(-idempotencyLifetime))
		if sessions == sweepBatch || keys == sweepBatch {
			timer.Reset(sweepPause)
		} else {
			timer.Reset(sweepEvery)
		}
	}
}

func (b *Backend) sweepOne(ctx context.Context, what string, sweep func(context.Context, time.Time, int) (int, error), before time.Time) int {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	n, err := sweep(ctx, before, sweepBatch)
	if err != nil && ctx.Err() == nil {
		b.log.Warn("sweep failed", "of", what, "error", err)
	}
	return n
}
