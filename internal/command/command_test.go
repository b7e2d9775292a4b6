package command_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/command"
)

// outcome is what a run of the program left behind.
type outcome struct {
	status         int
	stdout, stderr string
}

func run(t *testing.T, environment []string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := command.Run(t.Context(), args, environment, strings.NewReader(""), &stdout, &stderr)
	return outcome{status, stdout.String(), stderr.String()}
}

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// setting returns what config print says of one flag.
func (o outcome) setting(flag string) string {
	for line := range strings.Lines(o.stdout) {
		if value, ok := strings.CutPrefix(line, flag+" = "); ok {
			return strings.TrimSpace(value)
		}
	}
	return "(missing)"
}

func TestFlagsWinOverEnvironmentOverFileOverDefault(t *testing.T) {
	config := file(t, "# comment\n\npool-size = 5\nhttp = \"127.0.0.1:5\"\nsession-idle=5h\ntrusted-proxies = 10.0.0.0/8,::1/128\n")
	environment := []string{"GATEHOUSE_POOL_SIZE=6", "GATEHOUSE_HTTP=127.0.0.1:6", "HOME=/"}
	got := run(t, environment, "config", "print", "--config", config, "--pool-size", "7")
	for flag, want := range map[string]string{"pool-size": "7", "http": "127.0.0.1:6", "session-idle": "5h0m0s",
		"trusted-proxies": "10.0.0.0/8,::1/128", "pool-in-flight": "64", "database": "sqlite:data/gatehouse.db"} {
		if value := got.setting(flag); value != want {
			t.Errorf("%s is %q, want %q (%s)", flag, value, want, got.stderr)
		}
	}
	fromVariable := run(t, []string{"GATEHOUSE_CONFIG=" + config}, "config", "print")
	if value := fromVariable.setting("pool-size"); value != "5" {
		t.Errorf("with GATEHOUSE_CONFIG, pool-size is %q", value)
	}
}

func TestWhatConfigPrintsIsAConfigFile(t *testing.T) {
	first := run(t, nil, "config", "print", "--pool-size", "9", "--registration", "closed")
	again := run(t, nil, "config", "print", "--config", file(t, first.stdout))
	if first.stdout != again.stdout || again.status != 0 {
		t.Errorf("printed again it is\n%s%s\nwant\n%s", again.stdout, again.stderr, first.stdout)
	}
}

func TestSecretsMayStandInAFileAndAreNotPrinted(t *testing.T) {
	secret := file(t, "mysql://gate:s%2Fecret@db:3306/gatehouse\n")
	for name, environment := range map[string][]string{
		"in a variable": {"GATEHOUSE_DATABASE=mysql://gate:s%2Fecret@db:3306/gatehouse"},
		"in a file":     {"GATEHOUSE_DATABASE_FILE=" + secret},
	} {
		got := run(t, environment, "config", "print")
		if value := got.setting("database"); value != "mysql://gate:REDACTED@db:3306/gatehouse" {
			t.Errorf("%s: %q (%s)", name, value, got.stderr)
		}
	}
	if got := run(t, []string{"GATEHOUSE_DATABASE_FILE=/nowhere/at/all"}, "config", "print"); got.status == 0 ||
		!strings.Contains(got.stderr, "GATEHOUSE_DATABASE_FILE") {
		t.Errorf("a secret's file that is missing: %+v", got)
	}
}

func TestAPasswordOnTheCommandLineWorksAndWarns(t *testing.T) {
	for name, test := range map[string]struct {
		environment, args []string
		warns             bool
	}{
		"on the command line":    {nil, []string{"--database", "mysql://gate:hunter2@db:3306/gatehouse"}, true},
		"in the environment":     {[]string{"GATEHOUSE_DATABASE=mysql://gate:hunter2@db:3306/gatehouse"}, nil, false},
		"no password":            {nil, []string{"--database", "mysql://gate@db:3306/gatehouse"}, false},
		"another kind of secret": {nil, []string{"--cache", "redis://:hunter2@db:6379/0"}, true},
	} {
		got := run(t, test.environment, append([]string{"config", "print"}, test.args...)...)
		if warned := strings.Contains(got.stderr, "warning: the password in --"); warned != test.warns || got.status != 0 {
			t.Errorf("%s: %+v", name, got)
		}
		if strings.Contains(got.stdout+got.stderr, "hunter2") {
			t.Errorf("%s: shows the password: %+v", name, got)
		}
	}
}

func TestMistakesAreNamedWithTheFix(t *testing.T) {
	for name, test := range map[string]struct {
		environment []string
		args        []string
		status      int
		want        string
	}{
		"unknown flag":           {nil, []string{"--htpp", ":1"}, 2, `"--http"`},
		"unknown command":        {nil, []string{"bakcend"}, 2, `"backend"`},
		"unknown setting":        {nil, []string{"config", "check", "--config", file(t, "pool-sise = 3\n")}, 2, `"pool-size"`},
		"setting twice":          {nil, []string{"config", "check", "--config", file(t, "http = :1\nhttp = :2\n")}, 2, "line 2: http is set twice"},
		"no setting":             {nil, []string{"config", "check", "--config", file(t, "http\n")}, 2, "line 1"},
		"no such file":           {nil, []string{"config", "check", "--config", "/nowhere"}, 2, "no such file"},
		"wrong value":            {nil, []string{"config", "check", "--migrate", "sideways"}, 2, "--migrate"},
		"wrong limit":            {nil, []string{"config", "check", "--limit-failed-logins", "10"}, 2, "--limit-failed-logins"},
		"wrong hash":             {nil, []string{"config", "check", "--hash-params", "md5"}, 2, "--hash-params"},
		"memory for many":        {nil, []string{"config", "check", "--database", "mysql://gate@db/x", "--cache", "memory:64MiB"}, 2, "--cache"},
		"wrong cache":            {nil, []string{"config", "check", "--cache", "memcached://x"}, 2, "--cache"},
		"no connections":         {nil, []string{"config", "check", "--pool-size", "0"}, 2, "--pool-size"},
		"short sessions":         {nil, []string{"config", "check", "--session-idle", "1ms"}, 2, "--session-idle"},
		"wrong proxies":          {nil, []string{"config", "check", "--trusted-proxies", "everybody"}, 2, "--trusted-proxies"},
		"wrong public URL":       {nil, []string{"config", "check", "--public-url", "login.example.org"}, 2, "--public-url"},
		"half of TLS":            {nil, []string{"config", "check", "--http-tls-cert", "x.pem"}, 2, "--http-tls-key"},
		"half of link TLS":       {nil, []string{"config", "check", "--link-tls-ca", "x.pem"}, 2, "1 of 3"},
		"wrong pictures":         {nil, []string{"config", "check", "--pictures", "ftp://x"}, 2, "--pictures"},
		"open to the world":      {nil, []string{"config", "check", "--http", "0.0.0.0:80"}, 2, "--insecure-http"},
		"link open to the world": {nil, []string{"backend", "--listen", "0.0.0.0:0", "--data", t.TempDir()}, 2, "--link-key-file"},
		"short link key":         {nil, []string{"webserver", "--link-key-file", file(t, "secret"), "--data", t.TempDir()}, 1, "too short"},
		"unknown packet body":    {nil, []string{"call", "login", `{"a":1,"A":2}`}, 2, "stands twice"},
		"nobody there":           {nil, []string{"call", "ping", "--backend", "127.0.0.1:1", "--data", t.TempDir()}, 1, "127.0.0.1:1"},
		"not ready":              {nil, []string{"healthcheck", "--url", "http://127.0.0.1:1"}, 1, "not ready"},
		"unknown variable":       {[]string{"GATEHOUSE_POOLSIZE=1"}, []string{"version"}, 0, `"GATEHOUSE_POOL_SIZE"`},
		"operator elsewhere":     {nil, []string{"users", "list", "--operator", "tcp://127.0.0.1:1"}, 2, "--operator tcp://127.0.0.1:1"},
		"no operator":            {nil, []string{"users", "list", "--operator", "unix:///nowhere"}, 1, "--operator unix:///nowhere"},
		"no accounts":            {nil, []string{"users", "list", "--data", t.TempDir()}, 1, "no database"},
		"server without backend": {nil, []string{"users", "disable", "ada", "--database", "mysql://u:hunter2@127.0.0.1:1/db", "--data", t.TempDir()}, 2, "--offline"},
		"server offline":         {nil, []string{"users", "enable", "ada", "--offline", "--database", "mysql://u:hunter2@127.0.0.1:1/db", "--data", t.TempDir()}, 1, "127.0.0.1:1"},
		"whom to add":            {nil, []string{"users", "add"}, 2, "<username>"},
		"wrong hash to add":      {nil, []string{"users", "add", "ada", "--hash-params", "md5"}, 2, "--hash-params"},
		"no length to add":       {nil, []string{"users", "add", "ada", "--password-min", "0"}, 2, "--password-min"},
		"negative list":          {nil, []string{"users", "list", "--limit", "-1"}, 2, "--limit"},
		"idle for nothing":       {nil, []string{"users", "show", "ada", "--session-idle", "1ms"}, 2, "--session-idle"},
		"backup of a server":     {nil, []string{"backup", "f", "--database", "mysql://u@h/db"}, 1, "mariadb-dump"},
		"backup of nothing":      {nil, []string{"backup", "f", "--data", t.TempDir()}, 1, "gatehouse.db"},
		"restore of nothing":     {nil, []string{"restore", "/nowhere/at/all", "--data", t.TempDir()}, 1, "/nowhere/at/all"},
		"wrong database":         {nil, []string{"migrate", "check", "--database", "postgres://u:hunter2@h/db"}, 1, "--database"},
	} {
		t.Run(name, func(t *testing.T) {
			got := run(t, test.environment, test.args...)
			if got.status != test.status || !strings.Contains(got.stderr, test.want) {
				t.Errorf("status %d, want %d; says %q, want %q in it", got.status, test.status, got.stderr, test.want)
			}
			if strings.Contains(got.stderr, "hunter2") {
				t.Errorf("shows the password: %s", got.stderr)
			}
		})
	}
}

func TestInsecureListenersAreAcceptedWhenAskedFor(t *testing.T) {
	for _, args := range [][]string{
		{"--http", "0.0.0.0:80", "--insecure-http"},
		{"--http", "0.0.0.0:80", "--public-url", "https://login.example.org"},
		{"--http", "[::1]:80"},
		{"--http", "localhost:80"},
	} {
		if got := run(t, nil, append([]string{"config", "check"}, args...)...); got.status != 0 {
			t.Errorf("%q: %s", args, got.stderr)
		}
	}
}

func TestEveryFlagHelpsWithItsVariable(t *testing.T) {
	got := run(t, nil, "serve", "--help")
	text := strings.Join(strings.Fields(got.stdout), " ")
	for _, want := range []string{"[GATEHOUSE_HTTP]", "default 127.0.0.1:8080", "[GATEHOUSE_LIMIT_FAILED_LOGINS]", "default 10/1m"} {
		if !strings.Contains(text, want) {
			t.Errorf("help lacks %q:\n%s", want, got.stdout)
		}
	}
	if got.status != 0 {
		t.Errorf("help exits %d", got.status)
	}
}

func TestCompletionNamesCommandsAndFlags(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		got := run(t, nil, "completion", shell)
		if got.status != 0 || !strings.Contains(got.stdout, "healthcheck") || !strings.Contains(got.stdout, "pool-in-flight") ||
			!strings.Contains(got.stdout, "set-password") || !strings.Contains(got.stdout, "restore") {
			t.Errorf("%s: %+v", shell, got)
		}
	}
}

func TestCallListsEveryPacketType(t *testing.T) {
	got := run(t, nil, "call", "--list")
	if types := strings.Fields(got.stdout); len(types) != 15 || types[0] != "ping" {
		t.Errorf("got %q", types)
	}
}
