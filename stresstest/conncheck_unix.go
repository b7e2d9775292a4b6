//go:build unix

package stresstest

import (
	"crypto/tls"
	"net"
	"syscall"
)

// isClosed tells whether the other side has closed a connection that nothing
// is under way on, without waiting and without taking anything from it.
func isClosed(conn net.Conn) bool {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	c, ok := conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return true
	}
	var n int
	var failed error
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		n, _, failed = syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		return true
	})
	return err != nil || failed == nil && n == 0 || failed != nil && failed != syscall.EAGAIN && failed != syscall.EINTR
}
