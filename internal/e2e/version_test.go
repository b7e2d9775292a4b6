package e2e_test

import (
	"bufio"
	"database/sql"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql"
	_ "modernc.org/sqlite"

	"gatehouse/internal/testenv"
)

// What released versions said and kept lies in testdata, in a folder for each:
//
//	link.txt    a conversation of a webserver of that version with its backend;
//	            $name stands for a text that is made anew each time
//	sqlite.sql  a database that it left behind, with one account whose session
//	            lives for a hundred years; its token is in sqlite.token
//	mysql.sql   the same in MariaDB
//
// The folders are never changed. A new version adds its own.

// released returns the paths of a file of each released version.
func released(t *testing.T, file string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "*", file))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no %s of any version (%v)", file, err)
	}
	return paths
}

// TestOlderWebserversAreAnsweredAsTheyWere plays the part of a webserver of
// each released version.
func TestOlderWebserversAreAnsweredAsTheyWere(t *testing.T) {
	t.Parallel()
	for _, path := range released(t, "link.txt") {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b := start(t, append([]string{"backend"}, cheap...)...)
			conn, err := net.Dial("tcp", b.link)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(patience))
			r := bufio.NewReader(conn)
			known := map[string]string{}
			for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
				direction, frame, _ := strings.Cut(line, " ")
				if direction == "→" {
					if _, err := fmt.Fprintln(conn, fill(frame, known)); err != nil {
						t.Fatal(err)
					}
					continue
				}
				got, err := r.ReadString('\n')
				if err != nil {
					t.Fatalf("line %d: no answer: %v", i+1, err)
				}
				if err := covers(parse(t, frame), parse(t, got), known); err != nil {
					t.Fatalf("line %d: %v\n got %swant %s", i+1, err, got, frame)
				}
			}
		})
	}
}

var placeholder = regexp.MustCompile(`\$[a-z0-9_]+`)

func fill(frame string, known map[string]string) string {
	return placeholder.ReplaceAllStringFunc(frame, func(name string) string { return known[name] })
}

func parse(t *testing.T, text string) (v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

// covers tells where got lacks something of want. It may hold more.
func covers(want, got any, known map[string]string) error {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			return fmt.Errorf("%v is no object", got)
		}
		for name, value := range want {
			if _, ok := got[name]; !ok {
				return fmt.Errorf("%q is missing", name)
			}
			if err := covers(value, got[name], known); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
		return nil
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			return fmt.Errorf("%v is no list of %d", got, len(want))
		}
		for i := range want {
			if err := covers(want[i], got[i], known); err != nil {
				return fmt.Errorf("%d: %w", i, err)
			}
		}
		return nil
	case string:
		got, ok := got.(string)
		if !ok {
			return fmt.Errorf("%v is no text", got)
		}
		if placeholder.FindString(want) != want || want == "" {
			break
		}
		if text, ok := known[want]; ok && text != got {
			return fmt.Errorf("%q is not %q, the text of %s before", got, text, want)
		}
		if known[want] = got; got == "" {
			return fmt.Errorf("empty where %s was", want)
		}
		return nil
	}
	if want != got {
		return fmt.Errorf("%v, want %v", got, want)
	}
	return nil
}

// TestOlderDatabasesAreServed starts on what each released version left
// behind. The account's session, password and nickname are as they were.
func TestOlderDatabasesAreServed(t *testing.T) {
	t.Parallel()
	open := map[string]func(t *testing.T) (driver, dsn string, flags []string){
		"sqlite.sql": func(t *testing.T) (driver, dsn string, flags []string) {
			dir := testenv.TempDir(t)
			return "sqlite", filepath.Join(dir, "gatehouse.db"), []string{"--data", dir}
		},
		"mysql.sql": func(t *testing.T) (driver, dsn string, flags []string) {
			db := testenv.MariaDB(t)
			return "mysql", db.DSN() + "?multiStatements=true", []string{"--database", db.URL()}
		},
	}
	for file, open := range open {
		for _, path := range released(t, file) {
			t.Run(path, func(t *testing.T) {
				t.Parallel()
				driver, dsn, flags := open(t)
				restore(t, driver, dsn, path)
				p := start(t, append(append([]string{"serve", "--session-idle", "876000h"}, flags...), cheap...)...)
				token, err := os.ReadFile(strings.TrimSuffix(path, ".sql") + ".token")
				if err != nil {
					t.Fatal(err)
				}
				c := client{base: p.url, token: strings.TrimSpace(string(token))}
				if u := c.profile(t); u.Username != "ada" || u.Nickname != "Ada 🦊" {
					t.Errorf("the profile is %+v", u)
				}
				c, _ = login(t, p.url, "ada", password)
				c.do(t, "PATCH", "/api/v1/profile", map[string]string{"nickname": "Countess"}).want(t, 200)
				if u := c.profile(t); u.Nickname != "Countess" {
					t.Errorf("after a change the profile is %+v", u)
				}
			})
		}
	}
}

// restore runs the statements of a dump.
func restore(t *testing.T, driver, dsn, path string) {
	t.Helper()
	dump, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), string(dump)); err != nil {
		t.Fatalf("restore %s: %v", path, err)
	}
}
