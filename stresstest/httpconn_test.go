package stresstest_test

import (
	"bufio"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/stresstest"
)

// body is the profile of account 1.
const body = `{"id":"1","username":"user00000001","nickname":"User 00000001"}`

// scripted answers each request on each connection as reply says, which gets
// the number of the connection and of the request on it, both from 1, and ends
// the connection by returning an empty answer.
type scripted struct {
	reply func(conn, request int, method string) string

	conns, requests atomic.Int64
	serving         sync.WaitGroup
}

// start returns the address at which it answers until the test ends.
func (s *scripted) start(t *testing.T) (target string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.serving.Go(func() { s.answer(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); s.serving.Wait() })
	return "http://" + l.Addr().String()
}

func (s *scripted) answer(conn net.Conn) {
	defer conn.Close()
	reader, number := bufio.NewReader(conn), 0
	for n := 1; ; n++ {
		r, err := http.ReadRequest(reader)
		if err != nil {
			return
		}
		if number == 0 { // the first connection of a run only looks whether there is anybody
			number = int(s.conns.Add(1))
		}
		s.requests.Add(1)
		io.Copy(io.Discard, r.Body)
		text := s.reply(number, n, r.Method)
		if text == "" {
			return
		}
		io.WriteString(conn, text)
	}
}

// ok is an answer with a body.
func ok(header, body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body)
}

// one is a run of so many requests of account 1, one after the other.
func one(t *testing.T, target, what string, requests int) (*stresstest.Report, error) {
	t.Helper()
	return stresstest.Run(t.Context(), stresstest.Config{Target: target, Rate: 50, Duration: time.Duration(requests) * 20 * time.Millisecond,
		Workers: 1, Users: 1, Mix: mix(t, what), SessionKey: sessionKey})
}

func TestAnswersOfEveryFormAreRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		reply string
		conns int64 // for four requests
	}{
		"with a length": {ok("", body), 1},
		"in chunks":     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + fmt.Sprintf("10\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", body[:16], len(body)-16, body[16:]), 1},
		"after hints":   {"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\n\r\n" + ok("", body), 1},
		"and more":      {ok("", body) + "HTTP/1.1 408 Request Timeout\r\n\r\n", 4},
		"and the end":   {ok("Connection: close\r\n", body), 4},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &scripted{reply: func(int, int, string) string { return c.reply }}
			r, err := one(t, s.start(t), "profile=1", 4)
			if err != nil || r.Total.Succeeded+r.NotSent != 4 || r.Total.Succeeded == 0 || len(r.Total.Errors) > 0 || s.conns.Load() > c.conns {
				t.Errorf("%+v on %d connections, error %v, %v", r.Total, s.conns.Load(), err, r.Examples)
			}
		})
	}
}

func TestReadIsSentAgainWhereTheKeptConnectionWasClosed(t *testing.T) {
	t.Parallel()
	s := &scripted{reply: func(_, request int, _ string) string {
		if request == 3 {
			return "" // as after a keep-alive time
		}
		return ok("", body)
	}}
	r, err := one(t, s.start(t), "profile=1", 5)
	if err != nil || len(r.Total.Errors) > 0 || r.Total.Succeeded+r.NotSent != 5 || r.Total.Succeeded < 3 || s.conns.Load() < 2 {
		t.Errorf("%+v on %d connections, error %v", r.Total, s.conns.Load(), err)
	}
}

func TestReadIsNotSentAgainOnANewConnectionOrAfterAPartOfTheAnswer(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]string{"nothing": "", "half": ok("", body)[:20], "half a body": "HTTP/1.1 200 OK\r\nContent-Length: 500\r\nConnection: close\r\n\r\n{"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &scripted{}
			target := ""
			s.reply = func(int, int, string) string { return reply }
			if reply != "" {
				s = &scripted{}
				target = cutting(t, &s.requests, reply)
			} else {
				target = s.start(t)
			}
			r, err := one(t, target, "profile=1", 3)
			if err != nil || r.Total.Count+r.NotSent != 3 || r.Total.Errors["connection"] != r.Total.Count || s.requests.Load() != r.Total.Count {
				t.Errorf("%d requests came of %+v, error %v", s.requests.Load(), r.Total, err)
			}
		})
	}
}

// cutting answers one request on each connection and ends it.
func cutting(t *testing.T, requests *atomic.Int64, reply string) (target string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		requests.Add(1)
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		buffered.WriteString(reply)
		buffered.Flush()
		conn.Close()
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestUpdateIsNeverSentTwice(t *testing.T) {
	t.Parallel()
	s := &scripted{reply: func(int, int, string) string { return "" }}
	r, err := one(t, s.start(t), "update=1", 3)
	if err != nil || r.Total.Errors["connection"] != r.Total.Count || s.requests.Load() != r.Total.Count {
		t.Errorf("%d requests came of %+v, error %v", s.requests.Load(), r.Total, err)
	}
}

func TestUpdateLooksWhetherTheKeptConnectionWasClosed(t *testing.T) {
	t.Parallel()
	var conns atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nickname, _ := nicknameOf(r)
		answer(w, 200, user{ID: "1", Username: stresstest.Username(1), Nickname: nickname})
	}))
	server.Config.IdleTimeout = time.Millisecond // long over when the next one is due
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateActive {
			conns.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	// On a busy machine a request may be late by just as much as makes it meet
	// the closing, which no look can prevent; not three times over.
	for try := 1; ; try++ {
		conns.Store(0)
		r, err := one(t, server.URL, "update=1", 5)
		if err == nil && len(r.Total.Errors) == 0 && r.Total.Succeeded >= 2 && conns.Load() >= r.Total.Succeeded {
			return
		}
		if try == 3 {
			t.Fatalf("%+v on %d connections, error %v", r.Total, conns.Load(), err)
		}
	}
}

func TestEveryWorkerHasOneConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		p := serve(t, s)
		var dialled atomic.Int64
		cfg := load(t, 500, 2*time.Second, 25)
		cfg.Target, cfg.Warmup = "http://site.test", time.Second
		r, err := stresstest.Run(t.Context(), cfg.Bubbled(counted(p, &dialled)))
		// One more looks whether there is anybody.
		if err != nil || r.Total.Succeeded != 1000 || dialled.Load() != 26 {
			t.Errorf("%d connections for 25 workers, error %v", dialled.Load(), err)
		}
	})
}

func TestTargetWithACertificate(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(newSite(1))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // which would tell of the refusal
	server.StartTLS()
	defer server.Close()
	_, err := one(t, server.URL, "profile=1", 1)
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Errorf("one that nobody knows: error %v", err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	r, err := stresstest.Run(t.Context(), stresstest.Config{Target: server.URL, Rate: 100, Duration: 200 * time.Millisecond,
		Workers: 4, Users: 1, Mix: mix(t, "profile=1,update=1"), SessionKey: sessionKey}.Trusting(roots))
	if err != nil || r.Total.Succeeded == 0 || r.Total.Succeeded+r.NotSent != 20 {
		t.Errorf("%+v, error %v, %v", r.Total, err, r.Examples)
	}
}

func TestAnswerWithoutEndIsCutOff(t *testing.T) {
	t.Parallel()
	var sent atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			n, err := w.Write([]byte(strings.Repeat(" ", 32<<10)))
			sent.Add(int64(n))
			if err != nil {
				return
			}
		}
	}))
	defer server.Close()
	r, err := one(t, server.URL, "profile=1", 1)
	if err != nil || r.Wrong != 1 || r.Total.Errors["wrong_answer"] != 1 {
		t.Errorf("%+v, error %v", r.Total, err)
	}
}
