package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gatehouse/backend"
	"gatehouse/backend/cache"
	"gatehouse/backend/password"
	"gatehouse/backend/session"
	"gatehouse/backend/store"
	"gatehouse/backend/throttle"
	"gatehouse/monitoring"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
	"gatehouse/webserver"
)

// operatorFlags say where the accounts are that an operator's command is about.
type operatorFlags struct {
	commonFlags
	dataFlag
	databaseFlag
	Cache    string `help:"The redis:// or rediss:// that backends of the database share, for --offline." placeholder:"URL" secret:"" group:"Operator"`
	Operator string `help:"The operator socket of a running backend. DATA/operator.sock by default." placeholder:"unix:///PATH" group:"Operator"`
	Offline  bool   `help:"Change a MySQL database without asking a backend. Name the --cache that backends share, or they are made to do without one." group:"Operator"`
}

// rulesFlags are what a new password must be where no backend is asked, which
// has settings of its own.
type rulesFlags struct {
	PasswordMin int    `help:"Least length of a password in code points, where no backend is running." default:"8" placeholder:"N" group:"Operator"`
	HashParams  string `help:"How new passwords are hashed, where no backend is running." default:"argon2id:m=19456,t=2,p=1" placeholder:"PARAMS" group:"Operator"`
}

// rules are those by which an operator works where no backend is asked.
type rules struct {
	// reading tells that nothing is changed, which may be done beside any backend.
	reading bool
	policy  password.Policy
	params  password.Params
	limits  session.Limits
}

func (f rulesFlags) rules() (rules, error) {
	params, err := password.ParseParams(f.HashParams)
	if err != nil {
		return rules{}, usage("--hash-params: %w", err)
	}
	if f.PasswordMin < 1 {
		return rules{}, usage("--password-min: %d is too small, want at least 1", f.PasswordMin)
	}
	return rules{policy: password.Policy{Min: f.PasswordMin}, params: params}, nil
}

// operatorTimeout bounds each call of an operator.
const operatorTimeout = 30 * time.Second

// operator answers the packets of operators: a running backend at the far end
// of its socket, or one without a server on the database itself.
type operator struct {
	protocol.Caller
	close func() error
}

// Call implements protocol.Caller with a bound on each call.
func (o *operator) Call(ctx context.Context, req protocol.Request) (protocol.Reply, error) {
	ctx, cancel := context.WithTimeout(ctx, operatorTimeout)
	defer cancel()
	return o.Caller.Call(ctx, req)
}

// with runs do with the operator's way to the accounts.
func (f operatorFlags) with(ctx context.Context, p *process, r rules, do func(o *operator) error) error {
	o, err := f.connect(ctx, p, r)
	if err != nil {
		return err
	}
	return errors.Join(do(o), o.close())
}

// connect finds the backend behind the operator socket, or opens the database
// where nobody is there.
func (f operatorFlags) connect(ctx context.Context, p *process, r rules) (*operator, error) {
	path := filepath.Join(f.Data, operatorSocketName)
	if f.Operator != "" {
		network, given := webserver.SplitTarget(f.Operator)
		if network != "unix" || given == "" {
			return nil, usage("--operator %s: want unix:///path, the operator socket of a backend", f.Operator)
		}
		path = given
	}
	o, err := dialOperator(ctx, path)
	switch {
	case err == nil && f.Offline:
		return nil, errors.Join(fmt.Errorf("--offline: a backend answers on %s; leave --offline out, so that it makes the change", path), o.close())
	case err == nil:
		if err := f.meant(ctx, o, path); err != nil {
			return nil, errors.Join(err, o.close())
		}
		return o, nil
	case f.Operator != "":
		return nil, fmt.Errorf("--operator %s: %w", f.Operator, err)
	case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("ask the backend on %s: %w", path, err)
	}
	return f.direct(ctx, p, path, r)
}

// meant refuses a backend that has another database than --database says.
func (f operatorFlags) meant(ctx context.Context, o *operator, path string) error {
	if f.Database == "" {
		return nil
	}
	about, err := packet.OpAbout.Call(ctx, o, protocol.Meta{}, packet.Empty{})
	if err != nil {
		return fmt.Errorf("ask the backend on %s which database it has: %w", path, explain(err, ""))
	}
	if own := store.Place(f.Database); own != about.Database {
		return fmt.Errorf("the backend on %s has the database %s, and --database says %s; leave --database out to work on the backend's, or name another --data",
			path, about.Database, own)
	}
	return nil
}

func dialOperator(ctx context.Context, path string) (*operator, error) {
	if _, err := os.Lstat(path); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, operatorTimeout)
	defer cancel()
	conn, err := protocol.Dial(ctx, "unix", path, protocol.Config{Name: "operator/" + version})
	if err != nil {
		return nil, err
	}
	return &operator{Caller: conn, close: conn.Close}, nil
}

// direct works on the database itself, with the handlers that a backend has.
func (f operatorFlags) direct(ctx context.Context, p *process, socket string, r rules) (_ *operator, err error) {
	if f.LogLevel == "info" {
		f.LogLevel = "warn" // for a command, what goes well goes without saying
	}
	log, err := f.newLog(p.stderr)
	if err != nil {
		return nil, err
	}
	o := new(offline)
	defer func() {
		if err != nil {
			err = errors.Join(err, o.close())
		}
	}()
	if o.store, err = f.openDirect(ctx, socket, r); err != nil {
		return nil, err
	}
	if o.hasher, err = password.New(password.Config{Params: r.params, Workers: 1}); err != nil {
		return nil, err
	}
	cfg := backend.Config{Users: o.store, Sessions: o.store, Hasher: o.hasher, Policy: r.policy, Limits: r.limits, NoSweep: true,
		Throttle: throttle.New(throttle.Config{}), Devices: throttle.NewDevices(throttle.DeviceConfig{})}
	database := f.url(f.Data)
	if !r.reading {
		if o.cache, err = f.agree(ctx, o.store, database, log); err != nil {
			return nil, err
		}
		cfg.Cache = o.cache
	}
	fmt.Fprintf(p.stderr, "gatehouse: no backend answers on %s; working directly on %s\n", socket, store.Redacted(database))
	o.backend = backend.New(cfg)
	return &operator{Caller: o.backend.Operator(), close: o.close}, nil
}

// openDirect opens the database where a command may do so by itself.
func (f operatorFlags) openDirect(ctx context.Context, socket string, r rules) (*store.Store, error) {
	database := f.url(f.Data)
	file := strings.HasPrefix(database, "sqlite:")
	if !file && !f.Offline && !r.reading {
		return nil, usage("no backend answers on %s: run this where one does, or name its socket with --operator unix:///path; "+
			"--offline works on the database directly", socket)
	}
	st, err := store.Open(ctx, store.Config{URL: database, Existing: true, Shared: r.reading})
	if err != nil && file {
		return nil, whyNotDirect(err, socket)
	}
	if err != nil {
		return nil, err
	}
	if err := st.Check(ctx); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	return st, nil
}

// agree agrees with backends that may be running on what a change must mark: on
// the --cache that they share where it is a Redis, and otherwise that nobody
// uses one. It waits until that is so.
func (f operatorFlags) agree(ctx context.Context, st *store.Store, database string, log *slog.Logger) (*cacheTier, error) {
	flag := cacheFlag{Cache: f.Cache}
	if !strings.HasPrefix(f.Cache, "redis") {
		flag.Cache = "none"
	}
	t, err := flag.open(ctx, st, database, monitoring.New(build()), log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, operatorTimeout)
	defer cancel()
	tick := time.NewTicker(settlePoll)
	defer tick.Stop()
	for {
		mode := t.View().Mode
		if mode == cache.On || mode == cache.Off {
			return t, nil
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil, errors.Join(fmt.Errorf("wait for the cache that backends share, which is %v: %w", mode, ctx.Err()), t.close())
		}
	}
}

// settlePoll is how often is looked whether all agree.
const settlePoll = 50 * time.Millisecond

// whyNotDirect says what to do where a SQLite file cannot be opened.
func whyNotDirect(err error, socket string) error {
	switch {
	case errors.Is(err, store.ErrClaimed):
		return fmt.Errorf("no backend answers on %s, and one has the database; name its socket with --operator unix:///path: %w", socket, err)
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("no backend answers on %s, and there is no database; is --data right? (gatehouse migrate up makes a new one): %w", socket, err)
	}
	return err
}

// offline is a backend without a server.
type offline struct {
	store   *store.Store
	hasher  *password.Hasher
	cache   *cacheTier // nil where nothing is changed
	backend *backend.Backend
}

func (o *offline) close() (err error) {
	if o.backend != nil {
		err = o.backend.Close()
	}
	if o.hasher != nil {
		o.hasher.Close()
	}
	if o.cache != nil {
		err = errors.Join(err, o.cache.close())
	}
	if o.store != nil {
		err = errors.Join(err, o.store.Close())
	}
	return err
}

// explain says in an operator's words why a call about a user was refused.
func explain(err error, username string) error {
	var e *protocol.Error
	if !errors.As(err, &e) {
		return err
	}
	switch {
	case len(e.Fields) > 0:
		var wrong []string
		for _, f := range e.Fields {
			wrong = append(wrong, f.Field+" "+f.Detail)
		}
		return errors.New(strings.Join(wrong, "; "))
	case e.Reason == "username_taken":
		return fmt.Errorf("username %q is taken; choose another", username)
	case e.Reason == "no_such_user":
		return fmt.Errorf("there is no user %q; gatehouse users list shows who there is", username)
	case e.Reason == "unknown_type":
		return errors.New("the backend does not know this command: its program is older than this one, or what was named is not its operator socket")
	case e.Code == protocol.UnknownOutcome:
		return fmt.Errorf("it is not known whether this was done; look with: gatehouse users show %s: %w", username, err)
	case e.Code == protocol.Internal:
		return fmt.Errorf("the backend met a defect; its log says which: %w", err)
	}
	return fmt.Errorf("nothing was changed; try again: %w", err)
}
