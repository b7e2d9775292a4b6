package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"gatehouse/schema"
)

const defaultReaders = 4

// sqliteSettings hold for every connection. synchronous=FULL makes a COMMIT
// wait for the disk: NORMAL, which many advise with a write-ahead log, loses
// the last commits when the power goes. The wait for another process's
// transaction is below the time a transaction of our own may take.
const sqliteSettings = "_txlock=immediate&_busy_timeout=1500&_journal_mode=WAL&_synchronous=FULL&_dqs=0&_pragma=journal_size_limit(67108864)"

func openSQLite(ctx context.Context, path string, cfg Config) (_ *Store, err error) {
	s := &Store{shared: cfg.Shared, dialect: dialect{
		name: schema.SQLite, micros: "CAST((julianday('now') - 2440587.5) * 86400000000 AS INTEGER)", fault: sqliteFault, durability: sqliteDurability,
		readName: "sqlite_read", writeName: "sqlite_write",
	}}
	if path, err = makeFile(path, !cfg.Shared && !cfg.Existing); err != nil {
		return nil, fmt.Errorf("--database: %w", err)
	}
	if !cfg.Shared {
		if s.claim, err = claimFile(path); err != nil {
			return nil, fmt.Errorf("--database: %w", err)
		}
	}
	// One connection writes, so that writers queue in Go, with a deadline
	// each, and not in SQLite, which polls.
	if s.write, err = openFile(ctx, path, sqliteSettings, 1); err == nil {
		readers := cfg.MaxOpen
		if readers < 1 {
			readers = defaultReaders
		}
		s.read, err = openFile(ctx, path, sqliteSettings+"&_query_only=1", readers)
	}
	if err != nil {
		if s.write != nil {
			s.write.Close()
		}
		if s.claim != nil {
			s.claim.release()
		}
		return nil, fmt.Errorf("--database: open %s: %w", path, err)
	}
	s.migrate, s.watch = s.write, s.read
	return s, nil
}

// makeFile makes the file and its folder, for nobody else to read, where they
// are missing and that is allowed, and returns the file's one true path: two names of a file are
// not to be claimed apart. SQLite gives its other files the same mode.
func makeFile(path string, missing bool) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	flags := os.O_RDWR
	if missing {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return "", err
		}
		flags |= os.O_CREATE
	}
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return "", err
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(path)
}

func openFile(ctx context.Context, path, settings string, connections int) (*sql.DB, error) {
	uri := url.URL{Scheme: "file", Path: path, RawQuery: settings}
	connector, err := sqlite.NewConnector(uri.String())
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections)
	// The settings are tried out here and not by the first request.
	if err := db.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_schema").Scan(new(int)); err != nil {
		db.Close()
		return nil, err
	}
	return db, nil
}

func sqliteFault(err error) fault {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return faultOther
	}
	switch e.Code() {
	case sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY, sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_ROWID:
		return faultDuplicate
	}
	switch e.Code() & 0xff { // The kind of an error; the rest is its detail.
	case sqlite3.SQLITE_BUSY:
		return faultTransient
	case sqlite3.SQLITE_FULL:
		return faultRefused
	}
	return faultOther
}

func sqliteDurability(ctx context.Context, db *sql.DB) ([]string, error) {
	var (
		journal     string
		synchronous int
	)
	if err := db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&journal); err != nil {
		return nil, err
	}
	if err := db.QueryRowContext(ctx, "PRAGMA synchronous").Scan(&synchronous); err != nil {
		return nil, err
	}
	var problems []string
	if journal != "wal" {
		problems = append(problems, fmt.Sprintf("journal_mode is %s: the file system does not carry a write-ahead log; move the file to a local disk", journal))
	}
	if synchronous < 2 { // FULL
		problems = append(problems, fmt.Sprintf("synchronous is %d: a power cut can lose the last acknowledged changes", synchronous))
	}
	return problems, nil
}
