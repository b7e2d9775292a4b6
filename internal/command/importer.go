package command

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"gatehouse/backend/password"
	"gatehouse/backend/store"
	"gatehouse/backend/user"
)

const (
	// maxLine is the longest line in bytes. The longest account, all of it
	// written in escapes, takes less than half.
	maxLine = 8 << 10
	// importStep is how many lines are brought in by one transaction, and
	// looked at again where an import was interrupted.
	importStep = 5000
	// maxIDTries is how often an account gets another id because the one that
	// was made is taken.
	maxIDTries = 5
)

// An importer takes accounts over from lines.
type importer struct {
	loader   *store.Loader
	refused  *refusals
	progress *progress
	there    int // lines that an earlier import brought in
}

// entry is a line that is right in itself.
type entry struct {
	line      int
	account   store.Account
	withID    bool
	withTime  bool
	signature int64 // of lines without a time
}

// step is what was read of some lines.
type step struct {
	entries []entry
	refused []refusal
}

// run reads on one goroutine and inserts on another, in the order of the
// lines, so that of two lines of one name the first is taken.
func (im *importer) run(ctx context.Context, input io.Reader) error {
	steps := make(chan step, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		defer close(steps)
		return readSteps(ctx, input, steps)
	})
	group.Go(func() error {
		for s := range steps {
			if err := im.place(ctx, s); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
	return group.Wait()
}

// readSteps reads all lines.
func readSteps(ctx context.Context, input io.Reader, steps chan<- step) error {
	lines := bufio.NewReaderSize(input, maxLine)
	var s step
	for number := 1; ; number++ {
		text, fits, err := readLine(lines)
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read line %d: %w", number, err)
		}
		ended := err != nil
		if !fits {
			s.refused = append(s.refused, refusal{Line: number, Reason: fmt.Sprintf("longer than %d bytes", maxLine)})
		} else if len(bytes.TrimSpace(text)) > 0 {
			s.add(number, text)
		}
		if ended || len(s.entries)+len(s.refused) >= importStep {
			select {
			case steps <- s:
			case <-ctx.Done():
				return ctx.Err()
			}
			s = step{}
		}
		if ended {
			return nil
		}
	}
}

// readLine reads a line. Of one that is too long it keeps nothing, and tells.
func readLine(lines *bufio.Reader) (text []byte, fits bool, err error) {
	text, err = lines.ReadSlice('\n')
	fits = !errors.Is(err, bufio.ErrBufferFull)
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = lines.ReadSlice('\n')
	}
	return text, fits, err
}

// add parses a line.
func (s *step) add(number int, text []byte) {
	line, err := parseLine(text)
	var a store.Account
	if err == nil {
		a, err = line.account(time.Now())
	}
	if err != nil {
		s.refused = append(s.refused, refusal{Line: number, Reason: err.Error(), Username: line.Username})
		return
	}
	e := entry{line: number, account: a, withID: a.User.ID != 0, withTime: !a.User.CreatedAt.IsZero()}
	if !e.withTime {
		e.sign()
	}
	s.entries = append(s.entries, e)
}

// sign gives an account without a time that of its import, in which the
// fraction of the second is a digest of the line. By it the line is known
// again after its account has another credential: that of the first login.
func (e *entry) sign() {
	digest := sha256.Sum256(append([]byte(e.account.User.Username+"\x00"), e.account.Credential...))
	e.signature = int64(binary.BigEndian.Uint32(digest[:]) % 1e6)
	second := time.Now().UTC().Truncate(time.Second).Add(-time.Second)
	e.account.User.CreatedAt = second.Add(time.Duration(e.signature) * time.Microsecond)
}

// brought tells whether the account that has the name of the line came of this
// very line. One whose credential is now ours may have logged in since, which
// replaces a foreign one, or changed their password.
func (e *entry) brought(there store.Account) bool {
	if e.withID && there.User.ID != e.account.User.ID {
		return false
	}
	if bytes.Equal(there.Credential, e.account.Credential) {
		return true
	}
	if !password.Own(there.Credential) {
		return false
	}
	at := there.User.CreatedAt.UnixMicro()
	if e.withTime {
		return at == e.account.User.CreatedAt.UnixMicro()
	}
	return e.withID || at%1e6 == e.signature
}

// place inserts what can be inserted of a step, and says what cannot.
func (im *importer) place(ctx context.Context, s step) error {
	fresh, err := im.sortOut(ctx, &s)
	if err != nil {
		return err
	}
	if err := im.number(fresh); err != nil {
		return err
	}
	if err := im.insert(ctx, &s, fresh, 0); err != nil {
		return err
	}
	slices.SortFunc(s.refused, func(a, b refusal) int { return cmp.Compare(a.Line, b.Line) })
	return im.refused.add(s.refused)
}

// sortOut returns the entries whose names are free.
func (im *importer) sortOut(ctx context.Context, s *step) (fresh []entry, err error) {
	known := map[string]store.Account{}
	for some := range slices.Chunk(s.entries, store.MaxPage) {
		var names []string
		for _, e := range some {
			names = append(names, e.account.User.Username)
		}
		found, err := im.loader.Named(ctx, names)
		if err != nil {
			return nil, err
		}
		for _, e := range some {
			name := e.account.User.Username
			if there, ok := found[name]; ok {
				im.meet(s, e, there)
			} else if before, twice := known[name]; twice {
				im.meet(s, e, before)
			} else {
				known[name] = e.account
				fresh = append(fresh, e)
			}
		}
	}
	return fresh, nil
}

// meet deals with an entry whose name is taken.
func (im *importer) meet(s *step, e entry, there store.Account) {
	if e.brought(there) {
		im.there++
		return
	}
	s.refuse(e, "username is taken")
}

func (s *step) refuse(e entry, reason string) {
	s.refused = append(s.refused, refusal{Line: e.line, Reason: reason, Username: e.account.User.Username})
}

// number gives ids to those without, one after the other: ids that are at
// random within a millisecond would meet where thousands are made in one.
func (im *importer) number(fresh []entry) error {
	next, err := user.NewID(time.Now(), rand.Reader)
	if err != nil {
		return err
	}
	for i := range fresh {
		if !fresh[i].withID {
			fresh[i].account.User.ID = next
			next++
		}
	}
	return nil
}

// insert loads entries, all at once if that can be, and otherwise in halves,
// until those that cannot be loaded stand alone.
func (im *importer) insert(ctx context.Context, s *step, fresh []entry, tries int) error {
	if len(fresh) == 0 {
		return nil
	}
	accounts := make([]store.Account, len(fresh))
	for i, e := range fresh {
		accounts[i] = e.account
	}
	err := im.loader.Load(ctx, accounts)
	if err == nil {
		im.progress.add(len(fresh))
		return nil
	}
	if !errors.Is(err, user.ErrTaken) {
		return err
	}
	if len(fresh) == 1 {
		return im.insertOne(ctx, s, fresh[0], tries)
	}
	half := len(fresh) / 2
	if err := im.insert(ctx, s, fresh[:half], tries); err != nil {
		return err
	}
	return im.insert(ctx, s, fresh[half:], tries)
}

// insertOne deals with an entry of which the name or the id is taken, since a
// moment ago or by a line of the same step.
func (im *importer) insertOne(ctx context.Context, s *step, e entry, tries int) error {
	found, err := im.loader.Named(ctx, []string{e.account.User.Username})
	if err != nil {
		return err
	}
	if there, ok := found[e.account.User.Username]; ok {
		im.meet(s, e, there)
		return nil
	}
	if e.withID {
		s.refuse(e, fmt.Sprintf("id %d is taken by another account", e.account.User.ID))
		return nil
	}
	if tries == maxIDTries {
		return fmt.Errorf("line %d: found no free id", e.line)
	}
	one := []entry{e}
	if err := im.number(one); err != nil {
		return err
	}
	return im.insert(ctx, s, one, tries+1)
}
