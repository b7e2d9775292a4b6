// Package protocoltest plays the other end of a connection from a script:
// expect, reply, stall, cut, garble. It knows frames as text and nothing of
// the code under test, so that what it sends may be as wrong as a test wants.
package protocoltest

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// patience bounds each read and write of a Peer.
const patience = 10 * time.Second

// Peer is one end of a connection, in the hands of a test. A step that
// cannot be done ends its script with a failure of the test.
type Peer struct {
	tb   testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// Packet is a packet as it was read.
type Packet struct {
	ID             *uint64         `json:"id"`
	Type           string          `json:"type"`
	DeadlineMS     *int64          `json:"deadline_ms"`
	Trace          string          `json:"trace"`
	IdempotencyKey string          `json:"idempotency_key"`
	Subject        string          `json:"subject"`
	Body           json.RawMessage `json:"body"`
	Error          *struct {
		Code         string            `json:"code"`
		Reason       string            `json:"reason"`
		Fields       []json.RawMessage `json:"fields"`
		RetryAfterMS int64             `json:"retry_after_ms"`
	} `json:"error"`
	// Line is the frame itself.
	Line string `json:"-"`
}

// NewPeer returns a Peer at this end of conn.
func NewPeer(tb testing.TB, conn net.Conn) *Peer {
	return &Peer{tb: tb, conn: conn, r: bufio.NewReaderSize(conn, 1<<20)}
}

// Dial connects to a server.
func Dial(tb testing.TB, address string) *Peer {
	tb.Helper()
	conn, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		tb.Fatalf("dial: %v", err)
	}
	tb.Cleanup(func() { conn.Close() })
	return NewPeer(tb, conn)
}

// Listen plays a server: script runs for each connection, in a goroutine of
// its own that is over before the test is.
func Listen(tb testing.TB, script func(p *Peer)) (address string) {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatalf("listen: %v", err)
	}
	ListenOn(tb, l, script)
	return l.Addr().String()
}

// ListenOn is Listen on a listener of the test's own, which it closes.
func ListenOn(tb testing.TB, l net.Listener, script func(p *Peer)) {
	var scripts sync.WaitGroup
	scripts.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			scripts.Go(func() {
				defer conn.Close()
				script(NewPeer(tb, conn))
			})
		}
	})
	tb.Cleanup(func() {
		l.Close()
		scripts.Wait()
	})
}

// Send writes frames, adding the newline to each.
func (p *Peer) Send(frames ...string) {
	p.tb.Helper()
	for _, f := range frames {
		p.SendRaw([]byte(f + "\n"))
	}
}

// SendRaw writes bytes as they are. A far end that hung up is no failure: it
// may have had enough.
func (p *Peer) SendRaw(b []byte) {
	p.conn.SetWriteDeadline(time.Now().Add(patience))
	p.conn.Write(b)
}

// Next reads a packet, or returns io.EOF where the far end closed.
func (p *Peer) Next() (Packet, error) { return p.next(patience) }

func (p *Peer) next(within time.Duration) (Packet, error) {
	p.conn.SetReadDeadline(time.Now().Add(within))
	line, err := p.r.ReadString('\n')
	if err != nil {
		return Packet{}, err
	}
	packet := Packet{Line: line}
	if err := json.Unmarshal([]byte(line), &packet); err != nil {
		return packet, fmt.Errorf("decode %q: %w", line, err)
	}
	return packet, nil
}

// Expect reads a packet of this type. It returns false, without a failure,
// where the far end closed instead.
func (p *Peer) Expect(typ string) (Packet, bool) {
	p.tb.Helper()
	return p.ExpectWithin(typ, patience)
}

// ExpectWithin is Expect with a patience of its own.
func (p *Peer) ExpectWithin(typ string, within time.Duration) (Packet, bool) {
	p.tb.Helper()
	packet, err := p.next(within)
	if err != nil {
		return packet, false
	}
	if packet.Type != typ {
		p.tb.Errorf("expected a %s packet, got %s", typ, packet.Line)
		return packet, false
	}
	return packet, true
}

// ExpectClosed reads until the far end closes, and fails the test if it does
// not.
func (p *Peer) ExpectClosed() {
	p.tb.Helper()
	p.conn.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.Copy(io.Discard, p.r); err != nil {
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			p.tb.Error("the connection was not closed")
		}
	}
}

// ServeHello answers a client's hello, as a server without a key.
func (p *Peer) ServeHello() bool {
	p.tb.Helper()
	hello, ok := p.Expect("hello")
	if ok {
		p.Reply(hello, "", `{"version":1,"server":"peer/1","nonce":"n","max_frame":65536,"max_in_flight":64}`)
	}
	return ok
}

// SayHello shakes hands as a client without a key.
func (p *Peer) SayHello() {
	p.tb.Helper()
	p.Send(`{"id":1,"type":"hello","body":{"versions":[1],"client":"peer/1"}}`)
	if _, ok := p.Expect("hello"); !ok {
		p.tb.Error("the server closed instead of answering hello")
	}
}

// Reply answers a packet.
func (p *Peer) Reply(to Packet, subject, body string) {
	p.tb.Helper()
	p.Send(fmt.Sprintf(`{"id":%d,"type":%q,"subject":%q,"body":%s}`, *to.ID, to.Type, subject, body))
}

// Cut ends the connection at once, without a word.
func (p *Peer) Cut() {
	conn := p.conn
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn() // to say nothing of the end either
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	conn.Close()
}

// Wait takes what comes and says nothing until the far end closes or patience
// is over.
func (p *Peer) Wait() {
	p.conn.SetReadDeadline(time.Now().Add(patience))
	io.Copy(io.Discard, p.r)
}
