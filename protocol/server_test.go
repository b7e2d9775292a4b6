package protocol_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/protocol"
	"gatehouse/protocol/protocoltest"
)

type nameBody struct {
	Name string `json:"name"`
}

// Subject makes callers check that they got their own name back.
func (b nameBody) Subject() string { return b.Name }

var (
	echo = protocol.Method[nameBody, nameBody]{Type: "echo", ReadOnly: true}
	slow = protocol.Method[nameBody, nameBody]{Type: "slow"}
)

// echoHandlers answer echo at once, slow when release is closed or after a
// random while, and panic to panic.
func echoHandlers(release <-chan struct{}) []protocol.Handler {
	return []protocol.Handler{
		echo.Handler(func(_ context.Context, _ protocol.Meta, req nameBody) (nameBody, string, error) {
			return req, req.Name, nil
		}),
		slow.Handler(func(ctx context.Context, _ protocol.Meta, req nameBody) (nameBody, string, error) {
			if release == nil {
				time.Sleep(time.Duration(rand.IntN(4000)) * time.Microsecond)
			} else {
				<-release
			}
			return req, req.Name, nil
		}),
		{Type: "panic", Caller: protocol.CallerFunc(func(context.Context, protocol.Request) (protocol.Reply, error) {
			panic("a defect")
		})},
		{Type: "secret_error", Caller: protocol.CallerFunc(func(context.Context, protocol.Request) (protocol.Reply, error) {
			return protocol.Reply{}, errors.New("SELECT hash FROM users")
		})},
		{Type: "meta", Caller: protocol.CallerFunc(func(ctx context.Context, req protocol.Request) (protocol.Reply, error) {
			deadline, _ := ctx.Deadline()
			body, err := json.Marshal(map[string]any{"meta": req.Meta, "trace": protocol.Trace(ctx), "left_ms": time.Until(deadline).Milliseconds()})
			return protocol.Reply{Body: body}, err
		})},
		{Type: "huge", Caller: protocol.CallerFunc(func(context.Context, protocol.Request) (protocol.Reply, error) {
			return protocol.Reply{Body: []byte(`{"x":"` + strings.Repeat("x", protocol.MaxReplyFrame) + `"}`)}, nil
		})},
	}
}

// serve starts a server on loopback and stops it with the test.
func serve(t *testing.T, cfg protocol.ServerConfig) (*protocol.Server, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return serveOn(t, l, cfg), l.Addr().String()
}

func serveOn(t *testing.T, l net.Listener, cfg protocol.ServerConfig) *protocol.Server {
	t.Helper()
	if cfg.Handler == nil {
		cfg.Handler = protocol.NewMux(echoHandlers(nil)...)
	}
	s := protocol.NewServer(cfg)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != protocol.ErrServerClosed {
			t.Errorf("Serve returned %v", err)
		}
	})
	return s
}

func TestMetaDeadlineAndTraceCrossTheWire(t *testing.T) {
	_, address := serve(t, protocol.ServerConfig{Name: "backend/9"})
	c := dial(t, address, protocol.Config{Name: "test/1"})
	if c.Server() != "backend/9" {
		t.Errorf("server calls itself %q", c.Server())
	}
	meta := protocol.Meta{IdempotencyKey: "k\"1", Client: protocol.Client{IP: "::1", UserAgent: "é\x01", Device: "d"}}
	ctx := protocol.WithTrace(within(t, 1500*time.Millisecond), "00-abc-01")
	reply, err := c.Call(ctx, protocol.Request{Type: "meta", Meta: meta})
	if err != nil {
		t.Fatal(err)
	}
	var got struct {
		Meta   protocol.Meta
		Trace  string
		LeftMS int64 `json:"left_ms"`
	}
	if err := json.Unmarshal(reply.Body, &got); err != nil {
		t.Fatal(err)
	}
	if got.Meta != meta || got.Trace != "00-abc-01" || got.LeftMS > 1480 || got.LeftMS < 500 {
		t.Errorf("handler saw %+v", got)
	}
}

func TestServerAnswersWhatItCanAndGoesOn(t *testing.T) {
	var panics atomic.Int32
	_, address := serve(t, protocol.ServerConfig{Hooks: protocol.ServerHooks{
		Panic: func(typ string, _ any, stack []byte) {
			if typ == "panic" && strings.Contains(string(stack), "server_test.go") {
				panics.Add(1)
			}
		}}})
	p := protocoltest.Dial(t, address)
	p.SayHello()
	for i, test := range []struct{ frame, code, reason string }{
		{`{"id":%d,"type":"nonsense"}`, "not_found", "unknown_type"},
		{`{"id":%d,"type":"echo","body":{"name":7}}`, "invalid", "malformed"},
		{`{"id":%d,"type":"echo","deadline_ms":0,"body":{"name":"x"}}`, "timeout", "no_time_left"},
		{`{"id":%d,"type":"panic"}`, "internal", ""},
		{`{"id":%d,"type":"secret_error"}`, "internal", ""},
		{`{"id":%d,"type":"huge"}`, "internal", ""},
	} {
		p.Send(fmt.Sprintf(test.frame, 10+i))
		got, err := p.Next()
		if err != nil || got.Error == nil || *got.ID != uint64(10+i) || got.Error.Code != test.code || got.Error.Reason != test.reason {
			t.Errorf("%s: %s %v", test.frame, got.Line, err)
		}
		if strings.Contains(got.Line, "SELECT") || strings.Contains(got.Line, "defect") {
			t.Errorf("internal details travel: %s", got.Line)
		}
	}
	if panics.Load() != 1 {
		t.Errorf("%d panics told", panics.Load())
	}
	p.Send(`{"id":99,"type":"echo","body":{"name":"%s"}}` + "\r")
	if got, ok := p.Expect("echo"); !ok || string(got.Body) != `{"name":"%s"}` || got.Subject != "%s" {
		t.Errorf("after all that: %s", got.Line)
	}
}

func TestServerEndsAConnectionItCannotTrust(t *testing.T) {
	_, address := serve(t, protocol.ServerConfig{})
	hello := `{"id":1,"type":"hello","body":{"versions":[1]}}`
	for name, test := range map[string]struct {
		frames []string
		reason string
	}{
		"no hello":              {[]string{`{"id":1,"type":"echo"}`}, "hello_expected"},
		"another version":       {[]string{`{"id":1,"type":"hello","body":{"versions":[2,3]}}`}, "unsupported_version"},
		"a long first frame":    {[]string{`{"id":1,"type":"hello","x":"` + longString(protocol.MaxHelloFrame) + `"}`}, "frame_too_long"},
		"hello again":           {[]string{hello, `{"id":2,"type":"hello","body":{"versions":[1]}}`}, "unexpected_hello"},
		"auth unasked":          {[]string{hello, `{"id":2,"type":"auth"}`}, "unexpected_auth"},
		"an id used before":     {[]string{hello, `{"id":1,"type":"echo"}`}, "id_reused"},
		"no id":                 {[]string{hello, `{"type":"echo"}`}, "malformed"},
		"no type":               {[]string{hello, `{"id":2}`}, "malformed"},
		"two bodies":            {[]string{hello, `{"id":2,"type":"echo","body":{},"Body":{}}`}, "malformed"},
		"two names in a body":   {[]string{hello, `{"id":2,"type":"echo","body":{"name":"a","NAME":"b"}}`}, "malformed"},
		"an empty line":         {[]string{hello, ``}, "malformed"},
		"a frame too long":      {[]string{hello, `{"id":2,"type":"echo","x":"` + longString(protocol.MaxRequestFrame) + `"}`}, "frame_too_long"},
		"something else":        {[]string{"GET / HTTP/1.1"}, "malformed"},
		"pings without end":     {append([]string{hello}, pings(20)...), "too_many_pings"},
		"a body that is a list": {[]string{hello, `{"id":2,"type":"echo","body":[]}`}, "malformed"},
	} {
		t.Run(name, func(t *testing.T) {
			p := protocoltest.Dial(t, address)
			p.Send(test.frames...)
			var last protocoltest.Packet
			for {
				got, err := p.Next()
				if err != nil {
					break
				}
				last = got
			}
			if last.Error == nil || last.Error.Reason != test.reason {
				t.Errorf("the last word was %q, want reason %s", last.Line, test.reason)
			}
		})
	}
}

func longString(n int) string { return strings.Repeat("x", n) }

func pings(n int) (frames []string) {
	for i := range n {
		frames = append(frames, fmt.Sprintf(`{"id":%d,"type":"ping"}`, i+2))
	}
	return frames
}

func TestServerLimitsConnectionsAndCallsInFlight(t *testing.T) {
	release := make(chan struct{})
	s, address := serve(t, protocol.ServerConfig{MaxConns: 2, MaxInFlight: 3, Handler: protocol.NewMux(echoHandlers(release)...)})
	first, second := protocoltest.Dial(t, address), protocoltest.Dial(t, address)
	first.SayHello()
	second.SayHello()
	third := protocoltest.Dial(t, address)
	if got, err := third.Next(); err != nil || got.Error == nil || got.Error.Reason != "too_many_connections" || got.Error.RetryAfterMS == 0 {
		t.Errorf("third connection: %s %v", got.Line, err)
	}
	third.ExpectClosed()
	for i := range 4 {
		first.Send(fmt.Sprintf(`{"id":%d,"type":"slow","body":{"name":"n%d"}}`, i+2, i))
	}
	if got, err := first.Next(); err != nil || got.Error == nil || got.Error.Code != "exhausted" || *got.ID != 5 {
		t.Errorf("fourth call: %s %v", got.Line, err)
	}
	if n := s.InFlight(); n != 3 {
		t.Errorf("in flight: %d", n)
	}
	close(release)
	for range 3 {
		if got, ok := first.Expect("slow"); !ok || got.Error != nil {
			t.Errorf("within the limit: %s", got.Line)
		}
	}
}

func TestLinkKeyIsProvedByBothSides(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	_, keyed := serve(t, protocol.ServerConfig{Key: key})
	_, open := serve(t, protocol.ServerConfig{})
	for name, test := range map[string]struct {
		address string
		cfg     protocol.Config
		want    string // "" means that it works
	}{
		"the same key":              {keyed, protocol.Config{Key: key}, ""},
		"another key":               {keyed, protocol.Config{Key: []byte("other")}, "wrong_link_key"},
		"no key":                    {keyed, protocol.Config{}, "asks for the link key"},
		"server without a key":      {open, protocol.Config{Key: key}, "cannot prove who it is"},
		"a key only if asked":       {open, protocol.Config{Key: key, KeyIfAsked: true}, ""},
		"asked, with a key for it":  {keyed, protocol.Config{Key: key, KeyIfAsked: true}, ""},
		"server that only pretends": {pretender(t), protocol.Config{Key: key}, "does not have the link key"},
	} {
		c, err := protocol.Dial(t.Context(), "tcp", test.address, test.cfg)
		if err == nil {
			_, err = echo.Call(t.Context(), c, protocol.Meta{}, nameBody{"x"})
			c.Close()
		}
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := protocoltest.Dial(t, keyed)
	p.Send(`{"id":1,"type":"hello","body":{"versions":[1]}}`, `{"id":2,"type":"echo","body":{"name":"x"}}`)
	p.Expect("hello")
	if got, err := p.Next(); err != nil || got.Error == nil || got.Error.Reason != "auth_expected" {
		t.Errorf("a call without proof: %s %v", got.Line, err)
	}
}

// pretender asks for a proof and sends it back as its own.
func pretender(t *testing.T) string {
	return protocoltest.Listen(t, func(p *protocoltest.Peer) {
		hello, ok := p.Expect("hello")
		if !ok {
			return
		}
		p.Reply(hello, "", `{"version":1,"server":"peer/1","nonce":"n","auth":true,"max_frame":65536,"max_in_flight":64}`)
		if auth, ok := p.Expect("auth"); ok {
			p.Reply(auth, "", string(auth.Body))
		}
		p.Wait()
	})
}

func TestShutdownAnswersCallsInFlightAndTakesNoMore(t *testing.T) {
	release := make(chan struct{})
	s, address := serve(t, protocol.ServerConfig{Handler: protocol.NewMux(echoHandlers(release)...)})
	c := dial(t, address, protocol.Config{})
	idle := dial(t, address, protocol.Config{})
	answered := make(chan error, 1)
	go func() {
		_, err := slow.Call(within(t, 10*time.Second), c, protocol.Meta{}, nameBody{"ada"})
		answered <- err
	}()
	for s.InFlight() == 0 {
		time.Sleep(time.Millisecond)
	}
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(within(t, 10*time.Second)) }()
	<-c.Done()
	<-idle.Done()
	if _, err := echo.Call(t.Context(), c, protocol.Meta{}, nameBody{"x"}); !protocol.NotSent(err) {
		t.Errorf("a call after goaway: %v", err)
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		conn.Close()
		t.Error("a new connection was accepted")
	}
	select {
	case err := <-down:
		t.Fatalf("Shutdown returned %v with a call in flight", err)
	case <-time.After(20 * time.Millisecond):
	}
	close(release)
	if err := <-answered; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if err := <-down; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
}

func TestShutdownDoesNotWaitForever(t *testing.T) {
	stuck := protocol.Handler{Type: "stuck", Caller: protocol.CallerFunc(func(ctx context.Context, _ protocol.Request) (protocol.Reply, error) {
		<-ctx.Done()
		return protocol.Reply{}, ctx.Err()
	})}
	s, address := serve(t, protocol.ServerConfig{Handler: protocol.NewMux(stuck)})
	p := protocoltest.Dial(t, address)
	p.SayHello()
	p.Send(`{"id":2,"type":"stuck","deadline_ms":60000}`)
	for s.InFlight() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := s.Shutdown(within(t, 50*time.Millisecond)); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
}

// TestAClientThatStopsReadingIsCutOff also shows that others are not held up.
func TestAClientThatStopsReadingIsCutOff(t *testing.T) { overBoth(t, aClientThatStopsReadingIsCutOff) }

func aClientThatStopsReadingIsCutOff(t *testing.T, link transport) {
	big := protocol.Handler{Type: "big", Caller: protocol.CallerFunc(func(context.Context, protocol.Request) (protocol.Reply, error) {
		return protocol.Reply{Body: []byte(`{"x":"` + strings.Repeat("x", 200<<10) + `"}`)}, nil
	})}
	l := link.listener(t)
	s := serveOn(t, l, protocol.ServerConfig{Handler: protocol.NewMux(append(echoHandlers(nil), big)...)})
	raw, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	raw.(*net.TCPConn).SetReadBuffer(4096)
	conn := raw
	if link.client != nil {
		client := link.client.Clone()
		client.ServerName = "127.0.0.1"
		conn = tls.Client(raw, client)
	}
	fmt.Fprintln(conn, `{"id":1,"type":"hello","body":{"versions":[1]}}`)
	for i := range 200 {
		conn.SetWriteDeadline(time.Now().Add(10 * time.Second))
		if _, err := fmt.Fprintf(conn, `{"id":%d,"type":"big"}`+"\n", i+2); err != nil {
			break
		}
	}
	other := link.dial(t, l.Addr().String(), protocol.Config{})
	for s.Conns() == 2 {
		if _, err := echo.Call(within(t, 10*time.Second), other, protocol.Meta{}, nameBody{"x"}); err != nil {
			t.Fatalf("another connection: %v", err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestStrangersCannotOccupyTheServer(t *testing.T) {
	s, address := serve(t, protocol.ServerConfig{})
	for range 200 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	deadline := time.Now().Add(10 * time.Second)
	for s.Conns() > 0 && time.Now().Before(deadline) { // all are gone once the handshake's time is over
		if s.Conns() > 64 {
			t.Fatalf("%d connections of strangers", s.Conns())
		}
		time.Sleep(10 * time.Millisecond)
	}
	if _, err := echo.Call(t.Context(), dial(t, address, protocol.Config{}), protocol.Meta{}, nameBody{"x"}); err != nil {
		t.Error(err)
	}
}

// TestAThousandMalformedFrames sends each to a connection of its own, and
// checks that it is answered clearly or the connection closed, and that the
// process holds no more afterwards.
func TestAThousandMalformedFrames(t *testing.T) {
	s, address := serve(t, protocol.ServerConfig{})
	attack := func(seed uint64) {
		frame := mutate(rand.New(rand.NewPCG(seed, 1)))
		p := protocoltest.Dial(t, address)
		defer p.Cut()
		p.SayHello()
		p.SendRaw(frame)
		p.SendRaw([]byte("\n" + `{"id":18446744073709551615,"type":"echo","body":{"name":"after"}}` + "\n"))
		for {
			got, err := p.Next()
			if err != nil {
				return // closed
			}
			if got.Error != nil && (got.Error.Code != "invalid" && got.Error.Code != "not_found" || got.Error.Reason == "") {
				t.Errorf("%.100q was answered %s", frame, got.Line)
			}
			if got.Error == nil && got.Subject == "after" {
				return
			}
		}
	}
	attack(0)
	settle(s)
	before := heap()
	for seed := range uint64(1000) {
		attack(seed)
	}
	settle(s)
	if grown := int64(heap()) - int64(before); grown > 2<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	if n := runtime.NumGoroutine(); n > 50 {
		t.Errorf("%d goroutines are left", n)
	}
}

func settle(s *protocol.Server) {
	for s.Conns() > 0 {
		time.Sleep(5 * time.Millisecond)
	}
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// mutate returns a frame with one thing wrong: cut short, too long, a key
// twice, a value of the wrong kind, or bytes flipped.
func mutate(r *rand.Rand) []byte {
	good := `{"id":2,"type":"echo","deadline_ms":1000,"trace":"00-a","client":{"ip":"::1"},"body":{"name":"ada"}}`
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	switch r.IntN(6) {
	case 0:
		return []byte(good[:1+r.IntN(len(good)-2)])
	case 1:
		return []byte(strings.Replace(good, "ada", strings.Repeat("x", protocol.MaxRequestFrame-100+r.IntN(100_000)), 1))
	case 2:
		return []byte(strings.Replace(good, `"trace"`, pick(`"id":2,"trace"`, `"TYPE":"x","trace"`, `"client":{},"trace"`, `"body":{},"trace"`, `"\u0069d":9,"trace"`), 1))
	case 3:
		key := pick("2", `"echo"`, "1000", `"00-a"`, `{"ip":"::1"}`, `"ada"`)
		return []byte(strings.Replace(good, key, pick("null", "[]", "[{}]", "-1.5e9", "true", strings.Repeat("[", 20)), 1))
	case 4:
		b := []byte(good)
		for range 1 + r.IntN(8) {
			b[r.IntN(len(b))] = byte(r.IntN(256))
		}
		return b
	default:
		b := make([]byte, r.IntN(2000))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		return b
	}
}

// TestACallerWithinTheLimitIsNeverRefused has callers who send the next call
// the moment a reply is there, on a connection that is always full.
func TestACallerWithinTheLimitIsNeverRefused(t *testing.T) {
	_, address := serve(t, protocol.ServerConfig{MaxInFlight: 2})
	c := dial(t, address, protocol.Config{})
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 2000 {
				if _, err := echo.Call(within(t, 10*time.Second), c, protocol.Meta{}, nameBody{"x"}); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	callers.Wait()
}
