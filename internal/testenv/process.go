package testenv

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process is a server that only this test program uses, with a folder of
// its own. It is gone, and the folder with it, when the test program ends.
type process struct {
	name   string // in errors
	dir    string
	guard  *guard
	cmd    *exec.Cmd     // nil while the server is down
	exited chan struct{} // closed when cmd has exited
}

// newProcess makes the folder of a server that is started later.
func newProcess(name string) (*process, error) {
	dir, err := os.MkdirTemp("", "gatehouse-"+strings.ToLower(name)+"-")
	if err != nil {
		return nil, fmt.Errorf("make folder of %s: %w", name, err)
	}
	p := &process{name: name, dir: dir}
	if p.guard, err = newGuard(dir); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	return p, nil
}

// start runs the server and returns once ready returns nil.
func (p *process) start(program string, args []string, ready func() error) error {
	log, err := os.OpenFile(p.log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	defer log.Close()
	cmd := exec.Command(program, args...)
	cmd.SysProcAttr = ownSession()
	cmd.Dir = p.dir
	// A file and no pipe: go test waits for whoever holds its own output.
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.name, err)
	}
	p.cmd, p.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) {
		defer close(exited)
		cmd.Wait() // How it ended is in the log.
	}(p.exited)
	if err := p.guard.watch(cmd.Process); err != nil {
		return err
	}
	return p.await(ready)
}

func (p *process) await(ready func() error) error {
	timeout := time.After(startTimeout)
	for {
		err := ready()
		if err == nil {
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("%s ended at once; the end of its log:\n%s", p.name, p.logTail())
		case <-timeout:
			return fmt.Errorf("%s does not answer: %w; the end of its log:\n%s", p.name, err, p.logTail())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *process) log() string { return filepath.Join(p.dir, "log") }

// logTail returns the last 4 KiB of the server's log.
func (p *process) logTail() []byte {
	f, err := os.Open(p.log())
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
func (p *process) end(signal syscall.Signal) error {
	if p.cmd == nil {
		return nil
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("end %s: %w", p.name, err)
	}
	select {
	case <-p.exited:
	case <-time.After(startTimeout):
		return fmt.Errorf("%s did not end on %v", p.name, signal)
	}
	p.cmd = nil
	return p.guard.watch(nil)
}

func (p *process) close() error {
	return errors.Join(p.end(syscall.SIGKILL), p.guard.close())
}

// pause stops the server's threads where they are, until resume or the end
// of the test. answers tells whether the server still answers: the signal is
// on its way when sending it returns.
func (p *process) pause(t testing.TB, answers func() bool) {
	t.Helper()
	if p.cmd == nil {
		t.Fatalf("%s does not run", p.name)
	}
	paused := p.cmd.Process
	check(t, paused.Signal(syscall.SIGSTOP))
	t.Cleanup(func() { paused.Signal(syscall.SIGCONT) })
	WaitFor(t, startTimeout, p.name+" to fall silent", func() bool { return !answers() })
}

func (p *process) resume(t testing.TB) {
	t.Helper()
	if p.cmd == nil {
		t.Fatalf("%s does not run", p.name)
	}
	check(t, p.cmd.Process.Signal(syscall.SIGCONT))
}
