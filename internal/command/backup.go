package command

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"gatehouse/backend/store"
)

type backupCommand struct {
	commonFlags
	dataFlag
	databaseFlag
	File string `arg:"" help:"The file to make. It must not exist." placeholder:"FILE"`
}

// Help says what a backup holds.
func (backupCommand) Help() string {
	return "Backends may go on serving. The file holds every change that was acknowledged before the backup began. " +
		"It holds password hashes: keep it as safe as the database. Pictures are files of their own; copy their folder afterwards."
}

// Run writes the database into a file. It reads beside whoever has the
// database: SQLite lets it, and it changes nothing that a backend's cache
// could remember otherwise.
func (c backupCommand) Run(p *process) error {
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	file, err := filepath.Abs(c.File)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	if !strings.HasPrefix(c.url(c.Data), "sqlite:") {
		return store.ErrNotSQLite // asked of no server
	}
	st, err := store.Open(ctx, store.Config{URL: c.url(c.Data), Shared: true})
	if err != nil {
		return err
	}
	size, err := st.Backup(ctx, file)
	if err = errors.Join(err, st.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(p.stdout, "wrote %s, %s bytes\n", file, shown(int(size)))
	return err
}

type restoreCommand struct {
	commonFlags
	dataFlag
	databaseFlag
	File string `arg:"" help:"A file that gatehouse backup made." placeholder:"FILE"`
}

// Help says what becomes of what was there.
func (restoreCommand) Help() string {
	return "Stop the backend first. The backup is verified before anything is replaced, and the database that was there stays beside it. " +
		"Passwords and sessions are those of the backup again, also sessions that were ended since."
}

// Run puts a backup in the place of the database.
func (c restoreCommand) Run(p *process) error {
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	done, err := store.Restore(ctx, c.url(c.Data), c.File, time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(p.stdout, "restored %s\n", done.Path)
	if done.Kept != "" {
		fmt.Fprintf(p.stdout, "the database that was there is %s\n", done.Kept)
	}
	if done.Older {
		fmt.Fprintln(p.stdout, "its schema is older than this program's; the next start migrates it (gatehouse migrate up)")
	}
	return nil
}
