package store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/backend/session"
	"gatehouse/backend/store"
	"gatehouse/backend/user"
	"gatehouse/internal/testenv"
)

// each runs a test on a fresh, migrated database of each kind: the promises
// of a store are the same for all.
func each(t *testing.T, f func(t *testing.T, s *store.Store)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, open(t, sqliteURL(t)))
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		f(t, open(t, testenv.MariaDB(t).URL()))
	})
	t.Run("external", func(t *testing.T) {
		if d, ok := testenv.ExternalMySQL(t); ok {
			f(t, open(t, d.URL()))
		}
	})
}

func sqliteURL(t *testing.T) string {
	return "sqlite:" + filepath.Join(t.TempDir(), "gatehouse.db")
}

// open opens a database with all tables.
func open(t *testing.T, url string) *store.Store {
	t.Helper()
	s := openAsIs(t, url)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func openAsIs(t *testing.T, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// noon is a time that a microsecond can hold.
var noon = time.Date(2026, 2, 3, 12, 0, 0, 123456000, time.UTC)

var lastID atomic.Int64

func newUser(name string) user.User {
	return user.User{ID: lastID.Add(1), Username: name, Nickname: name, Version: 1, AuthEpoch: 1, CreatedAt: noon}
}

// credential is as long as those of argon2id are.
var credential = []byte(strings.Repeat("\x00\xff'\\c", 11))

// create makes a user and returns it.
func create(t *testing.T, s *store.Store, name string) user.User {
	t.Helper()
	u := newUser(name)
	if err := s.Create(t.Context(), u, credential, nil); err != nil {
		t.Fatal(err)
	}
	return u
}

func idempotency(key string) *user.Idempotency {
	return &user.Idempotency{
		Key: sha256.Sum256([]byte(key)), UserID: 7, Session: sha256.Sum256([]byte("session")),
		Request: sha256.Sum256([]byte("request")), Reply: []byte(`{"a":"ü\u0000"}`), CreatedAt: noon,
	}
}

func recorded(t *testing.T, s *store.Store, idem *user.Idempotency) bool {
	t.Helper()
	_, err := s.Replay(t.Context(), idem.Key)
	if err != nil && !errors.Is(err, user.ErrNotFound) {
		t.Fatal(err)
	}
	return err == nil
}

// stored returns a user, and false where there is none.
func stored(t *testing.T, s *store.Store, id int64) (user.User, bool) {
	t.Helper()
	u, err := s.ByID(t.Context(), id)
	if err != nil && !errors.Is(err, user.ErrNotFound) {
		t.Fatal(err)
	}
	return u, err == nil
}

func wantError(t *testing.T, got, want error) {
	t.Helper()
	if !errors.Is(got, want) {
		t.Fatalf("got error %v, want %v", got, want)
	}
}

func wantEqual(t *testing.T, got, want any) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %+v\nwant %+v", got, want)
	}
}

func key(picture string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(picture))) }

func digest(token string) session.Digest { return sha256.Sum256([]byte(token)) }

func ptr[T any](v T) *T { return &v }

func TestPingAnswersUntilClosed(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		if err := s.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
		over, cancel := context.WithCancel(t.Context())
		cancel()
		err := s.Ping(over)
		wantError(t, err, user.ErrUnavailable)
		wantError(t, err, context.Canceled)
	})
}

func TestConnectionsAreBoundedAsConfigured(t *testing.T) {
	t.Parallel()
	d := testenv.MariaDB(t)
	for _, c := range []struct {
		config store.Config
		want   map[string]int
	}{
		{store.Config{URL: d.URL()}, map[string]int{"mysql": 32}},
		{store.Config{URL: d.URL(), MaxOpen: 5}, map[string]int{"mysql": 5}},
		{store.Config{URL: sqliteURL(t)}, map[string]int{"sqlite_read": 4, "sqlite_write": 1}},
		{store.Config{URL: sqliteURL(t), MaxOpen: 7}, map[string]int{"sqlite_read": 7, "sqlite_write": 1}},
	} {
		s, err := store.Open(t.Context(), c.config)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		got := map[string]int{}
		for name, stats := range s.Stats() {
			got[name] = stats.MaxOpenConnections
		}
		wantEqual(t, got, c.want)
		if w := s.Warnings(); len(w) > 0 {
			t.Errorf("warnings without a reason: %q", w)
		}
	}
}

func TestMigrationsCanBeTakenBackAndMadeAgain(t *testing.T) {
	each(t, func(t *testing.T, s *store.Store) {
		if err := s.Check(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.MigrateDown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Check(t.Context()); err == nil {
			t.Fatal("the schema is right with a table missing")
		}
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		list, err := s.Migrations(t.Context())
		if err != nil || len(list) == 0 || list[len(list)-1].AppliedAt.IsZero() {
			t.Fatalf("got %v, error %v, want all applied", list, err)
		}
	})
}

func TestDurabilityFindsNothingWrongWhereAllIsRight(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"sqlite": sqliteURL(t), "mariadb": testenv.MariaDB(t).URL()} {
		t.Run(name, func(t *testing.T) {
			problems, err := openAsIs(t, url).Durability(t.Context())
			if err != nil || len(problems) > 0 {
				t.Fatalf("got %q and error %v, want neither", problems, err)
			}
		})
	}
}

// The driver for SQLite is translated from C and must run with exactly the
// library that it was translated against.
func TestSQLiteRunsWithItsOwnLibrary(t *testing.T) {
	t.Parallel()
	mod, err := os.ReadFile(filepath.Join("..", "..", "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	for _, module := range []string{"modernc.org/sqlite v1.60.1", "modernc.org/libc v1.77.1"} {
		if !regexp.MustCompile(`(?m)\s` + regexp.QuoteMeta(module) + `( |$)`).Match(mod) {
			t.Errorf("go.mod does not require %s", module)
		}
	}
}
