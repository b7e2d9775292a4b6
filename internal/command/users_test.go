package command_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"gatehouse/backend/password"
	"gatehouse/backend/store"
	"gatehouse/backend/user"
	"gatehouse/internal/command"
	"gatehouse/internal/testenv"
	"gatehouse/stresstest"
)

// databases runs a test on an empty database of each kind, by its URL.
func databases(t *testing.T, f func(t *testing.T, newURL func() string)) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		f(t, func() string { return "sqlite:" + filepath.Join(t.TempDir(), "new", "gatehouse.db") })
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		f(t, func() string { return testenv.MariaDB(t).URL() })
	})
}

// users runs a users command on a database.
func users(t *testing.T, url, stdin string, args ...string) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status := command.Run(t.Context(), append([]string{"users"}, args...), []string{"GATEHOUSE_DATABASE=" + url}, strings.NewReader(stdin), &stdout, &stderr)
	return outcome{status, stdout.String(), stderr.String()}
}

func (o outcome) want(t *testing.T, status int, words ...string) outcome {
	t.Helper()
	if o.status != status {
		t.Fatalf("exited %d, want %d\n%s%s", o.status, status, o.stdout, o.stderr)
	}
	for _, w := range words {
		if !strings.Contains(o.stdout+o.stderr, w) {
			t.Errorf("said %q, want %q in it", o.stdout+o.stderr, w)
		}
	}
	return o
}

func openStore(t *testing.T, url string) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), store.Config{URL: url, Shared: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

const quick = "--hash-params=argon2id:m=7168,t=1,p=1"

func TestGenerateMakesTheDatabaseAndTheAccounts(t *testing.T) {
	databases(t, func(t *testing.T, newURL func() string) {
		url, key := newURL(), file(t, "key of the sessions")
		users(t, url, "", "generate", "--count", "300", quick, "--session-key-file", key).want(t, 0,
			"made 300 accounts", "verified: 300 counted, 100 read back with their sessions, the passwords of 4 of them right", "bytes a user")
		s := openStore(t, url)
		hasher, err := password.New(password.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer hasher.Close()
		u, credential, err := s.CredentialByName(t.Context(), "user00000257")
		if err != nil || u.ID != 257 || u.Nickname != "User 00000257" {
			t.Fatalf("%+v, %v", u, err)
		}
		if ok, _, err := hasher.Verify(t.Context(), credential, "gatehouse-load-1"); !ok || err != nil {
			t.Errorf("its password: %t, %v", ok, err)
		}
		if _, err := s.ByID(t.Context(), 301); err == nil {
			t.Error("there is a 301st")
		}
	})
}

// A run that was killed may have done more than it said, with a hole in it.
func TestGenerateResumesOverWhatIsThere(t *testing.T) {
	databases(t, func(t *testing.T, newURL func() string) {
		url := newURL()
		users(t, url, "", "generate", "--count", "1100", quick).want(t, 0)
		before, _, err := openStore(t, url).CredentialByName(t.Context(), "user00000050")
		if err != nil {
			t.Fatal(err)
		}
		users(t, url, "", "generate", "--start", "100", "--count", "201", "--remove").want(t, 0, "removed 201")
		users(t, url, "", "generate", "--start", "1050", "--count", "2000", quick).want(t, 0, "verified: 2,000 counted")
		users(t, url, "", "generate", "--count", "3049", quick).want(t, 0, "verified: 3,049 counted")
		if after, err := openStore(t, url).ByID(t.Context(), 50); err != nil || after != before {
			t.Errorf("account 50 became %+v, %v", after, err)
		}
	})
}

func TestGenerateLeavesOthersAlone(t *testing.T) {
	databases(t, func(t *testing.T, newURL func() string) {
		url := newURL()
		users(t, url, line("7", "ada")+line("", "bob"), "import", "-").want(t, 0, "imported 2")
		users(t, url, "", "generate", "--count", "3", quick).want(t, 1, "--force")
		users(t, url, "", "generate", "--count", "10", "--force", quick).want(t, 1, `id 7 is that of "ada"`, "resume with --start 1 --count 10")
		users(t, url, "", "generate", "--count", "3", "--force", quick).want(t, 0, "made 3")
		if all := export(t, url); len(all) != 5 {
			t.Errorf("there are %d accounts", len(all))
		}
	})
}

var resume = regexp.MustCompile(`all up to (\d+) are in; resume with --start (\d+) --count (\d+)`)

// All up to the number that an interrupted run prints must be there.
func TestGenerateNamesTheNumberToGoOnWith(t *testing.T) {
	databases(t, func(t *testing.T, newURL func() string) {
		url := newURL()
		const count = 3*store.MaxLoad + 100
		obstacle := 2*store.MaxLoad + 50
		users(t, url, line(fmt.Sprint(obstacle), "obstacle"), "import", "-").want(t, 0)
		o := users(t, url, "", "generate", "--count", fmt.Sprint(count), "--force", quick).want(t, 1, `"obstacle"`)
		m := resume.FindStringSubmatch(o.stderr)
		if m == nil {
			t.Fatalf("said %q", o.stderr)
		}
		upTo, _ := strconv.Atoi(m[1])
		if m[2] != fmt.Sprint(upTo+1) || m[3] != fmt.Sprint(count-upTo) || upTo >= obstacle {
			t.Errorf("said %q", m[0])
		}
		l, err := openStore(t, url).Loader(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if n, err := l.Count(t.Context(), 1, int64(upTo)); err != nil || n != upTo {
			t.Errorf("%d of the first %d are there, %v", n, upTo, err)
		}
		if strings.HasPrefix(url, "sqlite:") && upTo != 2*store.MaxLoad {
			t.Errorf("one after the other, and only %d are in", upTo)
		}
	})
}

func TestGenerateSaysOnceThatTheServerForbidsStreams(t *testing.T) {
	t.Parallel()
	url := testenv.PrivateMariaDB(t, "--local-infile=0").NewDatabase(t).URL()
	o := users(t, url, "", "generate", "--count", "700", quick).want(t, 0, "verified: 700 counted")
	if strings.Count(o.stderr, "local_infile") != 1 {
		t.Errorf("said %q", o.stderr)
	}
}

const bcryptHash = "$2b$05$abcdefghijklmnopqrstuuNKTrdYIyJepeBe0WMJS4ZyMwX4aEJLK"

// line is an account as import reads it.
func line(id, username string, more ...string) string {
	text := `{"username":"` + username + `","credential":"` + bcryptHash + `"`
	if id != "" {
		text += `,"id":"` + id + `"`
	}
	return text + strings.Join(more, "") + "}\n"
}

// export returns what is exported, by username.
func export(t *testing.T, url string) map[string]map[string]any {
	t.Helper()
	o := users(t, url, "", "export").want(t, 0)
	all := map[string]map[string]any{}
	for text := range strings.Lines(o.stdout) {
		var account map[string]any
		if err := json.Unmarshal([]byte(text), &account); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		all[account["username"].(string)] = account
	}
	if said := fmt.Sprintf("exported %d accounts", len(all)); !strings.Contains(strings.ReplaceAll(o.stderr, ",", ""), said) {
		t.Errorf("said %q, want %q", o.stderr, said)
	}
	return all
}

func TestExportAndImportGiveTheSameAccounts(t *testing.T) {
	databases(t, func(t *testing.T, newURL func() string) {
		first, second := newURL(), newURL()
		users(t, first, "", "generate", "--count", "2500", quick).want(t, 0)
		foreign := line("900000000000001", "ada", `,"nickname":"Ada <&> \"🦊\" \\N\u00a0é"`, `,"created_at":"2019-05-06T07:08:09.123456Z"`, `,"disabled":true`) +
			line("", "Bob") + strings.ReplaceAll(line("", "eve"), bcryptHash, "$pbkdf2-sha256$1000$....AAECAwQFBgcICQoLDA$EmkUiNZPhtq9ykNprqbgXUrG7fNWgivTwJZIkEBkiqo")
		users(t, first, foreign, "import", "-").want(t, 0, "imported 3 accounts")
		path := filepath.Join(t.TempDir(), "accounts.ndjson")
		users(t, first, "", "export", path).want(t, 0, "exported 2,503 accounts")
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("the file: %v, %v", info, err)
		}
		users(t, second, "", "import", path).want(t, 0, "imported 2,503 accounts")
		want, got := export(t, first), export(t, second)
		if !reflect.DeepEqual(got, want) || len(got) != 2503 {
			t.Errorf("%d accounts became %d, or others", len(want), len(got))
		}
		ada := map[string]any{"id": "900000000000001", "username": "ada", "nickname": "Ada <&> \"🦊\" \\N\u00a0é",
			"created_at": "2019-05-06T07:08:09.123456Z", "disabled": true, "credential": bcryptHash}
		if !reflect.DeepEqual(got["ada"], ada) || got["bob"]["nickname"] != "bob" || got["user00000001"]["password_form"] != "nfc" {
			t.Errorf("ada is %v, bob %v, user00000001 %v", got["ada"], got["bob"], got["user00000001"])
		}
		users(t, second, "", "import", path).want(t, 0, "imported 0 accounts", "2,503 lines were already there")
	})
}

func TestImportRefusesBadLinesAndTakesAllOthers(t *testing.T) {
	databases(t, func(t *testing.T, newURL func() string) {
		url := newURL()
		users(t, url, line("5", "taken")+line("6", "bystander"), "import", "-").want(t, 0)
		bad := []struct{ text, reason, username string }{
			{"{\n", "ends too early", ""},
			{"nonsense\n", "malformed JSON", ""},
			{line("", "more")[:20] + "\n", "malformed JSON", ""},
			{strings.TrimSpace(line("", "twice")) + "{}\n", "more than one value", "twice"},
			{"{\"username\":\"latin\xe9\"}\n", "not UTF-8", ""},
			{line("", "extra", `,"admin":true`), `unknown field "admin"`, "extra"},
			{line("", "wrongkind", `,"disabled":"no"`), "disabled is a string", "wrongkind"},
			{line("", "ab"), "3 to 32 characters", "ab"},
			{line("", "no spaces"), "username must", "no spaces"},
			{line("", "admin"), "reserved", "admin"},
			{strings.Replace(line("", "taken"), "$2b$", "$2a$", 1), "username is taken", "taken"},
			{line("5", "fresh"), "id 5 is taken by another account", "fresh"},
			{line("0", "zero"), "id is not", "zero"},
			{line("-1", "minus"), "id is not", "minus"},
			{line("9223372036854775808", "toolarge"), "id is not", "toolarge"},
			{line("", "turned", `,"nickname":"a\u202eb"`), "nickname must", "turned"},
			{line("", "early", `,"created_at":"1969-12-31T23:59:59Z"`), "created_at is before 1970", "early"},
			{line("", "late", `,"created_at":"2999-01-01T00:00:00Z"`), "in the future", "late"},
			{line("", "notime", `,"created_at":"yesterday"`), "created_at is not", "notime"},
			{line("", "form", `,"password_form":"nfd"`), "password_form", "form"},
			{`{"username":"nohash"}` + "\n", "unsupported password hash", "nohash"},
			{strings.Replace(line("", "dear"), "$05$", "$31$", 1), "cost is 31", "dear"},
			{line("", "long", `,"nickname":"`+strings.Repeat("x", 20_000)+`"`), "longer than 8192 bytes", ""},
			{"[]\n", "not an object", ""},
		}
		var input strings.Builder
		want := map[int]string{}
		number := 0
		for i, b := range bad {
			input.WriteString(line("", fmt.Sprintf("good%d", i)) + "\n" + b.text)
			number += 3
			want[number] = b.reason
		}
		input.WriteString(strings.TrimSpace(line("", "last"))) // without a line end
		rejects := filepath.Join(t.TempDir(), "rejects")
		o := users(t, url, input.String(), "import", "--rejects", rejects, "-").want(t, 1,
			fmt.Sprintf("imported %d accounts", len(bad)+1), fmt.Sprintf("%d lines were refused", len(bad)))
		checkRejects(t, rejects, o.stderr, want)
		all := export(t, url)
		if len(all) != len(bad)+3 || all["last"] == nil || all["good0"] == nil || all["taken"]["id"] != "5" {
			t.Errorf("there are %d accounts", len(all))
		}
		if strings.Contains(o.stderr, "abcdefghijklmnopqrstuu") {
			t.Errorf("a hash was printed: %s", o.stderr)
		}
		users(t, url, input.String(), "import", "-").want(t, 1, "imported 0 accounts", fmt.Sprintf("%d lines were already there", len(bad)+1))
	})
}

func checkRejects(t *testing.T, path, said string, want map[int]string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	last, count := 0, 0
	for one := range strings.Lines(string(text)) {
		var r struct {
			Line             int
			Reason, Username string
		}
		if err := json.Unmarshal([]byte(one), &r); err != nil {
			t.Fatalf("%q: %v", one, err)
		}
		if reason := want[r.Line]; reason == "" || !strings.Contains(r.Reason, reason) {
			t.Errorf("line %d: %q, want %q", r.Line, r.Reason, reason)
		}
		if r.Line <= last || !strings.Contains(said, fmt.Sprintf("line %d: %s (username %q)\n", r.Line, r.Reason, r.Username)) {
			t.Errorf("line %d comes after %d, or was not said", r.Line, last)
		}
		last = r.Line
		count++
	}
	if count != len(want) {
		t.Errorf("%d lines were refused, want %d", count, len(want))
	}
}

// Of two lines of a name the first is taken, be they far apart or near.
func TestImportTakesTheFirstLineOfAName(t *testing.T) {
	databases(t, func(t *testing.T, newURL func() string) {
		url := newURL()
		var input strings.Builder
		input.WriteString(line("", "ada") + line("", "ADA", `,"disabled":true`) + strings.Replace(line("", "ada"), "$2b$", "$2y$", 1))
		for i := range 6000 {
			input.WriteString(line("", fmt.Sprintf("between%d", i)))
		}
		input.WriteString(strings.Replace(line("", "Ada"), "$2b$", "$2a$", 1))
		o := users(t, url, input.String(), "import", "-").want(t, 1, "imported 6,001 accounts", "1 lines were already there", "2 lines were refused")
		if lines := regexp.MustCompile(`(?m)^line (\d+): username is taken \(username "ada"\)$`).FindAllStringSubmatch(o.stderr, -1); len(lines) != 2 ||
			lines[0][1] != "3" || lines[1][1] != "6004" {
			t.Errorf("said %q", o.stderr)
		}
		if got := export(t, url)["ada"]["credential"]; got != bcryptHash {
			t.Errorf("ada has %v", got)
		}
	})
}

// Somebody may log in, which replaces a foreign hash, before an import that
// was interrupted is run again.
func TestImportKnowsItsLinesAgainAfterALogin(t *testing.T) {
	databases(t, func(t *testing.T, newURL func() string) {
		url := newURL()
		input := line("", "plain") + line("77", "numbered") + line("", "dated", `,"created_at":"2020-01-02T03:04:05Z"`)
		users(t, url, input, "import", "-").want(t, 0, "imported 3")
		s := openStore(t, url)
		own := password.Credential{Params: password.DefaultParams()}.Encode()
		for _, name := range []string{"plain", "numbered", "dated"} {
			u, err := s.ByName(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Update(t.Context(), user.Change{ID: u.ID, Version: u.Version, Credential: own}); err != nil {
				t.Fatal(err)
			}
		}
		s.Close()
		users(t, url, input, "import", "-").want(t, 0, "imported 0", "3 lines were already there")
		others := strings.ReplaceAll(line("", "plain")+line("78", "numbered")+line("", "dated", `,"created_at":"2020-01-02T03:04:06Z"`), "$2b$", "$2y$")
		users(t, url, others, "import", "-").want(t, 1, "imported 0", "3 lines were refused")
	})
}

func TestImportNeedsTheFileForItself(t *testing.T) {
	t.Parallel()
	url := "sqlite:" + filepath.Join(t.TempDir(), "gatehouse.db")
	s, err := store.Open(t.Context(), store.Config{URL: url})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	users(t, url, line("", "ada"), "import", "-").want(t, 1, "cannot be imported into a file that a backend is using", "in use by another gatehouse")
	users(t, url, "", "generate", "--count", "5", quick).want(t, 0, "made 5")
	if all := export(t, url); len(all) != 5 || all[stresstest.Username(5)] == nil {
		t.Errorf("there are %v", all)
	}
}

func TestUsersCommandsNameTheFix(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty := "sqlite:" + filepath.Join(dir, "empty.db")
	if err := os.WriteFile(filepath.Join(dir, "empty.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	users(t, "sqlite:"+dir+"/none/gatehouse.db", "", "export").want(t, 1, "no such file", "gatehouse migrate up")
	users(t, empty, "", "export").want(t, 1, "gatehouse migrate up")
	users(t, empty, "", "import", filepath.Join(dir, "no such file")).want(t, 1, "no such file")
	users(t, empty, "", "import").want(t, 2, "<file>")
	users(t, empty, "", "import", "--rejects", dir+"/none/r", "-").want(t, 1, "--rejects")
	same := file(t, line("", "ada"))
	users(t, empty, "", "import", "--rejects", same, same).want(t, 2, "is the file that is imported")
	if text, err := os.ReadFile(same); err != nil || string(text) != line("", "ada") {
		t.Errorf("the input became %q, %v", text, err)
	}
	users(t, empty, "", "import", "-").want(t, 0, "imported 0 accounts")
	users(t, empty, "", "export", dir+"/none/x").want(t, 1, "export accounts", "none/x")
	for _, wrong := range [][]string{{"--count", "0"}, {"--count", "5", "--start", "0"}, {"--count", "99999999", "--start", "2"}} {
		users(t, empty, "", append([]string{"generate"}, wrong...)...).want(t, 2, "--start")
	}
	if left, err := filepath.Glob(dir + "/*.tmp"); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
