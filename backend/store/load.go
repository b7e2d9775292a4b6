package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"gatehouse/backend/session"
	"gatehouse/backend/user"
)

const (
	// MaxLoad is how many accounts Load takes at once.
	MaxLoad = 5000
	// perInsert is how many rows one INSERT brings. It keeps the statement
	// below every database's limits on its length and its parameters.
	perInsert = 500
)

// Account is a user to be loaded, with a session where it is not nil.
type Account struct {
	User       user.User
	Credential []byte
	Session    *session.Session
}

// Load inserts many accounts in one transaction: all or none. It returns
// user.ErrTaken, wrapped, where one of the ids or names exists.
func (s *Store) Load(ctx context.Context, accounts []Account) error {
	if len(accounts) > MaxLoad {
		return fmt.Errorf("load %d accounts: at most %d at once", len(accounts), MaxLoad)
	}
	err := s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for some := range slices.Chunk(accounts, perInsert) {
			if err := s.loadSome(ctx, tx, some); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("load accounts: %w", err)
	}
	return nil
}

func (s *Store) loadSome(ctx context.Context, tx *sql.Tx, accounts []Account) error {
	var users, sessions []any
	for _, a := range accounts {
		u := a.User
		if err := errors.Join(checkUser(u.Username, u.Nickname), fits("credential", len(a.Credential), maxCredential)); err != nil {
			return err
		}
		users = append(users, u.ID, []byte(u.Username), u.Nickname, nil, u.Version, u.AuthEpoch, u.Disabled, micros(u.CreatedAt), a.Credential)
		if one := a.Session; one != nil {
			sessions = append(sessions, one.UserID, one.Digest[:], one.AuthEpoch, micros(one.CreatedAt), micros(one.LastSeenAt),
				micros(one.ExpiresAt), []byte(one.IP), []byte(one.UserAgent))
		}
	}
	if err := s.insertMany(ctx, tx, "users", userColumns+", credential", users); err != nil {
		return err
	}
	return s.insertMany(ctx, tx, "sessions", sessionColumns, sessions)
}

// insertMany inserts rows whose values stand one after the other.
func (s *Store) insertMany(ctx context.Context, tx *sql.Tx, table, columns string, values []any) error {
	if len(values) == 0 {
		return nil
	}
	width := strings.Count(columns, ",") + 1
	row := "(?" + strings.Repeat(", ?", width-1) + ")"
	query := "INSERT INTO " + table + " (" + columns + ") VALUES " + row + strings.Repeat(", "+row, len(values)/width-1)
	_, err := s.exec(ctx, tx, query, values...)
	if errors.Is(err, errDuplicate) {
		return refuse(user.ErrTaken)
	}
	return err
}

// AnyAbove tells whether there is a user whose id is above id.
func (s *Store) AnyAbove(ctx context.Context, id int64) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	err := s.read.QueryRowContext(ctx, "SELECT id FROM users WHERE id > ? ORDER BY id LIMIT 1", id).Scan(&id)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for users above id %d: %w", id, unavailable(err))
	}
	return true, nil
}

// Unload removes the accounts with ids from first to last, at most MaxLoad of
// them, with their sessions and pictures, and tells how many there were.
func (s *Store) Unload(ctx context.Context, first, last int64) (int, error) {
	if last-first >= MaxLoad {
		return 0, fmt.Errorf("unload accounts %d to %d: at most %d at once", first, last, MaxLoad)
	}
	var removed int64
	err := s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for _, query := range []string{
			"DELETE FROM sessions WHERE user_id BETWEEN ? AND ?",
			"DELETE FROM pictures WHERE picture IN (SELECT picture FROM users WHERE id BETWEEN ? AND ? AND picture IS NOT NULL)",
			"DELETE FROM users WHERE id BETWEEN ? AND ?",
		} {
			var err error
			if removed, err = s.exec(ctx, tx, query, first, last); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("unload accounts %d to %d: %w", first, last, err)
	}
	return int(removed), nil
}
