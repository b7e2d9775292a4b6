package cache

import (
	"context"
	"errors"
)

// Epoch is what the database says of the cache, one and the same to all
// backends. Each epoch is a keyspace of its own: what was remembered in one
// is never seen in another.
type Epoch struct {
	// Number only grows.
	Number int64
	// Enabled means that the cache is used in this epoch.
	Enabled bool
	// Drained means, of a cache that is not enabled, that no backend uses an
	// earlier epoch any more.
	Drained bool
	// Nodes are the servers whose memory is trusted in this epoch, as
	// Redis.Node tells them. None means that the epoch has no server yet.
	Nodes []string
}

// ErrEpochMoved means that the epoch is not the one that a change was meant
// for; nothing was changed.
var ErrEpochMoved = errors.New("the epoch of the cache moved on")

// EpochStore keeps the Epoch. Each method is one transaction of the database.
type EpochStore interface {
	CacheEpoch(ctx context.Context) (Epoch, error)
	// DisableCache begins the epoch after this one, which must be enabled,
	// with a cache that is not used. It waits for the transactions that hold
	// the epoch fast, and those that come later see the new one.
	DisableCache(ctx context.Context, epoch int64) error
	// DrainCache notes that nobody uses an epoch before this one.
	DrainCache(ctx context.Context, epoch int64) error
	// EnableCache has a drained epoch, or one that has no nodes yet, use the
	// cache on these nodes.
	EnableCache(ctx context.Context, epoch int64, nodes []string) error
	// VoteCache notes whether a backend misses the cache and returns how
	// many of the backends that voted in the last ten seconds do, and how
	// many there are.
	VoteCache(ctx context.Context, backend string, away bool) (missing, all int, err error)
}
