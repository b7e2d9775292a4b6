package protocol

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// Config is how a client connects. The zero value works with a server that
// has neither key nor TLS.
type Config struct {
	// Name is what the client calls itself, "webserver/0.1.0".
	Name string
	// Key is the link key. A server that does not ask for it is refused,
	// unless KeyIfAsked is set.
	Key        []byte
	KeyIfAsked bool
	// TLS, where set, is used on TCP connections; its ServerName is taken
	// from the address where it is empty.
	TLS *tls.Config
	// Hooks, where set, are told what the connection notices.
	Hooks Hooks
}

// Hooks tell of what happens on a client's connection. Each may be nil, and
// is called from the connection's own goroutines, so it must not wait.
type Hooks struct {
	// LateReply: a reply came whose caller had given up; it was dropped.
	LateReply func()
	// CrossTalk: a reply was of another type or subject than the call it
	// names. The connection is closed. This must never happen.
	CrossTalk func(error)
	// Sent: a call of this type was encoded and queued to be written, which
	// took so long.
	Sent func(typ string, took time.Duration)
	// Answered: the reply to a call came so long after it was queued. Calls
	// whose caller gave up are not told.
	Answered func(typ string, took time.Duration)
}

// Conn is a Caller at the far end of a connection. Many calls share it; each
// reply finds its caller by id, and an id is never used again, so that a
// reply which comes after its caller gave up can meet nobody else.
type Conn struct {
	conn     net.Conn
	frames   *Reader
	out      *outbox
	hooks    Hooks
	server   string
	maxFrame int
	// slots bounds the calls that the server owes an answer to, with the
	// number that it asked for.
	slots chan struct{}

	mu      sync.Mutex // guards the fields down to the blank line
	lastID  uint64
	pending map[uint64]*call
	err     error // why the connection ended

	lastReceived atomic.Int64 // when a byte last came, Unix nanoseconds
	suspect      atomic.Bool  // a call ran out of time and nothing came since it was sent
	closing      sync.Once
	closed       chan struct{} // no new calls
	dead         chan struct{} // no replies either
	owned        sync.WaitGroup
}

// call is one call in flight.
type call struct {
	req      Request
	sentAt   time.Time
	deadline time.Time
	end      int64 // offset of the frame's end in the stream
	// abandoned means that the caller gave up. The call stays in pending
	// until its reply comes, because the server works on it until then.
	abandoned bool
	result    chan result
}

type result struct {
	reply Reply
	err   error
}

// Dial connects to a server and shakes hands. Network and address are as
// net.Dial takes them; TLS is used on TCP where cfg asks for it.
func Dial(ctx context.Context, network, address string, cfg Config) (*Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, HandshakeTimeout)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("connect to backend: %w", err)
	}
	if cfg.TLS != nil && network != "unix" {
		tc := cfg.TLS.Clone()
		if tc.ServerName == "" {
			tc.ServerName, _, _ = net.SplitHostPort(address)
		}
		conn = tls.Client(conn, tc)
	}
	c, err := NewConn(ctx, conn, cfg)
	if err != nil {
		return nil, fmt.Errorf("connect to backend %s: %w", address, err)
	}
	return c, nil
}

// NewConn shakes hands over conn, which it owns from then on, within ctx and
// HandshakeTimeout.
func NewConn(ctx context.Context, conn net.Conn, cfg Config) (*Conn, error) {
	c := &Conn{conn: conn, hooks: cfg.Hooks, out: newOutbox(), pending: map[uint64]*call{},
		closed: make(chan struct{}), dead: make(chan struct{})}
	c.frames = NewReader(received{conn, &c.lastReceived}, MaxReplyFrame)
	deadline := time.Now().Add(HandshakeTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	err := conn.SetDeadline(deadline)
	if err == nil {
		err = c.shake(cfg)
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	c.owned.Go(c.read)
	c.owned.Go(func() { c.fail(c.out.run(conn)) })
	c.owned.Go(c.keepAlive)
	return c, nil
}

// received notes when bytes come.
type received struct {
	net.Conn
	at *atomic.Int64
}

func (r received) Read(p []byte) (int, error) {
	n, err := r.Conn.Read(p)
	if n > 0 {
		r.at.Store(time.Now().UnixNano())
	}
	return n, err
}

// Server returns what the server calls itself.
func (c *Conn) Server() string { return c.server }

// InFlight tells how many calls the server owes an answer to, those among
// them whose callers gave up.
func (c *Conn) InFlight() int { return len(c.slots) }

// Done is closed once the connection takes no new calls: it failed, was
// closed, or the server said goaway. Calls in flight may still be answered.
func (c *Conn) Done() <-chan struct{} { return c.closed }

// Close ends the connection and waits for its goroutines. Calls in flight fail.
func (c *Conn) Close() error {
	c.fail(errClosed)
	c.owned.Wait()
	return nil
}

// Call makes a call and waits for its reply until ctx ends.
//
// The error tells what is known of the outcome. NotSent errors were
// certainly not executed. Where the reply was lost or did not come in time,
// a ReadOnly call fails with Unavailable or Timeout, any other with
// UnknownOutcome.
func (c *Conn) Call(ctx context.Context, req Request) (Reply, error) {
	if c.leaving() {
		return Reply{}, c.goneError()
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.closed:
		return Reply{}, c.goneError()
	case <-ctx.Done():
		return Reply{}, &Error{Code: Timeout, Cause: ctx.Err(), notSent: true}
	}
	start := time.Now()
	p, err := c.send(ctx, req)
	if err != nil {
		<-c.slots
		return Reply{}, err
	}
	sent := time.Now()
	tellTime(c.hooks.Sent, req.Type, sent.Sub(start))
	select {
	case r := <-p.result:
		tellTime(c.hooks.Answered, req.Type, time.Since(sent))
		return r.reply, r.err
	case <-ctx.Done():
		return c.abandon(ctx, p)
	}
}

// send gives the call an id and queues its frame.
func (c *Conn) send(ctx context.Context, req Request) (*call, error) {
	now := time.Now()
	deadline, bounded := ctx.Deadline()
	if !bounded {
		deadline = now.Add(DefaultDeadline)
	}
	left := deadline.Sub(now)
	if left < time.Millisecond {
		return nil, &Error{Code: Timeout, Cause: context.DeadlineExceeded, notSent: true}
	}
	tail, err := appendRequest(make([]byte, 0, 256+len(req.Body)), req, Trace(ctx), left)
	if err != nil {
		return nil, &Error{Code: Invalid, Reason: "malformed", Cause: err, notSent: true}
	}
	p := &call{req: req, sentAt: now, deadline: deadline, result: make(chan result, 1)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.leaving() {
		return nil, c.goneErrorLocked()
	}
	c.lastID++
	head := c.head()
	if size := len(head) + len(tail); size > c.maxFrame {
		c.lastID--
		return nil, &Error{Code: Invalid, Reason: "too_large", notSent: true,
			Cause: fmt.Errorf("frame of %d bytes, the server takes %d", size, c.maxFrame)}
	}
	p.end, err = c.out.put(head, tail)
	if err != nil {
		c.lastID--
		return nil, &Error{Code: Overloaded, Reason: "link_busy", Cause: err, notSent: true}
	}
	c.pending[c.lastID] = p
	return p, nil
}

// head is the part of a frame that stands before what appendRequest makes.
func (c *Conn) head() []byte {
	return strconv.AppendUint([]byte(`{"id":`), c.lastID, 10)
}

// abandon gives p up. If its reply came in the same moment, it is returned
// after all.
func (c *Conn) abandon(ctx context.Context, p *call) (Reply, error) {
	c.mu.Lock()
	select {
	case r := <-p.result:
		c.mu.Unlock()
		return r.reply, r.err
	default:
	}
	p.abandoned = true
	c.mu.Unlock()
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && c.lastReceived.Load() < p.sentAt.UnixNano() {
		c.suspect.Store(true)
	}
	err := &Error{Code: UnknownOutcome, Cause: ctx.Err(), link: true}
	if p.req.ReadOnly {
		err.Code = Timeout
	}
	return Reply{}, err
}

// read takes what the server sends until the connection ends.
func (c *Conn) read() {
	for {
		frame, err := c.frames.Next()
		if err != nil {
			c.fail(fmt.Errorf("read from backend: %w", err))
			return
		}
		e, err := decodeEnvelope(frame)
		if err == nil {
			err = c.take(e)
		}
		if err != nil {
			c.fail(fmt.Errorf("backend broke the protocol: %w", err))
			return
		}
	}
}

// take passes one packet to whom it is for.
func (c *Conn) take(e envelope) error {
	switch {
	case !e.hasID && e.typ == typeGoaway:
		return c.goaway(e.body)
	case !e.hasID && e.err != nil:
		return e.err
	case !e.hasID:
		return fmt.Errorf("a packet without an id")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	p, ok := c.pending[e.id]
	if !ok {
		return fmt.Errorf("a reply to call %d, which waits for none", e.id)
	}
	r, err := c.check(p, e)
	delete(c.pending, e.id)
	<-c.slots
	if p.abandoned && err == nil {
		tell(c.hooks.LateReply)
		return nil
	}
	p.result <- r
	return err
}

// check makes the result of a reply that belongs to p, and returns an error
// if it cannot be p's.
func (c *Conn) check(p *call, e envelope) (result, error) {
	var err error
	switch {
	case e.err != nil && e.typ == "": // the server could not read so far
		return result{err: e.err}, nil
	case e.typ != p.req.Type:
		err = fmt.Errorf("call %d of type %s was answered as %s", e.id, p.req.Type, e.typ)
	case e.err != nil:
		return result{err: e.err}, nil
	case e.subject != p.req.Subject && !p.req.AnySubject:
		err = fmt.Errorf("%s call %d was answered from another record than the one asked for", e.typ, e.id)
	default:
		return result{reply: Reply{Subject: e.subject, Body: append(json.RawMessage(nil), e.body...)}}, nil
	}
	if c.hooks.CrossTalk != nil {
		c.hooks.CrossTalk(err)
	}
	return result{err: &Error{Code: Internal, Reason: "crosstalk", Cause: err}}, err
}

// goaway ends the taking of calls. Those that the server says it will not
// answer fail as not sent.
func (c *Conn) goaway(body json.RawMessage) error {
	var b struct {
		LastID *uint64 `json:"last_id"`
	}
	if err := json.Unmarshal(body, &b); err != nil || b.LastID == nil {
		return fmt.Errorf("a goaway without last_id")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closing.Do(func() { close(c.closed) })
	for id, p := range c.pending {
		if id > *b.LastID {
			delete(c.pending, id)
			<-c.slots
			p.result <- result{err: &Error{Code: Unavailable, Reason: "goaway", notSent: true}}
		}
	}
	return nil
}

// fail ends the connection and every call in flight. Only the first reason counts.
func (c *Conn) fail(err error) {
	if err == nil || !c.end(err) {
		return
	}
	if errors.Is(err, errClosed) {
		c.conn.Close()
	} else {
		hangUp(c.conn)
	}
}

// end fails every call in flight, and returns false where that was done
// before. Nothing is written any more but what is being written just now,
// which counts as sent.
func (c *Conn) end(err error) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return false
	}
	c.err = err
	c.closing.Do(func() { close(c.closed) })
	close(c.dead)
	c.out.fail(err)
	for id, p := range c.pending {
		delete(c.pending, id)
		<-c.slots
		p.result <- result{err: c.lost(p)}
	}
	return true
}

// lost is what a call fails with whose connection ended.
func (c *Conn) lost(p *call) *Error {
	e := &Error{Code: UnknownOutcome, Reason: "connection_lost", Cause: c.err, link: true}
	e.notSent = !c.out.sent(p.end)
	if p.req.ReadOnly || e.notSent {
		e.Code = Unavailable
	}
	return e
}

func (c *Conn) goneError() *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.goneErrorLocked()
}

func (c *Conn) goneErrorLocked() *Error {
	return &Error{Code: Unavailable, Reason: "connection_lost", Cause: c.err, notSent: true}
}

// leaving tells that the connection takes no new calls, pings among them.
func (c *Conn) leaving() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

func tellTime(hook func(string, time.Duration), typ string, took time.Duration) {
	if hook != nil {
		hook(typ, took)
	}
}

func tell(hook func()) {
	if hook != nil {
		hook()
	}
}
