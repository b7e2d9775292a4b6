package e2e_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/testenv"
)

// promptly is how soon after the build a person sees where to go. A machine
// that runs other tests beside this one gets longer, but no more work.
const (
	promptly     = 2 * time.Second
	promptlyBusy = 10 * time.Second
)

func TestMakeRunInAFreshCloneShowsWhereToGo(t *testing.T) {
	clone := freshClone(t)
	p := &process{args: []string{"serve"}, exited: make(chan struct{})}
	p.cmd = exec.Command("make", "run")
	p.cmd.Dir = clone
	// Only the ports are chosen, because those of the defaults may be taken.
	p.cmd.Env = append(cleanEnvironment(), "GATEHOUSE_HTTP=127.0.0.1:0", "GATEHOUSE_ADMIN=127.0.0.1:0", "GATEHOUSE_LISTEN=127.0.0.1:0")
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		p.cmd.Wait() // how it ended is told by make
	}()
	group := -p.cmd.Process.Pid // make, and what it runs
	if err := warden.watch(group); err != nil {
		t.Error(err)
	}
	t.Cleanup(func() {
		syscall.Kill(group, syscall.SIGINT) // as Ctrl-C does
		<-p.exited
		if err := warden.forget(group); err != nil {
			t.Error(err)
		}
		p.show(t)
	})
	testenv.WaitFor(t, 5*time.Minute, "the build", func() bool {
		select {
		case <-p.exited:
			t.Fatalf("make run ended: %v", p.cmd.ProcessState)
		default:
		}
		_, err := os.Stat(filepath.Join(clone, "bin", "gatehouse"))
		return err == nil
	})
	if err := p.awaitGreeting(); err != nil {
		t.Fatal(err)
	}
	shown := time.Now()
	built, err := os.Stat(filepath.Join(clone, "bin", "gatehouse"))
	if err != nil {
		t.Fatal(err)
	}
	took, work := shown.Sub(built.ModTime()), time.Duration(metrics(t, p)["process_cpu_seconds_total"]*float64(time.Second))
	if took > promptlyBusy || work > promptly {
		t.Errorf("the address was shown %v after the build and %v of work, want at most %v", took, work, promptly)
	}
	c, o := register(t, p.url, newName())
	if got := c.profile(t); got != o.User {
		t.Errorf("the profile is %+v, want %+v", got, o.User)
	}
	for _, name := range []string{"data/gatehouse.db", "data/link.key", "data/pictures"} {
		if _, err := os.Stat(filepath.Join(clone, name)); err != nil {
			t.Error(err)
		}
	}
}

// freshClone copies this module as it is, without what was built or kept
// there, to a new folder.
func freshClone(t testing.TB) string {
	t.Helper()
	from, to := filepath.Join("..", ".."), testenv.TempDir(t)
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case name == ".git" || name == "bin" || name == "data":
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o700)
		case !entry.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), content, 0o600)
	})
	if err != nil {
		t.Fatalf("copy the module: %v", err)
	}
	return to
}
