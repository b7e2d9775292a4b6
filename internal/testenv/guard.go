package testenv

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
)

// guardScript reads the process to end, an empty line for none, until the
// pipe ends, which it does when the test program ends in whatever way.
const guardScript = `
pid=
while read -r line; do pid=$line; done
if [ -n "$pid" ]; then kill -9 "$pid"; fi
rm -rf "$1" || { sleep 1; rm -rf "$1"; }
`

// A guard is a small process that outlives the test program by a moment: it
// ends the watched process and removes the folder. A parent-death signal
// would be shorter, but is Linux only, goes by the thread that forked, and
// leaves the folder behind.
type guard struct {
	cmd  *exec.Cmd
	pipe io.WriteCloser
}

func newGuard(dir string) (*guard, error) {
	cmd := exec.Command("sh", "-c", guardScript, "guard", dir)
	cmd.SysProcAttr = ownSession()
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start guard of %s: %w", dir, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start guard of %s: %w", dir, err)
	}
	return &guard{cmd: cmd, pipe: pipe}, nil
}

// watch names the process to end with the test program, nil for none.
func (g *guard) watch(p *os.Process) error {
	line := "\n"
	if p != nil {
		line = fmt.Sprintf("%d\n", p.Pid)
	}
	if _, err := io.WriteString(g.pipe, line); err != nil {
		return fmt.Errorf("tell the guard: %w", err)
	}
	return nil
}

// close lets the guard do its work now and waits for it.
func (g *guard) close() error {
	g.pipe.Close()
	return g.cmd.Wait()
}

// ownSession keeps an interrupt typed at the terminal away from a process:
// the test program ends it in its own time.
func ownSession() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setsid: true}
}
