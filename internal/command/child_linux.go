package command

import "syscall"

// endsWithParent makes the system kill a child when this process ends in
// whatever way. A group of its own keeps an interrupt typed at the terminal
// away from it: it is stopped in its turn.
func endsWithParent() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
