//go:build !unix

package stresstest

import "net"

// isClosed returns false, because nothing portable tells it without waiting.
func isClosed(net.Conn) bool { return false }
