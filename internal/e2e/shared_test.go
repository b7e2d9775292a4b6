package e2e_test

import (
	"fmt"
	"os"
	"sync"
	"syscall"
	"testing"
)

// commons is the service that tests share which only need some account each.
var commons sharedService

// A sharedService is started by the first test that wants it.
type sharedService struct {
	once sync.Once
	*process
	err error
}

// service returns the shared service: both tiers in one process, on the
// embedded default.
func service(t testing.TB) *process {
	t.Helper()
	commons.once.Do(func() {
		var dir string
		if dir, commons.err = os.MkdirTemp("", "shared-"); commons.err != nil {
			return
		}
		args := append([]string{"serve", "--log-level", "debug", "--data", dir, "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--listen", "127.0.0.1:0"}, cheap...)
		commons.process, commons.err = launch(args)
	})
	if commons.err != nil {
		t.Fatal(commons.err)
	}
	return commons.process
}

// end ends the service after all tests, in the orderly way, and prints what it
// printed if that is asked for.
func (s *sharedService) end(show bool) error {
	if s.process == nil {
		return nil
	}
	s.cmd.Process.Signal(syscall.SIGTERM) // if it has ended already, that is told next
	<-s.exited
	if show {
		fmt.Fprintf(os.Stderr, "the shared service printed:\n%s\n", s.out.tail())
	}
	if status := s.cmd.ProcessState.ExitCode(); status != 0 {
		return fmt.Errorf("the shared service exited %d", status)
	}
	return warden.forget(s.cmd.Process.Pid)
}
