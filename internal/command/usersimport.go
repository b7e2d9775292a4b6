package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"gatehouse/backend/store"
)

type usersImport struct {
	commonFlags
	dataFlag
	databaseFlag
	File    string `arg:"" help:"File of accounts, one JSON object a line, or - for standard input."`
	Rejects string `help:"Also write the lines that were refused to this file, as NDJSON with line, reason and username." placeholder:"FILE"`
}

// Run takes the accounts over. It only inserts.
func (c usersImport) Run(p *process) error {
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	input, part, err := c.open(p)
	if err != nil {
		return err
	}
	defer input.Close()
	refusals := refusals{stderr: p.stderr, terminal: terminal(p.stderr)}
	if c.Rejects != "" {
		rejects, err := c.openRejects()
		if err != nil {
			return err
		}
		defer rejects.Close()
		refusals.file = rejects
	}
	st, err := openToFill(ctx, c.url(c.Data), false)
	if errors.Is(err, store.ErrClaimed) {
		return fmt.Errorf("accounts cannot be imported into a file that a backend is using: %w", err)
	}
	if err != nil {
		return err
	}
	defer st.Close()
	return c.run(ctx, p, st, input, part, &refusals)
}

// openRejects makes the file of refused lines, for nobody else to read. Each
// line is written at once, so that an import that is killed leaves them.
func (c usersImport) openRejects() (*os.File, error) {
	input, inputErr := os.Stat(c.File)
	rejects, err := os.Stat(c.Rejects)
	if inputErr == nil && err == nil && os.SameFile(input, rejects) {
		return nil, usage("--rejects %s is the file that is imported", c.Rejects)
	}
	f, err := os.OpenFile(c.Rejects, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("--rejects: %w", err)
	}
	return f, nil
}

// open opens the input, and tells how to know how much of it was read.
func (c usersImport) open(p *process) (input io.ReadCloser, part func() float64, err error) {
	if c.File == "-" {
		return io.NopCloser(p.stdin), nil, nil
	}
	f, err := os.Open(c.File)
	if err != nil {
		return nil, nil, fmt.Errorf("import accounts: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("import accounts: %w", err), f.Close())
	}
	return f, func() float64 {
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil || info.Size() == 0 {
			return 0
		}
		return min(float64(at)/float64(info.Size()), 1)
	}, nil
}

func (c usersImport) run(ctx context.Context, p *process, st *store.Store, input io.Reader, part func() float64, refused *refusals) error {
	loader, err := openLoader(ctx, p, st)
	if err != nil {
		return err
	}
	defer loader.Close()
	im := importer{loader: loader, refused: refused, progress: newProgress(p, 1, 0)}
	im.progress.part = part
	before := loader.Note()
	if err := im.run(ctx, input); err != nil {
		return fmt.Errorf("%w; what came before is in: run it again to go on", err)
	}
	sayNote(p, loader, before)
	if err := im.progress.end("imported"); err != nil {
		return err
	}
	if im.there > 0 {
		fmt.Fprintf(p.stdout, "%s lines were already there\n", shown(im.there))
	}
	if refused.count > 0 {
		return fmt.Errorf("%s lines were refused; all others are in", shown(refused.count))
	}
	return nil
}

// A refusal is a line that was not taken, as --rejects tells it.
type refusal struct {
	Line     int    `json:"line"`
	Reason   string `json:"reason"`
	Username string `json:"username"`
}

// refusals says which lines were refused.
type refusals struct {
	stderr   io.Writer
	terminal bool
	file     io.Writer // nil without --rejects
	count    int
}

func (r *refusals) add(some []refusal) error {
	for _, one := range some {
		r.count++
		if r.terminal {
			fmt.Fprint(r.stderr, "\r\033[K") // the progress
		}
		fmt.Fprintf(r.stderr, "line %d: %s (username %q)\n", one.Line, one.Reason, one.Username)
		if r.file == nil {
			continue
		}
		text, err := json.Marshal(one)
		if err == nil {
			_, err = r.file.Write(append(text, '\n'))
		}
		if err != nil {
			return fmt.Errorf("--rejects: %w", err)
		}
	}
	return nil
}
