package command

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/backend/password"
	"gatehouse/backend/session"
	"gatehouse/backend/store"
	"gatehouse/backend/user"
	"gatehouse/stresstest"
)

type usersCommand struct {
	Add         usersAdd         `cmd:"" help:"Make an account, also where registration is closed."`
	List        usersList        `cmd:"" help:"List accounts, a page at a time."`
	Show        usersShow        `cmd:"" help:"Show an account with its sessions."`
	Disable     usersDisable     `cmd:"" help:"Keep a user from logging in and end their sessions."`
	Enable      usersEnable      `cmd:"" help:"Let a disabled user log in again."`
	SetPassword usersSetPassword `cmd:"" help:"Set a password and end all sessions of the user."`
	EndSessions usersEndSessions `cmd:"" help:"End all sessions of a user."`
	Delete      usersDelete      `cmd:"" help:"Delete an account with all that is kept about it."`

	Generate usersGenerate `cmd:"" help:"Make accounts user00000001, user00000002, … for load tests, or remove them."`
}

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
	// loadConns is how many transactions load at the same time.
	loadConns = 4
)

// Run makes or removes accounts.
func (c usersGenerate) Run(p *process) error {
	last := c.Start + c.Count - 1
	if c.Count < 1 || c.Start < 1 || last > maxGenerated {
		return usage("--start %d and --count %d: want numbers from 1 to %d", c.Start, c.Count, maxGenerated)
	}
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	st, err := store.Open(ctx, store.Config{URL: c.url(c.Data), Shared: true})
	if err != nil {
		return err
	}
	defer st.Close()
	if err := st.Check(ctx); err != nil {
		return err
	}
	progress := newProgress(p, c.Start, c.Count)
	if c.Remove {
		return c.remove(ctx, st, progress)
	}
	return c.generate(ctx, p, st, progress)
}

func (c usersGenerate) remove(ctx context.Context, st *store.Store, progress *progress) error {
	last := c.Start + c.Count - 1
	for first := c.Start; first <= last; first += store.MaxLoad {
		until := min(first+store.MaxLoad-1, last)
		if _, err := st.Unload(ctx, int64(first), int64(until)); err != nil {
			return err
		}
		progress.done(until-first+1, until)
	}
	return progress.end("removed")
}

func (c usersGenerate) generate(ctx context.Context, p *process, st *store.Store, progress *progress) error {
	if others, err := st.AnyAbove(ctx, maxGenerated); err != nil {
		return err
	} else if others && !c.Force {
		return errors.New("the database holds other accounts; --force makes generated ones beside them")
	}
	var key []byte
	if c.SessionKeyFile != "" {
		var err error
		if key, err = os.ReadFile(c.SessionKeyFile); err != nil {
			return fmt.Errorf("--session-key-file: %w", err)
		}
	}
	fmt.Fprintf(p.stderr, "hashing %d passwords with %s\n", differentPasswords, c.HashParams)
	credentials, err := c.credentials(ctx)
	if err != nil {
		return err
	}
	progress.restart()
	if err := c.load(ctx, st, credentials, key, progress); err != nil {
		return fmt.Errorf("%w; resume with --start %d --count %d", err, progress.next(), c.Start+c.Count-progress.next())
	}
	return progress.end("made")
}

// credentials hashes the passwords that the accounts share.
func (c usersGenerate) credentials(ctx context.Context) ([][]byte, error) {
	params, err := password.ParseParams(c.HashParams)
	if err != nil {
		return nil, usage("--hash-params: %w", err)
	}
	hasher, err := password.New(password.Config{Params: params, Workers: runtime.GOMAXPROCS(0), MaxWait: time.Hour})
	if err != nil {
		return nil, err
	}
	defer hasher.Close()
	credentials := make([][]byte, differentPasswords)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for k := range credentials {
		group.Go(func() (err error) {
			credentials[k], err = hasher.Hash(ctx, stresstest.Password(k))
			return err
		})
	}
	return credentials, group.Wait()
}

// load inserts the accounts in transactions of which a few run at once. They
// are begun in order, so that after an error all before the first missing
// one are there.
func (c usersGenerate) load(ctx context.Context, st *store.Store, credentials [][]byte, key []byte, progress *progress) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(loadConns)
	last := c.Start + c.Count - 1
	now := time.Now()
	for first := c.Start; first <= last && ctx.Err() == nil; first += store.MaxLoad {
		until := min(first+store.MaxLoad-1, last)
		group.Go(func() error {
			accounts := make([]store.Account, 0, until-first+1)
			for n := first; n <= until; n++ {
				a, err := generated(n, credentials[n%differentPasswords], key, now)
				if err != nil {
					return err
				}
				accounts = append(accounts, a)
			}
			if err := st.Load(ctx, accounts); err != nil {
				return fmt.Errorf("accounts %d to %d: %w", first, until, err)
			}
			progress.done(until-first+1, until)
			return nil
		})
	}
	return group.Wait()
}

// generated returns account n.
func generated(n int, credential, key []byte, now time.Time) (store.Account, error) {
	a := store.Account{Credential: credential, User: user.User{ID: int64(n), Username: stresstest.Username(n),
		Nickname: stresstest.Nickname(n), Version: 1, AuthEpoch: 1, CreatedAt: now}}
	if key == nil {
		return a, nil
	}
	_, digest, ok := session.ParseToken(stresstest.Token(key, n))
	if !ok {
		return a, fmt.Errorf("make token of account %d", n)
	}
	a.Session = &session.Session{UserID: int64(n), Digest: digest, AuthEpoch: 1, CreatedAt: now, LastSeenAt: now,
		ExpiresAt: now.Add(generatedLifetime), UserAgent: "generated"}
	return a, nil
}

// generatedLifetime is long, so that a generated database can be kept.
const generatedLifetime = 365 * 24 * time.Hour

// shown makes a count readable: 10,000,000.
func shown(n int) string {
	digits := fmt.Sprint(n)
	var b strings.Builder
	for i, d := range digits {
		if i > 0 && (len(digits)-i)%3 == 0 {
			b.WriteByte(',')
		}
		b.WriteRune(d)
	}
	return b.String()
}
