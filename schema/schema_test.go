package schema_test

import (
	"context"
	"database/sql"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite"

	"gatehouse/internal/testenv"
	"gatehouse/schema"
)

// want is the version that the files in this folder end with.
const want = 7

// each runs a test on an empty database of each dialect.
func each(t *testing.T, f func(t *testing.T, db *sql.DB, d schema.Dialect)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, openSQLite(t), schema.SQLite)
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		f(t, openMySQL(t, testenv.MariaDB(t)), schema.MySQL)
	})
	t.Run("external", func(t *testing.T) {
		if d, ok := testenv.ExternalMySQL(t); ok {
			f(t, openMySQL(t, d), schema.MySQL)
		}
	})
}

func openSQLite(t *testing.T) *sql.DB {
	db, err := sql.Open("sqlite", filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func openMySQL(t *testing.T, d *testenv.Database) *sql.DB {
	cfg, err := mysql.ParseDSN(d.DSN())
	if err != nil {
		t.Fatal(err)
	}
	cfg.ParseTime = true
	connector, err := mysql.NewConnector(cfg)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	t.Cleanup(func() { db.Close() })
	return db
}

func tables(t *testing.T, db *sql.DB, d schema.Dialect) []string {
	t.Helper()
	query := "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name NOT LIKE 'goose%'"
	if d == schema.SQLite {
		query = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'goose%' AND name NOT LIKE 'sqlite%'"
	}
	rows, err := db.Query(query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	names := []string{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			t.Fatal(err)
		}
		names = append(names, name)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func exec(t *testing.T, db *sql.DB, statement string) {
	t.Helper()
	if _, err := db.Exec(statement); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

func TestMigrateMakesTheTablesOnce(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, d schema.Dialect) {
		for range 2 {
			if err := schema.Migrate(t.Context(), db, d); err != nil {
				t.Fatal(err)
			}
		}
		all := []string{"cache_state", "cache_votes", "idempotency", "pictures", "secrets", "sessions", "users"}
		if got := tables(t, db, d); !slices.Equal(got, all) {
			t.Errorf("got tables %v, want %v", got, all)
		}
		if err := schema.Check(t.Context(), db, d); err != nil {
			t.Errorf("check after migrating: %v", err)
		}
	})
}

func TestCheckAndStatusOnlyRead(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, d schema.Dialect) {
		err := schema.Check(t.Context(), db, d)
		if !errors.Is(err, schema.ErrOlder) {
			t.Fatalf("check of an empty database: got %v, want ErrOlder", err)
		}
		for _, part := range []string{"version 0", "needs 7", "gatehouse migrate up"} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error %q does not name %q", err, part)
			}
		}
		status, err := schema.Status(t.Context(), db, d)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range status {
			if !m.AppliedAt.IsZero() {
				t.Errorf("migration %d was applied to an empty database at %v", m.Version, m.AppliedAt)
			}
		}
		query := "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE()"
		if d == schema.SQLite {
			query = "SELECT COUNT(*) FROM sqlite_schema"
		}
		var made int
		if err := db.QueryRow(query).Scan(&made); err != nil || made != 0 {
			t.Errorf("looking made %d tables (error %v)", made, err)
		}
	})
}

func TestDownTakesOneStepBackUntilNothingIsLeft(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, d schema.Dialect) {
		if err := schema.Migrate(t.Context(), db, d); err != nil {
			t.Fatal(err)
		}
		for left := want - 1; left >= 0; left-- {
			if err := schema.Down(t.Context(), db, d); err != nil {
				t.Fatalf("down to %d: %v", left, err)
			}
			if got := len(tables(t, db, d)); got != left {
				t.Errorf("at version %d there are %d tables", left, got)
			}
			if err := schema.Check(t.Context(), db, d); !errors.Is(err, schema.ErrOlder) {
				t.Errorf("check at version %d: got %v, want ErrOlder", left, err)
			}
		}
		if err := schema.Down(t.Context(), db, d); !errors.Is(err, schema.ErrEmpty) {
			t.Errorf("down from nothing: got %v, want ErrEmpty", err)
		}
		if err := schema.Migrate(t.Context(), db, d); err != nil {
			t.Errorf("up again: %v", err)
		}
	})
}

func TestStatusTellsWhenEachWasApplied(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, d schema.Dialect) {
		if err := schema.Migrate(t.Context(), db, d); err != nil {
			t.Fatal(err)
		}
		if err := schema.Down(t.Context(), db, d); err != nil {
			t.Fatal(err)
		}
		status, err := schema.Status(t.Context(), db, d)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for i, m := range status {
			names = append(names, m.Name)
			if applied := !m.AppliedAt.IsZero(); applied != (i < want-1) || m.Version != int64(i+1) {
				t.Errorf("migration %d at place %d: applied %v", m.Version, i, applied)
			}
		}
		all := []string{"0001_users.sql", "0002_pictures.sql", "0003_sessions.sql", "0004_idempotency.sql", "0005_secrets.sql",
			"0006_cache_state.sql", "0007_cache_votes.sql"}
		if !slices.Equal(names, all) {
			t.Errorf("got %v, want %v", names, all)
		}
	})
}

func TestNewerDatabaseIsServedButNeitherCheckedNorTakenDown(t *testing.T) {
	each(t, func(t *testing.T, db *sql.DB, d schema.Dialect) {
		if err := schema.Migrate(t.Context(), db, d); err != nil {
			t.Fatal(err)
		}
		exec(t, db, "INSERT INTO goose_db_version (version_id, is_applied) VALUES (99, 1)")
		if err := schema.Migrate(t.Context(), db, d); err != nil {
			t.Errorf("migrate: %v", err)
		}
		err := schema.Check(t.Context(), db, d)
		if !errors.Is(err, schema.ErrNewer) || !strings.Contains(err.Error(), "version 99") {
			t.Errorf("check: got %v, want ErrNewer with the version", err)
		}
		if err := schema.Down(t.Context(), db, d); !errors.Is(err, schema.ErrNewer) {
			t.Errorf("down: got %v, want ErrNewer", err)
		}
		if got := len(tables(t, db, d)); got != want {
			t.Errorf("%d tables are left of %d", got, want)
		}
	})
}

// On MySQL a statement and the note of it are two transactions.
func TestMigrateGoesOnAfterACrash(t *testing.T) {
	t.Parallel()
	crashes := map[string]string{
		"between a table and its note":             "DELETE FROM goose_db_version WHERE version_id = 5",
		"between the history and its first record": "DELETE FROM goose_db_version",
	}
	for name, crash := range crashes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := openMySQL(t, testenv.MariaDB(t))
			if err := schema.Migrate(t.Context(), db, schema.MySQL); err != nil {
				t.Fatal(err)
			}
			exec(t, db, crash)
			if err := schema.Migrate(t.Context(), db, schema.MySQL); err != nil {
				t.Fatal(err)
			}
			if err := schema.Check(t.Context(), db, schema.MySQL); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMigrateTakesTheLockOfAnInstanceThatDied(t *testing.T) {
	t.Parallel()
	db := openMySQL(t, testenv.MariaDB(t))
	if err := schema.Migrate(t.Context(), db, schema.MySQL); err != nil {
		t.Fatal(err)
	}
	if err := schema.Down(t.Context(), db, schema.MySQL); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "UPDATE goose_lock SET locked = 1, locked_by = 'the dead', lease_expires_at = NOW(6) - INTERVAL 1 SECOND")
	if err := schema.Migrate(t.Context(), db, schema.MySQL); err != nil {
		t.Error(err)
	}
}

func TestMigrateWaitsNoLongerThanItsContext(t *testing.T) {
	t.Parallel()
	db := openMySQL(t, testenv.MariaDB(t))
	if err := schema.Migrate(t.Context(), db, schema.MySQL); err != nil {
		t.Fatal(err)
	}
	if err := schema.Down(t.Context(), db, schema.MySQL); err != nil {
		t.Fatal(err)
	}
	exec(t, db, "UPDATE goose_lock SET locked = 1, locked_by = 'the living', lease_expires_at = NOW(6) + INTERVAL 1 HOUR")
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := schema.Migrate(ctx, db, schema.MySQL); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want the context's error", err)
	}
	if err := schema.Check(t.Context(), db, schema.MySQL); !errors.Is(err, schema.ErrOlder) {
		t.Errorf("got %v, want ErrOlder: the lock was another's", err)
	}
}

func TestSixInstancesMigrateAnEmptyDatabaseAtOnce(t *testing.T) {
	t.Parallel()
	d := testenv.MariaDB(t)
	start := make(chan struct{})
	var instances sync.WaitGroup
	for range 6 {
		db := openMySQL(t, d)
		instances.Go(func() {
			<-start
			if err := schema.Migrate(t.Context(), db, schema.MySQL); err != nil {
				t.Error(err)
			}
			if err := schema.Check(t.Context(), db, schema.MySQL); err != nil {
				t.Error(err)
			}
		})
	}
	close(start)
	instances.Wait()
	var notes int
	if err := openMySQL(t, d).QueryRow("SELECT COUNT(*) FROM goose_db_version").Scan(&notes); err != nil || notes != want+1 {
		t.Errorf("the history has %d lines (error %v), want the zero version and %d", notes, err, want)
	}
}

func TestDialectsHaveTheSameMigrations(t *testing.T) {
	t.Parallel()
	names := func(dir string) []string {
		files, err := fs.Glob(os.DirFS(dir), "*.sql")
		if err != nil || len(files) == 0 {
			t.Fatalf("%s: %d files, error %v", dir, len(files), err)
		}
		return files
	}
	if m, s := names("mysql"), names("sqlite"); !slices.Equal(m, s) {
		t.Errorf("mysql has %v, sqlite has %v", m, s)
	}
}
