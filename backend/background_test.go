package backend_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/backend"
	"gatehouse/backend/session"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// memory is as much of both stores as is needed to answer verify and to work
// in the background, without the goroutines and waits of a database, so that
// time can be faked around it.
type memory struct {
	users
	session.Store

	mu       sync.Mutex // guards the fields below
	sessions map[session.Digest]session.Session
	seen     []note
	swept    []sweepCall
	// write comes before what Seen does, where not nil.
	write func(ctx context.Context) error
	// left is how many rows there are to sweep.
	left int
	fail error // of a sweep
}

// users is a name of its own, so that both stores can be embedded.
type users interface{ user.Store }

// note is one time that was written.
type note struct {
	session.Seen
	written time.Time
	batch   int // how many were written with it
}

type sweepCall struct {
	what   string
	at     time.Time
	before time.Time
	limit  int
}

func newMemory() *memory { return &memory{sessions: map[session.Digest]session.Session{}} }

func (m *memory) Session(_ context.Context, id int64, d session.Digest) (user.User, session.Session, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s, ok := m.sessions[d]
	if !ok {
		return user.User{}, s, session.ErrNotFound
	}
	return user.User{ID: id, Username: "ada", AuthEpoch: 1, Version: 1}, s, nil
}

func (m *memory) Seen(ctx context.Context, seen []session.Seen) error {
	m.mu.Lock()
	write := m.write
	m.mu.Unlock()
	if write != nil {
		if err := write(ctx); err != nil {
			return err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, one := range seen {
		s := m.sessions[one.Digest]
		s.LastSeenAt = one.At
		m.sessions[one.Digest] = s
		m.seen = append(m.seen, note{one, time.Now(), len(seen)})
	}
	return nil
}

func (m *memory) sweep(what string, before time.Time, limit int) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.swept = append(m.swept, sweepCall{what, time.Now(), before, limit})
	n := min(limit, m.left)
	m.left -= n
	return n, m.fail
}

func (m *memory) SweepSessions(_ context.Context, before time.Time, limit int) (int, error) {
	return m.sweep("sessions", before, limit)
}

func (m *memory) SweepIdempotency(_ context.Context, before time.Time, limit int) (int, error) {
	return m.sweep("idempotency", before, limit)
}

// writing lets f come before what Seen does.
func (m *memory) writing(f func(ctx context.Context) error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.write = f
}

// lag is how far what is written is behind, of the session furthest behind.
func (m *memory) lag() (most time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, s := range m.sessions {
		most = max(most, time.Since(s.LastSeenAt))
	}
	return most
}

// open makes a session and returns its token.
func (m *memory) open(t *testing.T) packet.Secret {
	t.Helper()
	token, digest, err := session.NewToken(1, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sessions[digest] = session.Session{UserID: 1, Digest: digest, AuthEpoch: 1, CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(30 * day)}
	return packet.Secret(token)
}

func (m *memory) backend(log *slog.Logger) *backend.Backend {
	return backend.New(backend.Config{Users: m, Sessions: m, Log: log})
}

func use(t *testing.T, b *backend.Backend, token packet.Secret) {
	t.Helper()
	if _, err := packet.Verify.Call(t.Context(), b, protocol.Meta{}, packet.Authenticated{Token: token}); err != nil {
		t.Error(err)
	}
}

func TestUseOfASessionIsWrittenAtMostOnceAMinute(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		b := m.backend(nil)
		token := m.open(t)
		for range 3600 {
			time.Sleep(time.Second)
			use(t, b, token)
			if lag := m.lag(); lag > 66*time.Second {
				t.Fatalf("what is written lags %v behind", lag)
			}
		}
		b.Close()
		if n := len(m.seen); n < 50 || n > 60 {
			t.Errorf("%d writes in an hour", n)
		}
		for i, one := range m.seen[1:] {
			if between := one.At.Sub(m.seen[i].At); between < time.Minute {
				t.Errorf("uses written are %v apart", between)
			}
			if one.UserID != 1 || one.written.Sub(one.At) > 5*time.Second {
				t.Errorf("written is %+v", one)
			}
		}
	})
}

func TestCloseWritesWhatIsNotYetWritten(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		b := m.backend(nil)
		token := m.open(t)
		time.Sleep(61 * time.Second)
		use(t, b, token)
		at := time.Now()
		b.Close()
		if len(m.seen) != 1 || !m.seen[0].At.Equal(at) {
			t.Errorf("written are %+v, want the use at %v", m.seen, at)
		}
		b.Close() // changes nothing
		if len(m.seen) != 1 {
			t.Errorf("closing again wrote %+v", m.seen[1:])
		}
	})
}

func TestCloseLetsAWriteThatWasBegunEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		begun := make(chan bool)
		m.writing(func(ctx context.Context) error {
			close(begun)
			select {
			case <-time.After(time.Second):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
		b := m.backend(nil)
		token := m.open(t)
		time.Sleep(61 * time.Second)
		use(t, b, token)
		<-begun // by the clock, not by Close
		b.Close()
		if len(m.seen) != 1 {
			t.Errorf("%d uses are written, want 1", len(m.seen))
		}
	})
}

func TestCloseDoesNotWaitForADeadStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.writing(func(ctx context.Context) error {
			<-ctx.Done() // for ever, were it for the store
			return ctx.Err()
		})
		b := m.backend(nil)
		tokens := make([]packet.Secret, 600)
		for i := range tokens {
			tokens[i] = m.open(t)
		}
		time.Sleep(61 * time.Second)
		for _, token := range tokens {
			use(t, b, token)
		}
		begin := time.Now()
		b.Close()
		if waited := time.Since(begin); waited > 10*time.Second { // of the faked time
			t.Errorf("closing took %v", waited)
		}
	})
}

func TestUseThatCouldNotBeWrittenIsNotedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.writing(func(context.Context) error { return errors.New("out of order") })
		var log journal
		b := m.backend(log.logger(slog.LevelInfo))
		token := m.open(t)
		time.Sleep(61 * time.Second)
		use(t, b, token)
		time.Sleep(10 * time.Second)
		if text := log.String(); !strings.Contains(text, "out of order") || !strings.Contains(text, `"level":"WARN"`) {
			t.Errorf("the log says %q", text)
		}
		m.writing(nil)
		use(t, b, token)
		b.Close()
		if len(m.seen) != 1 {
			t.Errorf("%d uses are written, want the second", len(m.seen))
		}
	})
}

func TestUsesAreWrittenInBoundedBatchesAndGatherInBoundedMemory(t *testing.T) {
	t.Parallel()
	const most = 50_000
	sessions := make([]session.Session, most+100)
	for i := range sessions {
		sessions[i] = session.Session{UserID: int64(i + 1), Digest: sha256.Sum256(fmt.Append(nil, i))}
	}
	m := newMemory()
	backend.Gather(m, append(sessions, sessions[:1000]...), time.Now())
	written := map[session.Digest]bool{}
	for _, one := range m.seen {
		written[one.Digest] = true
		if one.batch > 500 {
			t.Fatalf("%d were written at once", one.batch)
		}
	}
	if len(written) != most || len(m.seen) != most {
		t.Errorf("%d sessions were written, in %d notes, want %d", len(written), len(m.seen), most)
	}
}

func TestSweepsGoOnWhileThereIsMuchToDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.left = 1200 // 500 sessions and 500 keys, then 200 of the one and none of the other
		begin := time.Now()
		b := m.backend(nil)
		time.Sleep(15 * time.Minute)
		b.Close()
		var got []string
		for _, call := range m.swept {
			got = append(got, fmt.Sprintf("%s at %v of before %v, at most %d", call.what, call.at.Sub(begin), call.before.Sub(call.at), call.limit))
		}
		var want []string
		for _, at := range []string{"100ms", "200ms", "10m0.2s"} {
			want = append(want, "sessions at "+at+" of before 0s, at most 500", "idempotency at "+at+" of before -24h0m0s, at most 500")
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("swept\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}

func TestSweepThatFailsIsLoggedAndTriedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		m.fail = errors.New("out of order")
		var log journal
		b := m.backend(log.logger(slog.LevelInfo))
		time.Sleep(time.Minute)
		if text := log.String(); strings.Count(text, "out of order") != 2 || !strings.Contains(text, `"of":"sessions"`) || !strings.Contains(text, `"of":"idempotency records"`) {
			t.Errorf("the log says %q", text)
		}
		time.Sleep(10 * time.Minute)
		b.Close()
		if n := len(m.swept); n != 4 {
			t.Errorf("%d sweeps, want 4", n)
		}
	})
}

func TestSweepsAreLeftToOthersWhereAsked(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := newMemory()
		b := backend.New(backend.Config{Users: m, Sessions: m, NoSweep: true})
		time.Sleep(time.Hour)
		b.Close()
		if len(m.swept) != 0 {
			t.Errorf("swept %v", m.swept)
		}
	})
}

func TestABusySessionOfShortIdleTimeLivesOn(t *testing.T) {
	t.Parallel()
	s := start(t, func(cfg *setup) { cfg.backend.Limits.Idle = 8 * time.Second })
	ada := s.join(t, "ada.l")
	for range 10 {
		s.clock.pass(5 * time.Second)
		if !s.alive(t, ada) {
			t.Fatal("a session that is used ended")
		}
	}
	s.clock.pass(9 * time.Second)
	if s.alive(t, ada) {
		t.Error("an idle session lives on")
	}
}
