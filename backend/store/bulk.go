package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"gatehouse/schema"
)

// MaxPage is how many accounts Accounts and Named return at most.
const MaxPage = 1000

// Accounts returns those after an id, in the order of their ids, at most
// limit of them, without sessions. Whoever comes or goes meanwhile is there or
// not, and everybody else is there once.
func (s *Store) Accounts(ctx context.Context, after int64, limit int) ([]Account, error) {
	accounts, err := s.accounts(ctx, "id > ? ORDER BY id LIMIT ?", after, min(limit, MaxPage))
	if err != nil {
		return nil, fmt.Errorf("read accounts after id %d: %w", after, err)
	}
	return accounts, nil
}

// Named returns those accounts, of at most MaxPage usernames, that exist, by
// their username.
func (l *Loader) Named(ctx context.Context, usernames []string) (map[string]Account, error) {
	if len(usernames) > MaxPage {
		return nil, fmt.Errorf("look for %d usernames: at most %d at once", len(usernames), MaxPage)
	}
	found := make(map[string]Account)
	if len(usernames) == 0 {
		return found, nil
	}
	var args []any
	for _, name := range usernames {
		args = append(args, []byte(name))
	}
	accounts, err := l.store.accounts(ctx, "username IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
	if err != nil {
		return nil, fmt.Errorf("look for %d usernames: %w", len(usernames), err)
	}
	for _, a := range accounts {
		found[a.User.Username] = a
	}
	return found, nil
}

// accounts reads the accounts of which a condition is true.
func (s *Store) accounts(ctx context.Context, where string, args ...any) ([]Account, error) {
	ctx, cancel := context.WithTimeout(ctx, s.limit(readTimeout))
	defer cancel()
	rows, err := s.read.QueryContext(ctx, "SELECT "+userColumns+", credential FROM users WHERE "+where, args...)
	if err != nil {
		return nil, unavailable(err)
	}
	defer rows.Close()
	var accounts []Account
	for rows.Next() {
		var u userRow
		var a Account
		if err := rows.Scan(append(u.fields(), &a.Credential)...); err != nil {
			return nil, unavailable(err)
		}
		a.User = u.user()
		accounts = append(accounts, a)
	}
	if err := rows.Err(); err != nil {
		return nil, unavailable(err)
	}
	return accounts, nil
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

// countStep is how many ids one query counts, so that none takes long.
const countStep = 1_000_000

// Count returns how many users have an id from first to last.
func (l *Loader) Count(ctx context.Context, first, last int64) (int, error) {
	all := 0
	for ; first <= last; first += countStep {
		n, err := l.number(ctx, "SELECT COUNT(*) FROM users WHERE id BETWEEN ? AND ?", first, min(first+countStep-1, last))
		if err != nil {
			return 0, fmt.Errorf("count users from id %d: %w", first, err)
		}
		all += int(n)
	}
	return all, nil
}

// Space returns how many users there are and how many bytes their table takes
// with its indexes. A server counts the pages that it has set aside.
func (l *Loader) Space(ctx context.Context) (users, bytes int, err error) {
	n, err := l.number(ctx, "SELECT COUNT(*) FROM users")
	if err != nil {
		return 0, 0, fmt.Errorf("count users: %w", err)
	}
	query := "SELECT SUM(pgsize) FROM dbstat WHERE aggregate = TRUE AND name IN (SELECT name FROM sqlite_schema WHERE tbl_name = 'users')"
	if l.store.dialect.name == schema.MySQL {
		if err := l.analyze(ctx); err != nil {
			return 0, 0, fmt.Errorf("analyze users: %w", err)
		}
		query = "SELECT data_length + index_length FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'users'"
	}
	size, err := l.number(ctx, query)
	if err != nil {
		return 0, 0, fmt.Errorf("measure the table of users: %w", err)
	}
	return int(n), int(size), nil
}

// analyze makes a server look at how large the table is now.
func (l *Loader) analyze(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, bulkTimeout)
	defer cancel()
	rows, err := l.store.read.QueryContext(ctx, "ANALYZE TABLE users")
	if err != nil {
		return unavailable(err)
	}
	return rows.Close()
}

func (l *Loader) number(ctx context.Context, query string, args ...any) (n int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, bulkTimeout)
	defer cancel()
	if err := l.store.read.QueryRowContext(ctx, query, args...).Scan(&n); err != nil {
		return 0, unavailable(err)
	}
	return n, nil
}
