//go:build !linux

package command

import "syscall"

// endsWithParent leaves a child in the group of this process, so that an
// interrupt typed at the terminal reaches it too. Where this process is
// killed, children are left behind.
func endsWithParent() *syscall.SysProcAttr { return nil }
