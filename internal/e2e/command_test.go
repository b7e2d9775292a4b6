package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/testenv"
)

// An outcome is what a command that ends by itself did.
type outcome struct {
	status         int
	stdout, stderr string
}

// run runs gatehouse with args and, beside a clean environment, the settings
// given, in an empty folder, and returns its outcome.
func run(t testing.TB, settings []string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Env = t.TempDir(), append(cleanEnvironment(), settings...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("run gatehouse %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// says fails the test unless the command exited with the status and wrote
// every word to standard error.
func (o outcome) says(t testing.TB, status int, words ...string) {
	t.Helper()
	if o.status != status {
		t.Errorf("exited %d, want %d", o.status, status)
	}
	for _, w := range words {
		if !strings.Contains(o.stderr, w) {
			t.Errorf("said %q, want %q in it", o.stderr, w)
		}
	}
	if strings.Contains(o.stderr, "goroutine") {
		t.Errorf("crashed: %s", o.stderr)
	}
}

func TestCommandVersionAndHelp(t *testing.T) {
	t.Parallel()
	if o := run(t, nil, "version"); o.status != 0 || !strings.HasPrefix(o.stdout, "gatehouse 0.") || o.stderr != "" {
		t.Errorf("version: %+v", o)
	}
	o := run(t, nil, "--help")
	for _, command := range []string{"serve", "webserver", "backend", "migrate", "call", "healthcheck", "config", "version", "completion"} {
		if o.status != 0 || !strings.Contains(o.stdout, command) {
			t.Errorf("help does not name %s: %+v", command, o)
		}
	}
}

func TestCommandSuggestsWhatWasMeant(t *testing.T) {
	t.Parallel()
	run(t, nil, "serve", "--pool-sise", "3").says(t, 2, "--pool-sise", "--pool-size")
	run(t, nil, "bakend").says(t, 2, "backend")
	run(t, []string{"GATEHOUSE_POOL_SISE=3"}, "config", "check").says(t, 0, "GATEHOUSE_POOL_SISE", "GATEHOUSE_POOL_SIZE")
	file := filepath.Join(t.TempDir(), "settings")
	if err := os.WriteFile(file, []byte("pool-sise = 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "config", "check", "--config", file).says(t, 2, "pool-sise", "pool-size")
}

func TestCommandConfigPrintKeepsSecrets(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "url")
	if err := os.WriteFile(file, []byte("mysql://gate:hunter2@db.example:3306/gate\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for about, given := range map[string]struct{ settings, args []string }{
		"by flag":               {nil, []string{"--database", "mysql://gate:hunter2@db.example:3306/gate"}},
		"by variable":           {[]string{"GATEHOUSE_DATABASE=mysql://gate:hunter2@db.example:3306/gate"}, nil},
		"by file of a variable": {[]string{"GATEHOUSE_DATABASE_FILE=" + file}, nil},
	} {
		t.Run(about, func(t *testing.T) {
			o := run(t, given.settings, append([]string{"config", "print"}, given.args...)...)
			if o.status != 0 || !strings.Contains(o.stdout, "database = mysql://gate:REDACTED@db.example:3306/gate") {
				t.Errorf("exited %d and printed %s", o.status, o.stdout)
			}
			if strings.Contains(o.stdout+o.stderr, "hunter2") {
				t.Error("the password was printed")
			}
		})
	}
}

func TestCommandNamesTheFlagOfATakenPort(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for flag, command := range map[string]string{"--http": "serve", "--admin": "serve", "--listen": "backend"} {
		t.Run(flag, func(t *testing.T) {
			args := []string{command, flag, taken.Addr().String()}
			run(t, nil, append(args, missingFlags(t, args)...)...).says(t, 1, flag+" "+taken.Addr().String(), "in use")
		})
	}
}

func TestCommandServeTakesAnotherPortForTheLinkOnly(t *testing.T) {
	t.Parallel()
	// Whoever has 7000, this test or another program of the machine, serve
	// starts beside it unless the address was asked for.
	taken, unfree := net.Listen("tcp", "127.0.0.1:7000")
	if unfree == nil {
		defer taken.Close()
	}
	args := []string{"serve", "--http", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", testenv.TempDir(t)}
	p, err := launch(args)
	if p != nil {
		defer p.show(t)
		defer p.kill(t)
	}
	if err != nil {
		t.Fatal(err)
	}
	if unfree == nil && p.link == "127.0.0.1:7000" {
		t.Error("took the port that was taken")
	}
	client{base: p.url}.do(t, "GET", "/login", nil).want(t, 200)
}

func TestCommandRefusesToBeReachedUnprotected(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	run(t, nil, "backend", "--listen", "0.0.0.0:0", "--admin", "127.0.0.1:0", "--data", data).says(t, 2, "--listen 0.0.0.0:0", "--link-key-file")
	run(t, nil, "serve", "--http", "0.0.0.0:0", "--admin", "127.0.0.1:0", "--data", data).says(t, 2, "--http 0.0.0.0:0", "--insecure-http")
}

func TestCommandServesEveryAddressWhenAskedTo(t *testing.T) {
	t.Parallel()
	// As the container image does.
	p := start(t, "serve", "--http", ":0", "--insecure-http")
	client{base: p.url}.do(t, "GET", "/login", nil).want(t, 200)
}

func TestCommandBackendsDoNotShareAnSQLiteFile(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	first := start(t, "backend", "--data", data)
	args := []string{"backend", "--data", data}
	run(t, nil, append(args, missingFlags(t, args)...)...).says(t, 1, "gatehouse.db", "another")
	run(t, nil, "healthcheck", "--url", first.admin).says(t, 0)
	first.kill(t)
	start(t, args...) // what a killed process held is free
}

func TestCommandMigrateTellsAndChecksTheSchema(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	if o := run(t, nil, "migrate", "check", "--data", data); o.status != 1 {
		t.Errorf("check of no schema: %+v", o)
	}
	args := []string{"backend", "--migrate", "check", "--data", data}
	if o := run(t, nil, append(args, missingFlags(t, args)...)...); o.status != 1 || !strings.Contains(o.stderr, "migrate up") {
		t.Errorf("a backend on no schema: %+v", o)
	}
	status := func() string {
		o := run(t, nil, "migrate", "status", "--data", data)
		o.says(t, 0)
		return o.stdout
	}
	if s := status(); !strings.Contains(s, "not applied") {
		t.Errorf("status before: %s", s)
	}
	run(t, nil, "migrate", "up", "--data", data).says(t, 0)
	if s := status(); strings.Contains(s, "not applied") || strings.Count(s, "applied") < 5 {
		t.Errorf("status after: %s", s)
	}
	run(t, nil, "migrate", "check", "--data", data).says(t, 0)
	p := start(t, args...)
	if s := status(); strings.Contains(s, "not applied") { // beside a running backend
		t.Errorf("status beside a backend: %s", s)
	}
	p.stop(t)
	run(t, nil, "migrate", "down", "--data", data).says(t, 2, "--yes")
}

func TestCommandCallSpeaksToABackend(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	s := start(t, append([]string{"serve", "--data", data}, cheap...)...)
	name := newName()
	register(t, s.url, name)
	call := func(args ...string) outcome {
		// It finds the link key that serve made in the data folder.
		return run(t, nil, append([]string{"call", "--data", data, "--backend", s.link}, args...)...)
	}
	if o := call("--list"); o.status != 0 || !strings.Contains(o.stdout, "get_profile\n") || !strings.Contains(o.stdout, "pictures_in_use\n") {
		t.Errorf("--list: %+v", o)
	}
	call("ping").says(t, 0)
	o := call("get_user", `{"username":"`+strings.ToUpper(name)+`"}`)
	o.says(t, 0, "subject: "+name)
	if !strings.Contains(o.stdout, `"username":"`+name+`"`) {
		t.Errorf("get_user printed %s", o.stdout)
	}
	call("get_user", `{"username":"nobody-here"}`).says(t, 1, "not_found")
	call("no_such_type").says(t, 1, "not_found")
	call("get_user", `{"username":1,"username":2}`).says(t, 2, "JSON")
	run(t, nil, "call", "--backend", s.link, "ping").says(t, 1, "key") // without it
}

func TestCommandHealthcheckTellsReadiness(t *testing.T) {
	t.Parallel()
	run(t, nil, "healthcheck", "--url", service(t).admin).says(t, 0)
	// A webserver without a backend is alive and not ready.
	w := start(t, "webserver", "--backend", "127.0.0.1:1")
	run(t, nil, "healthcheck", "--url", w.admin).says(t, 1, "not ready", "backend")
	client{base: w.admin}.do(t, "GET", "/livez", nil).want(t, 200)
	w.kill(t)
	run(t, nil, "healthcheck", "--url", w.admin).says(t, 1, "not ready")
}
