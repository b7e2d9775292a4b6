package e2e_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/testenv"
)

// A relation is what /proc says of a process.
type relation struct {
	parent  int
	state   byte
	started string // since the system's start, which tells it from another of its number
}

func relationOf(pid int) (r relation, ok bool) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	// The name, in brackets, may hold anything.
	end := bytes.LastIndexByte(text, ')')
	if err != nil || end < 0 {
		return r, false
	}
	fields := strings.Fields(string(text[end+1:]))
	if len(fields) < 20 {
		return r, false
	}
	r.parent, err = strconv.Atoi(fields[1])
	r.state, r.started = fields[0][0], fields[19]
	return r, err == nil
}

// childrenOf returns the processes that one has started and that are at work.
func childrenOf(t testing.TB, parent int) map[int]relation {
	t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	children := map[int]relation{}
	for _, entry := range entries {
		pid, err := strconv.Atoi(filepath.Base(entry))
		if r, ok := relationOf(pid); err == nil && ok && r.parent == parent && r.state != 'Z' {
			children[pid] = r
		}
	}
	return children
}

// gone tells whether a process has ended; nobody may have asked yet how.
func gone(pid int, was relation) bool {
	now, ok := relationOf(pid)
	return !ok || now.started != was.started || now.state == 'Z' || now.state == 'X'
}

// endAll kills those that the test has found to be left.
func endAll(children map[int]relation) {
	for pid, was := range children {
		if !gone(pid, was) {
			syscall.Kill(pid, syscall.SIGKILL) // no error but that it has just ended
		}
	}
}

// startMatrix starts a matrix whose first measurement takes minutes and
// returns once both tiers are there.
func startMatrix(t testing.TB, kept string) (m *matrixRun) {
	t.Helper()
	m = &matrixRun{exited: make(chan struct{})}
	m.cmd = exec.Command(program, tinyMatrix("--out", kept, "--duration", "5m")...)
	m.cmd.Env, m.cmd.Stdout, m.cmd.Stderr = cleanEnvironment(), &m.out, &m.out
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(m.exited)
		m.cmd.Wait() // how it ended is in cmd.ProcessState
	}()
	t.Cleanup(func() {
		m.cmd.Process.Kill() // no error but that it has ended
		<-m.exited
		endAll(m.children)
	})
	if err := warden.watch(m.cmd.Process.Pid); err != nil {
		t.Fatal(err)
	}
	testenv.WaitFor(t, patience, "both tiers to be started", func() bool {
		m.children = childrenOf(t, m.cmd.Process.Pid)
		return len(m.children) == 2
	})
	return m
}

// A matrixRun is a matrix at work and the processes of its tiers.
type matrixRun struct {
	cmd      *exec.Cmd
	out      transcript
	exited   chan struct{}
	children map[int]relation
}

// end waits until it has ended.
func (m *matrixRun) end(t testing.TB) {
	t.Helper()
	select {
	case <-m.exited:
	case <-time.After(patience):
		t.Fatalf("it has not ended after %v; it printed:\n%s", patience, m.out.tail())
	}
	if err := warden.forget(m.cmd.Process.Pid); err != nil {
		t.Error(err)
	}
}

func TestMatrixLeavesNoProcessBehind(t *testing.T) {
	t.Parallel()
	for name, signal := range map[string]syscall.Signal{"interrupted": syscall.SIGINT, "killed": syscall.SIGKILL} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			kept := t.TempDir()
			m := startMatrix(t, kept)
			if err := m.cmd.Process.Signal(signal); err != nil {
				t.Fatal(err)
			}
			m.end(t)
			for pid, was := range m.children {
				if signal == syscall.SIGINT && !gone(pid, was) {
					t.Errorf("process %d is there after its parent has ended", pid)
				}
				testenv.WaitFor(t, patience, fmt.Sprintf("process %d to end", pid), func() bool { return gone(pid, was) })
			}
			if signal == syscall.SIGINT && (m.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(m.out.String(), "interrupted after 0 of 2 steps")) {
				t.Errorf("it exited %d and said:\n%s", m.cmd.ProcessState.ExitCode(), m.out.tail())
			}
			if files, err := os.ReadDir(kept); err != nil || len(files) > 0 {
				t.Errorf("what was not finished is kept: %v (%v)", files, err)
			}
		})
	}
}

// TestMatrixStopsAtOnceWhereATierDies kills one tier at work; the other one
// must not stay, nor what was measured without it be kept.
func TestMatrixStopsAtOnceWhereATierDies(t *testing.T) {
	t.Parallel()
	kept := t.TempDir()
	m := startMatrix(t, kept)
	var victim int
	for victim = range m.children {
		break
	}
	if err := syscall.Kill(victim, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	m.end(t)
	if text := m.out.String(); m.cmd.ProcessState.ExitCode() != 1 || !strings.Contains(text, "ended on its own: signal: killed") {
		t.Errorf("it exited %d and said:\n%s", m.cmd.ProcessState.ExitCode(), text)
	}
	for pid, was := range m.children {
		if !gone(pid, was) {
			t.Errorf("process %d is there after its parent has ended", pid)
		}
	}
	if files, err := os.ReadDir(kept); err != nil || len(files) > 0 {
		t.Errorf("what was not finished is kept: %v (%v)", files, err)
	}
}
