package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/backend/password"
	"gatehouse/backend/session"
	"gatehouse/backend/store"
	"gatehouse/backend/user"
	"gatehouse/stresstest"
)

// A generator makes the accounts with numbers from first to last.
type generator struct {
	first, last int
	key         []byte // of the sessions; nil where there are none
	store       *store.Store
	loader      *store.Loader
	hasher      *password.Hasher
	credentials [differentPasswords][]byte
	now         time.Time
	progress    *progress
}

// passwords is how many different ones the accounts have.
func (g *generator) passwords() int { return min(differentPasswords, g.last-g.first+1) }

// hash hashes the passwords that the accounts share.
func (g *generator) hash(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range g.passwords() {
		k := (g.first + i) % differentPasswords
		group.Go(func() (err error) {
			g.credentials[k], err = g.hasher.Hash(ctx, stresstest.Password(k))
			return err
		})
	}
	return group.Wait()
}

// load inserts the accounts in transactions of which a few run at once. They
// are begun in order, so that after an interruption nearly all before the last
// are there, and new rows go to the end of the table.
func (g *generator) load(ctx context.Context) error {
	group, loading := errgroup.WithContext(ctx)
	group.SetLimit(g.loader.Parallel())
	for first := g.first; first <= g.last && loading.Err() == nil; first += store.MaxLoad {
		until := min(first+store.MaxLoad-1, g.last)
		group.Go(func() error {
			if err := g.loadSome(loading, first, until); err != nil {
				return fmt.Errorf("accounts %d to %d: %w", first, until, err)
			}
			g.progress.done(until-first+1, until)
			return nil
		})
	}
	return cmp.Or(group.Wait(), ctx.Err())
}

func (g *generator) loadSome(ctx context.Context, first, until int) error {
	accounts := make([]store.Account, 0, until-first+1)
	for n := first; n <= until; n++ {
		a, err := g.account(n)
		if err != nil {
			return err
		}
		accounts = append(accounts, a)
	}
	err := g.loader.Load(ctx, accounts)
	if errors.Is(err, user.ErrTaken) {
		return g.loadMissing(ctx, accounts)
	}
	return err
}

// loadMissing inserts those accounts that an interrupted run left out. Such a
// run may have done more than it could say.
func (g *generator) loadMissing(ctx context.Context, accounts []store.Account) error {
	var missing []store.Account
	for some := range slices.Chunk(accounts, store.MaxPage) {
		there, err := g.store.Accounts(ctx, some[0].User.ID-1, len(some))
		if err != nil {
			return err
		}
		names := make(map[int64]string, len(there))
		for _, a := range there {
			names[a.User.ID] = a.User.Username
		}
		for _, a := range some {
			name, taken := names[a.User.ID]
			if taken && name != a.User.Username {
				return fmt.Errorf("id %d is that of %q, who was not generated", a.User.ID, name)
			}
			if !taken {
				missing = append(missing, a)
			}
		}
	}
	return g.loader.Load(ctx, missing)
}

// account returns account n.
func (g *generator) account(n int) (store.Account, error) {
	a := store.Account{Credential: g.credentials[n%differentPasswords], User: user.User{ID: int64(n), Username: stresstest.Username(n),
		Nickname: stresstest.Nickname(n), Version: 1, AuthEpoch: 1, CreatedAt: g.now}}
	if g.key == nil {
		return a, nil
	}
	_, digest, ok := session.ParseToken(stresstest.Token(g.key, n))
	if !ok {
		return a, fmt.Errorf("make token of account %d", n)
	}
	a.Session = &session.Session{UserID: int64(n), Digest: digest, AuthEpoch: 1, CreatedAt: g.now, LastSeenAt: g.now,
		ExpiresAt: g.now.Add(generatedLifetime), UserAgent: "generated"}
	return a, nil
}

// generatedLifetime is long, so that a generated database can be kept.
const generatedLifetime = 365 * 24 * time.Hour

const (
	// sampled is how many accounts are read back, and sampledPasswords of how
	// many of them the password is verified, which takes a while each.
	sampled          = 100
	sampledPasswords = 4
)

// verify counts the accounts and reads some of them back.
func (g *generator) verify(ctx context.Context, w io.Writer) error {
	all := g.last - g.first + 1
	if n, err := g.loader.Count(ctx, int64(g.first), int64(g.last)); err != nil {
		return err
	} else if n != all {
		return fmt.Errorf("there are %d of %d", n, all)
	}
	samples := min(sampled, all)
	for i := range samples {
		// The first and the last are among them.
		n := g.first + i*(all-1)/max(samples-1, 1)
		if err := g.verifyOne(ctx, n, i%(sampled/sampledPasswords) == 0); err != nil {
			return fmt.Errorf("account %d: %w", n, err)
		}
	}
	with := ""
	if g.key != nil {
		with = " with their sessions"
	}
	_, err := fmt.Fprintf(w, "verified: %s counted, %d read back%s, the passwords of %d of them right\n",
		shown(all), samples, with, (samples+sampled/sampledPasswords-1)/(sampled/sampledPasswords))
	return err
}

func (g *generator) verifyOne(ctx context.Context, n int, password bool) error {
	u, credential, err := g.store.CredentialByName(ctx, stresstest.Username(n))
	if err != nil {
		return err
	}
	// The load driver puts a number behind the nickname.
	if u.ID != int64(n) || !strings.HasPrefix(u.Nickname, stresstest.Nickname(n)) || u.Disabled {
		return fmt.Errorf("it has id %d and nickname %q, disabled: %t", u.ID, u.Nickname, u.Disabled)
	}
	if g.key != nil {
		_, digest, _ := session.ParseToken(stresstest.Token(g.key, n))
		if _, _, err := g.store.Session(ctx, u.ID, digest); err != nil {
			return fmt.Errorf("its session: %w", err)
		}
	}
	if !password {
		return nil
	}
	ok, _, err := g.hasher.Verify(ctx, credential, stresstest.Password(n%differentPasswords))
	if err == nil && !ok {
		err = errors.New("its password is not the one expected")
	}
	return err
}

const (
	// maxUserBytes is what a user may take on disk, the index included, so
	// that ten million fit into the memory of a small machine.
	maxUserBytes = 220
	// minMeasured is how many users make that mean something: a table grows
	// by whole blocks.
	minMeasured = 100_000
)

// space says how much room the users take.
func (g *generator) space(ctx context.Context, w io.Writer) error {
	users, size, err := g.loader.Space(ctx)
	if err != nil {
		return err
	}
	each := (size + users - 1) / users
	fmt.Fprintf(w, "the table of users takes %s bytes for %s, %d bytes a user with indexes\n", shown(size), shown(users), each)
	if each > maxUserBytes && users >= minMeasured {
		_, err = fmt.Fprintf(w, "WARNING: that is more than the %d bytes a user that this version is made for\n", maxUserBytes)
	}
	return err
}

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
