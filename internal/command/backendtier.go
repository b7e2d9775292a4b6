package command

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"gatehouse/backend"
	"gatehouse/backend/password"
	"gatehouse/backend/session"
	"gatehouse/backend/store"
	"gatehouse/backend/throttle"
	"gatehouse/monitoring"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
	"gatehouse/webserver"
)

// backendTier is tier 2 at work.
type backendTier struct {
	store    *store.Store
	hasher   *password.Hasher
	cache    *cacheTier
	backend  *backend.Backend
	server   *protocol.Server
	listener net.Listener
	// operator is nil where this process has no operator socket.
	operator *operatorSocket
	// noOperator says why it has none.
	noOperator error
	// processors is GOMAXPROCS as it was found, 0 where it was left alone.
	processors int
}

// backendSettings are what tier 2 is made of.
type backendSettings struct {
	data     string
	storage  storageFlags
	cache    cacheFlag
	accounts accountFlags
	key      []byte
	tls      *tls.Config
	listener net.Listener
}

// databaseURL is --database, or the embedded default.
func (f databaseFlag) url(data string) string {
	if f.Database != "" {
		return f.Database
	}
	return "sqlite:" + filepath.Join(data, "gatehouse.db")
}

// openBackend puts tier 2 together. It closes the listener when it fails.
func openBackend(ctx context.Context, s backendSettings, metrics *monitoring.Metrics, log *slog.Logger) (_ *backendTier, err error) {
	t := &backendTier{listener: s.listener}
	defer func() {
		if err != nil {
			t.close()
			s.listener.Close()
		}
	}()
	if err := os.MkdirAll(s.data, 0o700); err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	if t.store, err = openStore(ctx, s, log); err != nil {
		return nil, err
	}
	cfg, err := s.accounts.backendConfig()
	if err != nil {
		return nil, err
	}
	if t.hasher, err = s.accounts.hasher(metrics, log); err != nil {
		return nil, err
	}
	t.makeRoomForHashing()
	if t.cache, err = s.cache.open(ctx, t.store, s.storage.url(s.data), metrics, log); err != nil {
		return nil, err
	}
	if cfg.Devices, err = devices(ctx, t.store); err != nil {
		return nil, err
	}
	cfg.Users, cfg.Sessions, cfg.Hasher, cfg.Cache, cfg.Log = t.store, t.store, t.hasher, t.cache, log
	cfg.About = packet.OpAboutReply{Version: version, Database: store.Place(s.storage.url(s.data))}
	cfg.AuditRate = s.cache.AuditRate
	cfg.Hooks = backend.Hooks{
		Stage: func(stage, op string, took time.Duration) {
			metrics.Stage(monitoring.Backend, stage, op, took)
		},
		Lookup: metrics.Lookup, Login: metrics.Login, Shed: metrics.Shed, Audited: metrics.Audited,
		MarkLost: func() {
			metrics.MarkLost()
			log.Error("the cache forgot the mark of a change; it may have shown what was older")
		},
	}
	t.backend = backend.New(cfg)
	t.server = protocol.NewServer(protocol.ServerConfig{
		Handler: counted{t.backend, metrics, knownTypes()},
		Name:    "backend/" + version,
		Key:     s.key,
		Hooks:   serverHooks(metrics, log),
	})
	t.openOperator(s.data, metrics, log)
	return t, nil
}

// serverHooks tell the log and the numbers what happens on a server.
func serverHooks(metrics *monitoring.Metrics, log *slog.Logger) protocol.ServerHooks {
	return protocol.ServerHooks{
		Panic: func(typ string, value any, stack []byte) {
			metrics.Panic()
			log.Error("panic", "op", typ, "panic", fmt.Sprint(value), "stack", string(stack))
		},
		Refused: func(remote net.Addr, err error) {
			log.Warn("connection refused", "peer", remote.String(), "error", err)
		},
		Encoded: encoded(metrics),
	}
}

// openStore opens the database, brings its schema up to date as --migrate
// says and looks at whether it loses what it acknowledged.
func openStore(ctx context.Context, s backendSettings, log *slog.Logger) (*store.Store, error) {
	st, err := store.Open(ctx, store.Config{URL: s.storage.url(s.data)})
	if err != nil {
		return nil, err
	}
	for _, w := range st.Warnings() {
		warn(log, "%s", w)
	}
	switch s.storage.Migrate {
	case "up":
		err = st.Migrate(ctx)
	case "check":
		err = st.Check(ctx)
	}
	if err == nil {
		err = checkDurability(ctx, st, s.storage.Durability, log)
	}
	if err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

func checkDurability(ctx context.Context, st *store.Store, want string, log *slog.Logger) error {
	problems, err := st.Durability(ctx)
	if err != nil {
		return err
	}
	for _, p := range problems {
		if want == "strict" {
			return fmt.Errorf("--durability strict: %s", p)
		}
		warn(log, "acknowledged writes can be lost: %s", p)
	}
	return nil
}

// devices returns the known devices of all backends on this database: the
// key that makes them is kept there.
func devices(ctx context.Context, st *store.Store) (*throttle.Devices, error) {
	var fresh [32]byte
	rand.Read(fresh[:]) // never fails
	key, err := st.Secret(ctx, "device-key", fresh[:])
	if err != nil {
		return nil, fmt.Errorf("read the key of known devices: %w", err)
	}
	if len(key) != len(fresh) {
		return nil, fmt.Errorf("the key of known devices in the database has %d bytes, want %d", len(key), len(fresh))
	}
	return throttle.NewDevices(throttle.DeviceConfig{Key: [32]byte(key)}), nil
}

// check tells what is wrong with the settings of accounts.
func (f accountFlags) check() error {
	if _, err := password.ParseParams(f.HashParams); err != nil {
		return usage("--hash-params: %w", err)
	}
	_, err := f.backendConfig()
	return err
}

func (f accountFlags) hasher(metrics *monitoring.Metrics, log *slog.Logger) (*password.Hasher, error) {
	params, err := password.ParseParams(f.HashParams)
	if err != nil {
		return nil, usage("--hash-params: %w", err)
	}
	if params.Weak() {
		warn(log, "--hash-params %s is weaker than OWASP's recommendations", params)
	}
	return password.New(password.Config{Workers: f.HashWorkers, Params: params, Trace: password.Trace{
		Waited: func(ctx context.Context, d time.Duration) {
			metrics.Stage(monitoring.Backend, monitoring.StagePasswordWait, backend.Op(ctx), d)
		},
		Worked: func(ctx context.Context, d time.Duration) {
			metrics.Stage(monitoring.Backend, monitoring.StagePasswordVerify, backend.Op(ctx), d)
		},
	}})
}

// backendConfig returns the rules for accounts.
func (f accountFlags) backendConfig() (backend.Config, error) {
	for name, n := range map[string]int{"sessions-per-user": f.SessionsPerUser, "password-min": f.PasswordMin} {
		if n < 1 {
			return backend.Config{}, usage("--%s: %d is too small, want at least 1", name, n)
		}
	}
	for name, d := range map[string]time.Duration{"session-idle": f.SessionIdle, "session-lifetime": f.SessionLifetime} {
		if d < time.Second {
			return backend.Config{}, usage("--%s: %v is too short, want at least 1s", name, d)
		}
	}
	if f.HashWorkers < 0 {
		return backend.Config{}, usage("--hash-workers: %d is negative; 0 is half the processors", f.HashWorkers)
	}
	var limits throttle.Config
	for _, l := range []struct {
		flag, text string
		into       *throttle.Limit
	}{
		{"limit-failed-logins", f.LimitFailedLogins, &limits.FailedLogins},
		{"limit-registrations", f.LimitRegistrations, &limits.Registrations},
		{"limit-account-failures", f.LimitAccountFailures, &limits.AccountFailures},
		{"limit-device-failures", f.LimitDeviceFailures, &limits.DeviceFailures},
	} {
		if err := l.into.UnmarshalText([]byte(l.text)); err != nil {
			return backend.Config{}, usage("--%s: %w", l.flag, err)
		}
	}
	return backend.Config{
		Policy:   password.Policy{Min: f.PasswordMin},
		Throttle: throttle.New(limits),
		Limits:   session.Limits{Idle: f.SessionIdle, Lifetime: f.SessionLifetime, PerUser: f.SessionsPerUser},
		Closed:   f.Registration == "closed",
	}, nil
}

// makeRoomForHashing raises GOMAXPROCS by one for each worker that hashes.
// One that computes holds its place in Go's scheduler for milliseconds, during
// which a call that came in would wait behind it; with a place of its own it
// is the system's scheduler that shares the processors out, and that lets a
// thread which just woke up go first. GOMAXPROCS in the environment stands.
func (t *backendTier) makeRoomForHashing() {
	if os.Getenv("GOMAXPROCS") == "" {
		t.processors = runtime.GOMAXPROCS(0)
		runtime.GOMAXPROCS(t.processors + t.hasher.Workers())
	}
}

// checks are what /readyz looks at in tier 2.
func (t *backendTier) checks() []monitoring.Check {
	return []monitoring.Check{{Name: "database", Check: func(ctx context.Context) (string, error) {
		if err := t.store.Check(ctx); err != nil {
			return "", err
		}
		return "", t.store.Ping(ctx)
	}}, t.cache.check()}
}

func (t *backendTier) serve() error {
	if t.operator != nil {
		t.operator.start()
	}
	if err := t.server.Serve(t.listener); !errors.Is(err, protocol.ErrServerClosed) {
		return err
	}
	return nil
}

// stop drains the link and the operator socket, then ends the work behind
// them, then closes the store.
func (t *backendTier) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), linkGrace)
	defer cancel()
	var operators error
	var draining sync.WaitGroup
	draining.Go(func() { operators = t.operator.stop(ctx) })
	err := t.server.Shutdown(ctx)
	draining.Wait()
	return errors.Join(err, operators, t.close())
}

// close ends what has been put together so far.
func (t *backendTier) close() (err error) {
	if t.backend != nil {
		err = t.backend.Close()
	}
	if t.hasher != nil {
		t.hasher.Close()
	}
	if t.processors > 0 {
		runtime.GOMAXPROCS(t.processors)
	}
	if t.cache != nil {
		err = errors.Join(err, t.cache.close())
	}
	if t.store != nil {
		err = errors.Join(err, t.store.Close())
	}
	return err
}

// listenLink listens for calls, on TLS where it is set. An address that
// other machines reach wants a key or TLS.
func listenLink(address string, key []byte, tlsConfig *tls.Config) (net.Listener, error) {
	network, path := webserver.SplitTarget(address)
	if network == "unix" {
		return listenUnix("listen", path)
	}
	if !loopback(address) && len(key) == 0 && tlsConfig == nil {
		return nil, usage("--listen %s can be reached from other machines, and neither --link-key-file nor --link-tls-cert is set: anybody could read and change every account", address)
	}
	l, err := listenTCP("listen", address)
	if err != nil || tlsConfig == nil {
		return l, err
	}
	return tls.NewListener(l, tlsConfig), nil
}

// encoded records how long answers took to encode.
func encoded(metrics *monitoring.Metrics) func(typ string, took time.Duration) {
	known := knownTypes()
	return func(typ string, took time.Duration) {
		if known[typ] {
			metrics.Stage(monitoring.Backend, monitoring.StageEncode, typ, took)
		}
	}
}

// counted counts the packets that a Caller answers.
type counted struct {
	protocol.Caller
	metrics *monitoring.Metrics
	types   map[string]bool
}

func knownTypes() map[string]bool {
	types := map[string]bool{}
	for _, typ := range append(backend.Types(), backend.OperatorTypes()...) {
		types[typ] = true
	}
	return types
}

// Call implements protocol.Caller.
func (c counted) Call(ctx context.Context, req protocol.Request) (protocol.Reply, error) {
	reply, err := c.Caller.Call(ctx, req)
	typ, code := req.Type, "ok"
	if !c.types[typ] {
		typ = "unknown" // what a peer makes up must not make up series
	}
	if err != nil {
		code = string(protocol.AsError(err).Code)
	}
	c.metrics.Packet(typ, code)
	return reply, err
}
