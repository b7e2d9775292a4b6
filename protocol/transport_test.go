package protocol_test

import (
	"crypto/tls"
	"net"
	"testing"

	"gatehouse/protocol"
	"gatehouse/protocol/protocoltest"
)

// transport is what a link runs over: TCP, and TLS on it where there are
// configurations.
type transport struct{ server, client *tls.Config }

// overBoth runs a test over each transport. What is known of a connection
// below TLS is not known above it, so that what was tried over one says
// nothing of the other.
func overBoth(t *testing.T, body func(t *testing.T, link transport)) {
	t.Run("TCP", func(t *testing.T) { body(t, transport{}) })
	t.Run("TLS", func(t *testing.T) {
		authority := newPKI(t)
		body(t, transport{authority.server(t), authority.client(t)})
	})
}

func (tr transport) listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if tr.server == nil {
		return l
	}
	return tls.NewListener(l, tr.server)
}

// listen plays a server from a script.
func (tr transport) listen(t *testing.T, script func(p *protocoltest.Peer)) (address string) {
	t.Helper()
	l := tr.listener(t)
	protocoltest.ListenOn(t, l, script)
	return l.Addr().String()
}

// serve starts a real server.
func (tr transport) serve(t *testing.T, cfg protocol.ServerConfig) (address string) {
	t.Helper()
	l := tr.listener(t)
	serveOn(t, l, cfg)
	return l.Addr().String()
}

func (tr transport) dial(t *testing.T, address string, cfg protocol.Config) *protocol.Conn {
	t.Helper()
	cfg.TLS = tr.client
	return dial(t, address, cfg)
}
