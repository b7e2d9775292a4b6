package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"gatehouse/backend/store"
)

type usersExport struct {
	commonFlags
	dataFlag
	databaseFlag
	File string `arg:"" optional:"" help:"File to write, for nobody else to read, or - for standard output." default:"-"`
}

// Run writes the accounts. It only reads the database.
func (c usersExport) Run(p *process) error {
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	st, err := store.Open(ctx, store.Config{URL: c.url(c.Data), Shared: true})
	if err == nil {
		st, err = checked(ctx, st)
	}
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w; there is no database to export yet: see --data and --database, or make one with: gatehouse migrate up", err)
	}
	if err != nil {
		return err
	}
	defer st.Close()
	e := exporter{store: st, progress: newProgress(p, 1, 0), stderr: p.stderr}
	if c.File == "-" {
		e.progress.stdout = p.stderr // which the accounts leave free
		err = e.write(ctx, p.stdout)
	} else {
		err = e.writeFile(ctx, c.File)
	}
	if err != nil {
		return fmt.Errorf("export accounts: %w", err)
	}
	if err := e.progress.end("exported"); err != nil {
		return err
	}
	if e.broken > 0 {
		return fmt.Errorf("%s accounts were left out, because their credentials cannot be read", shown(e.broken))
	}
	return nil
}

// An exporter writes all accounts of a store, a page at a time.
type exporter struct {
	store    *store.Store
	progress *progress
	stderr   io.Writer
	broken   int // accounts whose credentials are none
}

// writeFile makes the file when all of it is there, in place of an older one.
func (e *exporter) writeFile(ctx context.Context, path string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.tmp") // with mode 0600
	if err != nil {
		return err
	}
	err = e.write(ctx, f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

func (e *exporter) write(ctx context.Context, w io.Writer) error {
	buffer := bufio.NewWriterSize(w, 1<<16)
	encoder := json.NewEncoder(buffer)
	encoder.SetEscapeHTML(false)
	for after := int64(0); ; {
		page, err := e.store.Accounts(ctx, after, store.MaxPage)
		if err != nil {
			return err
		}
		if len(page) == 0 {
			return buffer.Flush()
		}
		for _, a := range page {
			line, err := lineOf(a)
			if err != nil {
				e.broken++
				fmt.Fprintln(e.stderr, "gatehouse:", err)
				continue
			}
			if err := encoder.Encode(line); err != nil {
				return err
			}
		}
		after = page[len(page)-1].User.ID
		e.progress.add(len(page))
	}
}
