package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"gatehouse/schema"
)

// ErrNotSQLite means that a database is kept by a server, whose own tools make
// and restore backups.
var ErrNotSQLite = errors.New("the database is not a SQLite file; a server's own tools make and restore backups: " +
	"mariadb-dump or mysqldump with --single-transaction, mariadb or mysql to read the dump back")

// Backup writes the SQLite database as it is now into a new file, which only
// this user can read, and returns the file's size. It contains every change
// that was acknowledged before it began, and all of a transaction or nothing.
// Others, also in other processes, go on reading and writing meanwhile. The
// file has its name only once it is whole and on the disk; a name that exists
// is refused. On a server it returns ErrNotSQLite.
func (s *Store) Backup(ctx context.Context, file string) (size int64, err error) {
	if s.dialect.name != schema.SQLite {
		return 0, ErrNotSQLite
	}
	// The name is taken first, so that whatever comes between is refused it.
	if err := makeNew(file); err != nil {
		return 0, fmt.Errorf("back up the database: %w", err)
	}
	partial := file + ".partial"
	os.Remove(partial) // of a backup that was killed: no other can have the name above
	if err = makeNew(partial); err == nil {
		if size, err = s.copyInto(ctx, partial); err == nil {
			err = os.Rename(partial, file)
		}
		if err != nil {
			os.Remove(partial)
		}
	}
	if err != nil {
		os.Remove(file)
		return 0, fmt.Errorf("back up the database: %w", err)
	}
	if err := syncFolder(file); err != nil {
		return 0, fmt.Errorf("back up the database: %w", err)
	}
	return size, nil
}

// copyInto writes the database into an empty file and waits for the disk.
// The statement reads in one transaction, which keeps nobody from writing.
func (s *Store) copyInto(ctx context.Context, file string) (int64, error) {
	if _, err := s.write.ExecContext(ctx, "VACUUM INTO ?", file); err != nil {
		return 0, err
	}
	return syncFile(file)
}

// makeNew makes an empty file for nobody else to read. It must not be there.
func makeNew(file string) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	return f.Close()
}

// syncFile waits until a file is on the disk and returns its size.
func syncFile(file string) (int64, error) {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), f.Sync()
}

// syncFolder waits until a file's name is on the disk.
func syncFolder(file string) error {
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Restored is what Restore did.
type Restored struct {
	// Path is the database file.
	Path string
	// Kept is where the database is that was there before, empty where none was.
	Kept string
	// Older tells that the restored schema is older than this program's, so
	// that it is yet to be migrated.
	Older bool
}

// Restore puts a backup in the place of the SQLite database at url. It
// returns ErrClaimed where another process has the database, and changes
// nothing unless the backup is sound and of a schema that this program knows.
// What was there before stays beside it. Nothing may use the database until it
// returns. On a server it returns ErrNotSQLite.
func Restore(ctx context.Context, rawURL, backup string, now time.Time) (Restored, error) {
	where, err := parse(rawURL)
	if err != nil {
		return Restored{}, err
	}
	if where.server != nil {
		return Restored{}, ErrNotSQLite
	}
	done, err := restore(ctx, where.path, backup, now)
	if err != nil {
		return Restored{}, fmt.Errorf("restore %s: %w", backup, err)
	}
	return done, nil
}

func restore(ctx context.Context, path, backup string, now time.Time) (done Restored, err error) {
	if _, err := os.Stat(backup); err != nil {
		return done, err // before anything is made
	}
	if done.Path, err = target(path); err != nil {
		return done, err
	}
	held, err := claimFile(done.Path)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, held.release()) }()
	fresh := done.Path + ".restoring"
	defer os.Remove(fresh) // where it was not given its name
	if err := copyBackup(backup, fresh); err != nil {
		return done, err
	}
	if done.Older, err = verify(ctx, fresh); err != nil {
		return done, err
	}
	if err := beginCacheAnew(ctx, fresh); err != nil {
		return done, err
	}
	if done.Kept, err = keepOld(ctx, done.Path, now); err != nil {
		return done, fmt.Errorf("keep the database that is there: %w", err)
	}
	return done, errors.Join(os.Rename(fresh, done.Path), syncFolder(done.Path))
}

// target returns the one true path of a database file that may not exist, and
// makes its folder.
func target(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", err
	}
	whole, err := filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		return path, nil
	}
	return whole, err
}

// copyBackup copies a backup, so that what is verified is what is used and
// the backup itself is only read.
func copyBackup(backup, fresh string) error {
	if _, err := os.Stat(backup + "-wal"); err == nil {
		return fmt.Errorf("beside it is %s-wal: this is a copy of a database in use and no backup; make one with gatehouse backup", backup)
	}
	from, err := os.Open(backup)
	if err != nil {
		return err
	}
	defer from.Close()
	// One that a killed restore left is in nobody's use: the claim is held.
	into, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(into, from)
	return errors.Join(err, into.Sync(), into.Close())
}

// verify tells what is wrong with a database file, and whether its schema is
// older than this program's. It changes nothing in it.
func verify(ctx context.Context, file string) (older bool, err error) {
	uri := url.URL{Scheme: "file", Path: file, RawQuery: "mode=ro&immutable=1"}
	db, err := sql.Open("sqlite", uri.String())
	if err != nil {
		return false, err
	}
	defer db.Close()
	var verdict string
	// The first of the problems is enough.
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return false, fmt.Errorf("it is no sound SQLite database: %w", err)
	}
	if verdict != "ok" {
		return false, fmt.Errorf("it is damaged: %s", verdict)
	}
	err = schema.Check(ctx, db, schema.SQLite)
	if !errors.Is(err, schema.ErrOlder) {
		return false, err
	}
	list, statusErr := schema.Status(ctx, db, schema.SQLite)
	if statusErr != nil {
		return false, statusErr
	}
	if len(list) == 0 || list[0].AppliedAt.IsZero() {
		return false, errors.New("it is no database of gatehouse: no migration was ever applied to it")
	}
	return true, nil
}

// beginCacheAnew moves a database to an epoch of the cache that no backend
// ever used: its rows are older than what the Redis of an earlier one may
// still hold.
func beginCacheAnew(ctx context.Context, file string) error {
	uri := url.URL{Scheme: "file", Path: file, RawQuery: "_journal_mode=DELETE"}
	db, err := sql.Open("sqlite", uri.String())
	if err != nil {
		return err
	}
	defer db.Close()
	var tables int
	err = db.QueryRowContext(ctx, "SELECT COUNT(*) FROM sqlite_schema WHERE type = 'table' AND name = 'cache_state'").Scan(&tables)
	if err == nil && tables > 0 { // an older schema may have none
		_, err = db.ExecContext(ctx, "UPDATE cache_state SET epoch = epoch + ?, enabled = 0, drained = 0, nodes = x''", epochsBeyond)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("begin the cache anew: %w", err)
	}
	_, err = syncFile(file)
	return err
}

// epochsBeyond is more than the epochs that can have gone by since a backup:
// one takes a minute.
const epochsBeyond = 1_000_000

// keepOld gives the database at path another name, which it returns, empty
// where there was none. The log beside it is folded in first, so that it is
// one file; where that cannot be done, because the database is damaged, the
// log is kept under the new name's own.
func keepOld(ctx context.Context, path string, now time.Time) (string, error) {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if db, err := openFile(ctx, path, sqliteSettings, 1); err == nil {
		db.Close()
	}
	kept := path + ".before-" + now.UTC().Format("20060102T150405.000Z")
	// A second name leaves the first in place until the new file takes it.
	if err := os.Link(path, kept); err != nil {
		if err := os.Rename(path, kept); err != nil {
			return "", err
		}
	}
	// A log that stayed would be replayed into the new file.
	err := os.Rename(path+"-wal", kept+"-wal")
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if err := os.Remove(path + "-shm"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	return kept, nil
}
