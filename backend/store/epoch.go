package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"gatehouse/backend/cache"
	"gatehouse/backend/user"
)

// Limits of what is kept of the cache.
const (
	maxNodes   = 4096 // bytes
	maxBackend = 32   // bytes
	// voteMicros is how long a vote counts, and voteKeptMicros how long it is kept.
	voteMicros     = 10_000_000
	voteKeptMicros = 60_000_000
)

var _ cache.EpochStore = (*Store)(nil)

// guard sees that the guard of the context, if it has one, holds, and that it
// holds until the transaction is over.
func (s *Store) guard(ctx context.Context, tx *sql.Tx) error {
	want, ok := user.GuardOf(ctx)
	if !ok {
		return nil
	}
	epoch, err := scanEpoch(tx.QueryRowContext(ctx, readEpoch+s.dialect.forShare))
	if err != nil {
		return fmt.Errorf("read the epoch of the cache: %w", err)
	}
	used := epoch.Enabled && len(epoch.Nodes) > 0
	unused := epoch.Drained || epoch.Enabled && len(epoch.Nodes) == 0
	if epoch.Number != want.Epoch || want.Used && !used || !want.Used && !unused {
		return refuse(user.ErrGuarded)
	}
	return nil
}

const readEpoch = "SELECT epoch, enabled, drained, nodes FROM cache_state WHERE id = 1"

func scanEpoch(row *sql.Row) (cache.Epoch, error) {
	var (
		epoch cache.Epoch
		nodes []byte
	)
	err := row.Scan(&epoch.Number, &epoch.Enabled, &epoch.Drained, &nodes)
	epoch.Nodes = strings.Fields(string(nodes))
	return epoch, err
}

// CacheEpoch implements cache.EpochStore.
func (s *Store) CacheEpoch(ctx context.Context) (cache.Epoch, error) {
	epoch, err := scanEpoch(s.watch.QueryRowContext(ctx, readEpoch))
	if err != nil {
		return cache.Epoch{}, fmt.Errorf("read the epoch of the cache: %w", unavailable(err))
	}
	return epoch, nil
}

// DisableCache implements cache.EpochStore.
func (s *Store) DisableCache(ctx context.Context, epoch int64) error {
	return s.moveCache(ctx, "disable the cache",
		"UPDATE cache_state SET epoch = epoch + 1, enabled = 0, drained = 0, nodes = ? WHERE id = 1 AND epoch = ? AND enabled = 1",
		[]byte{}, epoch)
}

// DrainCache implements cache.EpochStore.
func (s *Store) DrainCache(ctx context.Context, epoch int64) error {
	return s.moveCache(ctx, "note that the cache is drained",
		"UPDATE cache_state SET drained = 1 WHERE id = 1 AND epoch = ? AND enabled = 0 AND drained = 0", epoch)
}

// EnableCache implements cache.EpochStore.
func (s *Store) EnableCache(ctx context.Context, epoch int64, nodes []string) error {
	text := strings.Join(nodes, " ")
	if err := fits("nodes of the cache", len(text), maxNodes); err != nil {
		return err
	}
	return s.moveCache(ctx, "enable the cache",
		"UPDATE cache_state SET enabled = 1, drained = 0, nodes = ? WHERE id = 1 AND epoch = ? AND (enabled = 0 AND drained = 1 OR enabled = 1 AND nodes = ?)",
		[]byte(text), epoch, []byte{})
}

func (s *Store) moveCache(ctx context.Context, what, query string, args ...any) error {
	err := s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		n, err := s.exec(ctx, tx, query, args...)
		if err == nil && n != 1 {
			return refuse(cache.ErrEpochMoved)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}

// VoteCache implements cache.EpochStore. The clock is the database's.
func (s *Store) VoteCache(ctx context.Context, backend string, away bool) (missing, all int, err error) {
	err = fits("name of a backend", len(backend), maxBackend)
	if err == nil {
		err = s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
			missing, all, err = s.vote(ctx, tx, []byte(backend), away)
			return err
		})
	}
	if err != nil {
		return 0, 0, fmt.Errorf("vote on the cache: %w", err)
	}
	return missing, all, nil
}

func (s *Store) vote(ctx context.Context, tx *sql.Tx, backend []byte, away bool) (missing, all int, err error) {
	now := s.dialect.micros
	if _, err := s.exec(ctx, tx, "DELETE FROM cache_votes WHERE backend = ? OR seen_at < "+now+" - ?", backend, voteKeptMicros); err != nil {
		return 0, 0, err
	}
	if err := s.insert(ctx, tx, "INSERT INTO cache_votes (backend, away, seen_at) VALUES (?, ?, "+now+")", backend, away); err != nil {
		return 0, 0, err
	}
	err = tx.QueryRowContext(ctx, "SELECT COALESCE(SUM(away), 0), COUNT(*) FROM cache_votes WHERE seen_at > "+now+" - ?", voteMicros).
		Scan(&missing, &all)
	return missing, all, err
}
