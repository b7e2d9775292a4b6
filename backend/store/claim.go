package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// ErrClaimed means that another process has the SQLite file.
var ErrClaimed = errors.New("the database file is in use by another gatehouse")

// A claim keeps other processes from a SQLite file. SQLite itself would let
// them in, and two backends on one file would each trust a cache that the
// other does not know of. The lock is on a file beside it, which is never
// removed: removing it would let two in. The system gives it up when the
// process ends, in whatever way.
type claim struct{ file *os.File }

func claimFile(path string) (*claim, error) {
	path += ".lock"
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim database file: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		defer f.Close()
		return nil, fmt.Errorf("%w (process %s, by %s); stop that one, or give this one a --data of its own", ErrClaimed, holder(f), path)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("claim database file by %s: %w; its file system must have locks, as every local one has", path, err), f.Close())
	}
	c := &claim{file: f}
	if err := c.sign(); err != nil {
		return nil, errors.Join(fmt.Errorf("sign %s: %w", path, err), c.release())
	}
	return c, nil
}

// sign writes the process into the file, for people to read.
func (c *claim) sign() error {
	if err := c.file.Truncate(0); err != nil {
		return err
	}
	_, err := c.file.WriteAt(fmt.Appendln(nil, os.Getpid()), 0)
	return err
}

// holder returns who signed a file, as far as that can be read.
func holder(f io.Reader) string {
	text, err := io.ReadAll(io.LimitReader(f, 20))
	if pid := strings.TrimSpace(string(text)); err == nil && pid != "" {
		return pid
	}
	return "unknown"
}

// release gives the claim up. Doing it again changes nothing.
func (c *claim) release() error {
	err := c.file.Truncate(0)
	if errors.Is(err, os.ErrClosed) {
		return nil
	}
	return errors.Join(err, c.file.Close())
}
