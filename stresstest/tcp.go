package stresstest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"gatehouse/pool"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// tcpTarget is a backend, reached by packets over a pool of connections,
// without HTTP.
type tcpTarget struct {
	pool *pool.Pool[*protocol.Conn]
	meta protocol.Meta
}

// openTCP returns the backend at host:port, after connecting to it once.
func openTCP(ctx context.Context, address string, cfg Config) (*tcpTarget, error) {
	link := cfg.Link
	if link.Name == "" {
		link.Name = cfg.agent()
	}
	t := &tcpTarget{meta: protocol.Meta{Client: protocol.Client{UserAgent: cfg.agent()}}}
	t.pool = pool.New(pool.Config[*protocol.Conn]{
		Endpoints:  pool.Fixed(address),
		Size:       cfg.PoolSize,
		InFlight:   cfg.InFlight,
		MaxWait:    requestTimeout, // which holds for the wait and the call together
		MaxWaiters: cfg.Workers,
		Failure:    protocol.LinkFailed,
		Dial: func(ctx context.Context, address string) (*protocol.Conn, error) {
			return protocol.Dial(ctx, "tcp", address, link)
		},
	})
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := t.pool.Do(ctx, func(*protocol.Conn) error { return nil }); err != nil {
		t.close()
		return nil, fmt.Errorf("target tcp://%s: %w", address, err)
	}
	return t, nil
}

// client returns the target itself: its workers share the pool.
func (t *tcpTarget) client(int) client { return t }

func (t *tcpTarget) close() {
	// No call is in progress, which is all that its error could tell.
	_ = t.pool.Close()
}

// Call makes a call on a connection of the pool, once.
func (t *tcpTarget) Call(ctx context.Context, req protocol.Request) (reply protocol.Reply, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	taken := false
	err = t.pool.Do(ctx, func(conn *protocol.Conn) error {
		taken = true
		var err error
		reply, err = conn.Call(ctx, req)
		return err
	})
	if err != nil && !taken {
		err = noConnection(err)
	}
	return reply, err
}

// noConnection is the failure of a call that no connection was free for.
func noConnection(err error) error {
	f := &failure{code: codeConnection, outcome: notApplied, again: true, retryAfter: time.Second, cause: err}
	switch {
	case errors.Is(err, pool.ErrBusy):
		f.code = "no_slot"
	case errors.Is(err, context.DeadlineExceeded):
		f.code = codeTimeout
	}
	return f
}

func (t *tcpTarget) login(ctx context.Context, username, password string) (string, person, error) {
	reply, err := packet.Login.Call(ctx, t, t.meta, packet.LoginRequest{
		Named: packet.Named{Username: username}, Password: packet.Secret(password)})
	return string(reply.Token), personOf(reply.User), callFailure(err)
}

func (t *tcpTarget) profile(ctx context.Context, token string) (person, error) {
	reply, err := packet.GetProfile.Call(ctx, t, t.meta, packet.Authenticated{Token: packet.Secret(token)})
	return personOf(reply.User), callFailure(err)
}

func (t *tcpTarget) update(ctx context.Context, token, nickname string) (person, error) {
	reply, err := packet.UpdateProfile.Call(ctx, t, t.meta, packet.UpdateProfileRequest{
		Authenticated: packet.Authenticated{Token: packet.Secret(token)}, Nickname: nickname})
	return personOf(reply.User), callFailure(err)
}

func (t *tcpTarget) verify(ctx context.Context, token string) (person, error) {
	reply, err := packet.Verify.Call(ctx, t, t.meta, packet.Authenticated{Token: packet.Secret(token)})
	return personOf(reply.User), callFailure(err)
}

func (t *tcpTarget) sessions(ctx context.Context, token string) (list []listed, err error) {
	reply, err := packet.ListSessions.Call(ctx, t, t.meta, packet.Authenticated{Token: packet.Secret(token)})
	for _, s := range reply.Sessions {
		list = append(list, listed{s.ID, s.Current})
	}
	return list, callFailure(err)
}

func (t *tcpTarget) logout(ctx context.Context, token string) error {
	_, err := packet.Logout.Call(ctx, t, t.meta, packet.Authenticated{Token: packet.Secret(token)})
	return callFailure(err)
}

func personOf(u packet.User) person {
	return person{strconv.FormatInt(u.ID, 10), u.Username, u.Nickname}
}

// callFailure says in the driver's words why a call did not succeed.
func callFailure(err error) error {
	if err == nil {
		return nil
	}
	var own *failure
	if errors.As(err, &own) {
		return own
	}
	e := protocol.AsError(err)
	f := &failure{code: string(e.Code), outcome: unknown, retryAfter: cmp.Or(e.RetryAfter, time.Second), cause: err}
	if isCode(e.Reason) {
		f.code = e.Reason // the finer one, which the API shows too
	}
	switch e.Code {
	case protocol.Exhausted, protocol.Overloaded, protocol.Unavailable, protocol.Timeout:
		f.outcome, f.again = notApplied, true
	case protocol.Invalid, protocol.Unauthenticated, protocol.Forbidden, protocol.NotFound, protocol.Conflict:
		f.outcome = notApplied
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		f.code = codeTimeout
	case e.Reason == "crosstalk", e.Reason == "bad_reply":
		f.wrong = true
	}
	if !isCode(f.code) {
		f.code = codeOther
	}
	return f
}

// checkTCP tells what is wrong with the address of a backend.
func checkTCP(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil || host == "" || port == "" {
		return errors.New("want tcp://HOST:PORT")
	}
	return nil
}
