package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"gatehouse/internal/testenv"
)

// readers read profiles, each its own again and again, until they are told to
// stop.
type readers struct {
	stop    context.CancelFunc
	reading sync.WaitGroup
	reads   atomic.Int64

	mu       sync.Mutex // guards failures
	failures []string
}

// startReaders starts n readers over the webservers in turns.
func startReaders(t testing.TB, n int, webservers ...*process) *readers {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	r := &readers{stop: cancel}
	for i := range n {
		c, o := register(t, webservers[i%len(webservers)].url, newName())
		r.reading.Go(func() {
			for ctx.Err() == nil {
				r.note(c.reads(o.User.Username))
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		r.reading.Wait()
	})
	return r
}

// reads makes one read that must show the person of a name. It is not cut
// short when the test ends, which would look like a failure.
func (c client) reads(username string) error {
	a, err := c.send(context.Background(), "GET", "/api/v1/profile", nil)
	if err != nil {
		return err
	}
	if a.status != 200 || !a.has(`"username":"`+username+`"`) {
		return fmt.Errorf("%s read %d: %s", username, a.status, a.body)
	}
	return nil
}

func (r *readers) note(err error) {
	r.reads.Add(1)
	if err == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failures = append(r.failures, err.Error())
}

// more waits for n more reads.
func (r *readers) more(t testing.TB, n int64) {
	t.Helper()
	until := r.reads.Load() + n
	testenv.WaitFor(t, patience, fmt.Sprintf("%d more reads", n), func() bool { return r.reads.Load() >= until })
}

// end stops the readers and fails the test where a read failed.
func (r *readers) end(t testing.TB) {
	t.Helper()
	r.stop()
	r.reading.Wait()
	if n := len(r.failures); n > 0 {
		t.Errorf("%d of %d reads failed, the first: %s", n, r.reads.Load(), r.failures[0])
	}
}

func TestBackendStoppedUnderLoadFailsNoRead(t *testing.T) {
	t.Parallel()
	s := startTiers(t, 2, testenv.MariaDB(t).URL())
	r := startReaders(t, 8, s.webservers...)
	r.more(t, 200)
	for i, b := range s.backends {
		b.stop(t)
		r.more(t, 200) // by the other one alone
		s.backends[i] = b.again(t)
		awaitConnections(t, s, b.link)
		r.more(t, 200)
	}
	r.end(t)
	for _, w := range s.webservers {
		if m := metrics(t, w); m["gatehouse_link_crosstalk_total"] != 0 || m["gatehouse_panics_total"] != 0 {
			t.Errorf("cross-talk %v, panics %v", m["gatehouse_link_crosstalk_total"], m["gatehouse_panics_total"])
		}
	}
}

// awaitConnections waits until every webserver has a connection to a backend.
func awaitConnections(t testing.TB, s *tiers, link string) {
	t.Helper()
	open := regexp.MustCompile(`gatehouse_pool_open_connections\{backend="` + regexp.QuoteMeta(link) + `"\} [1-9]`)
	for _, w := range s.webservers {
		testenv.WaitFor(t, patience, "a connection to "+link, func() bool {
			return open.Match(client{base: w.admin}.do(t, "GET", "/metrics", nil).body)
		})
	}
}

func TestWebserverStoppedUnderLoadFinishesWhatItTook(t *testing.T) {
	t.Parallel()
	s := startTiers(t, 1, "")
	w := s.webservers[0]
	r := startReaders(t, 8, w)
	r.more(t, 200)
	w.stop(t)
	r.stop()
	r.reading.Wait()
	for _, failure := range r.failures {
		// Once the listener is closed there is nobody to connect to, and who
		// was about to be accepted is turned away. Whatever was taken was
		// answered.
		if !strings.Contains(failure, "refused") && !strings.Contains(failure, "EOF") && !strings.Contains(failure, "reset") {
			t.Errorf("a read failed otherwise than by finding nobody: %s", failure)
		}
	}
}

func TestServeDrainsAndIsNotReadyMeanwhile(t *testing.T) {
	t.Parallel()
	s := start(t, append([]string{"serve"}, cheap...)...)
	c, o := register(t, s.url, newName())
	picture := leaningJPEG(t)
	upload := beginUpload(t, s, o.Token, len(picture))
	s.signal(t, syscall.SIGTERM)
	testenv.WaitFor(t, patience, "/readyz to tell of the draining", func() bool {
		a, err := client{base: s.admin}.send(t.Context(), "GET", "/readyz", nil)
		return err == nil && a.status == 503 && a.has("draining")
	})
	testenv.WaitFor(t, patience, "new connections to be refused", func() bool {
		_, err := c.send(t.Context(), "GET", "/api/v1/profile", nil)
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	// The upload that was under way is finished all the same.
	if _, err := upload.Write(picture); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(upload), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 200 || !strings.Contains(string(body), `"/pictures/`) {
		t.Errorf("the upload was answered %d: %s", resp.StatusCode, body)
	}
	if status := s.wait(t); status != 0 {
		t.Errorf("exited %d after SIGTERM, want 0", status)
	}
}

// beginUpload sends the head of an upload and returns the connection once
// the service waits for the body.
func beginUpload(t testing.TB, s *process, token string, size int) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(patience))
	fmt.Fprintf(conn, "PUT /api/v1/profile/picture HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n"+
		"Content-Type: image/jpeg\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", token, size)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil || resp.StatusCode != http.StatusContinue {
		t.Fatalf("the upload is not waited for: %+v, %v", resp, err)
	}
	return conn
}
