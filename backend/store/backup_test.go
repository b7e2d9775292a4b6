package store_test

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/backend/store"
	"gatehouse/backend/user"
	"gatehouse/internal/testenv"
)

// backedUp makes a database with these users, and a backup of it.
func backedUp(t *testing.T, names ...string) (backup string) {
	t.Helper()
	s := open(t, sqliteURL(t))
	for _, name := range names {
		create(t, s, name)
	}
	backup = filepath.Join(t.TempDir(), "backup.db")
	size, err := s.Backup(t.Context(), backup)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(backup); err != nil || info.Size() != size || size == 0 {
		t.Fatalf("the backup has %d bytes, and %v, %v", size, info, err)
	}
	return backup
}

// names returns the usernames in a database.
func names(t *testing.T, s *store.Store) string {
	t.Helper()
	page, err := s.Page(t.Context(), "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, u := range page {
		list = append(list, u.Username)
	}
	return strings.Join(list, " ")
}

// entries returns the names of the files in a folder but those of locks.
func entries(t *testing.T, dir string) (list []string) {
	t.Helper()
	found, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range found {
		if !strings.HasSuffix(e.Name(), ".lock") {
			list = append(list, e.Name())
		}
	}
	return list
}

// TestBackupHoldsWhatWasAcknowledgedBeforeIt writes from several goroutines,
// and from the backup's point of view in another process, all the while.
func TestBackupHoldsWhatWasAcknowledgedBeforeIt(t *testing.T) {
	t.Parallel()
	url := sqliteURL(t)
	writer := open(t, url)
	beside, err := store.Open(t.Context(), store.Config{URL: url, Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { beside.Close() })
	ctx, stop := context.WithCancel(t.Context())
	var writing sync.WaitGroup
	var written [3]atomic.Int64 // how many users each writer has had acknowledged
	for w := range written {
		writing.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				u := newUser(fmt.Sprintf("w%d-%05d", w, i))
				if err := writer.Create(context.WithoutCancel(ctx), u, []byte("credential"), nil); err != nil {
					t.Error(err)
					return
				}
				written[w].Store(int64(i + 1))
			}
		})
	}
	for round := range 3 {
		var before [len(written)]int64
		testenv.WaitFor(t, patience, "writers to write", func() bool {
			least := int64(1 << 62)
			for w := range written {
				before[w] = written[w].Load()
				least = min(least, before[w])
			}
			return least >= int64(20*(round+1))
		})
		backup := filepath.Join(t.TempDir(), "backup.db")
		if _, err := beside.Backup(t.Context(), backup); err != nil {
			t.Fatal(err)
		}
		copied := openAsIs(t, "sqlite:"+backup)
		for w := range written {
			for i := range before[w] {
				if _, err := copied.ByName(t.Context(), fmt.Sprintf("w%d-%05d", w, i)); err != nil {
					t.Fatalf("round %d: user %d of writer %d was acknowledged before: %v", round, i, w, err)
				}
			}
		}
	}
	stop()
	writing.Wait()
}

func TestBackupIsForItsOwnerAloneAndAlone(t *testing.T) {
	t.Parallel()
	backup := backedUp(t, "ada")
	info, err := os.Stat(backup)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v, want 0600", info.Mode(), err)
	}
	if list := entries(t, filepath.Dir(backup)); len(list) != 1 {
		t.Errorf("beside the backup there are %v", list)
	}
}

func TestBackupNeverOverwrites(t *testing.T) {
	t.Parallel()
	s := open(t, sqliteURL(t))
	dir := t.TempDir()
	for name, make := range map[string]func(path string) error{
		"a file":             func(path string) error { return os.WriteFile(path, []byte("precious"), 0o600) },
		"an empty file":      func(path string) error { return os.WriteFile(path, nil, 0o600) },
		"a link to nowhere":  func(path string) error { return os.Symlink("/nowhere/at/all", path) },
		"a folder":           func(path string) error { return os.Mkdir(path, 0o700) },
		"a missing folder's": func(path string) error { return nil },
	} {
		path := filepath.Join(dir, name)
		want := fs.ErrExist
		if name == "a missing folder's" {
			path, want = filepath.Join(path, "file"), fs.ErrNotExist
		}
		if err := make(path); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Backup(t.Context(), path); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", name, err, want)
		}
	}
	if text, err := os.ReadFile(filepath.Join(dir, "a file")); err != nil || string(text) != "precious" {
		t.Errorf("the file holds %q, %v", text, err)
	}
	if list := entries(t, dir); len(list) != 4 {
		t.Errorf("left behind are %v", list)
	}
}

func TestBackupThatIsCutShortLeavesNothing(t *testing.T) {
	t.Parallel()
	s := open(t, sqliteURL(t))
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Backup(ctx, filepath.Join(dir, "backup.db")); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if list := entries(t, dir); len(list) != 0 {
		t.Errorf("left behind are %v", list)
	}
}

func TestRestorePutsTheBackupInPlaceAndKeepsWhatWasThere(t *testing.T) {
	t.Parallel()
	backup := backedUp(t, "ada", "bob")
	url := sqliteURL(t)
	path := strings.TrimPrefix(url, "sqlite:")
	before := openAsIs(t, url)
	if err := before.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	create(t, before, "grace")
	if _, err := store.Restore(t.Context(), url, backup, noon); !errors.Is(err, store.ErrClaimed) {
		t.Fatalf("beside a backend: %v", err)
	}
	if err := before.Close(); err != nil {
		t.Fatal(err)
	}
	done, err := store.Restore(t.Context(), url, backup, noon)
	if err != nil || done.Path != path || done.Older {
		t.Fatalf("restored %+v, %v", done, err)
	}
	if want := path + ".before-20260203T120000.123Z"; done.Kept != want {
		t.Errorf("kept %s, want %s", done.Kept, want)
	}
	restored := openAsIs(t, url)
	if got := names(t, restored); got != "ada bob" {
		t.Errorf("restored are %q", got)
	}
	// What a Redis holds of any time before must not be found again.
	if epoch, err := restored.CacheEpoch(t.Context()); err != nil || epoch.Number < 1_000_000 || epoch.Enabled || len(epoch.Nodes) != 0 {
		t.Errorf("the cache is at %+v, %v", epoch, err)
	}
	if got := names(t, openAsIs(t, "sqlite:"+done.Kept)); got != "grace" {
		t.Errorf("kept are %q", got)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestRestoreWhereNothingWasMakesTheDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "data", "gatehouse.db")
	done, err := store.Restore(t.Context(), "sqlite:"+path, backedUp(t, "ada"), noon)
	if err != nil || done.Kept != "" {
		t.Fatalf("restored %+v, %v", done, err)
	}
	if got := names(t, openAsIs(t, "sqlite:"+path)); got != "ada" {
		t.Errorf("restored are %q", got)
	}
}

// TestRestoreKeepsTheLogOfAKilledProcess opens what was kept, in which the
// last changes are in the log alone.
func TestRestoreKeepsTheLogOfAKilledProcess(t *testing.T) {
	t.Parallel()
	running := filepath.Join(t.TempDir(), "gatehouse.db")
	s := open(t, "sqlite:"+running)
	create(t, s, "grace")
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	for _, suffix := range []string{"", "-wal"} { // as a kill would leave them
		content, err := os.ReadFile(running + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path+suffix, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	done, err := store.Restore(t.Context(), "sqlite:"+path, backedUp(t, "ada"), noon)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, openAsIs(t, "sqlite:"+path)); got != "ada" {
		t.Errorf("restored are %q", got)
	}
	if got := names(t, openAsIs(t, "sqlite:"+done.Kept)); got != "grace" {
		t.Errorf("kept are %q", got)
	}
}

// TestRestoreReplacesADamagedDatabase is what a backup is for.
func TestRestoreReplacesADamagedDatabase(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.WriteFile(path+suffix, []byte("damaged"+suffix), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	done, err := store.Restore(t.Context(), "sqlite:"+path, backedUp(t, "ada"), noon)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, openAsIs(t, "sqlite:"+path)); got != "ada" {
		t.Errorf("restored are %q", got)
	}
	if text, err := os.ReadFile(done.Kept); err != nil || string(text) != "damaged" {
		t.Errorf("kept is %q, %v", text, err)
	}
}

func TestRestoreRefusesWhatIsNoSoundBackup(t *testing.T) {
	t.Parallel()
	sound, err := os.ReadFile(backedUp(t, "ada", "bob"))
	if err != nil {
		t.Fatal(err)
	}
	statement := func(statements ...string) []byte {
		path := filepath.Join(t.TempDir(), "changed.db")
		if err := os.WriteFile(path, sound, 0o600); err != nil {
			t.Fatal(err)
		}
		execute(t, path, statements...)
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return content
	}
	torn := bytes.Clone(sound)
	for i := 4096; i < len(torn); i += 4096 {
		copy(torn[i:], "torn torn torn torn")
	}
	for name, test := range map[string]struct {
		content []byte
		want    string
	}{
		"text":             {[]byte(strings.Repeat("no database ", 1000)), "no sound SQLite database"},
		"nothing":          {nil, "no database of gatehouse"},
		"a half":           {sound[:len(sound)/2], ""},
		"torn pages":       {torn, ""},
		"another database": {statement("DROP TABLE goose_db_version"), "no database of gatehouse"},
		"a newer schema":   {statement("INSERT INTO goose_db_version (version_id, is_applied) VALUES (999, 1)"), "newer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := sqliteURL(t)
			s := open(t, url)
			create(t, s, "grace")
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "backup.db")
			if err := os.WriteFile(file, test.content, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err := store.Restore(t.Context(), url, file, noon)
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), file) {
				t.Errorf("error %v, want %q and the file in it", err, test.want)
			}
			if list := entries(t, filepath.Dir(strings.TrimPrefix(url, "sqlite:"))); len(list) != 1 {
				t.Errorf("left behind are %v", list)
			}
			if got := names(t, openAsIs(t, url)); got != "grace" {
				t.Errorf("in place are %q", got)
			}
		})
	}
}

func TestRestoreRefusesACopyThatLacksItsLog(t *testing.T) {
	t.Parallel()
	backup := backedUp(t, "ada")
	if err := os.WriteFile(backup+"-wal", []byte("log"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Restore(t.Context(), sqliteURL(t), backup, noon); err == nil || !strings.Contains(err.Error(), backup+"-wal") {
		t.Errorf("error %v", err)
	}
}

func TestRestoreTakesAnOlderSchema(t *testing.T) {
	t.Parallel()
	backup := backedUp(t, "ada")
	older := openAsIs(t, "sqlite:"+backup)
	if err := errors.Join(older.MigrateDown(t.Context()), older.Close()); err != nil {
		t.Fatal(err)
	}
	url := sqliteURL(t)
	done, err := store.Restore(t.Context(), url, backup, noon)
	if err != nil || !done.Older {
		t.Fatalf("restored %+v, %v", done, err)
	}
	if got := names(t, open(t, url)); got != "ada" { // which migrates it
		t.Errorf("restored are %q", got)
	}
}

func TestBackupsOfAServerAreForItsOwnTools(t *testing.T) {
	t.Parallel()
	d := testenv.MariaDB(t)
	if _, err := open(t, d.URL()).Backup(t.Context(), filepath.Join(t.TempDir(), "b")); !errors.Is(err, store.ErrNotSQLite) {
		t.Errorf("backup: %v", err)
	}
	if _, err := store.Restore(t.Context(), d.URL(), "b", noon); !errors.Is(err, store.ErrNotSQLite) || !strings.Contains(err.Error(), "mariadb") {
		t.Errorf("restore: %v", err)
	}
}

func TestExistingFileIsWanted(t *testing.T) {
	t.Parallel()
	url := sqliteURL(t)
	if s, err := store.Open(t.Context(), store.Config{URL: url, Existing: true}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("opened %v, %v", s, err)
	}
	if list := entries(t, filepath.Dir(strings.TrimPrefix(url, "sqlite:"))); len(list) != 0 {
		t.Errorf("made %v", list)
	}
	if err := open(t, url).Close(); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), store.Config{URL: url, Existing: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := store.Open(t.Context(), store.Config{URL: url}); !errors.Is(err, store.ErrClaimed) {
		t.Errorf("it claims nothing: %v", err)
	}
	if err := s.Create(t.Context(), user.User{ID: 1, Username: "ada", Nickname: "ada", Version: 1, AuthEpoch: 1, CreatedAt: noon}, []byte("x"), nil); err != nil {
		t.Error(err)
	}
}

// execute runs statements on a SQLite file.
func execute(t *testing.T, path string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.Exec(s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}
