//go:build !unix

package stresstest

import "net"

// isStale returns false, because nothing portable tells it without waiting.
func isStale(net.Conn) bool { return false }
