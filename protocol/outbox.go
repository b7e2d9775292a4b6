package protocol

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"
)

// The bounds of what waits to be written on one connection.
const (
	maxPending   = 1 << 20
	writeTimeout = 2 * time.Second
)

var (
	errOutboxFull = errors.New("too much waits to be written")
	errClosed     = errors.New("connection is closed")
)

// outbox gathers the frames of concurrent senders and writes those that
// wait together with one system call. One goroutine runs it. A peer that
// does not read makes a write time out, which ends the connection.
type outbox struct {
	mu sync.Mutex // guards the fields down to the blank line
	// pending waits to be written; spare is the other buffer, while it is
	// not being written itself.
	pending, spare []byte
	queued         int64 // bytes ever put
	written        int64 // bytes that the kernel took
	writing        int64 // bytes that it is being given, and may have taken already
	err            error
	finishing      bool

	wake chan struct{} // holds a value while pending may hold something
	room chan struct{} // holds a value when the buffer was drained and a sender waits
	done chan struct{} // closed when run returns
}

func newOutbox() *outbox {
	return &outbox{wake: make(chan struct{}, 1), room: make(chan struct{}, 1), done: make(chan struct{})}
}

// put queues a frame, given in one or two parts, and returns the offset of
// its end in the stream.
func (o *outbox) put(head, tail []byte) (int64, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	size := len(head) + len(tail)
	switch {
	case o.err != nil:
		return 0, o.err
	case o.finishing:
		return 0, errClosed
	case !o.fitsLocked(size):
		return 0, errOutboxFull
	}
	o.pending = append(append(o.pending, head...), tail...)
	o.queued += int64(size)
	signal(o.wake)
	return o.queued, nil
}

// fits tells whether a frame of this size can be queued now.
func (o *outbox) fits(size int) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.fitsLocked(size)
}

func (o *outbox) fitsLocked(size int) bool {
	return len(o.pending) == 0 || len(o.pending)+size <= maxPending
}

// wait queues a frame as put does, waiting for room where there is none. The
// wait ends when the connection does, which a peer that takes nothing brings
// about within the write timeout.
func (o *outbox) wait(frame []byte) error {
	for {
		_, err := o.put(frame, nil)
		if err != errOutboxFull {
			return err
		}
		select {
		case <-o.room:
		case <-o.done:
		}
	}
}

// run writes what is put until the connection fails or finish was called and
// nothing waits.
func (o *outbox) run(conn net.Conn) error {
	defer close(o.done)
	for range o.wake {
		for {
			batch, last := o.take()
			if len(batch) == 0 {
				if last {
					return nil
				}
				break
			}
			err := conn.SetWriteDeadline(time.Now().Add(writeTimeout))
			n := 0
			if err == nil {
				n, err = conn.Write(batch)
			}
			o.wrote(batch, n, err)
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// take returns what waits, and whether nothing will follow it.
func (o *outbox) take() (batch []byte, last bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.pending) > 0 {
		batch, o.pending, o.spare = o.pending, o.spare[:0], nil
		o.writing = int64(len(batch))
	}
	return batch, o.finishing
}

func (o *outbox) wrote(batch []byte, n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.written, o.writing = o.written+int64(n), 0
	if cap(batch) <= MaxRequestFrame {
		o.spare = batch[:0]
	}
	if err != nil && o.err == nil {
		o.err = err
	}
	signal(o.room)
}

// finish lets run return once nothing waits. Nothing can be put after it.
func (o *outbox) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.finishing = true
	signal(o.wake)
}

// fail makes every put fail with err and run return as soon as its write does.
func (o *outbox) fail(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		o.err = err
	}
	o.pending, o.finishing = nil, true
	signal(o.wake)
}

// sent tells whether the kernel took the stream up to offset, or may have: the
// far end can have read, and answered, what a write that has not returned yet
// gave it.
func (o *outbox) sent(offset int64) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written+o.writing >= offset
}

// hangUp ends a connection at once. TLS would first say goodbye, and wait five
// seconds for a peer that does not read.
func hangUp(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	conn.Close()
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
