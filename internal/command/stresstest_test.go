package command_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gatehouse/internal/command"
	"gatehouse/stresstest"
)

// profileServer answers every request with the profile of the person whom its
// token names, who is the only one.
func profileServer(t *testing.T) (target string) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		nickname := stresstest.Nickname(1)
		if r.Method == http.MethodPatch {
			var body struct{ Nickname string }
			json.NewDecoder(r.Body).Decode(&body)
			nickname = body.Nickname
		}
		fmt.Fprintf(w, `{"id":"1","username":%q,"nickname":%q}`, stresstest.Username(1), nickname)
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func TestStresstestReportsAreCompared(t *testing.T) {
	t.Parallel()
	target, key, dir := profileServer(t), file(t, "a key"), t.TempDir()
	var reports []string
	for i := range 3 {
		report := filepath.Join(dir, fmt.Sprint(i, ".json"))
		got := run(t, nil, "stresstest", "run", "--target", target, "--users", "1", "--session-key-file", key, "--rate", "50,100",
			"--duration", "200ms", "--warmup", "0s", "--workers", "20", "--mix", "profile=1", "--think", "1ms..2ms", "--json", report, "--html", report+".html")
		if got.status != 0 || !strings.Contains(got.stdout, "50,100 requests/s") || strings.Contains(got.stderr, "\033") {
			t.Fatalf("status %d: %s%s", got.status, got.stdout, got.stderr)
		}
		reports = append(reports, report)
	}
	got := run(t, nil, "stresstest", "compare", reports[0], reports[1])
	if got.status != 0 || !strings.Contains(got.stdout, "one run each") || !strings.Contains(got.stdout, "profile") {
		t.Errorf("status %d: %s%s", got.status, got.stdout, got.stderr)
	}
	got = run(t, nil, "stresstest", "compare", "--base", reports[0]+","+reports[1], reports[2], "--json")
	var comparison stresstest.Comparison
	if err := json.Unmarshal([]byte(got.stdout), &comparison); err != nil || got.status != 0 || comparison.BaseRuns != 2 || comparison.NewRuns != 1 || len(comparison.Changes) != 14 {
		t.Errorf("status %d, %v: %s%s", got.status, err, got.stdout, got.stderr)
	}
	for what, args := range map[string][]string{
		"want two": {reports[0]}, "3 reports without --base": reports, "there is no report": nil,
	} {
		if got := run(t, nil, append([]string{"stresstest", "compare"}, args...)...); got.status != 2 {
			t.Errorf("%s: status %d: %s", what, got.status, got.stderr)
		}
	}
	if got := run(t, nil, "stresstest", "compare", reports[0], key); got.status != 1 || !strings.Contains(got.stderr, key) {
		t.Errorf("what is no report: status %d: %s", got.status, got.stderr)
	}
}

func TestPresetSetsWhatIsNotGiven(t *testing.T) {
	t.Parallel()
	target, key := profileServer(t), file(t, "a key")
	report := filepath.Join(t.TempDir(), "r.json")
	got := run(t, []string{"GATEHOUSE_WORKERS=20"}, "stresstest", "run", "--target", target, "--users", "1", "--session-key-file", key, "--preset", "random-200",
		"--rate", "50", "--duration", "300ms", "--warmup", "0s", "--slo", "max<10s", "--json", report)
	if got.status != 3 { // 50 a second are fewer than the 1000 of the preset
		t.Fatalf("status %d: %s%s", got.status, got.stdout, got.stderr)
	}
	data, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	var r stresstest.Report
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	if r.Workers != 20 || r.RateRequested != 50 || r.Mix != "profile=95,update=5" || r.Dist != "uniform" || len(r.SLO) != 4 || r.SLO[0].SLO != "rate>1000" ||
		!strings.Contains(strings.Join(r.Notes, "\n"), "meant for 10000000 accounts, this run had 1") {
		t.Errorf("%d workers, %v/s, mix %s, %s, levels %v, notes %q", r.Workers, r.RateRequested, r.Mix, r.Dist, r.SLO, r.Notes)
	}
}

func TestStresstestFlagsThatMakeNoSense(t *testing.T) {
	t.Parallel()
	for want, args := range map[string][]string{
		"--rate: rate \"x\"":                                          {"--rate", "x"},
		"--rate: rate \"1..2\"":                                       {"--rate", "1..2"},
		"--think: think time \"x\"":                                   {"--think", "x"},
		"--preset: there is no preset \"x\"":                          {"--preset", "x"},
		"--mix profile=1,page=1: page has no packet":                  {"--mix", "profile=1,page=1", "--target", "tcp://127.0.0.1:1"},
		"--mix: mix \"walk=1\": there is no operation \"walk\"":       {"--mix", "walk=1"},
		"--duration 13h0m0s: want more than 0 and all steps together": {"--duration", "13h", "--rate", "1,2"},
	} {
		got := run(t, nil, append([]string{"stresstest", "run", "--users", "5"}, args...)...)
		if got.status != 2 || !strings.Contains(got.stderr, want) {
			t.Errorf("%v: status %d, %s, want %q", args, got.status, got.stderr, want)
		}
	}
}

func TestLiveLineIsRedOnlyWhereThereAreFailuresAndColours(t *testing.T) {
	t.Parallel()
	good, bad := stresstest.LiveLine{Phase: stresstest.PhaseRun}, stresstest.LiveLine{Phase: stresstest.PhaseRun, Errors: 1}
	for _, c := range []struct {
		line   stresstest.LiveLine
		colour bool
		red    bool
	}{{good, true, false}, {bad, true, true}, {bad, false, false}} {
		if got := command.Overwritten(c.line, c.colour); strings.Contains(got, "\033[31m") != c.red || !strings.HasPrefix(got, "\r\033[K") {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
