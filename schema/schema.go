// Package schema is the tables: numbered migrations for each kind of database,
// embedded, and the means to apply, inspect and check them. It does not know
// what the tables are for or how a database is opened.
//
// A migration is one DDL statement on MySQL, which commits each by itself,
// and can be applied again where a crash came between the statement and the
// note that it was applied. The numbers mean the same for every database.
package schema

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

//go:embed mysql/*.sql sqlite/*.sql
var migrations embed.FS

// Dialect is the kind of a database. MySQL includes MariaDB and TiDB.
type Dialect string

// The dialects.
const (
	MySQL  Dialect = "mysql"
	SQLite Dialect = "sqlite"
)

// The ways in which a database and this program differ, and the end of the
// way back.
var (
	ErrOlder = errors.New("the database's schema is older than this program's")
	ErrNewer = errors.New("the database's schema is newer than this program's")
	ErrEmpty = errors.New("no migration is applied")
)

// A Migration is one step of the schema.
type Migration struct {
	Version int64
	// Name is the name of its file, for instance 0001_users.sql.
	Name string
	// AppliedAt is zero where the migration was not applied, and in whole seconds.
	AppliedAt time.Time
}

// Migrate applies every migration that the database lacks. A newer database
// stays as it is and is no error: the program before an upgrade may run beside
// the one after it. On MySQL any number of instances may migrate at once; one
// works and the others wait, for up to two minutes. db must allow two open
// connections there and must parse times. A SQLite file is for the caller to
// keep to itself.
func Migrate(ctx context.Context, db *sql.DB, d Dialect) error {
	// Most starts find nothing to do, and then need neither the lock nor the
	// right to change tables.
	err := Check(ctx, db, d)
	if err == nil || errors.Is(err, ErrNewer) {
		return nil
	}
	if !errors.Is(err, ErrOlder) {
		return err
	}
	err = alone(ctx, db, d, func(p *goose.Provider) error {
		_, err := p.Up(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("migrate the database up: %w", err)
	}
	return nil
}

// Down takes the last migration back, with what its table holds. It returns
// ErrEmpty where there is none, and ErrNewer where this program does not know
// the last one.
func Down(ctx context.Context, db *sql.DB, d Dialect) error {
	err := alone(ctx, db, d, func(p *goose.Provider) error {
		have, err := version(ctx, db, d)
		if err != nil {
			return err
		}
		if have == 0 {
			return ErrEmpty
		}
		if err := compare(have, latest(p)); errors.Is(err, ErrNewer) {
			return err
		}
		_, err = p.Down(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("migrate the database down: %w", err)
	}
	return nil
}

// Check returns nil where the database is at the version of this program, and
// ErrOlder or ErrNewer with both versions and what to do about it. It only
// reads.
func Check(ctx context.Context, db *sql.DB, d Dialect) error {
	p, err := provider(db, d)
	if err != nil {
		return err
	}
	have, err := version(ctx, db, d)
	if err != nil {
		return err
	}
	return compare(have, latest(p))
}

func compare(have, want int64) error {
	switch {
	case have < want:
		return fmt.Errorf("%w: it is at version %d, this program needs %d; run: gatehouse migrate up", ErrOlder, have, want)
	case have > want:
		return fmt.Errorf("%w: it is at version %d, this program needs %d; run a newer gatehouse, or with the newer one: gatehouse migrate down", ErrNewer, have, want)
	}
	return nil
}

// Status returns the migrations that this program knows, in their order. It
// only reads.
func Status(ctx context.Context, db *sql.DB, d Dialect) ([]Migration, error) {
	p, err := provider(db, d)
	if err != nil {
		return nil, err
	}
	h, err := openHistory(ctx, db, d)
	if err != nil {
		return nil, err
	}
	var list []Migration
	for _, source := range p.ListSources() {
		m := Migration{Version: source.Version, Name: path.Base(source.Path)}
		if m.AppliedAt, err = h.appliedAt(ctx, m.Version); err != nil {
			return nil, err
		}
		list = append(list, m)
	}
	return list, nil
}

// alone calls f while no other instance migrates the same database.
func alone(ctx context.Context, db *sql.DB, d Dialect, f func(*goose.Provider) error) (err error) {
	p, err := provider(db, d)
	if err != nil {
		return err
	}
	unlock, err := acquire(ctx, db, d)
	if err != nil {
		return fmt.Errorf("wait for other instances that migrate: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	h, err := openHistory(ctx, db, d)
	if err != nil {
		return err
	}
	if err := h.mend(ctx); err != nil {
		return err
	}
	return f(p)
}

// acquire takes the lock of those who migrate. It is taken here and not by
// goose, which looks at its table, and makes it, before it locks.
func acquire(ctx context.Context, db *sql.DB, d Dialect) (unlock func() error, err error) {
	if d == SQLite {
		return func() error { return nil }, nil
	}
	locker, err := newLocker()
	if err != nil {
		return nil, err
	}
	if err := locker.Lock(ctx, db); err != nil {
		return nil, err
	}
	return func() error { return locker.Unlock(ctx, db) }, nil
}

// newLocker makes a lock in a table: one by GET_LOCK would hold on one node of
// a Galera cluster only. Its owner renews it every 5 seconds; 30 seconds after
// an owner that died another instance takes it.
func newLocker() (lock.Locker, error) {
	return lock.NewMySQLTableLocker(
		lock.WithTableLockTimeout(200*time.Millisecond, 600),
		lock.WithTableUnlockTimeout(200*time.Millisecond, 25),
		lock.WithTableRetryPolicy(worthWaiting),
		lock.WithTableLogger(slog.New(slog.DiscardHandler)),
	)
}

// worthWaiting tells the errors of a lock that is held, which have no type,
// or fought for, from those of a server that cannot or will not.
func worthWaiting(err error) bool {
	var refusal *mysql.MySQLError
	if errors.As(err, &refusal) {
		switch refusal.Number {
		case 1020, 1205, 1213: // Changed, waited too long, deadlock.
			return true
		}
		return false
	}
	var network net.Error
	return !errors.Is(err, mysql.ErrInvalidConn) && !errors.As(err, &network)
}

func provider(db *sql.DB, d Dialect) (*goose.Provider, error) {
	files, err := fs.Sub(migrations, string(d))
	if err != nil {
		return nil, fmt.Errorf("read migrations of %s: %w", d, err)
	}
	p, err := goose.NewProvider(gooseDialect(d), db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return nil, fmt.Errorf("read migrations of %s: %w", d, err)
	}
	return p, nil
}

func gooseDialect(d Dialect) goose.Dialect {
	if d == SQLite {
		return goose.DialectSQLite3
	}
	return goose.DialectMySQL
}

// latest returns the version that this program needs.
func latest(p *goose.Provider) int64 {
	sources := p.ListSources()
	return sources[len(sources)-1].Version
}
