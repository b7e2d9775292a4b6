package store

import (
	"context"
	"database/sql"
	"testing"
	"time"
)

// InChange calls f within a change of a user, between its statements and its
// COMMIT.
func (s *Store) InChange(ctx context.Context, id int64, f func()) error {
	return s.change(ctx, func(ctx context.Context, tx *sql.Tx) error {
		_, err := s.exec(ctx, tx, "UPDATE users SET version = version + 1 WHERE id = ?", id)
		f()
		return err
	})
}

// AgeVotes makes all votes older.
func (s *Store) AgeVotes(t *testing.T, by time.Duration) {
	t.Helper()
	if _, err := s.write.ExecContext(t.Context(), "UPDATE cache_votes SET seen_at = seen_at - ?", by.Microseconds()); err != nil {
		t.Fatal(err)
	}
}
