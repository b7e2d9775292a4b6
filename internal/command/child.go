package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a tier in a process of its own, which ends with this one.
type child struct {
	name   string
	cmd    *exec.Cmd
	output string // the file of what it prints
	exited chan struct{}

	// Where it answers: the pages or the link, and the admin listener.
	address, admin string
}

const (
	// childPatience bounds the start of a child, a schema to be checked and
	// a cache to be asked included.
	childPatience = time.Minute
	// childGrace is how long a child may drain: as supervisors do.
	childGrace = 20 * time.Second
	childPoll  = 10 * time.Millisecond
	// maxChildOutput bounds how much of a child's output is read at its
	// start, and childTail how much of it an error quotes.
	maxChildOutput = 1 << 20
	childTail      = 2 << 10
)

// childGreeting is the line in which a tier says where it answers.
var childGreeting = regexp.MustCompile(`(?m)^Gatehouse (?:backend|webserver) .* (?:takes calls|answers) on (\S+), admin on (\S+)$`)

// startChild runs a tier and returns once it is ready. Its output goes into a
// file in dir.
func startChild(ctx context.Context, program, dir string, environment []string, args ...string) (*child, error) {
	c := &child{name: args[0], output: filepath.Join(dir, args[0]+".log"), exited: make(chan struct{})}
	output, err := os.Create(c.output)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", c.name, err)
	}
	defer output.Close()
	c.cmd = exec.Command(program, args...)
	c.cmd.Env, c.cmd.Stdout, c.cmd.Stderr, c.cmd.SysProcAttr = environment, output, output, endsWithParent()
	if err := c.start(); err != nil {
		return nil, err
	}
	if err := c.await(ctx); err != nil {
		return nil, errors.Join(err, c.stop())
	}
	return c, nil
}

// start starts the process and a goroutine that waits for its end. On Linux
// the system ends a child with the thread that started it, so that the
// goroutine keeps its thread for as long.
func (c *child) start() error {
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: with the goroutine the thread ends
		defer close(c.exited)
		err := c.cmd.Start()
		started <- err
		if err == nil {
			c.cmd.Wait() // how it ended is in cmd.ProcessState
		}
	}()
	if err := <-started; err != nil {
		return fmt.Errorf("start %s: %w", c.name, err)
	}
	return nil
}

// await waits until the child has said where it answers and is ready.
func (c *child) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, childPatience, fmt.Errorf("it is not ready after %v", childPatience))
	defer cancel()
	tick := time.NewTicker(childPoll)
	defer tick.Stop()
	for {
		ready, err := c.ready(ctx)
		if ready {
			return nil
		}
		if err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-c.exited:
			return c.ended()
		case <-ctx.Done():
			return fmt.Errorf("start %s: %w%s", c.name, context.Cause(ctx), c.tail())
		}
	}
}

// ready tells whether the child answers its /readyz with 200.
func (c *child) ready(ctx context.Context) (bool, error) {
	if c.admin == "" {
		found, err := c.greeting()
		if err != nil || !found {
			return false, err
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, c.admin+"/readyz", nil)
	if err != nil {
		return false, fmt.Errorf("ask %s whether it is ready: %w", c.name, err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false, nil // it is asked again until time is up
	}
	answer.Body.Close()
	return answer.StatusCode == http.StatusOK, nil
}

// greeting reads from the output where the child answers, if it says so yet.
func (c *child) greeting() (found bool, err error) {
	f, err := os.Open(c.output)
	if err != nil {
		return false, fmt.Errorf("read output of %s: %w", c.name, err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxChildOutput))
	if err != nil {
		return false, fmt.Errorf("read output of %s: %w", c.name, err)
	}
	match := childGreeting.FindSubmatch(text)
	if match == nil {
		return false, nil
	}
	c.address, c.admin = string(match[1]), string(match[2])
	return true, nil
}

// ended is an error where the child is not there any more.
func (c *child) ended() error {
	select {
	case <-c.exited:
		return fmt.Errorf("the %s ended on its own: %v%s", c.name, c.cmd.ProcessState, c.tail())
	default:
		return nil
	}
}

// whileThere returns a context that ends as soon as the child has, so that
// nobody waits for it, and a function to be called in the end.
func (c *child) whileThere(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		select {
		case <-c.exited:
			cancel()
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		cancel()
		watching.Wait()
	}
}

// tail quotes the end of the output.
func (c *child) tail() string {
	f, err := os.Open(c.output)
	if err != nil {
		return ""
	}
	defer f.Close()
	text := make([]byte, childTail)
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return ""
	}
	n, _ := f.ReadAt(text, max(0, end-childTail)) // what can be read is quoted
	if n == 0 {
		return ""
	}
	return "; it printed:\n" + strings.TrimSpace(string(text[:n]))
}

// stop lets the child drain, ends it where it does not within its time, and
// returns when it is gone.
func (c *child) stop() error {
	select {
	case <-c.exited:
		return nil
	default:
	}
	if c.cmd.Process.Signal(syscall.SIGTERM) != nil { // it has just ended, or the system has no such signal
		c.cmd.Process.Kill()
	}
	select {
	case <-c.exited:
		return nil
	case <-time.After(childGrace):
	}
	c.cmd.Process.Kill() // no error but that it has just ended
	<-c.exited
	return fmt.Errorf("the %s was killed, because it had not stopped after %v%s", c.name, childGrace, c.tail())
}
