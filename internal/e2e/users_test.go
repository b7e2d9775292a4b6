package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"gatehouse/internal/testenv"
)

// otherPassword is a second one that nobody is refused for.
const otherPassword = "nine copper kettles before dawn"

// users runs gatehouse users with what stands on standard input.
func users(t testing.TB, input string, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, append([]string{"users"}, args...)...)
	cmd.Env = cleanEnvironment()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("run gatehouse users %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// operating returns users for one place where accounts are.
func operating(t testing.TB, where ...string) func(input string, args ...string) outcome {
	return func(input string, args ...string) outcome {
		t.Helper()
		return users(t, input, append(args, where...)...)
	}
}

// did fails the test unless the command succeeded and printed every word.
func (o outcome) did(t testing.TB, words ...string) outcome {
	t.Helper()
	o.says(t, 0)
	for _, w := range words {
		if !strings.Contains(o.stdout, w) {
			t.Errorf("printed %q, want %q in it", o.stdout, w)
		}
	}
	if t.Failed() {
		t.Fatalf("it said: %s", o.stderr)
	}
	return o
}

// alive tells whether a session is answered over HTTP.
func (c client) alive(t testing.TB) bool {
	t.Helper()
	switch a := c.do(t, "GET", "/api/v1/profile", nil); a.status {
	case 200:
		return true
	case 401:
		return false
	default:
		t.Fatalf("profile answered %d: %s", a.status, a.body)
		return false
	}
}

// refusedLogin fails the test unless these credentials are refused as any
// wrong ones are.
func refusedLogin(t testing.TB, base, name, password string) {
	t.Helper()
	client{base: base}.do(t, "POST", "/api/v1/sessions", map[string]string{"username": name, "password": password}).
		refused(t, 401, "invalid_credentials")
}

func TestOperatorCommandsChangeAccountsWhileTheServiceRuns(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	s := start(t, append([]string{"serve", "--registration", "closed", "--data", data}, cheap...)...)
	op := operating(t, "--data", data)

	op(password+"\n", "add", "Ada", "--nickname", "Countess").did(t, "added ada, id ")
	one, o := login(t, s.url, "ada", password)
	if o.User.Nickname != "Countess" {
		t.Errorf("the nickname is %q", o.User.Nickname)
	}
	two, _ := login(t, s.url, "ada", password)
	op("", "show", "ADA").did(t, "nickname  Countess", "id        "+o.User.ID, "state     enabled", "sessions  2", "127.0.0.1")

	client{base: s.url}.do(t, "POST", "/api/v1/sessions", map[string]string{"username": "ada", "password": password},
		"User-Agent", "browser \u200f\u202e\u0085 end").want(t, 201)
	if text := op("", "show", "ada").did(t, "browser", "end").stdout; strings.ContainsAny(text, "\u200f\u202e\u0085") {
		t.Errorf("characters that steer a terminal are printed: %q", text)
	}
	op("", "disable", "ada").did(t, "disabled ada")
	if one.alive(t) || two.alive(t) {
		t.Error("a session of a disabled user is answered")
	}
	refusedLogin(t, s.url, "ada", password)
	op("", "show", "ada").did(t, "state     disabled", "sessions  0")

	op("", "enable", "ada").did(t, "enabled ada")
	if one.alive(t) {
		t.Error("an ended session came back")
	}
	one, _ = login(t, s.url, "ada", password)

	op(otherPassword, "set-password", "ada").did(t, "password of ada set")
	if one.alive(t) {
		t.Error("a session outlived the password")
	}
	refusedLogin(t, s.url, "ada", password)
	one, _ = login(t, s.url, "ada", otherPassword)

	op("", "end-sessions", "ada").did(t, "ended all sessions of ada")
	if one.alive(t) {
		t.Error("an ended session is answered")
	}
	one, _ = login(t, s.url, "ada", otherPassword)

	op("", "delete", "ada").says(t, 2, "--yes")
	if !one.alive(t) {
		t.Error("a refused deletion did something")
	}
	op("", "delete", "ada", "--yes").did(t, "deleted ada")
	if one.alive(t) {
		t.Error("a session of a deleted user is answered")
	}
	refusedLogin(t, s.url, "ada", otherPassword)
	client{base: s.url}.do(t, "GET", "/api/v1/users/ada", nil).want(t, 404)
	if text := s.out.String(); strings.Contains(text, password) || strings.Contains(text, otherPassword) {
		t.Error("a password is in the log")
	}
}

func TestOperatorCommandsSayWhatIsWrong(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	start(t, append([]string{"serve", "--data", data, "--password-min", "15"}, cheap...)...)
	op := operating(t, "--data", data)
	op(password, "add", "ada").did(t)
	op(password, "add", "ADA").says(t, 1, `username "ADA" is taken`)
	op(password, "add", "x").says(t, 1, "username must be 3 to 32 characters long")
	op(password, "add", "bob", "--nickname", "a\u202eb").says(t, 1, "nickname must be valid UTF-8")
	op("violet-92-k", "add", "bob").says(t, 1, "password is too short") // by the settings of the backend
	op("violet-92-k", "set-password", "ada").says(t, 1, "password is too short")
	op("", "add", "bob").says(t, 2, "standard input, which is empty")
	op("one\ntwo\n", "add", "bob").says(t, 2, "more than one line")
	op(strings.Repeat("a", 5000), "add", "bob").says(t, 2, "longer than")
	for _, verb := range []string{"show", "disable", "enable", "end-sessions"} {
		op("", verb, "nobody-here").says(t, 1, `there is no user "nobody-here"`)
	}
	op(password, "set-password", "nobody-here").says(t, 1, `there is no user "nobody-here"`)
	op("", "delete", "nobody-here", "--yes").says(t, 1, `there is no user "nobody-here"`)
	op("", "list", "--limit", "-1").says(t, 2, "--limit")
	op("", "list", "--offline").says(t, 1, "--offline", "operator.sock")
	if o := op("", "list", "--json").did(t); strings.Count(o.stdout, "\n") != 1 {
		t.Errorf("there are now %s", o.stdout)
	}
	op("", "list", "--database", "sqlite:"+filepath.Join(data, "gatehouse.db")).did(t, "ada")
	op("", "list", "--database", "sqlite:"+filepath.Join(data, "other.db")).says(t, 1, "gatehouse.db", "other.db", "--data")
	op("", "list", "--database", "mysql://u:hunter2@127.0.0.1:1/db").says(t, 1, "gatehouse.db", "mysql:db")
	users(t, "", "list", "--operator", "127.0.0.1:7000").says(t, 2, "unix:///path")
	users(t, "", "list", "--operator", "unix:///nowhere/at/all").says(t, 1, "--operator unix:///nowhere/at/all")
	users(t, "", "list", "--data", filepath.Join(data, "missing")).says(t, 1, "no database", "--data")
	users(t, "", "disable", "ada", "--database", "mysql://gate@127.0.0.1:1/x", "--data", filepath.Join(data, "missing")).says(t, 2, "--operator", "--offline")
}

// listed are the usernames of the lines of a list.
func listed(t testing.TB, o outcome) (names []string) {
	t.Helper()
	o.did(t)
	for line := range strings.Lines(o.stdout) {
		var u struct {
			ID, Username, Nickname string
			Disabled               bool
		}
		if err := json.Unmarshal([]byte(line), &u); err != nil || u.ID == "" {
			t.Fatalf("line %q: %v", line, err)
		}
		names = append(names, u.Username)
	}
	return names
}

func TestOperatorListsEveryAccountOnce(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	s := start(t, "backend", "--data", data)
	const count = 2500
	op := operating(t, "--data", data)
	op("", "generate", "--count", fmt.Sprint(count), "--hash-params", "argon2id:m=7168,t=1,p=1").did(t)
	want := make([]string, count)
	for i := range want {
		want[i] = fmt.Sprintf("user%08d", i+1)
	}
	check := func(how string) {
		t.Helper()
		if got := listed(t, op("", "list", "--json", "--limit", "0")); !slices.Equal(got, want) {
			t.Errorf("%s, all at once: %d accounts, want %d in order", how, len(got), count)
		}
		var got []string
		for after := ""; ; {
			page := listed(t, op("", "list", "--json", "--limit", "700", "--after", after))
			got = append(got, page...)
			if len(page) < 700 {
				break
			}
			after = page[len(page)-1]
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s, in parts: %d accounts, want %d in order", how, len(got), count)
		}
	}
	check("through the backend")
	o := op("", "list").did(t, "USERNAME", "user00000001 ", "enabled", "User 00000100")
	if strings.Count(o.stdout, "\n") != 101 || !strings.Contains(o.stderr, "--after user00000100") {
		t.Errorf("a table of %d lines, and %q", strings.Count(o.stdout, "\n"), o.stderr)
	}
	if o := op("", "list", "--after", "user00002499").did(t, "user00002500"); strings.Contains(o.stderr, "--after") {
		t.Errorf("after the last page: %q", o.stderr)
	}
	s.stop(t)
	check("without a backend")
}

func TestOperatorCommandsWorkWithoutABackendOnSQLite(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	op := operating(t, "--data", data, "--hash-params", "argon2id:m=7168,t=1,p=1")
	plainly := operating(t, "--data", data)
	op(password, "add", "ada").says(t, 1, "no database", "migrate up")
	if list, err := os.ReadDir(data); err != nil || len(list) != 0 {
		t.Errorf("a command made %v, %v", list, err)
	}
	run(t, nil, "migrate", "up", "--data", data).says(t, 0)
	for _, name := range []string{"ada", "bob", "eve"} {
		op(password, "add", name).did(t, "added "+name)
	}
	op("short", "add", "grace", "--password-min", "4").says(t, 1, "password is too easily guessed")
	op("violet-92-k", "add", "grace", "--password-min", "15").says(t, 1, "password is too short")
	op(otherPassword, "set-password", "bob").did(t)
	plainly("", "disable", "eve").did(t).says(t, 0, "no backend answers", "working directly")

	s := start(t, append([]string{"serve", "--data", data}, cheap...)...)
	ada, _ := login(t, s.url, "ada", password)
	bob, _ := login(t, s.url, "bob", otherPassword)
	refusedLogin(t, s.url, "bob", password)
	refusedLogin(t, s.url, "eve", password)
	s.stop(t)

	plainly("", "show", "ada").did(t, "sessions  1")
	plainly("", "end-sessions", "ada").did(t)
	plainly("", "show", "ada").did(t, "sessions  0")
	plainly("", "enable", "eve").did(t)
	if names := listed(t, plainly("", "list", "--json")); !slices.Equal(names, []string{"ada", "bob", "eve"}) {
		t.Errorf("there are %v", names)
	}
	s = s.again(t)
	if ada.base, bob.base = s.url, s.url; ada.alive(t) || !bob.alive(t) {
		t.Errorf("alive are ada's session: %v, bob's: %v; want bob's", ada.alive(t), bob.alive(t))
	}
	login(t, s.url, "eve", password)
	s.stop(t)
	plainly("", "delete", "bob", "--yes").did(t)
	if names := listed(t, plainly("", "list", "--json")); !slices.Equal(names, []string{"ada", "eve"}) {
		t.Errorf("there are %v", names)
	}
}

func TestOperatorCommandsOnMariaDB(t *testing.T) {
	t.Parallel()
	database := testenv.MariaDB(t).URL()
	data := testenv.TempDir(t)
	op := operating(t, "--data", data, "--database", database)
	s := start(t, append([]string{"serve", "--data", data, "--database", database}, cheap...)...)
	op(password, "add", "ada").did(t)
	op(password, "add", "bob").did(t)
	ada, _ := login(t, s.url, "ada", password)
	op("", "disable", "ada").did(t)
	if ada.alive(t) {
		t.Error("the session of a disabled user is answered")
	}
	if names := listed(t, op("", "list", "--json", "--limit", "1")); !slices.Equal(names, []string{"ada"}) {
		t.Errorf("the first is %v", names)
	}
	s.stop(t)
	op("", "show", "ada").did(t, "state     disabled") // which changes nothing
	op("", "enable", "ada").says(t, 2, "--offline")
	op("", "enable", "ada", "--offline").did(t, "enabled ada")
	op(otherPassword, "set-password", "ada", "--offline").did(t)
	op("", "delete", "bob", "--yes", "--offline").did(t)
	s = s.again(t)
	login(t, s.url, "ada", otherPassword)
	refusedLogin(t, s.url, "bob", password)
}

// TestOperatorOfflineMindsTheCacheOfOthers changes accounts behind the back of
// a backend whose cache remembers them.
func TestOperatorOfflineMindsTheCacheOfOthers(t *testing.T) {
	t.Parallel()
	database, cache := testenv.MariaDB(t).URL(), testenv.Redis(t).URL()
	s := start(t, append([]string{"serve", "--database", database, "--cache", cache}, cheap...)...)
	offline := operating(t, "--offline", "--data", testenv.TempDir(t), "--database", database)
	for _, flags := range [][]string{
		{"--cache", cache}, // which the change marks
		nil,                // so that the backend is made to do without
	} {
		c, o := register(t, s.url, newName())
		for range 3 {
			c.profile(t) // which the cache remembers
		}
		offline("", append([]string{"disable", o.User.Username}, flags...)...).did(t)
		if c.alive(t) {
			t.Errorf("with %v the session is answered from the cache", flags)
		}
	}
}

func TestOperatorInterruptedAtThePromptLeavesTheTerminalAsItWas(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	start(t, append([]string{"backend", "--data", data}, cheap...)...)
	c := converse(t, "users", "add", "ada", "--data", data)
	c.expect("New password of ada: ")
	if c.echoes() {
		t.Error("what is typed is shown")
	}
	c.cmd.Process.Signal(syscall.SIGINT)
	if status, echoes := c.end(); status != 1 || !echoes || !strings.Contains(c.text(), "nothing was changed") {
		t.Errorf("exited %d and showed %q, and the terminal shows what is typed: %v", status, c.text(), echoes)
	}
	if names := listed(t, users(t, "", "list", "--json", "--data", data)); len(names) != 0 {
		t.Errorf("there are %v", names)
	}
}

func TestOperatorIsAskedOnATerminal(t *testing.T) {
	t.Parallel()
	data := testenv.TempDir(t)
	s := start(t, append([]string{"serve", "--data", data}, cheap...)...)
	type line struct{ question, answer string }
	for _, test := range []struct {
		args   []string
		lines  []line
		status int
		want   string
	}{
		{[]string{"add", "ada"}, []line{{"New password of ada: ", password}, {"Once more: ", otherPassword}}, 1, "differ"},
		{[]string{"add", "ada"}, []line{{"New password of ada: ", password}, {"Once more: ", password}}, 0, "added ada"},
		{[]string{"set-password", "ada"}, []line{{"New password of ada: ", otherPassword}, {"Once more: ", otherPassword}}, 0, "password of ada set"},
		{[]string{"delete", "ada"}, []line{{"Type ada to do it: ", "yes"}}, 1, "nothing was changed"},
	} {
		c := converse(t, append([]string{"users"}, append(test.args, "--data", data)...)...)
		for _, l := range test.lines {
			c.expect(l.question)
			c.answer(l.answer)
		}
		if status, echoes := c.end(); status != test.status || !echoes || !strings.Contains(c.text(), test.want) {
			t.Errorf("%v: exited %d and showed %q, want %d and %q", test.args, status, c.text(), test.status, test.want)
		}
		if text := c.text(); strings.Contains(text, password) || strings.Contains(text, otherPassword) {
			t.Errorf("%v: a password is shown: %q", test.args, text)
		}
	}
	ada, _ := login(t, s.url, "ada", otherPassword)
	c := converse(t, "users", "delete", "ada", "--data", data)
	c.expect("Type ada to do it: ")
	c.answer("ada")
	if status, _ := c.end(); status != 0 || ada.alive(t) {
		t.Errorf("exited %d and showed %q; the session is answered: %v", status, c.text(), ada.alive(t))
	}
}
