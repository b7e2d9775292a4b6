package stresstest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// maxAnswer bounds the body of an answer, in bytes. A profile is a few
	// hundred, its page a few thousand.
	maxAnswer = 64 << 10
	// maxRead bounds all that is read for one answer, its head included.
	maxRead = 4 * maxAnswer
)

// httpConn is the connection of one worker, which has one request under way
// at a time, and so needs neither the goroutines nor the locks that
// http.Transport has for callers that share it: the worker writes its request
// and reads the answer itself. A GET whose kept connection turns out to be
// closed before any answer is sent once more on a new one, as browsers do;
// nothing else is ever sent twice.
type httpConn struct {
	target *httpTarget
	reader *bufio.Reader
	limit  io.LimitedReader // between the reader and the connection
	out    []byte           // the request
	body   []byte           // of the answer

	used    time.Time // when the last request began
	unwatch func() bool

	mu      sync.Mutex      // guards the fields below, which only the worker changes
	watched context.Context // whose end breaks off what is under way
	conn    net.Conn        // nil until it is needed, and after a failure
}

// answer is an answer with its body, which holds until the next request.
type answer struct {
	*http.Response
	body []byte
}

// longIdle is after which time a kept connection is looked at before it is used.
// Some servers say that they are about to close one.
const longIdle = time.Second

// errTooLong means that the body of an answer is longer than maxAnswer.
var errTooLong = errors.New("more than can be an answer")

// exchange sends the request in c.out and reads the answer. The error of a
// connection is a failure, errTooLong that of an answer.
func (c *httpConn) exchange(ctx context.Context, method string) (answer, error) {
	now := time.Now()
	careful := method != http.MethodGet || now.Sub(c.used) > longIdle
	c.used = now
	c.watch(ctx)
	for {
		fresh, err := c.ready(ctx, careful, now.Add(requestTimeout))
		if err != nil {
			return answer{}, transportFailure(err)
		}
		a, begun, err := c.attempt()
		switch {
		case err == nil:
			return a, nil
		case errors.Is(err, errTooLong):
			return a, err
		case begun || fresh || method != http.MethodGet || isTimeout(err) || ctx.Err() != nil:
			return answer{}, transportFailure(err)
		}
	}
}

// watch makes the end of ctx break off what is under way. The context of a
// phase is the same for all its requests, and so is watched once.
func (c *httpConn) watch(ctx context.Context) {
	if ctx == c.watched {
		return
	}
	if c.unwatch != nil {
		c.unwatch()
	}
	c.mu.Lock()
	c.watched = ctx
	c.mu.Unlock()
	c.unwatch = context.AfterFunc(ctx, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		// The end of one that is watched no more may be told late.
		if c.conn != nil && c.watched == ctx {
			// A connection that cannot take it fails what is under way anyway.
			_ = c.conn.SetDeadline(time.Unix(1, 0))
		}
	})
}

// ready makes sure that there is a connection, which has until deadline, and
// reports whether it is a new one.
func (c *httpConn) ready(ctx context.Context, careful bool, deadline time.Time) (fresh bool, err error) {
	if c.conn != nil && !c.usable(careful, deadline) {
		c.drop()
	}
	if c.conn == nil {
		fresh = true
		if err := c.open(ctx, deadline); err != nil {
			return true, err
		}
	}
	// Looked at after the deadline was set, which the end of ctx moves.
	if err := ctx.Err(); err != nil {
		c.drop()
		return fresh, err
	}
	return fresh, nil
}

// usable gives the kept connection its deadline, and looks at it where it must
// be careful: what is sent once only must not meet a connection that was closed
// while nobody looked.
func (c *httpConn) usable(careful bool, deadline time.Time) bool {
	if c.reader.Buffered() > 0 || c.conn.SetDeadline(deadline) != nil {
		return false
	}
	return !careful || !isStale(c.conn)
}

// open makes a new connection.
func (c *httpConn) open(ctx context.Context, deadline time.Time) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	conn, err := c.target.connect(ctx)
	if err != nil {
		var op *net.OpError
		if errors.As(err, &op) && op.Op == "dial" {
			return err
		}
		return &net.OpError{Op: "dial", Net: "tcp", Err: err} // also of a handshake
	}
	c.mu.Lock()
	c.conn = conn
	c.mu.Unlock()
	c.limit.R = conn
	if c.reader == nil {
		c.reader = bufio.NewReader(&c.limit)
	} else {
		c.reader.Reset(&c.limit)
	}
	return conn.SetDeadline(deadline)
}

// attempt sends the request once, and reports whether anything came back.
func (c *httpConn) attempt() (a answer, begun bool, err error) {
	keep := false
	defer func() {
		if !keep {
			c.drop()
		}
	}()
	c.limit.N = maxRead
	if _, err := c.conn.Write(c.out); err != nil {
		return answer{}, false, err
	}
	if _, err := c.reader.Peek(1); err != nil {
		return answer{}, false, err
	}
	response, err := c.head()
	if err != nil {
		return answer{}, true, err
	}
	if c.body, err = readAll(c.body[:0], response.Body); err != nil {
		return answer{Response: response}, true, err
	}
	keep = !response.Close
	return answer{response, c.body}, true, nil
}

// head reads the head of the answer, after those that only say that there
// will be one.
func (c *httpConn) head() (*http.Response, error) {
	for {
		response, err := http.ReadResponse(c.reader, nil)
		if err != nil || response.StatusCode >= 200 || response.StatusCode == http.StatusSwitchingProtocols {
			return response, err
		}
	}
}

// readAll appends what r has to b, up to maxAnswer bytes.
func readAll(b []byte, r io.Reader) ([]byte, error) {
	for {
		if len(b) == cap(b) {
			b = append(b, 0)[:len(b)]
		}
		n, err := r.Read(b[len(b):cap(b)])
		b = b[:len(b)+n]
		switch {
		case err == io.EOF:
			return b, nil
		case err != nil:
			return b, err
		case len(b) > maxAnswer:
			return b, errTooLong
		}
	}
}

// drop closes the connection, so that the next request makes a new one.
func (c *httpConn) drop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != nil {
		// It failed or was ended by the other side: nothing is lost with it.
		_ = c.conn.Close()
		c.conn = nil
	}
}

// close ends the connection for good.
func (c *httpConn) close() {
	if c.unwatch != nil {
		c.unwatch()
	}
	c.drop()
}
