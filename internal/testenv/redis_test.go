package testenv_test

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"
	"time"

	"gatehouse/internal/testenv"
)

func TestRedisGivesEachCallAnEmptyKeyspace(t *testing.T) {
	t.Parallel()
	one, two := testenv.Redis(t), testenv.Redis(t)
	if one.URL() == two.URL() || one.Addr() != two.Addr() {
		t.Errorf("got %s and %s, want two keyspaces of one server", one.URL(), two.URL())
	}
	one.Do(t, "SET", "key", "a\r\nb")
	if got := one.Do(t, "GET", "key"); got != "a\r\nb" {
		t.Errorf("read %q", got)
	}
	if got := two.Do(t, "KEYS", "*"); got != "" {
		t.Errorf("the other keyspace holds %q", got)
	}
}

func TestRedisKeyspaceIsEmptiedAfterItsTest(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateRedis(t)
	t.Run("a test that leaves something behind", func(t *testing.T) {
		server.NewKeyspace(t).Do(t, "SET", "key", "value")
	})
	if got := server.NewKeyspace(t).Do(t, "INFO", "keyspace"); got != "# Keyspace\r\n" {
		t.Errorf("the server holds %q", got)
	}
}

func TestKeyspaceTellsEveryKindOfAnswer(t *testing.T) {
	t.Parallel()
	k := testenv.Redis(t)
	for _, test := range []struct {
		want    string
		command []string
	}{
		{"PONG", []string{"PING"}},
		{"2", []string{"RPUSH", "list", "a", "b"}},
		{"a\nb", []string{"LRANGE", "list", "0", "-1"}},
		{"", []string{"GET", "nothing"}},
		{"", []string{"KEYS", "nothing"}},
	} {
		if got := k.Do(t, test.command...); got != test.want {
			t.Errorf("%v: got %q, want %q", test.command, got, test.want)
		}
	}
}

func TestPrivateRedisComesBackEmptyWhereItStood(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateRedis(t, "--maxclients", "77")
	k := server.NewKeyspace(t)
	if got := k.Do(t, "CONFIG", "GET", "maxclients"); got != "maxclients\n77" {
		t.Fatalf("the setting did not reach the server: %q", got)
	}
	for name, again := range map[string]func(){
		"killed":    func() { server.Kill(t); refused(t, k.Addr()); server.Start(t) },
		"restarted": func() { server.Restart(t) },
	} {
		k.Do(t, "SET", "key", "value")
		again()
		if got := k.Do(t, "GET", "key"); got != "" {
			t.Errorf("the %s server still holds %q", name, got)
		}
	}
}

func TestPausedRedisIsSilentUntilResumed(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateRedis(t)
	k := server.NewKeyspace(t)
	k.Do(t, "SET", "key", "value")
	server.Pause(t)
	conn, err := net.Dial("tcp", k.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "PING\r\n")
	conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := conn.Read(make([]byte, 1)); n != 0 {
		t.Errorf("the paused server: got %d bytes, error %v, want no answer", n, err)
	}
	server.Resume(t)
	if got := k.Do(t, "GET", "key"); got != "value" {
		t.Errorf("the resumed server holds %q", got)
	}
}

func TestRedisIsGoneWithItsTest(t *testing.T) {
	dir := testenv.TempDir(t)
	t.Setenv("TMPDIR", dir)
	var addr string
	t.Run("a test with a server of its own", func(t *testing.T) {
		server := testenv.PrivateRedis(t)
		addr = server.NewKeyspace(t).Addr()
		server.Pause(t)
	})
	refused(t, addr)
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v, error %v", left, err)
	}
}

func refused(t *testing.T, addr string) {
	t.Helper()
	if conn, err := net.Dial("tcp", addr); err == nil {
		conn.Close()
		t.Errorf("something still listens on %s", addr)
	}
}
