package testenv

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A RedisServer is a Redis or Valkey that only this test program uses, on
// loopback. What it holds is gone when it stops, unless settings say
// otherwise.
type RedisServer struct {
	*process
	port     int
	settings []string
	numbers  chan int // of the databases that no Keyspace uses
}

// redisDatabases is how many keyspaces a server holds at once.
const redisDatabases = 1024

// sharedRedis is the server of all tests of this program that need no server
// of their own. It runs until the program ends.
var sharedRedis = sync.OnceValues(func() (*RedisServer, error) { return startRedis() })

// Redis returns a fresh, empty keyspace on a server that the tests of this
// program share. It is emptied after the test.
func Redis(t testing.TB) *Keyspace {
	t.Helper()
	s, err := sharedRedis()
	if err != nil {
		t.Fatal(err)
	}
	return s.NewKeyspace(t)
}

// PrivateRedis returns a server for this test alone, which may stop, kill and
// pause it. settings are further arguments of redis-server, for instance
// "--maxmemory", "1mb".
func PrivateRedis(t testing.TB, settings ...string) *RedisServer {
	t.Helper()
	s, err := startRedis(settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Errorf("end Redis: %v", err)
		}
	})
	return s
}

// ExternalRedis returns the URL that TEST_REDIS_URL holds, of a server that
// tests may use and must not empty. It returns false where the variable is
// not set.
func ExternalRedis() (url string, ok bool) {
	url = os.Getenv("TEST_REDIS_URL")
	return url, url != ""
}

func startRedis(settings ...string) (*RedisServer, error) {
	p, err := newProcess("Redis")
	if err != nil {
		return nil, err
	}
	s := &RedisServer{process: p, settings: settings, numbers: make(chan int, redisDatabases)}
	for n := range redisDatabases {
		s.numbers <- n
	}
	if s.port, err = freePort(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if err := s.run(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// run starts the server and returns once it answers.
func (s *RedisServer) run() error {
	program, ok := lookup("redis-server", "valkey-server")
	if !ok {
		return missing("redis-server")
	}
	args := []string{"--bind", "127.0.0.1", "--port", strconv.Itoa(s.port), "--dir", s.dir,
		"--databases", strconv.Itoa(redisDatabases), "--save", "", "--appendonly", "no"}
	return s.start(program, append(args, s.settings...), func() error { return s.ping(startTimeout) })
}

func (s *RedisServer) addr() string { return "127.0.0.1:" + strconv.Itoa(s.port) }

// ping is content with a server that wants the password
// of its settings first.
func (s *RedisServer) ping(timeout time.Duration) error {
	_, err := redisCommand(s.addr(), 0, timeout, "PING")
	if err != nil && strings.HasPrefix(err.Error(), "NOAUTH") {
		return nil
	}
	return err
}

// Stop ends the server in an orderly way.
func (s *RedisServer) Stop(t testing.TB) {
	t.Helper()
	check(t, s.end(syscall.SIGTERM))
}

// Kill ends the server as a power cut would end the process: at once.
func (s *RedisServer) Kill(t testing.TB) {
	t.Helper()
	check(t, s.end(syscall.SIGKILL))
}

// Start runs a server that was stopped or killed again, on the same port.
func (s *RedisServer) Start(t testing.TB) {
	t.Helper()
	if s.cmd != nil {
		t.Fatal("Redis runs already")
	}
	check(t, s.run())
}

// Restart stops the server in an orderly way and starts it again.
func (s *RedisServer) Restart(t testing.TB) {
	t.Helper()
	s.Stop(t)
	s.Start(t)
}

// Pause stops the server's threads where they are, so that connections stay
// open and nothing is answered, until Resume or the end of the test.
func (s *RedisServer) Pause(t testing.TB) {
	t.Helper()
	s.pause(t, func() bool { return s.ping(100*time.Millisecond) == nil })
}

// Resume ends a Pause.
func (s *RedisServer) Resume(t testing.TB) {
	t.Helper()
	s.resume(t)
}

// A Keyspace is an empty database of a RedisServer, of one test's own.
type Keyspace struct {
	addr   string
	number int
}

// NewKeyspace takes a database of the server. It is emptied after the test.
func (s *RedisServer) NewKeyspace(t testing.TB) *Keyspace {
	t.Helper()
	select {
	case n := <-s.numbers:
		k := &Keyspace{addr: s.addr(), number: n}
		t.Cleanup(func() {
			// A test may have stopped the server, and its data with it.
			redisCommand(k.addr, n, 10*time.Second, "FLUSHDB")
			s.numbers <- n
		})
		return k
	default:
		t.Fatalf("all %d databases of the Redis are in use", redisDatabases)
		return nil
	}
}

// URL is the value of --cache that opens it.
func (k *Keyspace) URL() string { return k.URLThrough(k.addr) }

// URLThrough is URL with another address, that of a Proxy for instance.
func (k *Keyspace) URLThrough(addr string) string {
	return fmt.Sprintf("redis://%s/%d", addr, k.number)
}

// Addr is where the server listens, as host:port.
func (k *Keyspace) Addr() string { return k.addr }

// Do executes one command and returns its answer as text: numbers in decimal,
// nothing as the empty string, the elements of a list one a line.
func (k *Keyspace) Do(t testing.TB, command ...string) string {
	t.Helper()
	answer, err := redisCommand(k.addr, k.number, 30*time.Second, command...)
	if err != nil {
		t.Fatalf("%s: %v", command[0], err)
	}
	return answer
}
