package e2e_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/testenv"
)

// quickHash makes the 256 passwords of generated accounts quickly.
const quickHash = "argon2id:m=7168,t=1,p=1"

// tinyMatrix are flags for the least that a matrix can measure.
func tinyMatrix(more ...string) []string {
	return append([]string{"stresstest", "matrix", "--users", "100", "--pool", "2", "--workers", "5", "--rate", "20", "--cache", "on,off", "--replicas", "1",
		"--login-rate", "0", "--duration", "1s", "--warmup", "200ms", "--hash-params", quickHash}, more...)
}

// matrixJSON is what --json says of a matrix.
type matrixJSON struct {
	Cells []struct {
		Logins, Cache           bool
		Requests, Wrong, Errors int64
		NotSent                 int64 `json:"not_sent"`
		Metrics                 map[string]struct{ Median float64 }
	}
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(content, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func TestMatrixMeasuresTheEmbeddedDefaultAndGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	document, out, numbers := filepath.Join(dir, "page.md"), filepath.Join(dir, "out"), filepath.Join(dir, "m.json")
	if err := os.WriteFile(document, []byte("# Before\n<!-- matrix begin -->\nold\n<!-- matrix end -->\n# After\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := tinyMatrix("--out", out, "--markdown", document, "--json", numbers)
	first := run(t, nil, args...)
	first.says(t, 0, "1 of 2", "2 of 2", "0 wrong")
	var got matrixJSON
	readJSON(t, numbers, &got)
	if len(got.Cells) != 2 {
		t.Fatalf("it has %d cells, want 2: %s", len(got.Cells), first.stderr)
	}
	for i, c := range got.Cells {
		if c.Requests != 20 || c.Errors != 0 || c.Wrong != 0 || c.NotSent != 0 || c.Cache != (i == 0) {
			t.Errorf("cell %d is %+v, want 20 requests that went well", i, c)
		}
		for _, name := range []string{"round trip", "pool get", "send", "free", "DB get user metadata", "driver p99"} {
			if c.Metrics[name].Median <= 0 {
				t.Errorf("cell %d: there is no %s in %v", i, name, c.Metrics)
			}
		}
		if _, hits := c.Metrics["cache miss"]; hits != c.Cache {
			t.Errorf("cell %d: with a cache is %v, and the misses are %v", i, c.Cache, c.Metrics["cache miss"])
		}
	}
	page, err := os.ReadFile(document)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(page); !strings.HasPrefix(text, "# Before\n") || !strings.HasSuffix(text, "\n# After\n") || strings.Contains(text, "\nold\n") ||
		!strings.Contains(text, strings.TrimSpace(first.stdout)) {
		t.Errorf("the page is\n%s", text)
	}
	again := run(t, nil, args...)
	again.says(t, 0, "cache on, replica 1 (kept)", "cache off, replica 1 (kept)")
	if again.stdout != first.stdout {
		t.Errorf("the tables of what was kept are\n%s\nwant\n%s", again.stdout, first.stdout)
	}
}

// TestMatrixMeasuresADatabaseAndARedis also looks that no password of theirs
// is told.
func TestMatrixMeasuresADatabaseAndARedis(t *testing.T) {
	t.Parallel()
	database, redis := testenv.MariaDB(t).URL(), testenv.Redis(t).URL()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("a key of generated sessions"), 0o600); err != nil {
		t.Fatal(err)
	}
	settings := []string{"GATEHOUSE_DATABASE=" + database}
	run(t, settings, "migrate", "up").says(t, 0)
	run(t, settings, "users", "generate", "--count", "100", "--session-key-file", key, "--hash-params", quickHash).says(t, 0)
	numbers := filepath.Join(t.TempDir(), "m.json")
	o := run(t, settings, tinyMatrix("--cache-url", redis, "--session-key-file", key, "--json", numbers, "--login-rate", "4", "--exclusive")...)
	o.says(t, 0, "4 of 4")
	var got matrixJSON
	readJSON(t, numbers, &got)
	if len(got.Cells) != 4 {
		t.Fatalf("it has %d cells, want 4", len(got.Cells))
	}
	for i, c := range got.Cells {
		want := map[bool]int64{false: 20, true: 4}[c.Logins]
		if c.Requests != want || c.Errors != 0 || c.Wrong != 0 {
			t.Errorf("cell %d is %+v, want %d requests that went well", i, c, want)
		}
		if _, lookedUp := c.Metrics["hit ratio %"]; lookedUp != (c.Cache && !c.Logins) {
			t.Errorf("cell %d (cache %v) has the hit ratio %v", i, c.Cache, c.Metrics["hit ratio %"])
		}
	}
	if !strings.Contains(o.stdout, "one call at a time, as in the original system (`--pool-in-flight 1`)") {
		t.Errorf("the tables do not say that connections are exclusive:\n%s", o.stdout)
	}
	for _, url := range []string{database, redis} {
		if strings.Contains(url, "@") && strings.Contains(o.stdout+o.stderr, url) {
			t.Error("a password is told")
		}
	}
}

func TestMatrixSaysWhyATierDoesNotStart(t *testing.T) {
	t.Parallel()
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("a key of generated sessions"), 0o600); err != nil {
		t.Fatal(err)
	}
	nothing := "sqlite:" + filepath.Join(t.TempDir(), "empty.db")
	run(t, nil, tinyMatrix("--database", nothing, "--session-key-file", key)...).says(t, 1, "step 1 of 2", "backend ended on its own", "schema")
}

func TestCapacityFindsWhatAServiceKeeps(t *testing.T) {
	t.Parallel()
	dir := testenv.TempDir(t)
	key, numbers := filepath.Join(dir, "session.key"), filepath.Join(dir, "c.json")
	if err := os.WriteFile(key, []byte("a key of generated sessions"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "migrate", "up", "--data", dir).says(t, 0)
	run(t, nil, "users", "generate", "--count", "100", "--data", dir, "--session-key-file", key, "--hash-params", quickHash).says(t, 0)
	p := start(t, append([]string{"serve", "--data", dir}, cheap...)...)
	awaitReady(t, p)
	flags := []string{"stresstest", "capacity", "--target", p.url, "--users", "100", "--workers", "50", "--session-key-file", key, "--metrics", p.admin + "/metrics",
		"--step-duration", "1s", "--warmup", "0s", "--pause", "0s", "--json", numbers}
	var got struct {
		Sentence string
		Good     *struct{ Rate float64 }
		Bad      *struct {
			Rate   float64
			Broken []string
		}
		Stages []struct{ Tier string }
	}
	// What nothing can break is kept up to the highest rate.
	easy := run(t, nil, append(flags, "--from", "10", "--to", "20", "--slo", "errors<100%")...)
	easy.says(t, 0, "10/s", "20/s", "kept")
	if readJSON(t, numbers, &got); got.Good == nil || got.Good.Rate != 20 || got.Bad != nil || !strings.Contains(easy.stdout, got.Sentence) {
		t.Errorf("what nothing breaks is kept at %+v and not at %+v: %s", got.Good, got.Bad, easy.stdout)
	}
	// What nothing can keep is a broken service level.
	hard := run(t, nil, append(flags, "--from", "10", "--to", "20", "--slo", "p99<1us")...)
	hard.says(t, 3, "10/s", "broken: p99<0.001ms")
	if !strings.Contains(hard.stdout, "not kept even at") {
		t.Errorf("what nothing keeps is told as %s", hard.stdout)
	}
}
