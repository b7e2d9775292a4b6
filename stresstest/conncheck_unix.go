//go:build unix

package stresstest

import (
	"crypto/tls"
	"net"
	"syscall"
)

// isStale tells whether the other side has closed a connection on which
// nothing is under way, or has said something that nobody asked for, without
// waiting and without taking anything from it. TLS may have words of its own.
func isStale(conn net.Conn) bool {
	secured, isTLS := conn.(*tls.Conn)
	if isTLS {
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
	stale := false
	err = raw.Read(func(fd uintptr) bool {
		var b [1]byte
		switch n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK); {
		case err == nil:
			stale = n == 0 || !isTLS
		default:
			stale = err != syscall.EAGAIN && err != syscall.EINTR
		}
		return true
	})
	return stale || err != nil
}
