package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestMatrixRefusesFlagsWithoutSense(t *testing.T) {
	t.Parallel()
	key := file(t, "a key of generated sessions")
	page := file(t, "# A page without marks\n")
	for name, c := range map[string]struct {
		flags string
		want  string
	}{
		"no accounts":            {"--users 0", "--users 0"},
		"a pool of nothing":      {"--pool 0", "--pool 0"},
		"a pool that is too big": {"--pool 1001", "--pool 1001"},
		"a pool twice":           {"--pool 5,5", "named twice"},
		"no such cache setting":  {"--cache maybe", `--cache "maybe": want on, off or both`},
		"a place as setting":     {"--cache redis://u:hush@localhost", "--cache-url"},
		"no replica":             {"--replicas 0", "replicas 0"},
		"a rate of nothing":      {"--rate 0", "not above 0"},
		"too many workers":       {"--workers 9999", "--workers 9999"},
		"no time":                {"--duration 0s", "--duration 0s"},
		"logins below nothing":   {"--login-rate=-1", "--login-rate -1"},
		"no such hash":           {"--hash-params md5", "--hash-params"},
		"no session key":         {"--database mysql://u:hush@localhost/g", "--session-key-file"},
		"nowhere to cache":       {"--database mysql://u:hush@localhost/g --session-key-file " + key, "--cache-url"},
		"memory beside MySQL":    {"--database mysql://u:hush@localhost/g --cache-url memory:64MiB --session-key-file " + key, "--cache memory:64MiB"},
		"no cache that is on":    {"--cache-url none", "--cache-url"},
		"no such cache":          {"--cache-url memory:lots", "memory:"},
		"a page without marks":   {"--markdown " + page, page},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			args := append([]string{"stresstest", "matrix", "--out", filepath.Join(dir, "out"), "--hash-params", "argon2id:m=7168,t=1,p=1"}, strings.Fields(c.flags)...)
			if !strings.Contains(c.flags, "--users") {
				args = append(args, "--users", "10")
			}
			got := run(t, nil, args...)
			if got.status != 2 || !strings.Contains(got.stderr, c.want) {
				t.Errorf("exited %d and said %q, want 2 and %q", got.status, got.stderr, c.want)
			}
			if strings.Contains(got.stderr, "hush") {
				t.Errorf("a password is told: %q", got.stderr)
			}
			if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
				t.Errorf("something was begun: %v (%v)", entries, err)
			}
		})
	}
}

func TestMatrixNeedsItsSessionKey(t *testing.T) {
	t.Parallel()
	missing := filepath.Join(t.TempDir(), "key")
	got := run(t, nil, "stresstest", "matrix", "--users", "10", "--session-key-file", missing)
	if got.status != 1 || !strings.Contains(got.stderr, missing) {
		t.Errorf("exited %d and said %q, want 1 and the file", got.status, got.stderr)
	}
}

func TestCapacityRefusesFlagsWithoutSense(t *testing.T) {
	t.Parallel()
	for flags, want := range map[string]string{
		"--users 10":                                   "slo",
		"--slo p99<10ms":                               "users",
		"--users 10 --slo p98<10ms":                    "--slo",
		"--users 10 --slo login.p99<10ms":              "login is not in the mix",
		"--users 0 --slo p99<10ms":                     "--users 0",
		"--users 10 --slo p99<10ms --step-duration 0s": "--step-duration 0s",
		"--users 10 --slo p99<10ms --from 0":           "--from 0",
		"--users 10 --slo p99<10ms --to 5":             "--from 500 and to 5",
		"--users 10 --slo p99<10ms --to 1e9":           "--from 500 and to 1e+09",
		"--users 10 --slo p99<10ms --pause=-1s":        "--pause -1s",
		"--users 10 --slo p99<10ms --workers 0":        "--workers 0",
		"--users 10 --slo p99<10ms --metrics x":        "--metrics",
		"--users 10 --slo p99<10ms --target x":         "--target",
		"--users 10 --slo p99<10ms --dist never":       "--dist",
		"--users 10 --slo p99<10ms --tolerance 2":      "--tolerance 2",
	} {
		got := run(t, nil, append([]string{"stresstest", "capacity"}, strings.Fields(flags)...)...)
		if got.status != 2 || !strings.Contains(got.stderr, want) {
			t.Errorf("%s: exited %d and said %q, want 2 and %q", flags, got.status, got.stderr, want)
		}
	}
}
