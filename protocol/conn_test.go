package protocol_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/protocol"
	"gatehouse/protocol/protocoltest"
)

func dial(t *testing.T, address string, cfg protocol.Config) *protocol.Conn {
	t.Helper()
	c, err := protocol.Dial(t.Context(), "tcp", address, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func within(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func code(err error) protocol.Code {
	var c protocol.Code
	if errors.As(err, &c) {
		return c
	}
	if e := new(protocol.Error); errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestALateReplyIsDroppedAndMeetsNobodyElse(t *testing.T) {
	overBoth(t, aLateReplyIsDroppedAndMeetsNobodyElse)
}

func aLateReplyIsDroppedAndMeetsNobodyElse(t *testing.T, link transport) {
	gaveUp := make(chan struct{})
	address := link.listen(t, func(p *protocoltest.Peer) {
		if !p.ServeHello() {
			return
		}
		first, _ := p.Expect("who")
		<-gaveUp
		second, ok := p.Expect("who")
		if !ok {
			return
		}
		p.Reply(first, "ada", `{"name":"ada"}`) // too late
		p.Reply(second, "bob", `{"name":"bob"}`)
		p.Wait()
	})
	var late atomic.Int32
	c := link.dial(t, address, protocol.Config{Hooks: protocol.Hooks{LateReply: func() { late.Add(1) }}})
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	_, err := c.Call(ctx, protocol.Request{Type: "who", Subject: "ada", ReadOnly: true})
	if code(err) != protocol.Timeout || !errors.Is(err, context.Canceled) || protocol.LinkFailed(err) {
		t.Fatalf("cancelled call: %v", err)
	}
	if c.InFlight() != 1 {
		t.Errorf("in flight after giving up: %d, want 1: the server still works on it", c.InFlight())
	}
	close(gaveUp)
	reply, err := c.Call(within(t, 5*time.Second), protocol.Request{Type: "who", Subject: "bob"})
	if err != nil || string(reply.Body) != `{"name":"bob"}` {
		t.Fatalf("got %s, %v", reply.Body, err)
	}
	if late.Load() != 1 || c.InFlight() != 0 {
		t.Errorf("late replies %d, in flight %d", late.Load(), c.InFlight())
	}
}

// TestConnClosesOnAnyReplyThatIsNotItsOwn plays a server that answers wrongly
// in each way there is, and checks that no caller gets an answer from it and
// the connection ends.
func TestConnClosesOnAnyReplyThatIsNotItsOwn(t *testing.T) {
	overBoth(t, connClosesOnAnyReplyThatIsNotItsOwn)
}

func connClosesOnAnyReplyThatIsNotItsOwn(t *testing.T, link transport) {
	tests := map[string]struct {
		answer    string // to call 2
		crosstalk bool
	}{
		"another subject":        {`{"id":2,"type":"who","subject":"eve","body":{}}`, true},
		"no subject":             {`{"id":2,"type":"who","body":{}}`, true},
		"another type":           {`{"id":2,"type":"whom","subject":"ada","body":{}}`, true},
		"an id never sent":       {`{"id":9,"type":"who","subject":"ada","body":{}}`, false},
		"an id already answered": {`{"id":1,"type":"who","subject":"ada","body":{}}`, false},
		"two keys in one":        {`{"id":2,"type":"who","subject":"eve","Subject":"ada","body":{}}`, false},
		"no id":                  {`{"type":"who","subject":"ada","body":{}}`, false},
		"no JSON":                {`hello there`, false},
		"an empty line":          {``, false},
		"a frame too long":       {`{"id":2,"type":"who","subject":"ada","body":{"x":"` + strings.Repeat("x", protocol.MaxReplyFrame) + `"}}`, false},
		"an error for everybody": {`{"error":{"code":"exhausted"}}`, false},
		"goaway without last_id": {`{"type":"goaway","body":{}}`, false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := link.listen(t, func(p *protocoltest.Peer) {
				if p.ServeHello() {
					p.Expect("who")
					p.Send(test.answer)
					p.Wait()
				}
			})
			var crosstalk atomic.Int32
			c := link.dial(t, address, protocol.Config{Hooks: protocol.Hooks{CrossTalk: func(error) { crosstalk.Add(1) }}})
			reply, err := c.Call(within(t, 5*time.Second), protocol.Request{Type: "who", Subject: "ada"})
			if err == nil {
				t.Errorf("the caller was given %s", reply.Body)
			}
			<-c.Done()
			if (crosstalk.Load() > 0) != test.crosstalk {
				t.Errorf("crosstalk was told %d times", crosstalk.Load())
			}
			if _, err := c.Call(t.Context(), protocol.Request{Type: "who"}); !protocol.NotSent(err) {
				t.Errorf("a call after the end: %v", err)
			}
		})
	}
}

func TestASecondReplyToOneCallEndsTheConnection(t *testing.T) {
	overBoth(t, aSecondReplyToOneCallEndsTheConnection)
}

func aSecondReplyToOneCallEndsTheConnection(t *testing.T, link transport) {
	address := link.listen(t, func(p *protocoltest.Peer) {
		if p.ServeHello() {
			first, _ := p.Expect("who")
			p.Reply(first, "ada", `{}`)
			second, _ := p.Expect("who")
			p.Reply(first, "ada", `{}`)
			p.Reply(second, "bob", `{}`)
			p.Wait()
		}
	})
	c := link.dial(t, address, protocol.Config{})
	if _, err := c.Call(t.Context(), protocol.Request{Type: "who", Subject: "ada"}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call(t.Context(), protocol.Request{Type: "who", Subject: "bob"}); code(err) != protocol.UnknownOutcome {
		t.Errorf("got %v", err)
	}
	<-c.Done()
}

func TestALostConnectionTellsWhatIsKnownOfEachCall(t *testing.T) {
	overBoth(t, aLostConnectionTellsWhatIsKnownOfEachCall)
}

func aLostConnectionTellsWhatIsKnownOfEachCall(t *testing.T, link transport) {
	address := link.listen(t, func(p *protocoltest.Peer) {
		if p.ServeHello() {
			p.Expect("op")
			p.Cut()
		}
	})
	for _, readOnly := range []bool{true, false} {
		c := link.dial(t, address, protocol.Config{})
		_, err := c.Call(t.Context(), protocol.Request{Type: "op", ReadOnly: readOnly})
		want := protocol.UnknownOutcome
		if readOnly {
			want = protocol.Unavailable
		}
		if code(err) != want || protocol.NotSent(err) || !protocol.LinkFailed(err) {
			t.Errorf("read only %v: %v", readOnly, err)
		}
	}
}

func TestGoawayTellsWhichCallsWereNotExecuted(t *testing.T) {
	overBoth(t, goawayTellsWhichCallsWereNotExecuted)
}

func goawayTellsWhichCallsWereNotExecuted(t *testing.T, link transport) {
	read, both := make(chan struct{}), make(chan struct{})
	address := link.listen(t, func(p *protocoltest.Peer) {
		if p.ServeHello() {
			first, ok := p.Expect("op")
			if !ok {
				return
			}
			close(read)
			<-both
			p.Expect("op")
			p.Send(fmt.Sprintf(`{"type":"goaway","body":{"last_id":%d}}`, *first.ID))
			time.Sleep(20 * time.Millisecond)
			p.Reply(first, "", `{"done":true}`)
			p.Wait()
		}
	})
	c := link.dial(t, address, protocol.Config{})
	first := make(chan error, 1)
	go func() {
		reply, err := c.Call(t.Context(), protocol.Request{Type: "op"})
		if err == nil && string(reply.Body) != `{"done":true}` {
			err = fmt.Errorf("got %s", reply.Body)
		}
		first <- err
	}()
	<-read // so that it has the lower id
	time.AfterFunc(10*time.Millisecond, func() { close(both) })
	_, err := c.Call(t.Context(), protocol.Request{Type: "op"})
	if !protocol.NotSent(err) || code(err) != protocol.Unavailable {
		t.Errorf("the call beyond last_id: %v", err)
	}
	if err := <-first; err != nil {
		t.Errorf("the call within last_id: %v", err)
	}
}

// inBubble connects a client to a scripted peer over a pipe, within a
// synctest bubble, where sockets would stand still.
func inBubble(t *testing.T, script func(p *protocoltest.Peer)) *protocol.Conn {
	t.Helper()
	near, far := net.Pipe()
	return connect(t, near, far, script)
}

// inSecureBubble is inBubble over TLS.
func inSecureBubble(t *testing.T, script func(p *protocoltest.Peer)) *protocol.Conn {
	t.Helper()
	authority := newPKI(t)
	client := authority.client(t)
	client.ServerName = "127.0.0.1"
	near, far := net.Pipe()
	return connect(t, tls.Client(near, client), tls.Server(far, authority.server(t)), script)
}

func connect(t *testing.T, near, far net.Conn, script func(p *protocoltest.Peer)) *protocol.Conn {
	t.Helper()
	go func() {
		defer far.Close()
		script(protocoltest.NewPeer(t, far))
	}()
	c, err := protocol.NewConn(t.Context(), near, protocol.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestASilentServerIsPingedAndGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := inBubble(t, func(p *protocoltest.Peer) {
			if p.ServeHello() {
				p.Wait() // reads the ping and says nothing; its own patience is 10 s
				p.Wait()
			}
		})
		<-c.Done()
		if gone := time.Since(start); gone < 13*time.Second || gone > 15*time.Second {
			t.Errorf("given up after %v, want 10 s of silence and 3 s after the ping", gone)
		}
		c.Close()
	})
}

func TestAnIdleServerThatAnswersPingsIsKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pings atomic.Int32
		c := inBubble(t, func(p *protocoltest.Peer) {
			ok := p.ServeHello()
			for ok {
				var ping protocoltest.Packet
				if ping, ok = p.ExpectWithin("ping", time.Minute); ok {
					pings.Add(1)
					p.Reply(ping, "", `{}`)
				}
			}
		})
		time.Sleep(2 * time.Minute)
		select {
		case <-c.Done():
			t.Error("an idle connection was given up")
		default:
		}
		if n := pings.Load(); n < 9 || n > 12 {
			t.Errorf("%d pings in 2 minutes, want one each 10 or 11 seconds", n)
		}
		c.Close()
	})
}

func TestAServerThatLeavesACallUnansweredIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		c := inBubble(t, func(p *protocoltest.Peer) {
			ok := p.ServeHello()
			p.ExpectWithin("op", time.Minute)
			for ok { // alive, but never answers op
				var ping protocoltest.Packet
				if ping, ok = p.ExpectWithin("ping", time.Minute); ok {
					p.Reply(ping, "", `{}`)
				}
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Call(ctx, protocol.Request{Type: "op"}); code(err) != protocol.UnknownOutcome {
			t.Errorf("got %v", err)
		}
		<-c.Done()
		if gone := time.Since(start); gone < 11*time.Second || gone > 13*time.Second {
			t.Errorf("given up after %v", gone)
		}
		c.Close()
	})
}

func TestAPeerThatStopsReadingIsGivenUp(t *testing.T) {
	for name, bubble := range map[string]func(*testing.T, func(*protocoltest.Peer)) *protocol.Conn{"TCP": inBubble, "TLS": inSecureBubble} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := bubble(t, func(p *protocoltest.Peer) {
					p.ServeHello()
					time.Sleep(time.Minute) // a pipe has no buffer: the client's write stands
				})
				start := time.Now()
				// More than may wait: what finds no room is refused at once.
				var refused, failed atomic.Int32
				var calls sync.WaitGroup
				for range 60 {
					calls.Go(func() {
						_, err := c.Call(t.Context(), protocol.Request{Type: "op", Body: []byte(`{"x":"` + strings.Repeat("x", 60_000) + `"}`)})
						switch {
						case code(err) == protocol.Overloaded && protocol.NotSent(err) && time.Since(start) == 0:
							refused.Add(1)
						case code(err) == protocol.Unavailable && protocol.NotSent(err):
							failed.Add(1)
						default:
							t.Errorf("after %v: got %v: nothing of the frame was taken", time.Since(start), err)
						}
					})
				}
				calls.Wait()
				if gone := time.Since(start); gone > 3*time.Second {
					t.Errorf("given up after %v", gone)
				}
				c.Close()
				if gone := time.Since(start); gone > 3*time.Second {
					t.Errorf("closed after %v", gone)
				}
				// One batch is being written, and at most 1 MiB waits behind it.
				if waited := failed.Load(); waited < 1 || waited > 36 || refused.Load() == 0 {
					t.Errorf("%d calls waited, %d were refused", waited, refused.Load())
				}
				time.Sleep(time.Minute) // until the script is over
			})
		})
	}
}

func TestACallLargerThanTheServerTakesIsNotSent(t *testing.T) {
	address := protocoltest.Listen(t, func(p *protocoltest.Peer) {
		if p.ServeHello() {
			if small, ok := p.Expect("small"); ok {
				p.Reply(small, "", `{}`)
			}
			p.Wait()
		}
	})
	c := dial(t, address, protocol.Config{})
	_, err := c.Call(t.Context(), protocol.Request{Type: "big", Body: []byte(`{"x":"` + strings.Repeat("x", protocol.MaxRequestFrame) + `"}`)})
	if code(err) != protocol.Invalid || !protocol.NotSent(err) {
		t.Errorf("got %v", err)
	}
	if _, err := c.Call(t.Context(), protocol.Request{Type: "small"}); err != nil {
		t.Errorf("the connection is of no use after it: %v", err)
	}
}

func TestACallBeyondTheServersLimitWaitsForASlot(t *testing.T) {
	address := protocoltest.Listen(t, func(p *protocoltest.Peer) {
		hello, ok := p.Expect("hello")
		if !ok {
			return
		}
		p.Reply(hello, "", `{"version":1,"server":"peer/1","nonce":"n","max_frame":65536,"max_in_flight":1}`)
		first, _ := p.Expect("op")
		time.Sleep(30 * time.Millisecond)
		p.Reply(first, "", `{}`)
		if second, ok := p.Expect("op"); ok {
			p.Reply(second, "", `{}`)
		}
		p.Wait()
	})
	c := dial(t, address, protocol.Config{})
	first := make(chan error, 1)
	go func() {
		_, err := c.Call(t.Context(), protocol.Request{Type: "op"})
		first <- err
	}()
	for c.InFlight() == 0 {
		time.Sleep(time.Millisecond)
	}
	if _, err := c.Call(within(t, time.Millisecond), protocol.Request{Type: "op"}); !protocol.NotSent(err) {
		t.Errorf("a call that found no slot in time: %v", err)
	}
	if _, err := c.Call(within(t, 5*time.Second), protocol.Request{Type: "op"}); err != nil {
		t.Errorf("a call that waited: %v", err)
	}
	if err := <-first; err != nil {
		t.Error(err)
	}
}
