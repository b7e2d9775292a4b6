package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"gatehouse/monitoring"
)

// defaultListen is the address of the link unless --listen says otherwise.
const defaultListen = "127.0.0.1:7000"

// serveFlags are those of both tiers but --backend: the tiers of one process
// know each other.
type serveFlags struct {
	commonFlags
	dataFlag
	httpFlags
	poolFlags
	linkFlags
	listenFlag
	storageFlags
	cacheFlag
	accountFlags
	webAdminFlag
}

type serveCommand struct{ serveFlags }

// check tells what is wrong with the settings before anything is opened.
func (f serveFlags) check() error {
	if err := f.httpFlags.check(); err != nil {
		return err
	}
	if err := f.poolFlags.check(); err != nil {
		return err
	}
	if err := f.accountFlags.check(); err != nil {
		return err
	}
	if err := f.cacheFlag.check(f.url(f.Data)); err != nil {
		return err
	}
	_, err := f.tls()
	return err
}

func (f poolFlags) check() error {
	if f.PoolSize < 1 || f.PoolInFlight < 1 {
		return usage("--pool-size and --pool-in-flight: want at least 1 of each, not %d and %d", f.PoolSize, f.PoolInFlight)
	}
	return nil
}

// Run serves both tiers until a signal, joined by a real connection on
// loopback.
func (c serveCommand) Run(p *process) error {
	if err := c.check(); err != nil {
		return err
	}
	log, err := c.newLog(p.stderr)
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	metrics := monitoring.New(build())
	back, err := c.openBackend(ctx, metrics, log)
	if err != nil {
		return err
	}
	web, err := c.openWeb(back, metrics, log)
	if err != nil {
		return errors.Join(err, back.stop())
	}
	drain := new(drainFlag)
	checks := append([]monitoring.Check{drain.check()}, append(web.checks(), back.checks()...)...)
	admin, err := newAdminTier(c.Admin, metrics.Admin(checks...), log)
	if err != nil {
		return errors.Join(err, web.stop(), back.stop())
	}
	c.greet(p, web, back, admin)
	return runTiers(ctx, drain, web, back, admin)
}

// openBackend opens tier 2 on --listen, or on a free port where 7000 was not
// asked for and is taken.
func (c serveCommand) openBackend(ctx context.Context, metrics *monitoring.Metrics, log *slog.Logger) (*backendTier, error) {
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return nil, fmt.Errorf("--data: %w", err)
	}
	s := backendSettings{data: c.Data, storage: c.storageFlags, cache: c.cacheFlag, accounts: c.accountFlags}
	var err error
	if s.key, err = c.serveKey(log); err != nil {
		return nil, err
	}
	if s.tls, err = c.tls(); err != nil {
		return nil, err
	}
	s.listener, err = listenLink(c.Listen, s.key, s.tls)
	if errors.Is(err, syscall.EADDRINUSE) && c.Listen == defaultListen {
		s.listener, err = listenLink("127.0.0.1:0", s.key, s.tls)
	}
	if err != nil {
		return nil, err
	}
	return openBackend(ctx, s, metrics, log)
}

// serveKey is the link key of --link-key-file, or the one that serve keeps.
func (c serveCommand) serveKey(log *slog.Logger) ([]byte, error) {
	if c.LinkKeyFile != "" {
		return c.key(log)
	}
	return ownLinkKey(c.Data, log)
}

// openWeb opens tier 1 with back as its backend.
func (c serveCommand) openWeb(back *backendTier, metrics *monitoring.Metrics, log *slog.Logger) (*webTier, error) {
	s := webSettings{data: c.Data, http: c.httpFlags, pool: c.poolFlags, registration: c.Registration, passwordMin: c.PasswordMin}
	var err error
	if s.key, err = c.serveKey(log); err != nil {
		return nil, err
	}
	if s.tls, err = c.tls(); err != nil {
		return nil, err
	}
	s.targets = []string{target(back.listener.Addr())}
	return openWeb(s, metrics, log)
}

// target is the address by which this machine reaches a listener.
func target(addr net.Addr) string {
	if addr.Network() == "unix" {
		return "unix://" + addr.String()
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port)
}

// greet tells a person where to go.
func (c serveCommand) greet(p *process, web *webTier, back *backendTier, admin *adminTier) {
	data, err := filepath.Abs(c.Data)
	if err != nil {
		data = c.Data
	}
	database := "SQLite in the same folder"
	if c.Database != "" {
		database = redact(c.Database)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "\n  Gatehouse %s is ready:  %s\n\n", version, web.url)
	fmt.Fprintf(&b, "    data      %s\n", data)
	fmt.Fprintf(&b, "    database  %s\n", database)
	fmt.Fprintf(&b, "    cache     %s\n", redact(c.cacheURL(c.url(c.Data))))
	fmt.Fprintf(&b, "    admin     http://%s  (/metrics, /readyz)\n", admin.listener.Addr())
	fmt.Fprintf(&b, "    operator  %s\n", back.operatorAt())
	fmt.Fprintf(&b, "    link      %s\n\n  Press Ctrl-C to stop.\n\n", target(back.listener.Addr()))
	fmt.Fprint(p.stdout, b.String())
}

type backendCommand struct {
	commonFlags
	dataFlag
	listenFlag
	linkFlags
	storageFlags
	cacheFlag
	accountFlags
	backendAdminFlag
}

// Run serves tier 2 until a signal.
func (c backendCommand) Run(p *process) error {
	if err := errors.Join(c.accountFlags.check(), c.cacheFlag.check(c.url(c.Data))); err != nil {
		return err
	}
	log, err := c.newLog(p.stderr)
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	s := backendSettings{data: c.Data, storage: c.storageFlags, cache: c.cacheFlag, accounts: c.accountFlags}
	if s.key, err = c.key(log); err != nil {
		return err
	}
	if s.tls, err = c.tls(); err != nil {
		return err
	}
	if s.listener, err = listenLink(c.Listen, s.key, s.tls); err != nil {
		return err
	}
	metrics := monitoring.New(build())
	back, err := openBackend(ctx, s, metrics, log)
	if err != nil {
		return err
	}
	drain := new(drainFlag)
	admin, err := newAdminTier(c.Admin, metrics.Admin(append([]monitoring.Check{drain.check()}, back.checks()...)...), log)
	if err != nil {
		return errors.Join(err, back.stop())
	}
	fmt.Fprintf(p.stdout, "Gatehouse backend %s takes calls on %s, admin on http://%s\nOperator commands: %s\n",
		version, target(back.listener.Addr()), admin.listener.Addr(), back.operatorAt())
	return runTiers(ctx, drain, back, admin)
}

type webserverCommand struct {
	commonFlags
	dataFlag
	httpFlags
	backendAddress
	poolFlags
	linkFlags
	webAdminFlag
}

// Run serves tier 1 until a signal. It does not wait for a backend: until
// one is there, pages say that the service is away.
func (c webserverCommand) Run(p *process) error {
	if err := errors.Join(c.httpFlags.check(), c.poolFlags.check()); err != nil {
		return err
	}
	log, err := c.newLog(p.stderr)
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	s := webSettings{data: c.Data, http: c.httpFlags, pool: c.poolFlags, targets: c.Backend}
	if s.key, err = c.key(log); err != nil {
		return err
	}
	if s.tls, err = c.tls(); err != nil {
		return err
	}
	metrics := monitoring.New(build())
	web, err := openWeb(s, metrics, log)
	if err != nil {
		return err
	}
	drain := new(drainFlag)
	admin, err := newAdminTier(c.Admin, metrics.Admin(append([]monitoring.Check{drain.check()}, web.checks()...)...), log)
	if err != nil {
		return errors.Join(err, web.stop())
	}
	fmt.Fprintf(p.stdout, "Gatehouse webserver %s answers on %s, admin on http://%s\n", version, web.url, admin.listener.Addr())
	return runTiers(ctx, drain, web, admin)
}
