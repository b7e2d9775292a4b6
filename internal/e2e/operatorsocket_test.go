package e2e_test

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/testenv"
)

func TestOperatorSocketIsForItsOwnerAlone(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	socket := filepath.Join(data, "operator.sock")
	s := start(t, append([]string{"serve", "--data", data}, cheap...)...)
	info, err := os.Stat(socket)
	if err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Fatalf("%v, %v, want a socket of mode 0600", info.Mode(), err)
	}
	if !strings.Contains(s.out.String(), "unix://"+socket) {
		t.Errorf("the start does not name the socket:\n%s", s.out.String())
	}
	// Operator packets are answered there, and unknown on the link.
	call := func(backend, typ, body string) outcome {
		return run(t, nil, "call", "--data", data, "--backend", backend, typ, body)
	}
	call("unix://"+socket, "op_list_users", `{}`).did(t, `"users":[]`)
	call("unix://"+socket, "get_user", `{"username":"nobody-here"}`).says(t, 1, "not_found")
	for typ, body := range map[string]string{"op_list_users": `{}`, "op_show_user": `{"username":"ada"}`, "op_disable_user": `{"username":"ada"}`,
		"op_delete_user": `{"username":"ada"}`, "op_add_user": `{"username":"ada","password":"` + password + `"}`} {
		call(s.link, typ, body).says(t, 1, "not_found", "unknown_type")
	}
	call("unix://"+socket, "op_list_users", `{}`).did(t, `"users":[]`)
	s.stop(t)
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after the end of the process the socket is there: %v", err)
	}
}

func TestOperatorSocketNobodyAnswersIsReplaced(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	s := start(t, "backend", "--data", data)
	s.kill(t)
	if _, err := os.Lstat(filepath.Join(data, "operator.sock")); err != nil {
		t.Fatalf("a killed process left no socket: %v", err)
	}
	op := operating(t, "--data", data)
	op("", "list").did(t).says(t, 0, "working directly")
	s.again(t)
	if o := op("", "list").did(t); strings.Contains(o.stderr, "working directly") {
		t.Errorf("the new process does not answer: %s", o.stderr)
	}
}

func TestSecondBackendRunsWithoutTheOperatorSocket(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	database := testenv.MariaDB(t).URL()
	first := start(t, append([]string{"backend", "--data", data, "--database", database}, cheap...)...)
	second := start(t, append([]string{"backend", "--data", data, "--database", database}, cheap...)...)
	const says = "another backend answers operators"
	if text := second.out.String(); strings.Count(text, says) != 2 || strings.Contains(first.out.String(), says) { // log and start-up line
		t.Errorf("the second says:\n%s\nthe first:\n%s", text, first.out.String())
	}
	run(t, nil, "healthcheck", "--url", second.admin).says(t, 0)
	op := operating(t, "--data", data, "--database", database)
	second.stop(t)
	op(password, "add", "ada").did(t) // its end took nothing away from the first
	first.pause(t)                    // whose socket still is its own
	third := start(t, append([]string{"backend", "--data", data, "--database", database}, cheap...)...)
	if text := third.out.String(); !strings.Contains(text, says) {
		t.Errorf("the third says:\n%s", text)
	}
	first.resume(t)
	op("", "show", "ada").did(t, "username  ada")
}

// TestOperatorSocketOfAnotherProgramIsLeftAlone puts things in its place that
// are not a backend's.
func TestOperatorSocketOfAnotherProgramIsLeftAlone(t *testing.T) {
	t.Parallel()
	t.Run("that answers", func(t *testing.T) {
		t.Parallel()
		data := testenv.TempDir(t)
		l, err := net.Listen("unix", filepath.Join(data, "operator.sock"))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		s := start(t, "backend", "--data", data)
		if text := s.out.String(); !strings.Contains(text, "Operator commands: none") {
			t.Errorf("it says:\n%s", text)
		}
		s.stop(t)
		conn, err := net.Dial("unix", l.Addr().String())
		if err != nil {
			t.Errorf("the socket is gone: %v", err)
		} else {
			conn.Close()
		}
	})
	t.Run("that is a file", func(t *testing.T) {
		t.Parallel()
		data := testenv.TempDir(t)
		path := filepath.Join(data, "operator.sock")
		if err := os.WriteFile(path, []byte("precious"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := start(t, "backend", "--data", data)
		if text := s.out.String(); !strings.Contains(text, "no socket") {
			t.Errorf("it says:\n%s", text)
		}
		s.stop(t)
		if text, err := os.ReadFile(path); err != nil || string(text) != "precious" {
			t.Errorf("the file holds %q, %v", text, err)
		}
	})
	t.Run("at a path too long for a socket", func(t *testing.T) {
		t.Parallel()
		data := filepath.Join(testenv.TempDir(t), strings.Repeat("long", 30))
		s := start(t, "backend", "--data", data)
		if text := s.out.String(); !strings.Contains(text, "too long for a socket") {
			t.Errorf("it says:\n%s", text)
		}
		users(t, "", "disable", "ada", "--data", data).says(t, 1, "one has the database", "--operator")
		users(t, "", "list", "--data", data).did(t, "USERNAME") // which may be read all the same
		s.stop(t)
	})
}
