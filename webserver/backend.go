package webserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"gatehouse/pool"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// BackendConfig is how tier 2 is reached.
type BackendConfig struct {
	// Targets are addresses of backends: host:port, unix:///path, or
	// dns:///name:port, which stands for every address of that name.
	Targets []string
	// Conns is the number of connections to each backend and InFlight the
	// number of calls each carries at once; 0 means 4 and 64.
	Conns, InFlight int
	// Link is how each connection is made.
	Link protocol.Config
	// Got and Put, where not nil, are told how long a call of a type waited
	// for a slot, and how long giving it back took.
	Got, Put func(typ string, took time.Duration)
}

// Backend is a Caller over a pool of connections to tier 2. It is the one
// place where the pool, which knows no packets, and the protocol, which
// knows no pools, meet.
type Backend struct {
	pool   *pool.Pool[*protocol.Conn]
	budget retryBudget
}

// OpenBackend starts connecting to tier 2 and does not wait for it.
func OpenBackend(c BackendConfig) (*Backend, error) {
	for _, target := range c.Targets {
		if err := CheckTarget(target); err != nil {
			return nil, err
		}
	}
	if len(c.Targets) == 0 {
		return nil, errors.New("reach backend: no address is given")
	}
	p := pool.New(pool.Config[*protocol.Conn]{
		Endpoints: func(ctx context.Context) ([]string, error) { return resolve(ctx, c.Targets) },
		Dial: func(ctx context.Context, endpoint string) (*protocol.Conn, error) {
			network, address := SplitTarget(endpoint)
			return protocol.Dial(ctx, network, address, c.Link)
		},
		Size:     c.Conns,
		InFlight: c.InFlight,
		Failure:  protocol.LinkFailed,
		Trace:    c.trace(),
	})
	return &Backend{pool: p, budget: retryBudget{tokens: maxRetryTokens}}, nil
}

type typeKey struct{}

// trace tells the hooks of the pool's waits with the type of the call that
// waited, which travels in the context.
func (c BackendConfig) trace() pool.Trace {
	tell := func(ctx context.Context, hook func(string, time.Duration), took time.Duration) {
		if typ, ok := ctx.Value(typeKey{}).(string); ok && hook != nil {
			hook(typ, took)
		}
	}
	return pool.Trace{
		Got: func(ctx context.Context, wait time.Duration, _ error) { tell(ctx, c.Got, wait) },
		Put: func(ctx context.Context, took time.Duration) { tell(ctx, c.Put, took) },
	}
}

// CheckTarget tells what is wrong with the address of a backend.
func CheckTarget(target string) error {
	network, address := SplitTarget(target)
	if network == "unix" {
		if !strings.HasPrefix(address, "/") {
			return fmt.Errorf("backend address %q: a unix socket is written unix:///path", target)
		}
		return nil
	}
	host, port, err := net.SplitHostPort(strings.TrimPrefix(address, dnsPrefix))
	if err != nil || host == "" || port == "" {
		return fmt.Errorf("backend address %q: want host:port, dns:///name:port or unix:///path", target)
	}
	return nil
}

const (
	unixPrefix = "unix://"
	dnsPrefix  = "dns:///"
)

// SplitTarget returns an address in the terms of net.Dial.
func SplitTarget(target string) (network, address string) {
	if path, ok := strings.CutPrefix(target, unixPrefix); ok {
		return "unix", path
	}
	return "tcp", target
}

// resolve replaces each dns:/// target by the addresses that its name has now.
func resolve(ctx context.Context, targets []string) (addresses []string, err error) {
	for _, target := range targets {
		name, isDNS := strings.CutPrefix(target, dnsPrefix)
		if !isDNS {
			addresses = append(addresses, target)
			continue
		}
		host, port, err := net.SplitHostPort(name)
		if err != nil {
			return nil, fmt.Errorf("resolve backend %q: %w", target, err)
		}
		found, err := net.DefaultResolver.LookupHost(ctx, host)
		if err != nil {
			return nil, fmt.Errorf("resolve backend %q: %w", target, err)
		}
		for _, ip := range found {
			addresses = append(addresses, net.JoinHostPort(ip, port))
		}
	}
	return addresses, nil
}

// Ready tells whether some backend has shaken hands and takes calls.
func (b *Backend) Ready() bool { return b.pool.Ready() }

// Stats describes the pool.
func (b *Backend) Stats() pool.Stats { return b.pool.Stats() }

// Close waits for the calls in progress until ctx ends and closes all connections.
func (b *Backend) Close(ctx context.Context) error { return b.pool.Shutdown(ctx) }

// Call makes a call on some connection. One that was certainly not executed,
// or that changes nothing, is made once more on another backend if its
// connection failed it, unless it is a login, which costs too much to be made
// for nothing.
func (b *Backend) Call(ctx context.Context, req protocol.Request) (protocol.Reply, error) {
	ctx = context.WithValue(ctx, typeKey{}, req.Type)
	reply, endpoint, err := b.try(ctx, req, "")
	if err == nil {
		b.budget.earn()
		return reply, nil
	}
	if endpoint == "" || !mayRepeat(req, err) || ctx.Err() != nil || !b.budget.spend() {
		return reply, err
	}
	reply, _, err = b.try(ctx, req, endpoint)
	return reply, err
}

// mayRepeat tells whether making the call again is safe and of use. A call
// whose time ran out has none left for another.
func mayRepeat(req protocol.Request, err error) bool {
	if req.Type == packet.Login.Type || req.Type == packet.Register.Type {
		return false
	}
	return protocol.NotSent(err) && !errors.Is(err, protocol.Invalid) ||
		req.ReadOnly && protocol.LinkFailed(err) && errors.Is(err, protocol.Unavailable)
}

// try makes the call once. endpoint is empty where no connection was to be had.
func (b *Backend) try(ctx context.Context, req protocol.Request, avoid string) (reply protocol.Reply, endpoint string, err error) {
	err = b.pool.DoExcept(ctx, avoid, func(used string, conn *protocol.Conn) error {
		endpoint = used
		var err error
		reply, err = conn.Call(ctx, req)
		return err
	})
	if err != nil && endpoint == "" {
		err = noConnection(err)
	}
	return reply, endpoint, err
}

// noConnection says in the words of the wire what the pool says. Nothing was sent.
func noConnection(err error) error {
	e := &protocol.Error{Code: protocol.Unavailable, Reason: "no_backend", RetryAfter: time.Second, Cause: err}
	switch {
	case errors.Is(err, pool.ErrBusy):
		e.Code, e.Reason = protocol.Overloaded, "no_slot"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		e.Code, e.Reason = protocol.Timeout, "no_slot"
	}
	return e
}

// The retry budget of gRPC's proposal A6: a retry costs a token and a success
// earns a tenth of one, so that when everything fails, retries add no more
// than a tenth to the load.
const (
	maxRetryTokens = 10
	tokensEarned   = 0.1
)

type retryBudget struct {
	mu     sync.Mutex // guards tokens
	tokens float64
}

func (r *retryBudget) earn() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tokens = min(maxRetryTokens, r.tokens+tokensEarned)
}

func (r *retryBudget) spend() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tokens < 1 {
		return false
	}
	r.tokens--
	return true
}
