package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/testenv"
)

// patience is how long is waited for what takes a moment. It bounds a failing
// test and says nothing of how fast anything has to be.
const patience = 30 * time.Second

// Flags for tests that make many accounts, which is slow and limited on
// purpose.
var cheap = []string{"--hash-params", "argon2id:m=7168,t=1,p=1", "--limit-registrations", "off", "--limit-failed-logins", "off"}

// A process is one gatehouse at work.
type process struct {
	args   []string // the command and its flags, addresses and folder included
	cmd    *exec.Cmd
	out    transcript
	exited chan struct{} // closed once cmd has been waited for

	// Where it answers; empty where the command has no such listener.
	url, admin, link string
}

// start runs gatehouse with a command that serves and returns once it says
// that it does. Addresses are free ports and the data folder a new one, unless
// args say otherwise. It is killed after the test, which shows what the
// process printed if it failed.
func start(t testing.TB, args ...string) *process {
	t.Helper()
	p, err := launch(append(slices.Clone(args), missingFlags(t, args)...))
	if p != nil {
		t.Cleanup(func() {
			p.kill(t)
			p.show(t)
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// missingFlags returns flags for what args leave open, so that processes of
// several tests do not meet.
func missingFlags(t testing.TB, args []string) (more []string) {
	t.Helper()
	for flag, commands := range map[string]string{"--http": "serve webserver", "--admin": "serve webserver backend", "--listen": "serve backend"} {
		if strings.Contains(commands, args[0]) && !slices.Contains(args, flag) {
			more = append(more, flag, "127.0.0.1:0")
		}
	}
	if !slices.Contains(args, "--data") {
		more = append(more, "--data", testenv.TempDir(t))
	}
	return more
}

// launch starts a process and waits until it says where it answers. The
// process returned has been started and must be ended, also beside an error.
func launch(args []string) (*process, error) {
	p := &process{args: args, exited: make(chan struct{})}
	p.cmd = exec.Command(program, args...)
	p.cmd.Env = cleanEnvironment()
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start gatehouse %s: %w", args[0], err)
	}
	go func() {
		defer close(p.exited)
		p.cmd.Wait() // how it ended is in cmd.ProcessState
	}()
	if err := warden.watch(p.cmd.Process.Pid); err != nil {
		return p, err
	}
	return p, p.awaitGreeting()
}

// cleanEnvironment is the environment without settings of gatehouse.
func cleanEnvironment() []string {
	return slices.DeleteFunc(os.Environ(), func(entry string) bool { return strings.HasPrefix(entry, "GATEHOUSE_") })
}

// greetings are the last line in which each command says where it answers,
// and the addresses in the output up to there.
var greetings = map[string]struct{ line, url, admin, link *regexp.Regexp }{
	"serve": {regexp.MustCompile(`Press Ctrl-C to stop`), regexp.MustCompile(`is ready:  (\S+)`),
		regexp.MustCompile(`(?m)^ +admin +(\S+)`), regexp.MustCompile(`(?m)^ +link +(\S+)`)},
	"webserver": {regexp.MustCompile(`answers on .*\n`), regexp.MustCompile(`answers on (\S+),`),
		regexp.MustCompile(`admin on (\S+)`), nil},
	"backend": {regexp.MustCompile(`takes calls on .*\n`), nil,
		regexp.MustCompile(`admin on (\S+)`), regexp.MustCompile(`takes calls on (\S+),`)},
}

// awaitGreeting reads from the output where the process answers.
func (p *process) awaitGreeting() error {
	greeting := greetings[p.args[0]]
	for deadline := time.Now().Add(patience); !greeting.line.MatchString(p.out.String()); {
		select {
		case <-p.exited:
			return fmt.Errorf("gatehouse %s ended at once: %v", p.args[0], p.cmd.ProcessState)
		case <-time.After(5 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("gatehouse %s did not say within %v that it is ready", p.args[0], patience)
		}
	}
	text := p.out.String()
	p.url, p.admin, p.link = found(greeting.url, text), found(greeting.admin, text), found(greeting.link, text)
	return nil
}

// found returns what the group of a pattern matched in text, or "".
func found(pattern *regexp.Regexp, text string) string {
	if pattern == nil {
		return ""
	}
	match := pattern.FindStringSubmatch(text)
	if match == nil {
		return ""
	}
	return match[1]
}

// again starts what p was, with the same flags and on the same addresses,
// after p has ended.
func (p *process) again(t testing.TB) *process {
	t.Helper()
	select {
	case <-p.exited:
	default:
		t.Fatal("start a process again: it is still there")
	}
	args := slices.Clone(p.args)
	for flag, address := range map[string]string{"--http": p.url, "--admin": p.admin, "--listen": p.link} {
		if i := slices.Index(args, flag); i >= 0 {
			args[i+1] = strings.TrimPrefix(strings.TrimPrefix(address, "http://"), "https://")
		}
	}
	return start(t, args...)
}

// signal sends a signal.
func (p *process) signal(t testing.TB, s syscall.Signal) {
	t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		t.Fatalf("send %v to gatehouse %s: %v", s, p.args[0], err)
	}
}

// wait waits for the end of the process and returns its exit status, -1 for
// a signal.
func (p *process) wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.exited:
	case <-time.After(patience):
		t.Fatalf("gatehouse %s has not ended after %v", p.args[0], patience)
	}
	if err := warden.forget(p.cmd.Process.Pid); err != nil {
		t.Error(err)
	}
	return p.cmd.ProcessState.ExitCode()
}

// stop ends the process in an orderly way, which must succeed.
func (p *process) stop(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGTERM)
	if status := p.wait(t); status != 0 {
		t.Errorf("gatehouse %s exited %d after SIGTERM, want 0", p.args[0], status)
	}
}

// kill ends the process at once, if it is still there.
func (p *process) kill(t testing.TB) {
	t.Helper()
	select {
	case <-p.exited:
	default:
		p.cmd.Process.Kill() // no error but that it has just ended
	}
	p.wait(t)
}

// pause stops the process where it is, so that its connections stay open and
// nothing is answered, until resume or the end of the test.
func (p *process) pause(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGSTOP)
	t.Cleanup(func() { p.cmd.Process.Signal(syscall.SIGCONT) })
	// The signal is on its way when sending it returns. Its effect is told
	// to the parent.
	for {
		var status syscall.WaitStatus
		_, err := syscall.Wait4(p.cmd.Process.Pid, &status, syscall.WUNTRACED, nil)
		if err == nil && status.Stopped() {
			return
		}
		if !errors.Is(err, syscall.EINTR) {
			t.Fatalf("gatehouse %s does not stop: %v, status %v", p.args[0], err, status)
		}
	}
}

// resume ends a pause.
func (p *process) resume(t testing.TB) {
	t.Helper()
	p.signal(t, syscall.SIGCONT)
}

// show prints what the process printed, after a failure, and fails the test
// where the process met a defect of its own.
func (p *process) show(t testing.TB) {
	t.Helper()
	if strings.Contains(p.out.String(), "panic") {
		t.Errorf("gatehouse %s panicked", p.args[0])
	}
	if t.Failed() {
		t.Logf("gatehouse %s printed:\n%s", strings.Join(p.args, " "), p.out.tail())
	}
}

// A transcript is what a process prints.
type transcript struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (w *transcript) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.Write(b)
}

func (w *transcript) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

// tail returns the last lines, up to 16 KiB.
func (w *transcript) tail() string {
	text := w.String()
	return text[max(0, len(text)-16<<10):]
}
