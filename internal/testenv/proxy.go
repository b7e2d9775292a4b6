package testenv

import (
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Direction is which half of a connection a fault is put on.
type Direction int

// The directions, as seen from the proxy.
const (
	ToServer Direction = iota
	ToClient
)

// A Proxy forwards TCP connections to a server and breaks them as told. Every
// fault holds for the connections that are open and for those to come, until
// Heal. It understands no protocol.
type Proxy struct {
	target   string
	listener net.Listener
	serving  sync.WaitGroup

	mu     sync.Mutex // guards the fields below
	links  map[*link]bool
	faults [2]fault
	refuse bool
	closed bool
	cuts   int
}

// fault is what goes wrong in one direction.
type fault struct {
	delay time.Duration
	drop  bool

	limited bool
	left    int64 // bytes until the cut, where limited

	pattern []byte // cut when this passes, where not empty
	deliver bool   // whether the pattern still reaches the other side
}

// NewProxy starts a proxy on a free port of loopback that forwards to target,
// a host:port. It ends with the test.
func NewProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("start proxy: %v", err)
	}
	p := &Proxy{target: target, listener: l, links: map[*link]bool{}}
	p.serving.Go(p.serve)
	t.Cleanup(p.close)
	return p
}

// Addr is where clients connect, as host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Cut resets every open connection, on both sides.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.reset()
		p.cuts++
	}
}

// Cuts returns how many connections were cut so far by Cut, CutAfter and CutAt.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// Refuse resets every connection that is made from now on.
func (p *Proxy) Refuse() { p.change(func() { p.refuse = true }) }

// Delay holds each piece of data back for this long.
func (p *Proxy) Delay(d Direction, by time.Duration) {
	p.change(func() { p.faults[d].delay = by })
}

// Drop swallows all data of a direction while the connections stay open, as
// a network does that loses every packet one way.
func (p *Proxy) Drop(d Direction) { p.change(func() { p.faults[d].drop = true }) }

// CutAfter lets n more bytes pass in a direction, over all connections
// together, and then resets the connection that brings the next one.
func (p *Proxy) CutAfter(d Direction, n int64) {
	p.change(func() { p.faults[d].limited, p.faults[d].left = true, n })
}

// CutAt cuts the first connection on which pattern passes in a direction, and
// no other. Where deliver is false the piece of data that completes the
// pattern is lost with the connection. Where it is true, that piece still
// arrives, and the far side can read and act on it; but nothing comes back.
func (p *Proxy) CutAt(d Direction, pattern string, deliver bool) {
	p.change(func() { p.faults[d].pattern, p.faults[d].deliver = []byte(pattern), deliver })
}

// Heal ends all faults. Connections that were cut stay so.
func (p *Proxy) Heal() {
	p.change(func() { p.faults, p.refuse = [2]fault{}, false })
}

func (p *Proxy) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *Proxy) close() {
	p.listener.Close()
	p.mu.Lock()
	p.closed = true
	for l := range p.links {
		l.reset()
	}
	p.mu.Unlock()
	p.serving.Wait()
}

func (p *Proxy) serve() {
	for {
		conn, err := p.listener.Accept()
		if err != nil {
			return
		}
		client := conn.(*net.TCPConn)
		p.serving.Go(func() { p.forward(client) })
	}
}

// forward serves one client until the connection ends on either side.
func (p *Proxy) forward(client *net.TCPConn) {
	defer client.Close()
	l := &link{client: client, done: make(chan struct{})}
	if !p.open(l) {
		l.reset()
		return
	}
	defer p.forget(l)
	var halves sync.WaitGroup
	halves.Go(func() { p.pump(l, ToServer, l.client, l.server) })
	halves.Go(func() { p.pump(l, ToClient, l.server, l.client) })
	halves.Wait()
}

// open connects l to the server and takes it into the books.
func (p *Proxy) open(l *link) bool {
	p.mu.Lock()
	refuse := p.refuse || p.closed
	p.mu.Unlock()
	if refuse {
		return false
	}
	conn, err := net.DialTimeout("tcp", p.target, 5*time.Second)
	if err != nil {
		return false
	}
	l.server = conn.(*net.TCPConn)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse || p.closed {
		return false
	}
	p.links[l] = true
	return true
}

func (p *Proxy) forget(l *link) {
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
	l.server.Close()
}

// pump copies one direction until an end or a cut.
func (p *Proxy) pump(l *link, d Direction, from, to *net.TCPConn) {
	var tail []byte
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			// The other direction may still have something to say.
			to.CloseWrite()
			return
		}
		v := p.judge(d, tail, buf[:n])
		tail = v.tail
		if !l.sleep(v.delay) {
			return
		}
		if v.cut == cutBehind {
			l.cutBehind(from)
		}
		if _, err := to.Write(buf[:v.pass]); err != nil {
			l.undeliverable(from)
			return
		}
		switch v.cut {
		case cutNow:
			l.reset()
			return
		case cutBehind:
			to.CloseWrite()
			return
		}
	}
}

// verdict is what becomes of one piece of data: how much of it passes, after
// which delay, and whether the connection is cut then.
type verdict struct {
	pass  int
	delay time.Duration
	cut   cut
	tail  []byte // what a pattern may have begun with
}

type cut int

const (
	cutNot cut = iota
	cutNow
	cutBehind // the sender's side only, so that what passed is read
)

func (p *Proxy) judge(d Direction, tail, data []byte) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := &p.faults[d]
	v := verdict{pass: len(data), delay: f.delay}
	if len(f.pattern) > 0 {
		seen := append(tail, data...)
		if bytes.Contains(seen, f.pattern) {
			v.cut = cutBehind
			if !f.deliver {
				v.cut, v.pass = cutNow, 0
			}
			f.pattern = nil
			p.cuts++
			return v
		}
		v.tail = bytes.Clone(seen[max(0, len(seen)-len(f.pattern)+1):])
	}
	if f.drop {
		v.pass = 0
		return v
	}
	if f.limited {
		if f.left < int64(len(data)) {
			v.pass, v.cut = int(f.left), cutNow
			p.cuts++
		}
		f.left -= int64(v.pass)
	}
	return v
}

// A link is one client's connection and the one to the server behind it.
type link struct {
	client, server *net.TCPConn
	once           sync.Once
	done           chan struct{} // closed by reset
	swallow        atomic.Bool   // set when one side was cut off alone
}

// reset ends both connections at once and without an orderly end, as the
// crash of a peer does.
func (l *link) reset() {
	l.once.Do(func() { close(l.done) })
	abort(l.client)
	if l.server != nil {
		abort(l.server)
	}
}

// cutBehind resets the sender's connection only, so that the other side still
// reads what is passed on and answers, to nobody.
func (l *link) cutBehind(sender *net.TCPConn) {
	l.swallow.Store(true)
	abort(sender)
}

// undeliverable ends a direction whose receiver is gone.
func (l *link) undeliverable(from *net.TCPConn) {
	if !l.swallow.Load() {
		l.reset()
		return
	}
	from.SetReadDeadline(time.Now().Add(10 * time.Second))
	io.Copy(io.Discard, from)
}

func abort(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

// sleep waits, unless the link ends, which it returns false for.
func (l *link) sleep(d time.Duration) bool {
	if d == 0 {
		return true
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.done:
		return false
	}
}
