package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatehouse/backend/user"
)

// maxReply bounds the answers that are kept, in bytes.
const maxReply = 64 << 10

func checkIdempotency(idem *user.Idempotency) error {
	if idem == nil {
		return nil
	}
	return fits("reply", len(idem.Reply), maxReply)
}

// record notes that a write was done. It comes first in a transaction: of two
// that are the same request, the second waits here for the first, and then
// finds it done instead of in its own way.
func (s *Store) record(ctx context.Context, tx *sql.Tx, idem *user.Idempotency) error {
	if idem == nil {
		return nil
	}
	reply := idem.Reply
	if reply == nil {
		reply = []byte{} // nil would be NULL
	}
	err := s.insert(ctx, tx, "INSERT INTO idempotency (idem_key, user_id, session, request, reply, created_at) VALUES (?, ?, ?, ?, ?, ?)",
		idem.Key[:], idem.UserID, idem.Session[:], idem.Request[:], reply, micros(idem.CreatedAt))
	if errors.Is(err, errDuplicate) {
		return refuse(user.ErrReplayed)
	}
	return err
}

// Replay implements user.Store.
func (s *Store) Replay(ctx context.Context, key [32]byte) (user.Idempotency, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var (
		session, request []byte
		createdAt        int64
	)
	idem := user.Idempotency{Key: key}
	err := s.read.QueryRowContext(ctx, "SELECT user_id, session, request, reply, created_at FROM idempotency WHERE idem_key = ?", key[:]).
		Scan(&idem.UserID, &session, &request, &idem.Reply, &createdAt)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return user.Idempotency{}, fmt.Errorf("read idempotency record: %w", user.ErrNotFound)
	case err != nil:
		return user.Idempotency{}, fmt.Errorf("read idempotency record: %w", unavailable(err))
	}
	copy(idem.Session[:], session)
	copy(idem.Request[:], request)
	idem.CreatedAt = fromMicros(createdAt)
	return idem, nil
}

// forgetIdempotency removes a user's records but the one of the deletion
// itself, which its repetition is to find.
func (s *Store) forgetIdempotency(ctx context.Context, tx *sql.Tx, userID int64, keep *user.Idempotency) error {
	// No user has more than a few in a day. Where one has, the sweep takes
	// the rest within that day.
	const most = 10 * perDelete
	own := []byte{}
	if keep != nil {
		own = keep.Key[:]
	}
	rows, err := tx.QueryContext(ctx, "SELECT idem_key FROM idempotency WHERE user_id = ? AND idem_key <> ? LIMIT ?", userID, own, most)
	if err != nil {
		return err
	}
	keys, err := idempotencyKeys(rows)
	if err != nil {
		return err
	}
	return s.deleteKeys(ctx, tx, "idempotency", []string{"idem_key"}, keys)
}

func idempotencyKeys(rows *sql.Rows) ([][]any, error) {
	defer rows.Close()
	var keys [][]any
	for rows.Next() {
		var key []byte
		if err := rows.Scan(&key); err != nil {
			return nil, err
		}
		keys = append(keys, []any{key})
	}
	return keys, rows.Err()
}

// SweepIdempotency implements user.Store.
func (s *Store) SweepIdempotency(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := s.sweep(ctx, "idempotency", []string{"idem_key"}, func(ctx context.Context, tx *sql.Tx, limit int) ([][]any, error) {
		rows, err := tx.QueryContext(ctx,
			"SELECT idem_key FROM idempotency WHERE created_at < ? ORDER BY created_at LIMIT ?", micros(before), limit)
		if err != nil {
			return nil, err
		}
		return idempotencyKeys(rows)
	}, limit)
	if err != nil {
		return 0, fmt.Errorf("sweep idempotency records: %w", err)
	}
	return n, nil
}
