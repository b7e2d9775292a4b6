package e2e_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"gatehouse/internal/testenv"
)

// A conversation is a gatehouse on a terminal, at which the test sits.
type conversation struct {
	t             *testing.T
	cmd           *exec.Cmd
	master, slave *os.File
	out           transcript
	read          chan struct{} // closed once out is whole
	seen          int           // of out, by expect
}

// converse runs gatehouse with args on a new terminal.
func converse(t *testing.T, args ...string) *conversation {
	t.Helper()
	master, slave := openTerminal(t)
	c := &conversation{t: t, cmd: exec.Command(program, args...), master: master, slave: slave, read: make(chan struct{})}
	c.cmd.Env = cleanEnvironment()
	c.cmd.Stdin, c.cmd.Stdout, c.cmd.Stderr = slave, slave, slave
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.cmd.Process.Kill() // no error but that it has ended
		slave.Close()
		master.Close()
	})
	go func() {
		defer close(c.read)
		buffer := make([]byte, 4096)
		for {
			n, err := master.Read(buffer)
			c.out.Write(buffer[:n])
			if err != nil {
				return
			}
		}
	}()
	return c
}

// openTerminal makes a pseudo terminal, of which the slave is a terminal to
// the program and the master is where the test sits.
func openTerminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var number, unlocked int32
	control(t, master, syscall.TIOCSPTLCK, unsafe.Pointer(&unlocked))
	control(t, master, syscall.TIOCGPTN, unsafe.Pointer(&number))
	slave, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return master, slave
}

func control(t *testing.T, f *os.File, request uintptr, argument unsafe.Pointer) {
	t.Helper()
	raw, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var errno syscall.Errno
	err = raw.Control(func(fd uintptr) { _, _, errno = syscall.Syscall(syscall.SYS_IOCTL, fd, request, uintptr(argument)) })
	if err != nil || errno != 0 {
		t.Fatalf("control the terminal: %v, %v", err, errno)
	}
}

// echoes tells whether the terminal shows what is typed.
func (c *conversation) echoes() bool {
	c.t.Helper()
	var state syscall.Termios
	control(c.t, c.master, syscall.TCGETS, unsafe.Pointer(&state))
	return state.Lflag&syscall.ECHO != 0
}

// expect waits until the program has shown a question after all that was
// expected before. Where it is one for a password, it waits until what is
// typed is hidden.
func (c *conversation) expect(question string) {
	c.t.Helper()
	testenv.WaitFor(c.t, patience, "the question "+question, func() bool {
		i := strings.Index(c.text()[c.seen:], question)
		if i >= 0 {
			c.seen += i + len(question)
		}
		return i >= 0
	})
	if !strings.HasPrefix(question, "Type") {
		testenv.WaitFor(c.t, patience, "the terminal to hide what is typed", func() bool { return !c.echoes() })
	}
}

// answer types a line.
func (c *conversation) answer(line string) {
	c.t.Helper()
	if _, err := c.master.WriteString(line + "\n"); err != nil {
		c.t.Fatal(err)
	}
}

func (c *conversation) text() string { return c.out.String() }

// end waits for the end of the program and returns its exit status, and
// whether the terminal shows then what is typed.
func (c *conversation) end() (status int, echoes bool) {
	c.t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- c.cmd.Wait() }()
	testenv.WaitFor(c.t, patience, "the program to end", func() bool {
		select {
		case <-ended:
			return true
		default:
			return false
		}
	})
	echoes = c.echoes()
	c.slave.Close() // nobody is left who writes, so that the reading ends
	<-c.read
	return c.cmd.ProcessState.ExitCode(), echoes
}
