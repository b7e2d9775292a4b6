package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"gatehouse/backend/password"
	"gatehouse/backend/store"
)

type usersGenerate struct {
	commonFlags
	dataFlag
	databaseFlag
	Count          int    `help:"How many accounts." required:"" placeholder:"N"`
	Start          int    `help:"The number of the first; an interrupted run is resumed with the one after the last that it printed." default:"1" placeholder:"N"`
	SessionKeyFile string `help:"Also make a session for each account, its token derived from the content of this file." placeholder:"FILE"`
	HashParams     string `help:"How the 256 passwords are hashed." default:"argon2id:m=19456,t=2,p=1" placeholder:"PARAMS"`
	Force          bool   `help:"Do it beside other accounts."`
	Remove         bool   `help:"Remove the accounts instead."`
}

const (
	// maxGenerated is the last number that has eight digits. Ids made for
	// other accounts are far above it.
	maxGenerated = 99_999_999
	// differentPasswords is how many hashes the generated accounts share.
	differentPasswords = 256
)

// Run makes or removes accounts.
func (c usersGenerate) Run(p *process) error {
	if c.Count < 1 || c.Start < 1 || c.Count > maxGenerated || c.last() > maxGenerated {
		return usage("--start %d and --count %d: want numbers from 1 to %d", c.Start, c.Count, maxGenerated)
	}
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	st, err := openToFill(ctx, c.url(c.Data), true)
	if err != nil {
		return err
	}
	defer st.Close()
	if c.Remove {
		return c.remove(ctx, p, st)
	}
	return c.generate(ctx, p, st)
}

func (c usersGenerate) last() int { return c.Start + c.Count - 1 }

func (c usersGenerate) remove(ctx context.Context, p *process, st *store.Store) error {
	loader, err := st.Loader(ctx)
	if err != nil {
		return err
	}
	defer loader.Close()
	progress := newProgress(p, c.Start, c.Count)
	for first := c.Start; first <= c.last(); first += store.MaxLoad {
		until := min(first+store.MaxLoad-1, c.last())
		if _, err := loader.Unload(ctx, int64(first), int64(until)); err != nil {
			return err
		}
		progress.done(until-first+1, until)
	}
	return progress.end("removed")
}

func (c usersGenerate) generate(ctx context.Context, p *process, st *store.Store) error {
	if others, err := st.AnyAbove(ctx, maxGenerated); err != nil {
		return err
	} else if others && !c.Force {
		return errors.New("the database holds other accounts; --force makes generated ones beside them")
	}
	g := generator{first: c.Start, last: c.last(), store: st, now: time.Now()}
	if c.SessionKeyFile != "" {
		var err error
		if g.key, err = os.ReadFile(c.SessionKeyFile); err != nil {
			return fmt.Errorf("--session-key-file: %w", err)
		}
	}
	params, err := password.ParseParams(c.HashParams)
	if err != nil {
		return usage("--hash-params: %w", err)
	}
	g.hasher, err = password.New(password.Config{Params: params, Workers: runtime.GOMAXPROCS(0), MaxWait: time.Hour})
	if err != nil {
		return err
	}
	defer g.hasher.Close()
	fmt.Fprintf(p.stderr, "hashing %d passwords with %s\n", g.passwords(), c.HashParams)
	if err := g.hash(ctx); err != nil {
		return err
	}
	if g.loader, err = openLoader(ctx, p, st); err != nil {
		return err
	}
	defer g.loader.Close()
	return g.run(ctx, p)
}

// run loads the accounts, looks at whether they are there, and says so.
func (g *generator) run(ctx context.Context, p *process) error {
	g.progress = newProgress(p, g.first, g.last-g.first+1)
	before := g.loader.Note()
	if err := g.load(ctx); err != nil {
		next := g.progress.next()
		return fmt.Errorf("%w; all up to %d are in; resume with --start %d --count %d", err, next-1, next, g.last-next+1)
	}
	sayNote(p, g.loader, before)
	if err := g.progress.end("made"); err != nil {
		return err
	}
	if err := g.verify(ctx, p.stdout); err != nil {
		return fmt.Errorf("the accounts were loaded, and are not as they should be: %w", err)
	}
	return g.space(ctx, p.stdout)
}
