package schema

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

// historyTable is goose's usual one, so that its own command line can read it.
const historyTable = goose.DefaultTablename

// history is the table in which goose notes what was applied. It is read here
// because goose makes the table whenever it only looks.
type history struct {
	db     *sql.DB
	store  database.Store
	exists bool
}

func openHistory(ctx context.Context, db *sql.DB, d Dialect) (*history, error) {
	store, err := database.NewStore(gooseDialect(d), historyTable)
	if err != nil {
		return nil, fmt.Errorf("open the history of migrations: %w", err)
	}
	query := "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = ?"
	if d == SQLite {
		query = "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = ?"
	}
	var tables int
	if err := db.QueryRowContext(ctx, query, historyTable).Scan(&tables); err != nil {
		return nil, fmt.Errorf("look for the history of migrations: %w", err)
	}
	return &history{db: db, store: store, exists: tables > 0}, nil
}

// version returns the highest version that is applied, zero where none is.
func version(ctx context.Context, db *sql.DB, d Dialect) (int64, error) {
	h, err := openHistory(ctx, db, d)
	if err != nil || !h.exists {
		return 0, err
	}
	v, err := h.store.GetLatestVersion(ctx, db)
	if err != nil && !errors.Is(err, database.ErrVersionNotFound) {
		return 0, fmt.Errorf("read the schema's version: %w", err)
	}
	return max(v, 0), nil
}

// appliedAt returns when a migration was applied, zero where it was not.
func (h *history) appliedAt(ctx context.Context, version int64) (time.Time, error) {
	if !h.exists {
		return time.Time{}, nil
	}
	m, err := h.store.GetMigration(ctx, h.db, version)
	if errors.Is(err, database.ErrVersionNotFound) || err == nil && !m.IsApplied {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("read whether migration %d was applied: %w", version, err)
	}
	return m.Timestamp, nil
}

// mend puts the zero version, without which goose refuses to work, into a
// table that was made and not filled: on MySQL the two are not one
// transaction, and a crash can come between.
func (h *history) mend(ctx context.Context) error {
	if !h.exists {
		return nil
	}
	_, err := h.store.GetLatestVersion(ctx, h.db)
	if !errors.Is(err, database.ErrVersionNotFound) {
		return err
	}
	return h.store.Insert(ctx, h.db, database.InsertRequest{Version: 0})
}
