package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"gatehouse/monitoring"
	"gatehouse/protocol"
)

// operatorSocketName is the file in the data folder on which a backend answers
// operators.
const operatorSocketName = "operator.sock"

// Bounds of the operator socket. A few operators and their scripts share it.
const (
	operatorConns    = 32
	operatorInFlight = 16
	probeTimeout     = time.Second
)

// errOperatorTaken means that the operator socket is another process's.
var errOperatorTaken = errors.New("another backend answers operators there")

// operatorSocket is the operator's way into a running backend. No key guards
// it: its file mode does.
type operatorSocket struct {
	listener net.Listener
	server   *protocol.Server
	log      *slog.Logger
	// lock is held for as long as the socket is this process's. Its file stays.
	lock  *os.File
	owned sync.WaitGroup
}

// openOperator opens the operator socket. A backend works without it, so that
// an error is told to the operator and stops nothing.
func (t *backendTier) openOperator(data string, metrics *monitoring.Metrics, log *slog.Logger) {
	path := filepath.Join(data, operatorSocketName)
	o, err := listenOperator(path)
	if err != nil {
		t.noOperator = err
		warn(log, "running without the operator socket %s: %v", path, err)
		return
	}
	o.log = log
	o.server = protocol.NewServer(protocol.ServerConfig{
		Handler:     counted{t.backend.Operator(), metrics, knownTypes()},
		Name:        "backend/" + version,
		MaxConns:    operatorConns,
		MaxInFlight: operatorInFlight,
		Hooks:       serverHooks(metrics, log),
	})
	t.operator = o
}

// operatorAt says where operator commands reach this backend.
func (t *backendTier) operatorAt() string {
	if t.operator == nil {
		return fmt.Sprintf("none (%v)", t.noOperator)
	}
	at := t.operator.listener.Addr().String()
	if whole, err := filepath.Abs(at); err == nil {
		at = whole
	}
	return "unix://" + at
}

// listenOperator listens at path. Whose the socket is, is decided by a lock
// beside it, which the system gives up when its process ends in whatever way;
// a socket of a process without one that answers is left alone too.
func listenOperator(path string) (*operatorSocket, error) {
	lock, err := lockFile(path + ".lock")
	if err != nil {
		return nil, err
	}
	l, err := replaceSocket(path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &operatorSocket{listener: l, lock: lock}, nil
}

func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock operator socket: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, errors.Join(errOperatorTaken, f.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock operator socket by %s: %w", path, err), f.Close())
	}
	return f, nil
}

// replaceSocket listens at path, taking away a socket that nobody answers on.
// Anything else that is there stays.
func replaceSocket(path string) (net.Listener, error) {
	info, err := os.Lstat(path)
	switch {
	case err == nil && info.Mode()&fs.ModeSocket == 0:
		return nil, errors.New("there is a file of this name that is no socket")
	case err == nil:
		conn, err := net.DialTimeout("unix", path, probeTimeout)
		if err == nil {
			return nil, errors.Join(errOperatorTaken, conn.Close())
		}
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("ask who answers on the socket: %w", err)
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("replace a socket that nobody answers on: %w", err)
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	return listenPrivate(path)
}

// listenPrivate listens on a socket that only this user can ever open. On
// Linux a socket's file takes the mode that its descriptor had before it was
// bound, so that there is no moment at which others could connect; elsewhere
// the folder's mode covers that moment.
func listenPrivate(path string) (net.Listener, error) {
	config := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return raw.Control(func(fd uintptr) {
			_ = syscall.Fchmod(int(fd), 0o600) // where it is not possible, Chmod below does it
		})
	}}
	l, err := config.Listen(context.Background(), "unix", path)
	if errors.Is(err, syscall.EINVAL) {
		return nil, fmt.Errorf("the path is too long for a socket: %w", err)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("protect socket: %w", err), l.Close())
	}
	return l, nil
}

// start answers operators until stop.
func (o *operatorSocket) start() {
	o.owned.Go(func() {
		if err := o.server.Serve(o.listener); !errors.Is(err, protocol.ErrServerClosed) {
			o.log.Error("the operator socket is answered no more", "error", err)
		}
	})
}

// stop lets the calls in progress end, removes the socket and then gives up
// the lock. A nil socket is stopped already.
func (o *operatorSocket) stop(ctx context.Context) error {
	if o == nil {
		return nil
	}
	err := o.server.Shutdown(ctx)
	o.listener.Close() // as Shutdown did where it was served
	o.owned.Wait()
	return errors.Join(err, o.lock.Close())
}
