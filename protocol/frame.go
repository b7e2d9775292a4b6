package protocol

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// The limits of frames, in bytes, the newline included.
const (
	MaxRequestFrame = 64 << 10
	MaxReplyFrame   = 256 << 10
	// MaxHelloFrame holds until the handshake is over, so that a stranger
	// cannot make the server keep more.
	MaxHelloFrame = 4 << 10
)

// ErrFrameTooLong means that no newline came within the limit. The reader is
// of no use after it: where the next frame starts is not known.
var ErrFrameTooLong = errors.New("frame is too long")

// firstBuffer is what a Reader starts with; most frames are shorter.
const firstBuffer = 2 << 10

// Reader splits a stream into frames. Its buffer grows to the limit only
// when a frame needs it, and reads as much as has arrived, so that frames
// sent together are read together.
type Reader struct {
	r     io.Reader
	limit int
	buf   []byte
	start int // of the bytes not yet returned
	end   int // of the bytes that have arrived
}

// NewReader returns a Reader of frames of at most limit bytes.
func NewReader(r io.Reader, limit int) *Reader {
	return &Reader{r: r, limit: limit, buf: make([]byte, min(firstBuffer, limit))}
}

// Limit sets the limit for the frames to come.
func (r *Reader) Limit(limit int) { r.limit = limit }

// Next returns the next frame without its newline. The slice is valid until
// the following call. At the end of the stream it returns io.EOF between
// frames and io.ErrUnexpectedEOF within one.
func (r *Reader) Next() ([]byte, error) {
	scanned := 0
	for {
		if i := bytes.IndexByte(r.buf[r.start+scanned:r.end], '\n'); i >= 0 {
			size := scanned + i + 1
			if size > r.limit {
				return nil, fmt.Errorf("%w: over %d bytes", ErrFrameTooLong, r.limit)
			}
			frame := r.buf[r.start : r.start+size-1]
			r.start += size
			return frame, nil
		}
		scanned = r.end - r.start
		if scanned >= r.limit {
			return nil, fmt.Errorf("%w: over %d bytes", ErrFrameTooLong, r.limit)
		}
		if err := r.fill(); err != nil {
			if err == io.EOF && scanned > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
}

// Buffered tells how many bytes have arrived and were not returned yet.
func (r *Reader) Buffered() int { return r.end - r.start }

// fill makes room and reads at least one byte.
func (r *Reader) fill() error {
	if r.start > 0 {
		r.end = copy(r.buf, r.buf[r.start:r.end])
		r.start = 0
	}
	if r.end == len(r.buf) {
		grown := make([]byte, min(2*len(r.buf), r.limit))
		copy(grown, r.buf[:r.end])
		r.buf = grown
	}
	for range 100 {
		n, err := r.r.Read(r.buf[r.end:])
		r.end += n
		switch {
		case n > 0:
			return nil
		case err != nil:
			return err
		}
	}
	return io.ErrNoProgress
}
