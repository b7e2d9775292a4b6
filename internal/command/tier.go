package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"gatehouse/monitoring"
	"gatehouse/webserver"
)

// How long the steps of a shutdown may take; together less than the 15
// seconds after which supervisors lose patience.
const (
	httpGrace = 8 * time.Second
	linkGrace = 5 * time.Second
)

// tier is a running part of a process. Serve returns when something failed
// for good, or nil after Stop.
type tier interface {
	serve() error
	// stop ends it in order: nothing new is taken, what is in progress ends.
	stop() error
}

// errDraining is why a process that is stopping is not ready.
var errDraining = errors.New("draining: the process is about to stop")

// drainFlag makes /readyz answer 503 as soon as a process is to stop.
type drainFlag struct{ draining atomic.Bool }

func (d *drainFlag) check() monitoring.Check {
	return monitoring.Check{Name: "serving", Check: func(context.Context) (string, error) {
		if d.draining.Load() {
			return "", errDraining
		}
		return "", nil
	}}
}

// runTiers runs tiers until ctx ends or one fails, then stops them all: the
// first first, so that each still has the ones after it while it drains.
func runTiers(ctx context.Context, drain *drainFlag, tiers ...tier) error {
	failed := make(chan error, len(tiers))
	var running sync.WaitGroup
	for _, t := range tiers {
		running.Go(func() { failed <- t.serve() })
	}
	var errs []error
	select {
	case <-ctx.Done():
	case err := <-failed:
		errs = append(errs, err)
	}
	drain.draining.Store(true)
	for _, t := range tiers {
		errs = append(errs, t.stop())
	}
	running.Wait()
	close(failed)
	for err := range failed {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// httpTier is an HTTP listener.
type httpTier struct {
	listener net.Listener
	server   *http.Server
}

// newHTTPTier listens at once, so that an address in use is told before
// anything else starts.
func newHTTPTier(flag, address string, handler http.Handler, log *slog.Logger) (*httpTier, error) {
	l, err := listenTCP(flag, address)
	if err != nil {
		return nil, err
	}
	return &httpTier{listener: l, server: webserver.NewHTTPServer(handler, log)}, nil
}

func (t *httpTier) serve() error {
	err := t.server.Serve(t.listener)
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serve http: %w", err)
}

func (t *httpTier) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), httpGrace)
	defer cancel()
	if err := t.server.Shutdown(ctx); err != nil {
		t.server.Close()
		return fmt.Errorf("drain http: %w", err)
	}
	return nil
}

// adminTier is the admin listener. It stops last and without waiting, so
// that /readyz tells of the draining to its end.
type adminTier struct{ *httpTier }

// adminWriteTimeout lets a profile or trace of half a minute be taken.
const adminWriteTimeout = time.Minute

func newAdminTier(address string, handler http.Handler, log *slog.Logger) (*adminTier, error) {
	t, err := newHTTPTier("admin", address, handler, log)
	if err != nil {
		return nil, err
	}
	t.server.WriteTimeout = adminWriteTimeout
	if !loopback(address) {
		warn(log, "--admin %s can be reached from other machines; its profiles and numbers are not for everybody", address)
	}
	return &adminTier{t}, nil
}

func (t *adminTier) stop() error { return t.server.Close() }
