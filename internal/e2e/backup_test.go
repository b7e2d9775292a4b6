package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"gatehouse/internal/testenv"
)

// A scribe changes its nickname over and over and knows which change was
// acknowledged last.
type scribe struct {
	client
	username string

	mu   sync.Mutex // guards last
	last int
}

func (s *scribe) acknowledged() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.last
}

// write changes the nickname until ctx ends.
func (s *scribe) write(ctx context.Context) error {
	for i := 1; ctx.Err() == nil; i++ {
		a, err := s.send(context.WithoutCancel(ctx), "PATCH", "/api/v1/profile",
			strings.NewReader(fmt.Sprintf(`{"nickname":"%d"}`, i)), "Content-Type", "application/json")
		if err != nil || a.status != 200 {
			return fmt.Errorf("change %d of %s: %d, %w", i, s.username, a.status, err)
		}
		s.mu.Lock()
		s.last = i
		s.mu.Unlock()
	}
	return nil
}

// isAtLeastAt fails the test where a change before the one given is shown.
func (s *scribe) isAtLeastAt(t *testing.T, change int) {
	t.Helper()
	var n int
	nickname := s.profile(t).Nickname
	if _, err := fmt.Sscan(nickname, &n); err != nil || n < change {
		t.Errorf("%s is restored at change %q, acknowledged before the backup was %d", s.username, nickname, change)
	}
}

func TestBackupTakenWhilePeopleWriteIsRestored(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	s := start(t, append([]string{"serve", "--data", data}, cheap...)...)
	var scribes []*scribe
	for range 4 {
		c, o := register(t, s.url, newName())
		scribes = append(scribes, &scribe{client: c, username: o.User.Username})
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var writing sync.WaitGroup
	for _, one := range scribes {
		writing.Go(func() {
			if err := one.write(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	before := map[string]int{} // acknowledged before the backup began
	for _, one := range scribes {
		testenv.WaitFor(t, patience, one.username+" to write", func() bool { return one.acknowledged() >= 10 || t.Failed() })
		before[one.username] = one.acknowledged()
	}
	file := filepath.Join(t.TempDir(), "backup.db")
	run(t, nil, "backup", "--data", data, file).did(t, "wrote "+file)
	run(t, nil, "backup", "--data", data, file).says(t, 1, "exists")
	stop()
	writing.Wait()
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup has mode %v, %v", info.Mode(), err)
	}
	later, _ := register(t, s.url, "later")

	run(t, nil, "restore", "--data", data, file).says(t, 1, "in use by another gatehouse")
	if !later.alive(t) {
		t.Error("a refused restoration did something")
	}
	s.stop(t)
	broken := filepath.Join(t.TempDir(), "broken.db")
	if err := os.WriteFile(broken, []byte("no database at all, however long one looks"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "restore", "--data", data, broken).says(t, 1, broken)
	operating(t, "--data", data)("", "show", "later").did(t)
	o := run(t, nil, "restore", "--data", data, file).did(t, "restored", "the database that was there is ")
	s = s.again(t)
	refusedLogin(t, s.url, "later", password)
	for _, one := range scribes {
		one.base = s.url
		one.isAtLeastAt(t, before[one.username]) // its session is there too
	}
	s.stop(t)

	// What was there before can be restored in turn.
	_, kept, _ := strings.Cut(strings.TrimSpace(o.stdout), "the database that was there is ")
	run(t, nil, "restore", "--data", data, kept).did(t)
	s = s.again(t)
	login(t, s.url, "later", password)
}

func TestBackupNeedsNoBackend(t *testing.T) {
	t.Parallel()
	data, elsewhere := testenv.TempDir(t), testenv.TempDir(t)
	run(t, nil, "backup", "--data", data, filepath.Join(elsewhere, "none.db")).says(t, 1, "gatehouse.db")
	run(t, nil, "migrate", "up", "--data", data).says(t, 0)
	operating(t, "--data", data)(password, "add", "ada").did(t)
	file := filepath.Join(elsewhere, "backup.db")
	run(t, nil, "backup", "--data", data, file).did(t)
	other := filepath.Join(elsewhere, "data")
	run(t, nil, "restore", "--data", other, filepath.Join(elsewhere, "none.db")).says(t, 1, "none.db")
	if _, err := os.Stat(other); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a refused restoration made a folder: %v", err)
	}
	if o := run(t, nil, "restore", "--data", other, file).did(t, "restored"); strings.Contains(o.stdout, "was there") {
		t.Errorf("into an empty folder: %s", o.stdout)
	}
	operating(t, "--data", other)("", "show", "ada").did(t, "username  ada")
}

func TestBackupOfAServerNamesItsTools(t *testing.T) {
	t.Parallel()
	const database = "mysql://gate:hunter2@127.0.0.1:1/x" // which is not even asked
	for _, command := range []string{"backup", "restore"} {
		o := run(t, []string{"GATEHOUSE_DATABASE=" + database}, command, "file")
		o.says(t, 1, "mariadb-dump", "--single-transaction")
		if strings.Contains(o.stderr, "hunter2") {
			t.Error("the password is shown")
		}
	}
}
