// Package store keeps users and sessions in SQL: MySQL, MariaDB and TiDB on a
// server, SQLite in a file. The queries are the same for all; mysql.go and
// sqlite.go hold how each is opened and what its errors mean. It does not know
// the rules for a name or a password, how a cache works, or who is asking.
//
// Every query is a point read, a bounded range of an index, or a page of one.
// Ids are made by the caller, times are microseconds since 1970 UTC in
// BIGINTs, and keys are bytes, so that neither clocks, time zones nor
// collations of a server take part in anything.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"gatehouse/backend/session"
	"gatehouse/backend/user"
	"gatehouse/schema"
)

// Config says which database to open and how.
type Config struct {
	// URL is the value of --database: sqlite:PATH, or
	// mysql://user:password@host:3306/name, with the parameters
	//
	//	tls=true|skip-verify|preferred|false   as the driver has them
	//	tls-ca=PATH                            certificates to trust, in PEM
	//	socket=PATH                            a Unix socket, with no host
	URL string
	// MaxOpen is how many connections may be open at once: to a server all
	// together, 32 where zero; to a SQLite file those that only read, 4 where
	// zero, beside the one that writes.
	MaxOpen int
	// Shared opens a SQLite file beside whoever has claimed it. Such a store
	// neither makes a file nor migrates one. It means nothing to a server.
	Shared bool
	// Existing refuses a SQLite file that is not there instead of making it.
	Existing bool
}

// Store is a user.Store and a session.Store. Its methods may be called at
// the same time.
type Store struct {
	dialect dialect
	read    *sql.DB
	write   *sql.DB // the same as read on a server
	migrate *sql.DB // without the time limits of the others
	watch   *sql.DB // for the state of the cache, whatever the others wait for; read in a file
	claim   *claim  // nil where nothing was claimed
	// openBulk opens the connections of a Loader. It is nil for a file.
	openBulk func() (*sql.DB, error)
	bulk     bool // it is the store inside a Loader
	shared   bool
	warnings []string
}

var (
	_ user.Store    = (*Store)(nil)
	_ session.Store = (*Store)(nil)
)

// dialect is in what the databases differ.
type dialect struct {
	name schema.Dialect
	// forUpdate ends a SELECT whose rows are to stay as they are until the
	// end of the transaction.
	forUpdate string
	// forShare ends one whose rows others may read meanwhile.
	forShare string
	// micros is the time by the database's clock, in microseconds since 1970.
	micros string
	// fault tells what an error of the driver means.
	fault func(error) fault
	// durability returns the settings that can lose an acknowledged write.
	durability func(context.Context, *sql.DB) ([]string, error)
	// readName and writeName are what Stats calls the pools of connections.
	readName, writeName string
}

// Open opens a database and sees that it answers. An error names --database,
// what is wrong and what would mend it, and never the password. It wraps
// ErrClaimed where another process has the file, and user.ErrUnavailable
// where there may be an answer later.
func Open(ctx context.Context, cfg Config) (*Store, error) {
	where, err := parse(cfg.URL)
	if err != nil {
		return nil, err
	}
	if where.server != nil {
		return openMySQL(ctx, where.server, cfg)
	}
	return openSQLite(ctx, where.path, cfg)
}

// Close closes all connections and gives up the claim on a file. Closing again
// changes nothing.
func (s *Store) Close() error {
	if s.read == s.write {
		// Those to a server are closed, whether they could say goodbye or not.
		s.read.Close()
		s.migrate.Close()
		s.watch.Close()
		return nil
	}
	// The last to close a file folds its log into it, which those that only
	// read may not.
	err := errors.Join(s.read.Close(), s.write.Close())
	if s.claim != nil {
		err = errors.Join(err, s.claim.release())
	}
	if err != nil {
		return fmt.Errorf("close database: %w", err)
	}
	return nil
}

// Ping returns nil where the database answers a query.
func (s *Store) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	var one int
	if err := s.read.QueryRowContext(ctx, "SELECT 1").Scan(&one); err != nil {
		return fmt.Errorf("ping database: %w", unavailable(err))
	}
	return nil
}

// Stats returns the state of each pool of connections by its name: mysql, or
// sqlite_read and sqlite_write.
func (s *Store) Stats() map[string]sql.DBStats {
	return map[string]sql.DBStats{
		s.dialect.readName:  s.read.Stats(),
		s.dialect.writeName: s.write.Stats(),
	}
}

// Warnings returns what was noticed while opening and is no reason to stop.
func (s *Store) Warnings() []string { return s.warnings }

// Durability returns, in words for the operator, which settings of the
// database can lose a write after it was acknowledged.
func (s *Store) Durability(ctx context.Context) ([]string, error) {
	problems, err := s.dialect.durability(ctx, s.write)
	if err != nil {
		return nil, fmt.Errorf("read durability settings: %w", unavailable(err))
	}
	return problems, nil
}

// errShared is for stores that must not change the tables of a file that a
// backend may be using.
var errShared = errors.New("the file was opened beside a backend that may be using it")

// Migrate applies the migrations that are missing; see schema.Migrate.
func (s *Store) Migrate(ctx context.Context) error {
	if s.shared {
		return fmt.Errorf("migrate the database up: %w", errShared)
	}
	return schema.Migrate(ctx, s.migrate, s.dialect.name)
}

// MigrateDown takes the last migration back; see schema.Down.
func (s *Store) MigrateDown(ctx context.Context) error {
	if s.shared {
		return fmt.Errorf("migrate the database down: %w", errShared)
	}
	return schema.Down(ctx, s.migrate, s.dialect.name)
}

// Check compares the schema with this program's; see schema.Check.
func (s *Store) Check(ctx context.Context) error {
	return schema.Check(ctx, s.migrate, s.dialect.name)
}

// Migrations returns the migrations and when they were applied; see
// schema.Status.
func (s *Store) Migrations(ctx context.Context) ([]schema.Migration, error) {
	return schema.Status(ctx, s.migrate, s.dialect.name)
}

// readTimeout bounds a read whose caller sets no deadline, the wait for a
// connection included.
const readTimeout = 3 * time.Second

// unavailable marks an error that left everything as it was.
func unavailable(err error) error {
	return fmt.Errorf("%w: %w", user.ErrUnavailable, err)
}

func micros(t time.Time) int64 { return t.UnixMicro() }

func fromMicros(us int64) time.Time { return time.UnixMicro(us).UTC() }

// fits refuses what a column has no room for. SQLite would take it and MySQL
// would not.
func fits(what string, length, room int) error {
	if length > room {
		return fmt.Errorf("%s of %d bytes, room for %d", what, length, room)
	}
	return nil
}
