package testenv_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/testenv"
)

func TestMariaDBGivesEachCallAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	one, two := testenv.MariaDB(t), testenv.MariaDB(t)
	if one.Name() == two.Name() || one.Addr() != two.Addr() {
		t.Errorf("got %s on %s and %s on %s, want two names on one server", one.Name(), one.Addr(), two.Name(), two.Addr())
	}
	one.Exec(t, "CREATE TABLE "+one.Name()+".t (a INT)")
	var tables int
	err := two.Root().QueryRow("SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = ?", two.Name()).Scan(&tables)
	if err != nil || tables != 0 {
		t.Errorf("the other database has %d tables, error %v", tables, err)
	}
}

func TestPrivateMariaDBKeepsItsDataWhenKilled(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateMariaDB(t, "--max-connections=17")
	d := server.NewDatabase(t)
	var limit int
	if err := d.Root().QueryRow("SELECT @@max_connections").Scan(&limit); err != nil || limit != 17 {
		t.Fatalf("the setting did not reach the server: %d, %v", limit, err)
	}
	d.Exec(t, "CREATE TABLE "+d.Name()+".t (a INT)")
	d.Exec(t, "INSERT INTO "+d.Name()+".t VALUES (7)")
	server.Kill(t)
	if err := d.Root().Ping(); err == nil {
		t.Fatal("the killed server answers")
	}
	server.Start(t)
	var a int
	if err := d.Root().QueryRow("SELECT a FROM " + d.Name() + ".t").Scan(&a); err != nil || a != 7 {
		t.Errorf("after the restart: got %d, error %v, want 7", a, err)
	}
}

func TestPausedMariaDBIsSilentUntilResumed(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateMariaDB(t)
	d := server.NewDatabase(t)
	server.Pause(t)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := d.Root().PingContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the paused server: got error %v, want none and no answer", err)
	}
	server.Resume(t)
	if err := d.Root().Ping(); err != nil {
		t.Errorf("the resumed server: %v", err)
	}
}

// holder is set for a run of the test program that only starts a server, says
// where it is, and waits to be killed.
const holder = "GATEHOUSE_TEST_HOLD_SERVER"

func TestServerIsGoneAfterTheTestProgramIsKilled(t *testing.T) {
	t.Parallel()
	if os.Getenv(holder) != "" {
		fmt.Println("server", testenv.MariaDB(t).Addr())
		time.Sleep(time.Minute)
		t.Fatal("nobody killed the test program")
	}
	dir := testenv.TempDir(t)
	addr := startHolder(t, dir)
	testenv.WaitFor(t, 30*time.Second, "the server to end", func() bool {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	testenv.WaitFor(t, 30*time.Second, "its folder to go", func() bool {
		left, err := filepath.Glob(filepath.Join(dir, "gatehouse-mariadb-*"))
		return err == nil && len(left) == 0
	})
}

// startHolder runs the test program as a holder with this temporary folder,
// kills it once its server runs, and returns where that listened.
func startHolder(t *testing.T, dir string) (addr string) {
	child := exec.Command(os.Args[0], "-test.run=^TestServerIsGoneAfterTheTestProgramIsKilled$")
	child.Env = append(os.Environ(), holder+"=1", "TMPDIR="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for in := bufio.NewScanner(out); addr == "" && in.Scan(); {
		if after, found := strings.CutPrefix(in.Text(), "server "); found {
			addr = after
		}
	}
	if conn, err := net.Dial("tcp", addr); err != nil {
		t.Errorf("the server of the child does not listen on %q: %v", addr, err)
	} else {
		conn.Close()
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	child.Wait()
	return addr
}
