package store

import (
	"context"
	"database/sql"
	"strings"
)

const (
	// perDelete is how many rows one DELETE names. It keeps the statement
	// below every database's limit on the depth of an expression.
	perDelete = 100
	// maxSwept bounds the transaction of a sweep, however much is asked for.
	maxSwept = 1000
)

// sweep removes the rows whose keys find returns and tells how many it
// removed. A DELETE with a LIMIT would be one statement less, and SQLite has
// none.
func (s *Store) sweep(ctx context.Context, table string, key []string,
	find func(context.Context, *sql.Tx, int) ([][]any, error), limit int) (int, error) {
	if limit < 1 {
		return 0, nil
	}
	removed := 0
	err := s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		keys, err := find(ctx, tx, min(limit, maxSwept))
		if err != nil {
			return err
		}
		removed = len(keys)
		return s.deleteKeys(ctx, tx, table, key, keys)
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

// deleteKeys removes the rows of these keys, each a value for every column of
// key. Rows that are gone already are passed over.
func (s *Store) deleteKeys(ctx context.Context, tx *sql.Tx, table string, key []string, keys [][]any) error {
	for len(keys) > 0 {
		some := keys[:min(len(keys), perDelete)]
		keys = keys[len(some):]
		one := "(" + strings.Join(key, " = ? AND ") + " = ?)"
		var args []any
		for _, values := range some {
			args = append(args, values...)
		}
		query := "DELETE FROM " + table + " WHERE " + one + strings.Repeat(" OR "+one, len(some)-1)
		if _, err := s.exec(ctx, tx, query, args...); err != nil {
			return err
		}
	}
	return nil
}
