package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// What all tests share. It is set by TestMain before the first test runs.
var (
	program string // the path of the program under test
	warden  *guard
)

func TestMain(m *testing.M) {
	status, err := runAll(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "end-to-end tests:", err)
		status = 1
	}
	os.Exit(status)
}

// runAll builds the program and runs the tests in a temporary folder, which
// holds everything that any of them makes.
func runAll(m *testing.M) (status int, err error) {
	dir, err := os.MkdirTemp("", "gatehouse-e2e-")
	if err != nil {
		return 0, fmt.Errorf("make a temporary folder: %w", err)
	}
	if warden, err = newGuard(dir); err != nil {
		return 0, errors.Join(err, os.RemoveAll(dir))
	}
	defer func() { err = errors.Join(err, warden.close()) }()
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return 0, fmt.Errorf("make the folder the temporary one: %w", err)
	}
	program = filepath.Join(dir, "gatehouse")
	build := exec.Command("go", "build", "-trimpath", "-o", program, "gatehouse") // as the Makefile does
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the program: %w\n%s", err, out)
	}
	status = m.Run()
	return status, commons.end(status != 0)
}

// guardScript keeps a list of processes, told by lines of a sign and a number,
// until the pipe ends, which it does when the test program ends in whatever
// way. Then it ends the processes and removes the folder.
const guardScript = `
pids=
while read -r sign pid; do
	rest=
	for p in $pids; do [ "$p" = "$pid" ] || rest="$rest $p"; done
	pids=$rest
	[ "$sign" = - ] || pids="$pids $pid"
done
for p in $pids; do kill -9 "$p"; done
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
`

// A guard is a small process that outlives the test program by a moment and
// leaves nothing behind, also where the tests run out of time or are killed.
type guard struct {
	cmd *exec.Cmd

	mu   sync.Mutex // guards the order of the lines on pipe
	pipe io.WriteCloser
}

func newGuard(dir string) (*guard, error) {
	cmd := exec.Command("sh", "-c", guardScript, "guard", dir)
	// An interrupt typed at the terminal is for the test program alone.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the guard: %w", err)
	}
	return &guard{cmd: cmd, pipe: pipe}, nil
}

// watch adds a process to those that end with the test program.
func (g *guard) watch(pid int) error { return g.tell("+", pid) }

// forget removes one that has ended, whose number may become another's.
func (g *guard) forget(pid int) error { return g.tell("-", pid) }

func (g *guard) tell(sign string, pid int) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := fmt.Fprintln(g.pipe, sign, pid); err != nil {
		return fmt.Errorf("tell the guard of process %d: %w", pid, err)
	}
	return nil
}

// close lets the guard do its work now and waits for it.
func (g *guard) close() error {
	g.pipe.Close()
	if err := g.cmd.Wait(); err != nil {
		return fmt.Errorf("the guard's own end: %w", err)
	}
	return nil
}
