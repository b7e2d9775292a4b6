package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/testenv"
)

const (
	// what crypt(3) made of "correct horse é", and OpenSSL of the same
	bcryptHash = "$2b$05$abcdefghijklmnopqrstuuNKTrdYIyJepeBe0WMJS4ZyMwX4aEJLK"
	scryptHash = "$scrypt$ln=10,r=8,p=2$++++AAECAwQFBgcICQoLDA$KqUbLf0FaWrqfbMSHmOWPpU5oxkntCX6y9PQg5qkmK0"
	pbkdf2Hash = "$pbkdf2-sha256$1000$....AAECAwQFBgcICQoLDA$EmkUiNZPhtq9ykNprqbgXUrG7fNWgivTwJZIkEBkiqo"
	// what the reference implementation made of "password"
	argon2Hash = "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"
)

// exported returns what users export says of each account.
func exported(t *testing.T, settings []string, args ...string) map[string]map[string]any {
	t.Helper()
	o := run(t, settings, append([]string{"users", "export"}, args...)...)
	o.says(t, 0)
	all := map[string]map[string]any{}
	for line := range strings.Lines(o.stdout) {
		var account map[string]any
		if err := json.Unmarshal([]byte(line), &account); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		name := account["username"].(string)
		if all[name] != nil {
			t.Errorf("%s is there twice", name)
		}
		all[name] = account
	}
	return all
}

func TestImportedPeopleLogInAndGetAHashOfOurs(t *testing.T) {
	t.Parallel()
	// One account of our own, from another installation.
	old := start(t, append([]string{"serve", "--data", testenv.TempDir(t)}, cheap...)...)
	native := newName()
	register(t, old.url, native)
	old.stop(t)
	file := filepath.Join(t.TempDir(), "accounts.ndjson")
	run(t, nil, "users", "export", "--data", dataOf(t, old), file).says(t, 0)

	passwords := map[string]string{"bcrypted": "correct horse é", "scrypted": "correct horse é", "pbkdf2ed": "correct horse é", "argonned": "password", native: password}
	var foreign strings.Builder
	for name, hash := range map[string]string{"bcrypted": bcryptHash, "scrypted": scryptHash, "pbkdf2ed": pbkdf2Hash, "argonned": argon2Hash} {
		fmt.Fprintf(&foreign, "{\"username\":%q,\"nickname\":\"Of %s\",\"credential\":%q}\n", name, name, hash)
	}
	fmt.Fprintf(&foreign, "{\"username\":\"turned-off\",\"disabled\":true,\"credential\":%q}\n", bcryptHash)
	others := filepath.Join(t.TempDir(), "others.ndjson")
	if err := os.WriteFile(others, []byte(foreign.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	data := testenv.TempDir(t)
	run(t, nil, "users", "import", "--data", data, file).says(t, 0)
	run(t, nil, "users", "import", "--data", data, others).says(t, 0)
	before := exported(t, nil, "--data", data)
	if before["bcrypted"]["credential"] != bcryptHash || len(before) != 6 {
		t.Fatalf("imported were %v", before)
	}

	s := start(t, append([]string{"serve", "--data", data}, cheap...)...)
	run(t, nil, "users", "import", "--data", data, others).says(t, 1, "cannot be imported into a file that a backend is using")
	for name, plain := range passwords {
		refuse := func(plain string) {
			client{base: s.url}.do(t, "POST", "/api/v1/sessions", map[string]string{"username": name, "password": plain}).want(t, 401)
		}
		refuse(plain + "x")
		for range 2 { // by the hash that was imported, and by ours
			c, _ := login(t, s.url, name, plain)
			if got := c.profile(t); got.Username != name {
				t.Errorf("%s got the profile of %s", name, got.Username)
			}
		}
		refuse(plain + "x")
	}
	client{base: s.url}.do(t, "POST", "/api/v1/sessions", map[string]string{"username": "turned-off", "password": "correct horse é"}).want(t, 401)
	s.stop(t)

	after := exported(t, nil, "--data", data)
	for name := range passwords {
		if hash := after[name]["credential"].(string); !strings.HasPrefix(hash, "$argon2id$v=19$m=7168,t=1,p=1$") || after[name]["password_form"] != "nfc" {
			t.Errorf("after a login %s has %s", name, hash)
		}
	}
	if after["turned-off"]["credential"] != bcryptHash {
		t.Errorf("turned-off has %v", after["turned-off"]["credential"])
	}
}

// dataOf returns the data folder of a process.
func dataOf(t *testing.T, p *process) string {
	t.Helper()
	for i, arg := range p.args {
		if arg == "--data" {
			return p.args[i+1]
		}
	}
	t.Fatal("no --data")
	return ""
}

// migrants is an import of many lines, one of a hundred of them bad.
func migrants(lines int) (text []byte, good, bad map[string]int) {
	var b bytes.Buffer
	good, bad = map[string]int{}, map[string]int{}
	for i := 1; i <= lines; i++ {
		name := fmt.Sprintf("person%06d", i)
		if i%100 != 50 {
			good[name] = i
			fmt.Fprintf(&b, "{\"username\":%q,\"nickname\":\"Person %d 🦊\\\\N\",\"credential\":%q}\n", name, i, bcryptHash)
			continue
		}
		switch i / 100 % 4 {
		case 0:
			fmt.Fprintf(&b, "{\"username\":%q,\"credential\":\"hunter2\"}\n", name)
		case 1: // the name of the line before, which may be in since the time before
			name = fmt.Sprintf("person%06d", i-1)
			fmt.Fprintf(&b, "{\"username\":%q,\"credential\":%q}\n", name, scryptHash)
		case 2:
			name = ""
			fmt.Fprintf(&b, "{\"username\":\"person%06d\n", i)
		case 3:
			name = "x y"
			fmt.Fprintf(&b, "{\"username\":%q,\"credential\":%q}\n", name, bcryptHash)
		}
		bad[fmt.Sprint(i)+" "+name] = i
	}
	return b.Bytes(), good, bad
}

func TestImportKilledInTheMiddleGoesOnWhenRunAgain(t *testing.T) {
	t.Parallel()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		killedImport(t, "sqlite:"+filepath.Join(testenv.TempDir(t), "gatehouse.db"))
	})
	t.Run("mariadb", func(t *testing.T) {
		t.Parallel()
		killedImport(t, testenv.MariaDB(t).URL())
	})
}

func killedImport(t *testing.T, url string) {
	settings := []string{"GATEHOUSE_DATABASE=" + url}
	text, good, bad := migrants(50_000)
	folder := t.TempDir()
	file, rejects := filepath.Join(folder, "people.ndjson"), filepath.Join(folder, "rejects.ndjson")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, settings, "migrate", "up").says(t, 0)
	// The first is killed while it waits for more, the second wherever it is.
	half := text[:len(text)/2]
	killAt(t, settings, len(good)/5, func(stdin io.Writer) { stdin.Write(half) })
	killAt(t, settings, len(good)/2, func(stdin io.Writer) { stdin.Write(text) })
	there := len(exported(t, settings))
	if there == 0 || there > len(good) {
		t.Fatalf("%d accounts were there after the kills", there)
	}

	o := run(t, settings, "users", "import", "--rejects", rejects, file)
	o.says(t, 1, fmt.Sprintf("%d lines were refused; all others are in", len(bad)))
	said := strings.ReplaceAll(o.stdout, ",", "")
	if !strings.Contains(said, fmt.Sprintf("imported %d accounts", len(good)-there)) || !strings.Contains(said, fmt.Sprintf("%d lines were already there", there)) {
		t.Errorf("said %q; %d of %d were there", o.stdout, there, len(good))
	}
	checkPeople(t, exported(t, settings), good)
	checkRejects(t, rejects, bad)
	run(t, settings, "users", "import", file).says(t, 1, fmt.Sprintf("%d lines were refused", len(bad)))
	if again := exported(t, settings); len(again) != len(good) {
		t.Errorf("a third import made them %d", len(again))
	}
}

// killAt starts an import from standard input and kills it once there are so
// many accounts, or all that it was given.
func killAt(t *testing.T, settings []string, accounts int, feed func(stdin io.Writer)) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, "users", "import", "-")
	cmd.Dir, cmd.Env = t.TempDir(), append(cleanEnvironment(), settings...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	fed := make(chan struct{})
	go func() {
		defer close(fed)
		feed(stdin) // until the reader is gone
	}()
	testenv.WaitFor(t, patience, "the import to get somewhere", func() bool {
		o := run(t, settings, "users", "export")
		return o.status == 0 && strings.Count(o.stdout, "\n") >= accounts
	})
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-fed
	if err := cmd.Wait(); err == nil {
		t.Error("the import ended well before it was killed")
	}
}

func checkPeople(t *testing.T, all map[string]map[string]any, good map[string]int) {
	t.Helper()
	if len(all) != len(good) {
		t.Errorf("there are %d accounts, want %d", len(all), len(good))
	}
	for name, i := range good {
		if got := all[name]; got["credential"] != bcryptHash || got["nickname"] != fmt.Sprintf("Person %d 🦊\\N", i) {
			t.Fatalf("%s is %v", name, got)
		}
	}
}

func checkRejects(t *testing.T, path string, bad map[string]int) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		var r struct {
			Line             int
			Reason, Username string
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		key := fmt.Sprint(r.Line) + " " + r.Username
		if bad[key] != r.Line || seen[key] || r.Reason == "" {
			t.Errorf("refused line %d of %q: %s", r.Line, r.Username, r.Reason)
		}
		seen[key] = true
	}
	if len(seen) != len(bad) {
		t.Errorf("%d lines were refused, want %d", len(seen), len(bad))
	}
}
