// Package testenv starts the servers that tests talk to, on loopback and for
// one test program only, and breaks the connections to them on demand. It
// does not know what is tested.
//
// Nothing here skips: a program that is missing fails the test with the
// command that installs it. Whatever is started is gone when the test program
// ends, also where it is killed.
package testenv

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// WaitFor returns once ok does, and fails the test where it does not within
// the time. what completes the sentence "waited in vain for …".
func WaitFor(t testing.TB, within time.Duration, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s (%v)", what, within)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// FreePort returns a TCP port of loopback that nobody listened on a moment
// ago. Listening on port 0 is better wherever the program under test can.
func FreePort(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatalf("find a free port: %v", err)
	}
	return port
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// TempDir returns an empty folder that is removed after the test. Other than
// that of t.TempDir its path is short enough for a Unix socket in it, and it
// is no error if a program still writes there while it is removed.
func TempDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gatehouse-")
	if err != nil {
		t.Fatalf("make a temporary folder: %v", err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// sbin are the folders where systems keep servers, which need not be in the
// PATH of a user.
var sbin = []string{"/usr/local/sbin", "/usr/sbin", "/sbin"}

// lookup returns the path of the first of the programs that is installed.
func lookup(programs ...string) (string, bool) {
	for _, program := range programs {
		if path, err := exec.LookPath(program); err == nil {
			return path, true
		}
		for _, dir := range sbin {
			if path, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
				return path, true
			}
		}
	}
	return "", false
}
