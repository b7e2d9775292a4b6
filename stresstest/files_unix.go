//go:build linux || darwin

package stresstest

import "syscall"

// openFiles returns how many files this process may have open, after raising
// it as far as the system lets it. It is 0 where the system does not say.
func openFiles() uint64 {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	if limit.Cur < limit.Max {
		raised := syscall.Rlimit{Cur: limit.Max, Max: limit.Max}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised); err == nil {
			return raised.Cur
		}
	}
	return limit.Cur
}
