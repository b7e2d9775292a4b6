package protocol

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"sync"
	"time"
)

const (
	// maxQuickPings is how many pings in a row may follow each other closer
	// than pingSpacing.
	maxQuickPings = 10
	// lingerTimeout is how long a drained connection waits for the client
	// to hang up, so that the last replies are not lost to a reset.
	lingerTimeout = time.Second
)

// serverConn is the server's end of one connection.
type serverConn struct {
	server *Server
	conn   net.Conn
	frames *Reader
	out    *outbox
	client string // what the client calls itself
	ctx    context.Context
	cancel context.CancelFunc
	calls  sync.WaitGroup
	slots  chan struct{}

	// of the reading goroutine alone
	lastPing   time.Time
	quickPings int

	mu       sync.Mutex // guards the fields below
	lastID   uint64     // the highest id accepted
	draining bool
}

func newServerConn(s *Server, conn net.Conn) *serverConn {
	ctx, cancel := context.WithCancel(context.Background())
	return &serverConn{server: s, conn: conn, frames: NewReader(conn, MaxHelloFrame), out: newOutbox(),
		ctx: ctx, cancel: cancel, slots: make(chan struct{}, s.cfg.MaxInFlight)}
}

// turnAway tells a connection beyond the limit why it is closed.
func (c *serverConn) turnAway() {
	defer func() { <-c.server.handshaking }()
	defer c.conn.Close()
	c.conn.SetDeadline(time.Now().Add(writeTimeout))
	e := &Error{Code: Exhausted, Reason: "too_many_connections", RetryAfter: time.Second}
	if _, err := c.conn.Write(appendFailure(nil, 0, false, "", e)); err == nil {
		c.linger(e)
	}
}

// serve shakes hands, then reads calls until the connection ends; then it
// waits for those in flight.
func (c *serverConn) serve() {
	defer c.server.forget(c)
	var writer sync.WaitGroup
	writer.Go(func() {
		if c.out.run(c.conn) != nil {
			hangUp(c.conn) // ends the reading too
		}
	})
	err := c.handshake()
	<-c.server.handshaking
	for err == nil {
		err = c.readOne()
	}
	if refused(err) && c.server.cfg.Hooks.Refused != nil {
		c.server.cfg.Hooks.Refused(c.conn.RemoteAddr(), err)
	}
	if !orderly(err) {
		c.cancel()
	}
	c.calls.Wait()
	c.cancel()
	c.out.finish()
	writer.Wait()
	c.linger(err)
	c.conn.Close()
}

// errDrained ends the reading of a connection that is being drained.
var errDrained = errors.New("connection was drained")

// refused tells that the client was answered why the connection ends.
func refused(err error) bool {
	var e *Error
	return errors.As(err, &e)
}

// orderly tells that the connection still carries replies.
func orderly(err error) bool { return errors.Is(err, errDrained) || refused(err) }

func (c *serverConn) handshake() error {
	if err := c.conn.SetReadDeadline(time.Now().Add(HandshakeTimeout)); err != nil {
		return err
	}
	if err := c.greet(); err != nil {
		return err
	}
	c.frames.Limit(MaxRequestFrame)
	return nil
}

// readOne reads and starts one call.
func (c *serverConn) readOne() error {
	if err := c.conn.SetReadDeadline(time.Now().Add(c.server.cfg.IdleTimeout)); err != nil {
		return err
	}
	if c.isDraining() { // asked after the deadline was set, which drain moves
		return errDrained
	}
	e, err := c.next()
	if err != nil {
		if c.isDraining() {
			return errDrained
		}
		return err
	}
	if !c.accept(e.id) {
		return nil // beyond the goaway's last id; the client knows
	}
	switch e.typ {
	case typePing:
		return c.pong(e)
	case typeHello, typeAuth:
		return c.refuse(e, &Error{Code: Invalid, Reason: "unexpected_" + e.typ})
	}
	if !tryAcquire(c.slots) {
		return c.out.wait(appendFailure(nil, e.id, true, e.typ,
			&Error{Code: Exhausted, Reason: "too_many_in_flight"}))
	}
	e.body = append([]byte(nil), e.body...)
	c.server.inFlight.Add(1)
	received := time.Now()
	c.calls.Go(func() {
		release := sync.OnceFunc(func() { <-c.slots; c.server.inFlight.Add(-1) })
		defer release()
		c.handle(e, received, release)
	})
	return nil
}

// next reads a packet with an id that is higher than all before it. What is
// wrong with it is answered, as far as possible, and ends the connection.
func (c *serverConn) next() (envelope, error) {
	frame, err := c.frames.Next()
	if errors.Is(err, ErrFrameTooLong) {
		return envelope{}, c.refuse(envelope{}, &Error{Code: Invalid, Reason: "frame_too_long", Cause: err,
			Fields: []Field{{Field: "frame", Detail: err.Error()}}})
	}
	if err != nil {
		return envelope{}, err
	}
	e, err := decodeEnvelope(frame)
	switch {
	case err != nil:
		return e, c.refuse(e, AsError(err))
	case !e.hasID:
		return e, c.refuse(e, &Error{Code: Invalid, Reason: "malformed",
			Fields: []Field{{Field: "id", Detail: "must be given: a whole number, higher than all before it"}}})
	case e.typ == "":
		return e, c.refuse(e, &Error{Code: Invalid, Reason: "malformed",
			Fields: []Field{{Field: "type", Detail: "must be given: the name of a packet type"}}})
	case e.id <= c.highest():
		return e, c.refuse(e, &Error{Code: Invalid, Reason: "id_reused", Fields: []Field{
			{Field: "id", Detail: fmt.Sprintf("must be higher than %d, the last on this connection", c.highest())}}})
	}
	if e.typ == typeHello || e.typ == typeAuth {
		c.accept(e.id)
	}
	return e, nil
}

// refuse answers a packet that ends the connection, and returns the reason.
func (c *serverConn) refuse(e envelope, reason *Error) error {
	if err := c.out.wait(appendFailure(nil, e.id, e.hasID, e.typ, reason)); err != nil {
		return err
	}
	return reason
}

func (c *serverConn) highest() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lastID
}

func (c *serverConn) isDraining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.draining
}

// accept takes responsibility for a call, unless a goaway said that none of
// this id will be executed.
func (c *serverConn) accept(id uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.draining && id > c.lastID {
		return false
	}
	c.lastID = id
	return true
}

func (c *serverConn) pong(e envelope) error {
	now := time.Now()
	if now.Sub(c.lastPing) < pingSpacing {
		c.quickPings++
	} else {
		c.quickPings = 0
	}
	c.lastPing = now
	if c.quickPings > maxQuickPings {
		return c.refuse(e, &Error{Code: Exhausted, Reason: "too_many_pings"})
	}
	frame, err := appendReply(nil, e.id, e.typ, Reply{})
	if err != nil {
		return err
	}
	return c.out.wait(frame)
}

// handle answers one call. Its slot is released before the answer can reach
// the client, which may send the next call at once; while answers pile up,
// because the client does not read, it is kept until this one is queued.
func (c *serverConn) handle(e envelope, received time.Time, release func()) {
	reply, err := c.call(e, received)
	start := time.Now()
	defer func() { tellTime(c.server.cfg.Hooks.Encoded, e.typ, time.Since(start)) }()
	var frame []byte
	if err == nil {
		frame, err = appendReply(make([]byte, 0, 64+len(reply.Body)), e.id, e.typ, reply)
		if err == nil && len(frame) > MaxReplyFrame {
			err = fmt.Errorf("reply of %d bytes is over the limit", len(frame))
		}
	}
	if err != nil {
		frame = appendFailure(nil, e.id, true, e.typ, AsError(err))
	}
	if c.out.fits(len(frame)) {
		release()
	}
	c.out.wait(frame) // fails only with the connection
}

// call runs the handler with the deadline that the packet carries, less what
// the way back needs, so that it is this side which can tell what it waited for.
func (c *serverConn) call(e envelope, received time.Time) (reply Reply, err error) {
	left := e.deadline
	if left < 0 {
		left = DefaultDeadline
	}
	left -= min(left/10, 20*time.Millisecond)
	if left <= 0 {
		return Reply{}, &Error{Code: Timeout, Reason: "no_time_left"}
	}
	ctx, cancel := context.WithDeadline(c.ctx, received.Add(left))
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			if hook := c.server.cfg.Hooks.Panic; hook != nil {
				hook(e.typ, v, debug.Stack())
			}
			err = &Error{Code: Internal}
		}
	}()
	ctx = context.WithValue(WithTrace(ctx, e.trace), receivedKey{}, received)
	return c.server.cfg.Handler.Call(ctx, Request{Type: e.typ, Meta: e.meta, Body: e.body})
}

// drain says goaway and ends the reading, which lets serve wait for the
// calls in flight and close.
func (c *serverConn) drain() {
	c.mu.Lock()
	c.draining = true
	last := c.lastID
	c.mu.Unlock()
	frame := fmt.Appendf(nil, `{"type":"goaway","body":{"last_id":%d}}`+"\n", last)
	if c.out.wait(frame) != nil {
		return
	}
	c.conn.SetReadDeadline(time.Unix(1, 0))
}

// linger half-closes a connection that ended in order and waits for the
// client to do the same.
func (c *serverConn) linger(err error) {
	if !orderly(err) {
		return
	}
	half, ok := c.conn.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.conn.SetReadDeadline(time.Now().Add(lingerTimeout))
	io.Copy(io.Discard, io.LimitReader(c.conn, 1<<20))
}
