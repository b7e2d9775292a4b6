package store

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gatehouse/backend/session"
	"gatehouse/backend/user"
)

const (
	sessionColumns = "user_id, digest, auth_epoch, created_at, last_seen_at, expires_at, ip, user_agent"
	// maxEvicted bounds how many sessions one login removes, for the case
	// that the number allowed was lowered by much.
	maxEvicted = 200
	// seenPerTx bounds the transactions of Seen.
	seenPerTx = 100
)

// PutSession implements session.Store. It returns user.ErrNotFound where the
// user is gone.
func (s *Store) PutSession(ctx context.Context, put session.Session, perUser int) (ended []session.Digest, err error) {
	err = errors.Join(fits("address", len(put.IP), session.MaxIP), fits("user agent", len(put.UserAgent), session.MaxUserAgent))
	if err == nil && perUser < 1 {
		err = fmt.Errorf("no room for any session of a user: %d", perUser)
	}
	if err == nil {
		err = s.change(ctx, func(ctx context.Context, tx *sql.Tx) (err error) {
			ended, err = s.putSession(ctx, tx, put, perUser)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("put session of user %d: %w", put.UserID, err)
	}
	return ended, nil
}

func (s *Store) putSession(ctx context.Context, tx *sql.Tx, put session.Session, perUser int) (ended []session.Digest, err error) {
	// The user's row is held, so that two logins of one user are counted one
	// after the other, and none outlives the user.
	err = tx.QueryRowContext(ctx, "SELECT id FROM users WHERE id = ?"+s.dialect.forUpdate, put.UserID).Scan(new(int64))
	if errors.Is(err, sql.ErrNoRows) {
		return nil, refuse(user.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	spare, err := beyond(ctx, tx, put.UserID, perUser-1)
	if err != nil {
		return nil, err
	}
	if err := s.deleteKeys(ctx, tx, "sessions", []string{"user_id", "digest"}, spare); err != nil {
		return nil, err
	}
	for _, key := range spare {
		ended = append(ended, session.Digest(key[1].([]byte)))
	}
	return ended, s.insert(ctx, tx, "INSERT INTO sessions ("+sessionColumns+") VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		put.UserID, put.Digest[:], put.AuthEpoch, micros(put.CreatedAt), micros(put.LastSeenAt), micros(put.ExpiresAt),
		[]byte(put.IP), []byte(put.UserAgent))
}

// beyond returns the keys of a user's sessions after the first so many, those
// seen last coming first.
func beyond(ctx context.Context, tx *sql.Tx, userID int64, first int) ([][]any, error) {
	rows, err := tx.QueryContext(ctx,
		"SELECT user_id, digest FROM sessions WHERE user_id = ? ORDER BY last_seen_at DESC, digest LIMIT ? OFFSET ?",
		userID, maxEvicted, first)
	if err != nil {
		return nil, err
	}
	return sessionKeys(rows)
}

func sessionKeys(rows *sql.Rows) ([][]any, error) {
	defer rows.Close()
	var keys [][]any
	for rows.Next() {
		var (
			userID int64
			digest []byte
		)
		if err := rows.Scan(&userID, &digest); err != nil {
			return nil, err
		}
		keys = append(keys, []any{userID, digest})
	}
	return keys, rows.Err()
}

// sessionWithUser reads both in one trip, each by its primary key.
var sessionWithUser = "SELECT " + columnsOf("s", sessionColumns) + ", " + columnsOf("u", userColumns) +
	" FROM sessions s JOIN users u ON u.id = s.user_id WHERE s.user_id = ? AND s.digest = ?"

func columnsOf(table, columns string) string {
	return table + "." + strings.ReplaceAll(columns, ", ", ", "+table+".")
}

// Session implements session.Store.
func (s *Store) Session(ctx context.Context, userID int64, d session.Digest) (user.User, session.Session, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var (
		u   userRow
		one sessionRow
	)
	err := s.read.QueryRowContext(ctx, sessionWithUser, userID, d[:]).Scan(append(one.fields(), u.fields()...)...)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		err = session.ErrNotFound
	case err != nil:
		err = unavailable(err)
	}
	if err != nil {
		return user.User{}, session.Session{}, fmt.Errorf("read session of user %d: %w", userID, err)
	}
	return u.user(), one.session(), nil
}

// Sessions implements session.Store. Those seen last come first.
func (s *Store) Sessions(ctx context.Context, userID int64, limit int) ([]session.Session, error) {
	found, err := s.readSessions(ctx, userID, limit)
	if err != nil {
		return nil, fmt.Errorf("read sessions of user %d: %w", userID, unavailable(err))
	}
	return found, nil
}

func (s *Store) readSessions(ctx context.Context, userID int64, limit int) (found []session.Session, err error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, err := s.read.QueryContext(ctx,
		"SELECT "+sessionColumns+" FROM sessions WHERE user_id = ? ORDER BY last_seen_at DESC, digest LIMIT ?", userID, max(limit, 0))
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	for rows.Next() {
		var one sessionRow
		if err := rows.Scan(one.fields()...); err != nil {
			return nil, err
		}
		found = append(found, one.session())
	}
	return found, rows.Err()
}

// sessionRow is sessionColumns as they are read.
type sessionRow struct {
	s                            session.Session
	digest, ip, agent            []byte
	created, lastSeen, expiresAt int64
}

func (r *sessionRow) fields() []any {
	return []any{&r.s.UserID, &r.digest, &r.s.AuthEpoch, &r.created, &r.lastSeen, &r.expiresAt, &r.ip, &r.agent}
}

func (r *sessionRow) session() session.Session {
	copy(r.s.Digest[:], r.digest)
	r.s.CreatedAt, r.s.LastSeenAt, r.s.ExpiresAt = fromMicros(r.created), fromMicros(r.lastSeen), fromMicros(r.expiresAt)
	r.s.IP, r.s.UserAgent = string(r.ip), string(r.agent)
	return r.s
}

// EndSession implements session.Store.
func (s *Store) EndSession(ctx context.Context, userID int64, d session.Digest, idem *user.Idempotency) error {
	err := checkIdempotency(idem)
	if err == nil {
		err = s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
			if err := s.record(ctx, tx, idem); err != nil {
				return err
			}
			n, err := s.exec(ctx, tx, "DELETE FROM sessions WHERE user_id = ? AND digest = ?", userID, d[:])
			if err == nil && n != 1 {
				return refuse(session.ErrNotFound)
			}
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("end session of user %d: %w", userID, err)
	}
	return nil
}

// Seen implements session.Store. A long list is several transactions: a time
// that is set is set, and setting it again changes nothing.
func (s *Store) Seen(ctx context.Context, seen []session.Seen) error {
	// Two instances that write the same rows meet them in the same order.
	seen = slices.SortedFunc(slices.Values(seen), func(a, b session.Seen) int {
		return cmp.Or(cmp.Compare(a.UserID, b.UserID), bytes.Compare(a.Digest[:], b.Digest[:]))
	})
	for some := range slices.Chunk(seen, seenPerTx) {
		err := s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
			for _, one := range some {
				at := micros(one.At)
				_, err := s.exec(ctx, tx, "UPDATE sessions SET last_seen_at = ? WHERE user_id = ? AND digest = ? AND last_seen_at < ?",
					at, one.UserID, one.Digest[:], at)
				if err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return fmt.Errorf("note %d sessions as seen: %w", len(seen), err)
		}
	}
	return nil
}

// SweepSessions implements session.Store.
func (s *Store) SweepSessions(ctx context.Context, before time.Time, limit int) (int, error) {
	n, err := s.sweep(ctx, "sessions", []string{"user_id", "digest"}, func(ctx context.Context, tx *sql.Tx, limit int) ([][]any, error) {
		rows, err := tx.QueryContext(ctx,
			"SELECT user_id, digest FROM sessions WHERE expires_at < ? ORDER BY expires_at LIMIT ?", micros(before), limit)
		if err != nil {
			return nil, err
		}
		return sessionKeys(rows)
	}, limit)
	if err != nil {
		return 0, fmt.Errorf("sweep sessions: %w", err)
	}
	return n, nil
}
