package protocol

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// ServerConfig is how a Server works. The zero value of each field but
// Handler is usable.
type ServerConfig struct {
	// Handler answers the calls.
	Handler Caller
	// Name is what the server calls itself, "backend/0.1.0".
	Name string
	// Key is the link key. With it, a client must prove that it has it too.
	Key []byte
	// MaxConns bounds the connections, 1024 by default; one more is told so
	// and closed. At most 64 of them may be unauthenticated.
	MaxConns int
	// MaxInFlight bounds the calls in flight on one connection, 64 by
	// default; one more is refused with Exhausted.
	MaxInFlight int
	// IdleTimeout is the longest time from one whole frame to the next, a
	// minute by default. Clients ping long before it.
	IdleTimeout time.Duration
	Hooks       ServerHooks
}

// ServerHooks tell of what happens on a server. Each may be nil, and must
// not wait.
type ServerHooks struct {
	// Panic: a handler panicked; its caller was answered Internal.
	Panic func(typ string, value any, stack []byte)
	// Refused: a connection was closed because its peer broke the protocol
	// or failed the handshake.
	Refused func(remote net.Addr, err error)
	// Encoded: the answer to a call of this type was encoded and queued to
	// be written, which took so long.
	Encoded func(typ string, took time.Duration)
}

const (
	defaultMaxConns    = 1024
	defaultMaxInFlight = 64
	defaultIdleTimeout = time.Minute
	maxHandshaking     = 64
)

// ErrServerClosed is what Serve returns after Shutdown or Close.
var ErrServerClosed = errors.New("server is closed")

// Server answers the calls of many connections with one Caller.
type Server struct {
	cfg         ServerConfig
	handshaking chan struct{}
	inFlight    atomic.Int64

	mu        sync.Mutex // guards the fields down to the blank line
	listeners map[net.Listener]bool
	conns     map[*serverConn]bool
	closed    bool

	owned sync.WaitGroup
}

// NewServer returns a Server of cfg.
func NewServer(cfg ServerConfig) *Server {
	orDefault(&cfg.MaxConns, defaultMaxConns)
	orDefault(&cfg.MaxInFlight, defaultMaxInFlight)
	orDefault(&cfg.IdleTimeout, defaultIdleTimeout)
	return &Server{cfg: cfg, handshaking: make(chan struct{}, maxHandshaking),
		listeners: map[net.Listener]bool{}, conns: map[*serverConn]bool{}}
}

func orDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Serve accepts connections of l, which it owns from then on, until the
// server is shut down or l fails for good. For TLS, l is a tls.NewListener.
func (s *Server) Serve(l net.Listener) error {
	defer l.Close()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return ErrServerClosed
	}
	s.listeners[l] = true
	s.mu.Unlock()
	for pause := time.Duration(0); ; {
		conn, err := l.Accept()
		switch {
		case err == nil:
			pause = 0
			s.start(conn)
		case s.isClosed():
			return ErrServerClosed
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("accept connections: %w", err)
		default: // out of descriptors, most likely: it will pass
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			time.Sleep(pause)
		}
	}
}

func (s *Server) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// Conns and InFlight tell how many connections there are and how many calls
// they have in flight together.
func (s *Server) Conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// InFlight is described at Conns.
func (s *Server) InFlight() int { return int(s.inFlight.Load()) }

// start serves a connection. One beyond the limit is told so; one more than
// there may be strangers is only closed, because telling takes time too.
func (s *Server) start(conn net.Conn) {
	c := newServerConn(s, conn)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || !tryAcquire(s.handshaking) {
		conn.Close()
		return
	}
	if len(s.conns) >= s.cfg.MaxConns {
		s.owned.Go(c.turnAway)
		return
	}
	s.conns[c] = true
	s.owned.Go(c.serve)
}

func tryAcquire(slots chan struct{}) bool {
	select {
	case slots <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s *Server) forget(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

// Shutdown drains: it accepts no more connections, says goaway on each, and
// waits until all calls in flight are answered or ctx ends; then it closes
// what is left and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	for _, c := range s.stopAccepting() {
		s.owned.Go(c.drain)
	}
	drained := make(chan struct{})
	go func() {
		s.owned.Wait()
		close(drained)
	}()
	select {
	case <-drained:
		return nil
	case <-ctx.Done():
		s.closeConns()
		<-drained
		return fmt.Errorf("drain connections: %w", ctx.Err())
	}
}

// Close ends everything at once and waits for the handlers.
func (s *Server) Close() error {
	s.stopAccepting()
	s.closeConns()
	s.owned.Wait()
	return nil
}

func (s *Server) stopAccepting() []*serverConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	for l := range s.listeners {
		l.Close()
	}
	conns := make([]*serverConn, 0, len(s.conns))
	for c := range s.conns {
		conns = append(conns, c)
	}
	return conns
}

func (s *Server) closeConns() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		c.cancel()
		hangUp(c.conn)
	}
}
