package store_test

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/backend/store"
	"gatehouse/backend/user"
)

func TestFileIsMadeForItsOwnerOnly(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "a", "b c%?d")
	dir = strings.ReplaceAll(dir, "?", "#")
	s := open(t, "sqlite:"+filepath.Join(dir, "gatehouse.db"))
	create(t, s, "ada")
	want := map[string]fs.FileMode{
		"": 0o700, "gatehouse.db": 0o600, "gatehouse.db-wal": 0o600, "gatehouse.db-shm": 0o600, "gatehouse.db.lock": 0o600,
	}
	for name, mode := range want {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != mode {
			t.Errorf("%q has mode %o, want %o", name, info.Mode().Perm(), mode)
		}
	}
}

func TestSecondOpenerOfAFileIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "gatehouse.db")
	first := open(t, "sqlite:"+path)
	create(t, first, "ada")
	alias := filepath.Join(dir, "alias.db")
	if err := os.Symlink(path, alias); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{path, alias} {
		_, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + name})
		wantError(t, err, store.ErrClaimed)
		for _, part := range []string{"--database", path, fmt.Sprint(os.Getpid())} {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("the error %q does not name %s", err, part)
			}
		}
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	second := openAsIs(t, "sqlite:"+path)
	if _, err := second.ByName(t.Context(), "ada"); err != nil {
		t.Error(err)
	}
}

func TestToolsShareAFileWithItsBackend(t *testing.T) {
	t.Parallel()
	url := sqliteURL(t)
	backend := open(t, url)
	tool, err := store.Open(t.Context(), store.Config{URL: url, Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	u := create(t, backend, "ada")
	if _, found := stored(t, tool, u.ID); !found {
		t.Error("the tool does not see what the backend wrote")
	}
	// Both write at once, and neither minds the other.
	got := together(t, 40, func(i int) error {
		return []*store.Store{backend, tool}[i%2].Create(t.Context(), newUser(fmt.Sprint("u", i)), credential, nil)
	})
	if got[nil] != 40 {
		t.Errorf("got %v, want 40 users", got)
	}
	if err := tool.Check(t.Context()); err != nil {
		t.Error(err)
	}
	if tool.Migrate(t.Context()) == nil || tool.MigrateDown(t.Context()) == nil {
		t.Error("the tool may change the tables under a running backend")
	}
}

func TestToolsMakeNoFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none", "gatehouse.db")
	if _, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + path, Shared: true}); err == nil {
		t.Error("a tool opened a file that is not there")
	}
	if _, err := os.Stat(filepath.Dir(path)); err == nil {
		t.Error("the folder was made")
	}
}

func TestFileThatIsNoDatabaseIsNamedAndLeftAlone(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "letter.txt")
	text := strings.Repeat("Dear Ada,\n", 500)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + path})
	if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "not a database") {
		t.Errorf("got %v, want an error that names the file", err)
	}
	if after, err := os.ReadFile(path); err != nil || string(after) != text {
		t.Errorf("the file was changed (error %v)", err)
	}
}

// Whoever copies the file of a stopped service copies all of it.
func TestClosingFoldsTheLogIntoTheFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	s := open(t, "sqlite:"+path)
	u := create(t, s, "ada")
	stored(t, s, u.ID) // A connection that reads is open too.
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + "-wal"); !os.IsNotExist(err) {
		t.Errorf("the log is still there (%v)", err)
	}
}

func TestSQLiteThatIsClosedIsUnavailable(t *testing.T) {
	t.Parallel()
	s := open(t, sqliteURL(t))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := s.ByName(t.Context(), "ada")
	wantError(t, err, user.ErrUnavailable)
	wantError(t, s.Create(t.Context(), newUser("ada"), credential, nil), user.ErrUnavailable)
}

// writer is set, to a file, for a run of the test program that only writes
// users to it, says of which it was told that they are there, and is killed.
const writer = "GATEHOUSE_TEST_WRITE_SQLITE"

func TestKilledProcessKeepsWhatWasAcknowledged(t *testing.T) {
	t.Parallel()
	if url := os.Getenv(writer); url != "" {
		s := open(t, url)
		for n := range int64(1_000_000) {
			u := user.User{ID: int64(os.Getpid())<<20 | n, Username: fmt.Sprintf("%d-%d", os.Getpid(), n), CreatedAt: noon}
			if err := s.Create(t.Context(), u, credential, idempotency(u.Username)); err != nil {
				t.Fatal(err)
			}
			fmt.Println("done", u.ID)
		}
	}
	url := sqliteURL(t)
	for range 3 {
		acknowledged := runWriter(t, url)
		s := open(t, url) // The claim of the killed process is over.
		for _, id := range acknowledged {
			u, found := stored(t, s, id)
			if !found || !recorded(t, s, idempotency(u.Username)) {
				t.Errorf("user %d was acknowledged and is lost", id)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// runWriter runs the test program as a writer, kills it in the middle, and
// returns the users it said were there.
func runWriter(t *testing.T, url string) (acknowledged []int64) {
	child := exec.Command(os.Args[0], "-test.run=^TestKilledProcessKeepsWhatWasAcknowledged$")
	child.Env = append(os.Environ(), writer+"="+url)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewScanner(out)
	for in.Scan() {
		var id int64
		if _, err := fmt.Sscanf(in.Text(), "done %d", &id); err != nil {
			t.Errorf("the writer said %q", in.Text())
			continue
		}
		acknowledged = append(acknowledged, id)
		if len(acknowledged) == 100 {
			child.Process.Kill()
		}
	}
	child.Wait()
	if len(acknowledged) < 100 {
		t.Fatalf("the writer wrote only %d users", len(acknowledged))
	}
	return acknowledged
}
