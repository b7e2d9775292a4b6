package testenv

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// startTimeout bounds what takes one second on an idle machine.
const startTimeout = 60 * time.Second

// A Server is a MariaDB that only this test program uses, on loopback, with a
// data folder of its own.
type Server struct {
	port     int
	dir      string
	settings []string
	guard    *guard
	cmd      *exec.Cmd     // nil while the server is down
	exited   chan struct{} // closed when cmd has exited
	root     *sql.DB
}

// shared is the server of all tests of this program that need no server of
// their own. It runs until the program ends.
var shared = sync.OnceValues(func() (*Server, error) { return startMariaDB() })

// MariaDB returns a fresh, empty database on a server that the tests of this
// program share. It is dropped after the test.
func MariaDB(t testing.TB) *Database {
	t.Helper()
	s, err := shared()
	if err != nil {
		t.Fatal(err)
	}
	return s.NewDatabase(t)
}

// PrivateMariaDB returns a server for this test alone, which may stop, kill
// and pause it. settings are further arguments of mariadbd, for instance
// --max-connections=20.
func PrivateMariaDB(t testing.TB, settings ...string) *Server {
	t.Helper()
	s, err := startMariaDB(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Errorf("end MariaDB: %v", err)
		}
	})
	return s
}

func startMariaDB(settings ...string) (*Server, error) {
	install, ok := lookup("mariadb-install-db")
	if !ok {
		return nil, missing("mariadb-install-db")
	}
	dir, err := os.MkdirTemp("", "gatehouse-mariadb-")
	if err != nil {
		return nil, fmt.Errorf("make data folder of MariaDB: %w", err)
	}
	s := &Server{dir: dir, settings: settings}
	if s.guard, err = newGuard(dir); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if err := s.install(install); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.port, err = freePort(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.start(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// install fills the data folder.
func (s *Server) install(program string) error {
	if err := os.Mkdir(s.tmpdir(), 0o700); err != nil {
		return fmt.Errorf("install MariaDB: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	args := append(s.common(), "--auth-root-authentication-method=normal", "--skip-test-db")
	out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("install MariaDB in %s: %w: %s", s.dir, err, out)
	}
	return nil
}

// common are the arguments that the server and its installation share.
func (s *Server) common() []string {
	args := []string{"--no-defaults", "--datadir=" + filepath.Join(s.dir, "data"), "--tmpdir=" + s.tmpdir(), "--innodb-log-file-size=8M"}
	if os.Getuid() == 0 {
		// The server refuses to run as root unless told to.
		args = append(args, "--user=root")
	}
	return args
}

// tmpdir is the server's own: a server that starts removes every temporary
// table that it finds in the folder, those of others with them.
func (s *Server) tmpdir() string { return filepath.Join(s.dir, "tmp") }

// start runs the server and returns once it answers.
func (s *Server) start() error {
	program, ok := lookup("mariadbd")
	if !ok {
		return missing("mariadbd")
	}
	log, err := os.OpenFile(s.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("start MariaDB: %w", err)
	}
	defer log.Close()
	args := append(s.common(), "--socket="+s.Socket(), "--port="+strconv.Itoa(s.port),
		"--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin")
	cmd := exec.Command(program, append(args, s.settings...)...)
	cmd.SysProcAttr = ownSession()
	// A file and no pipe: go test waits for whoever holds its own output.
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start MariaDB: %w", err)
	}
	s.cmd, s.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) {
		defer close(exited)
		cmd.Wait() // How it ended is in the log.
	}(s.exited)
	if err := s.guard.watch(cmd.Process); err != nil {
		return err
	}
	return s.ready()
}

// ready waits until the server answers its superuser.
func (s *Server) ready() error {
	if s.root == nil {
		// Through the socket, which settings for TCP do not close.
		root, err := openRoot("unix", s.Socket(), "root", "")
		if err != nil {
			return err
		}
		s.root = root
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	for {
		err := s.root.PingContext(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.exited:
			return fmt.Errorf("MariaDB ended at once; the end of its log:\n%s", s.logTail())
		case <-ctx.Done():
			return fmt.Errorf("MariaDB does not answer: %w; the end of its log:\n%s", err, s.logTail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Socket is the path of the server's Unix socket.
func (s *Server) Socket() string { return filepath.Join(s.dir, "socket") }

func (s *Server) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

func (s *Server) log() string { return filepath.Join(s.dir, "log") }

// logTail returns the last 4 KiB of the server's log.
func (s *Server) logTail() []byte {
	f, err := os.Open(s.log())
	if err != nil {
		return []byte(err.Error())
	}
	defer f.Close()
	if end, err := f.Seek(0, io.SeekEnd); err == nil {
		f.Seek(max(0, end-4096), io.SeekStart)
	}
	tail, _ := io.ReadAll(f)
	return tail
}

// end sends a signal, where the server runs, and waits for its end.
func (s *Server) end(signal syscall.Signal) error {
	if s.cmd == nil {
		return nil
	}
	if err := s.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end MariaDB: %w", err)
	}
	select {
	case <-s.exited:
	case <-time.After(startTimeout):
		return fmt.Errorf("MariaDB did not end on %v", signal)
	}
	s.cmd = nil
	return s.guard.watch(nil)
}

func (s *Server) close() error {
	if s.root != nil {
		s.root.Close()
	}
	return errors.Join(s.end(syscall.SIGKILL), s.guard.close())
}

// Stop ends the server in an orderly way.
func (s *Server) Stop(t testing.TB) {
	t.Helper()
	check(t, s.end(syscall.SIGTERM))
}

// Kill ends the server as a power cut would end the process: at once.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	check(t, s.end(syscall.SIGKILL))
}

// Start runs a server that was stopped or killed again, on the same port and
// data.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	if s.cmd != nil {
		t.Fatal("MariaDB runs already")
	}
	check(t, s.start())
}

// Restart stops the server in an orderly way and starts it again.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	s.Start(t)
}

// Pause stops the server's threads where they are, so that connections stay
// open and nothing is answered, until Resume or the end of the test.
func (s *Server) Pause(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		t.Fatal("MariaDB does not run")
	}
	paused := s.cmd.Process
	check(t, paused.Signal(syscall.SIGSTOP))
	t.Cleanup(func() { paused.Signal(syscall.SIGCONT) })
	// The signal is on its way when sending it returns.
	WaitFor(t, startTimeout, "MariaDB to fall silent", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
		defer cancel()
		return s.root.PingContext(ctx) != nil
	})
}

// Resume ends a Pause.
func (s *Server) Resume(t testing.TB) {
	t.Helper()
	if s.cmd == nil {
		t.Fatal("MariaDB does not run")
	}
	check(t, s.cmd.Process.Signal(syscall.SIGCONT))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func missing(program string) error {
	return fmt.Errorf("the test needs %s, which is not installed; run: make test-deps", program)
}
