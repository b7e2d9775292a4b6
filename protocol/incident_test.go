package protocol_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/protocol"
	"gatehouse/protocol/protocoltest"
)

// The tests of this file are incidents that others had, as docs/reliability.md
// tells them.

// TestCallsOfTwoConnectionsAreKeptApart has calls of one id in flight on two
// connections, which are answered in the other order.
func TestCallsOfTwoConnectionsAreKeptApart(t *testing.T) {
	overBoth(t, callsOfTwoConnectionsAreKeptApart)
}

func callsOfTwoConnectionsAreKeptApart(t *testing.T, link transport) {
	asked, answered := make(chan uint64, 2), make(chan struct{})
	answer := func(name string, after <-chan struct{}) string {
		return link.listen(t, func(p *protocoltest.Peer) {
			if !p.ServeHello() {
				return
			}
			if call, ok := p.Expect("who"); ok {
				asked <- *call.ID
				<-after
				p.Reply(call, name, fmt.Sprintf(`{"name":%q}`, name))
			}
			p.Wait()
		})
	}
	now := make(chan struct{})
	ada := link.dial(t, answer("ada", answered), protocol.Config{})
	bob := link.dial(t, answer("bob", now), protocol.Config{})
	call := func(c *protocol.Conn, name string) <-chan error {
		result := make(chan error, 1)
		ctx := within(t, 5*time.Second)
		go func() {
			reply, err := c.Call(ctx, protocol.Request{Type: "who", Subject: name})
			if err == nil && string(reply.Body) != fmt.Sprintf(`{"name":%q}`, name) {
				err = fmt.Errorf("%s was given %s", name, reply.Body)
			}
			result <- err
		}()
		return result
	}
	adas := call(ada, "ada")
	first := <-asked
	bobs := call(bob, "bob")
	if second := <-asked; first != second {
		t.Fatalf("the calls have the ids %d and %d, so that the test shows nothing", first, second)
	}
	close(now)
	if err := <-bobs; err != nil {
		t.Error(err)
	}
	close(answered)
	if err := <-adas; err != nil {
		t.Error(err)
	}
}

// TestWhatWasReadIsNotOverwritten keeps requests and replies while others of
// the same connection are read into the buffers that they came in.
func TestWhatWasReadIsNotOverwritten(t *testing.T) { overBoth(t, whatWasReadIsNotOverwritten) }

func whatWasReadIsNotOverwritten(t *testing.T, link transport) {
	const calls = 8
	waiting, release := make(chan struct{}, calls), make(chan struct{})
	let := sync.OnceFunc(func() { close(release) })
	defer let()
	keep := protocol.Handler{Type: "keep", Caller: protocol.CallerFunc(func(_ context.Context, req protocol.Request) (protocol.Reply, error) {
		waiting <- struct{}{}
		<-release
		var body nameBody
		if err := json.Unmarshal(req.Body, &body); err != nil {
			return protocol.Reply{}, err
		}
		return protocol.Reply{Subject: body.Name, Body: req.Body}, nil
	})}
	c := link.dial(t, link.serve(t, protocol.ServerConfig{Handler: protocol.NewMux(append(echoHandlers(nil), keep)...)}), protocol.Config{})
	type kept struct {
		want  string
		reply protocol.Reply
		err   error
	}
	replies, ctx := make(chan kept, calls), within(t, 10*time.Second)
	for i := range calls {
		name := strings.Repeat(string(rune('a'+i)), 60)
		go func() {
			body := fmt.Sprintf(`{"name":%q}`, name)
			reply, err := c.Call(ctx, protocol.Request{Type: "keep", Subject: name, Body: []byte(body)})
			replies <- kept{body, reply, err}
		}()
	}
	overwrite := func() {
		for range 100 {
			if _, err := echo.Call(ctx, c, protocol.Meta{}, nameBody{strings.Repeat("z", 60)}); err != nil {
				t.Error(err)
				return
			}
		}
	}
	for range calls {
		select {
		case <-waiting:
		case <-ctx.Done():
			t.Fatal("not every request arrived")
		}
	}
	overwrite() // the requests
	let()
	var held []kept
	for range calls {
		held = append(held, <-replies)
	}
	overwrite() // the replies
	for _, k := range held {
		if k.err != nil || string(k.reply.Body) != k.want {
			t.Errorf("want %.20s…, have %.20s… (%v)", k.want, k.reply.Body, k.err)
		}
	}
}

// TestACallIsExecutedOnceOrNotAtAll cuts connections after the request was
// read and before it is answered: the caller is told that the outcome is
// unknown, and nobody sends the request again.
func TestACallIsExecutedOnceOrNotAtAll(t *testing.T) { overBoth(t, aCallIsExecutedOnceOrNotAtAll) }

func aCallIsExecutedOnceOrNotAtAll(t *testing.T, link transport) {
	var executed atomic.Int32
	address := link.listen(t, func(p *protocoltest.Peer) {
		if !p.ServeHello() {
			return
		}
		if _, ok := p.Expect("write"); ok {
			executed.Add(1)
			p.Cut()
		}
	})
	const calls = 20
	for range calls {
		c := link.dial(t, address, protocol.Config{})
		_, err := c.Call(within(t, 10*time.Second), protocol.Request{Type: "write"})
		if code(err) != protocol.UnknownOutcome || protocol.NotSent(err) {
			t.Errorf("got %v", err)
		}
	}
	if n := executed.Load(); n != calls {
		t.Errorf("%d calls were executed %d times", calls, n)
	}
}

// TestNoCallerWaitsLongerThanItsDeadline has a server that reads and never
// answers.
func TestNoCallerWaitsLongerThanItsDeadline(t *testing.T) {
	overBoth(t, noCallerWaitsLongerThanItsDeadline)
}

func noCallerWaitsLongerThanItsDeadline(t *testing.T, link transport) {
	over := make(chan struct{})
	defer close(over)
	address := link.listen(t, func(p *protocoltest.Peer) {
		if p.ServeHello() {
			call, _ := p.Expect("op")
			if call.DeadlineMS == nil || *call.DeadlineMS > 500 {
				t.Errorf("sent %s", call.Line)
			}
			<-over
		}
	})
	c := link.dial(t, address, protocol.Config{})
	returned := make(chan error, 1)
	ctx := within(t, 500*time.Millisecond)
	go func() {
		_, err := c.Call(ctx, protocol.Request{Type: "op"})
		returned <- err
	}()
	select {
	case err := <-returned:
		if code(err) != protocol.UnknownOutcome {
			t.Errorf("got %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the caller waits on")
	}
	if n := c.InFlight(); n != 1 {
		t.Errorf("in flight: %d, want the one that the server owes an answer to", n)
	}
}

// slowWriter is a connection whose writes return when the test says so, long
// after the far end had the bytes.
type slowWriter struct {
	net.Conn
	hold atomic.Bool
	held chan struct{}
}

func (c *slowWriter) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	if c.hold.Load() {
		<-c.held
	}
	return n, err
}

// TestAWriteThatIsUnderWayCountsAsSent has the far end execute a call and die
// while the write that brought it there has not returned yet. Taken for not
// sent, the call would be made again.
func TestAWriteThatIsUnderWayCountsAsSent(t *testing.T) {
	address := protocoltest.Listen(t, func(p *protocoltest.Peer) {
		if p.ServeHello() {
			p.Expect("op")
			p.Cut()
		}
	})
	raw, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn := &slowWriter{Conn: raw, held: make(chan struct{})}
	c, err := protocol.NewConn(t.Context(), conn, protocol.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	defer close(conn.held)
	conn.hold.Store(true)
	if _, err := c.Call(within(t, 10*time.Second), protocol.Request{Type: "op"}); code(err) != protocol.UnknownOutcome || protocol.NotSent(err) {
		t.Errorf("got %v", err)
	}
}
