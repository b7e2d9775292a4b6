package testenv_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/internal/testenv"
)

// upper is a server that answers each line with the line in capitals, and
// remembers the lines it read.
type upper struct {
	listener net.Listener
	serving  sync.WaitGroup

	mu    sync.Mutex // guards the fields below
	lines []string
	ended int
}

func newUpper(t *testing.T) *upper {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u := &upper{listener: l}
	u.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			u.serving.Go(func() { u.serve(conn) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		u.serving.Wait()
	})
	return u
}

func (u *upper) serve(conn net.Conn) {
	defer conn.Close()
	for in := bufio.NewScanner(conn); in.Scan(); {
		u.mu.Lock()
		u.lines = append(u.lines, in.Text())
		u.mu.Unlock()
		io.WriteString(conn, strings.ToUpper(in.Text())+"\n")
	}
	u.mu.Lock()
	u.ended++
	u.mu.Unlock()
}

func (u *upper) read(line string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	for _, l := range u.lines {
		if l == line {
			return true
		}
	}
	return false
}

func (u *upper) connectionsEnded() int {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.ended
}

type client struct {
	net.Conn
	in *bufio.Reader
}

func dial(t *testing.T, p *testenv.Proxy) *client {
	conn, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	return &client{Conn: conn, in: bufio.NewReader(conn)}
}

// ask sends a line and returns the answer.
func (c *client) ask(line string) (string, error) {
	if _, err := io.WriteString(c, line+"\n"); err != nil {
		return "", err
	}
	answer, err := c.in.ReadString('\n')
	return strings.TrimSuffix(answer, "\n"), err
}

func (c *client) wants(t *testing.T, line, want string) {
	t.Helper()
	if got, err := c.ask(line); err != nil || got != want {
		t.Fatalf("asked %q: got %q and error %v, want %q", line, got, err, want)
	}
}

func TestProxyForwardsBothWays(t *testing.T) {
	t.Parallel()
	c := dial(t, testenv.NewProxy(t, newUpper(t).listener.Addr().String()))
	for range 3 {
		c.wants(t, "hello", "HELLO")
	}
}

func TestProxyPassesTheEndOfEachHalfOn(t *testing.T) {
	t.Parallel()
	u := newUpper(t)
	c := dial(t, testenv.NewProxy(t, u.listener.Addr().String()))
	io.WriteString(c, "last words")
	c.Conn.(*net.TCPConn).CloseWrite()
	answer, err := io.ReadAll(c.in)
	if err != nil || string(answer) != "LAST WORDS\n" {
		t.Errorf("got %q and error %v after the client's half had ended", answer, err)
	}
}

func TestProxyCutResetsOpenConnectionsOnly(t *testing.T) {
	t.Parallel()
	p := testenv.NewProxy(t, newUpper(t).listener.Addr().String())
	c := dial(t, p)
	c.wants(t, "a", "A")
	p.Cut()
	if answer, err := c.ask("b"); err == nil {
		t.Errorf("answered %q after the cut", answer)
	}
	dial(t, p).wants(t, "c", "C")
	if p.Cuts() != 1 {
		t.Errorf("counted %d cuts, want 1", p.Cuts())
	}
}

func TestProxyRefusesNewConnectionsUntilHealed(t *testing.T) {
	t.Parallel()
	p := testenv.NewProxy(t, newUpper(t).listener.Addr().String())
	old := dial(t, p)
	old.wants(t, "a", "A")
	p.Refuse()
	// The reset may come before the dial has returned, or after.
	if conn, err := net.Dial("tcp", p.Addr()); err == nil {
		refused := &client{Conn: conn, in: bufio.NewReader(conn)}
		if answer, err := refused.ask("b"); err == nil {
			t.Errorf("a new connection was answered %q", answer)
		}
		conn.Close()
	}
	old.wants(t, "c", "C")
	p.Heal()
	dial(t, p).wants(t, "d", "D")
}

func TestProxyDropsOneDirection(t *testing.T) {
	t.Parallel()
	u := newUpper(t)
	p := testenv.NewProxy(t, u.listener.Addr().String())
	c := dial(t, p)
	c.wants(t, "a", "A")
	p.Drop(testenv.ToClient)
	c.SetDeadline(time.Now().Add(200 * time.Millisecond))
	var timeout net.Error
	if answer, err := c.ask("b"); !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("got %q and error %v, want silence", answer, err)
	}
	testenv.WaitFor(t, 10*time.Second, "the line to reach the server", func() bool { return u.read("b") })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	p.Heal()
	c.wants(t, "c", "C")
}

func TestProxyDelaysUntilItIsClosed(t *testing.T) {
	t.Parallel()
	u := newUpper(t)
	t.Run("the delay ends with the proxy", func(t *testing.T) {
		p := testenv.NewProxy(t, u.listener.Addr().String())
		p.Delay(testenv.ToServer, time.Hour)
		io.WriteString(dial(t, p), "late\n")
	})
	if u.read("late") {
		t.Error("the line arrived before its time")
	}
}

func TestProxyCutsAfterACountOfBytes(t *testing.T) {
	t.Parallel()
	u := newUpper(t)
	p := testenv.NewProxy(t, u.listener.Addr().String())
	p.CutAfter(testenv.ToServer, 5)
	c := dial(t, p)
	c.wants(t, "ab", "AB")
	if answer, err := c.ask("cdef"); err == nil {
		t.Errorf("answered %q beyond the count", answer)
	}
	if u.read("cdef") {
		t.Error("the line passed whole")
	}
}

func TestProxyCutsAtAPattern(t *testing.T) {
	t.Parallel()
	for _, deliver := range []bool{false, true} {
		t.Run(map[bool]string{false: "before it arrives", true: "after it arrived"}[deliver], func(t *testing.T) {
			t.Parallel()
			u := newUpper(t)
			p := testenv.NewProxy(t, u.listener.Addr().String())
			p.CutAt(testenv.ToServer, "COMMIT", deliver)
			c := dial(t, p)
			c.wants(t, "COMM", "COMM")
			io.WriteString(c, "now COM")
			c.SetDeadline(time.Now().Add(10 * time.Second))
			if answer, err := c.ask("MIT"); err == nil {
				t.Errorf("answered %q after the cut", answer)
			}
			testenv.WaitFor(t, 10*time.Second, "the server's connection to end", func() bool { return u.connectionsEnded() == 1 })
			if u.read("now COMMIT") != deliver {
				t.Errorf("the server read the pattern: %v, want %v", !deliver, deliver)
			}
			if p.Cuts() != 1 {
				t.Errorf("counted %d cuts, want 1", p.Cuts())
			}
			dial(t, p).wants(t, "COMMIT", "COMMIT") // The fault is over once it happened.
		})
	}
}
