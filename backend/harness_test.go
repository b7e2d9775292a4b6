package backend_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/backend"
	"gatehouse/backend/password"
	"gatehouse/backend/store"
	"gatehouse/backend/throttle"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

const (
	goodPassword  = packet.Secret("violet kettle planet 47")
	otherPassword = packet.Secret("amber ladder thunder 92")
	wrongPassword = packet.Secret("marble engine window 15")
)

// service is a Backend on a real database file, with hashes that cost next
// to nothing and a clock that stands still until it is moved.
type service struct {
	*backend.Backend
	store   *meddled
	clock   *clock
	devices *throttle.Devices
	hasher  *password.Hasher
	path    string
	people  atomic.Int64
}

// setup is what a test may change about a service before it starts.
type setup struct {
	backend  backend.Config
	hash     password.Config
	throttle throttle.Config
}

func start(t *testing.T, changes ...func(*setup)) *service {
	t.Helper()
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	s := &service{path: path, store: &meddled{Store: openStore(t, path)}, clock: newClock()}
	return s.beside(t, changes...)
}

// beside starts another backend on the store and the clock of s, as after an
// upgrade or with other settings.
func (s *service) beside(t *testing.T, changes ...func(*setup)) *service {
	t.Helper()
	other := &service{path: s.path, store: s.store, clock: s.clock,
		devices: throttle.NewDevices(throttle.DeviceConfig{Key: [32]byte{1}, Now: s.clock.now})}
	other.people.Store(s.people.Load() + 1000)
	cfg := setup{
		hash:     password.Config{Params: password.Params{Memory: 64, Time: 1, Threads: 1}, Workers: 2, MaxWait: time.Minute},
		throttle: throttle.Config{Now: s.clock.now},
	}
	cfg.backend.Users, cfg.backend.Sessions, cfg.backend.Now = s.store, s.store, s.clock.now
	for _, change := range changes {
		change(&cfg)
	}
	hasher, err := password.New(cfg.hash)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hasher.Close)
	other.hasher = hasher
	cfg.backend.Hasher, cfg.backend.Throttle, cfg.backend.Devices = hasher, throttle.New(cfg.throttle), other.devices
	other.Backend = backend.New(cfg.backend)
	t.Cleanup(func() { other.Close() })
	return other
}

// unlimited takes the throttle away, for tests of something else that fails often.
func unlimited(cfg *setup) {
	off, err := throttle.ParseLimit("off")
	if err != nil {
		panic(err)
	}
	cfg.throttle.FailedLogins, cfg.throttle.Registrations, cfg.throttle.AccountFailures, cfg.throttle.DeviceFailures = off, off, off, off
}

// migrated is a database file with all tables. Making one takes longer than
// most tests do.
var migrated = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "gatehouse")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "gatehouse.db")
	st, err := store.Open(context.Background(), store.Config{URL: "sqlite:" + path})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(st.Migrate(context.Background()), st.Close()); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
})

func openStore(t *testing.T, path string) *store.Store {
	t.Helper()
	file, err := migrated()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), store.Config{URL: "sqlite:" + path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	return st
}

// clock is a time that only the test moves. It has nanoseconds, which
// nothing that is kept or shown may have.
type clock struct {
	mu sync.Mutex // guards at
	at time.Time
}

func newClock() *clock {
	return &clock{at: time.Date(2026, time.March, 1, 12, 0, 0, 123_456_789, time.UTC)}
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

// person is somebody with an account and one session.
type person struct {
	id       int64
	name     string
	password packet.Secret
	token    packet.Secret
	device   packet.Secret
	client   protocol.Client
}

// join registers somebody, who has an address of their own.
func (s *service) join(t *testing.T, name string) *person {
	t.Helper()
	p := &person{name: name, password: goodPassword, client: s.client()}
	rep := must(t, s, packet.Register, protocol.Meta{Client: p.client},
		packet.RegisterRequest{Named: packet.Named{Username: name}, Password: p.password})
	p.id, p.token, p.device = rep.User.ID, rep.Token, rep.Device
	return p
}

// client is a client at an address that nobody had before.
func (s *service) client() protocol.Client {
	n := s.people.Add(1)
	return protocol.Client{IP: fmt.Sprintf("198.51.%d.%d", 100+n/256, n%256), UserAgent: fmt.Sprintf("browser %d", n)}
}

// again logs p in once more and returns them with that session.
func (s *service) again(t *testing.T, p *person) *person {
	t.Helper()
	other := *p
	other.client = s.client()
	rep := must(t, s, packet.Login, protocol.Meta{Client: other.client}, p.credentials())
	other.token, other.device = rep.Token, rep.Device
	return &other
}

func (p *person) credentials() packet.LoginRequest {
	return packet.LoginRequest{Named: packet.Named{Username: p.name}, Password: p.password}
}

func (p *person) auth() packet.Authenticated { return packet.Authenticated{Token: p.token} }

// meta is that of a request with this idempotency key, which may be empty.
func (p *person) meta(key string) protocol.Meta {
	return protocol.Meta{IdempotencyKey: key, Client: p.client}
}

// disable does what the operator does.
func (s *service) disable(t *testing.T, p *person) {
	t.Helper()
	u, err := s.store.Store.ByID(t.Context(), p.id)
	if err != nil {
		t.Fatal(err)
	}
	disabled := true
	if err := s.store.Store.Update(t.Context(), user.Change{ID: u.ID, Version: u.Version, Disabled: &disabled}); err != nil {
		t.Fatal(err)
	}
}

// ask makes a call with a deadline that no test meets, however slow the machine.
func ask[Req, Rep any](t *testing.T, c protocol.Caller, m protocol.Method[Req, Rep], meta protocol.Meta, req Req) (Rep, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return m.Call(ctx, c, meta, req)
}

// must is ask for a call that succeeds.
func must[Req, Rep any](t *testing.T, c protocol.Caller, m protocol.Method[Req, Rep], meta protocol.Meta, req Req) Rep {
	t.Helper()
	rep, err := ask(t, c, m, meta, req)
	if err != nil {
		t.Fatalf("%s: %v", m.Type, err)
	}
	return rep
}

// raw makes a call of any type and returns the reply as it would travel.
func raw(t *testing.T, c protocol.Caller, typ string, meta protocol.Meta, body any) (protocol.Reply, error) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return c.Call(ctx, protocol.Request{Type: typ, Meta: meta, Body: text})
}

// outcome is all of err that travels but RetryAfter and details, as
// "code/reason [field:reason …]"; "ok" for nil.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	var e *protocol.Error
	if !errors.As(err, &e) {
		return "not a protocol error: " + err.Error()
	}
	text := string(e.Code)
	if e.Reason != "" {
		text += "/" + e.Reason
	}
	if len(e.Fields) > 0 {
		var fields []string
		for _, f := range e.Fields {
			fields = append(fields, f.Field+":"+f.Reason)
		}
		text += " [" + strings.Join(fields, " ") + "]"
	}
	return text
}

func wantOutcome(t *testing.T, err error, want string) {
	t.Helper()
	if got := outcome(err); got != want {
		t.Errorf("outcome %q, want %q (%v)", got, want, err)
	}
}

// alive tells whether the session of p is answered.
func (s *service) alive(t *testing.T, p *person) bool {
	t.Helper()
	_, err := ask(t, s, packet.Verify, p.meta(""), p.auth())
	if err != nil && !errors.Is(err, protocol.Unauthenticated) {
		t.Errorf("verify session of %s: %v", p.name, err)
	}
	return err == nil
}

func (s *service) profile(t *testing.T, p *person) packet.User {
	t.Helper()
	return must(t, s, packet.GetProfile, p.meta(""), p.auth()).User
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
