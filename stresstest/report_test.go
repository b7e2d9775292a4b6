package stresstest_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/stresstest"
)

// sample is a report with something in every field.
func sample() *stresstest.Report {
	actual := []float64{4.5, 0.25}
	percentiles := func(x float64) stresstest.Percentiles {
		return stresstest.Percentiles{P50: x, P90: 2 * x, P95: 3 * x, P99: 4 * x, P999: 5 * x, Max: 6 * x}
	}
	profile := stresstest.OpReport{Count: 990, Succeeded: 988, NotSent: 9, Errors: map[string]int64{"overloaded": 1, "wrong_answer": 1},
		Latency: percentiles(1.125), Service: percentiles(1)}
	profile.Curve = []stresstest.CurvePoint{{Percent: 0, Latency: 1, Service: 1}, {Percent: 90, Latency: 2.25, Service: 2}, {Percent: 99, Latency: 4.5, Service: 4}, {Percent: 100, Latency: 6.75, Service: 6}}
	step := stresstest.OpReport{Count: 400, Succeeded: 399, NotSent: 2, Errors: map[string]int64{"timeout": 1}, Latency: percentiles(2), Service: percentiles(1)}
	login := stresstest.OpReport{Count: 1, Errors: map[string]int64{"timeout": 1}}
	total := profile
	total.Count, total.Errors = 991, map[string]int64{"overloaded": 1, "wrong_answer": 1, "timeout": 1}
	return &stresstest.Report{
		Command: "gatehouse stresstest run --mix 'login=1,profile=99'", Version: "0.1.0", Machine: "2 processors",
		Target: "http://127.0.0.1:8080", RateRequested: 100, RateAchieved: 99.1, DurationS: 10, Workers: 50, Users: 1000, Dist: "zipf:1.1",
		NotSent: 9, Checked: 989, Wrong: 1, Ops: map[string]stresstest.OpReport{"profile": profile, "login": login}, Total: total,
		SLO: []stresstest.SLOResult{
			{SLO: "p99<10ms", Op: "total", Metric: "p99", Limit: 10, Unit: "ms", Actual: &actual[0], OK: true},
			{SLO: "errors<0.1%", Op: "total", Metric: "errors", Limit: 0.1, Unit: "%", Actual: &actual[1]},
			{SLO: "login.p99<1000ms", Op: "login", Metric: "p99", Limit: 1000, Unit: "ms"},
		},
		StartedAt: time.Date(2026, 11, 21, 20, 0, 0, 0, time.UTC), Mix: "login=1,profile=99", Seed: 1, WarmupS: 5,
		Accounts: 50, Sessions: "logged in", DriverCPU: stresstest.DriverCPU{Seconds: 0.1, PerRequest: 100.9, Share: 0.625, Processors: 2},
		DriverLag: percentiles(0.05), Warnings: []string{"9 requests were not sent"}, Rates: "50..150/10s", Think: "50ms..2s",
		Steps:     []stresstest.StepReport{{FromS: 0, ToS: 5, RateFrom: 50, RateTo: 100, RateAchieved: 80, OpReport: step}},
		Intervals: []stresstest.Interval{{FromS: 0, ToS: 1, Latency: map[string]stresstest.Percentiles{"total": percentiles(1.125)}}},
		Stages:    []stresstest.Stage{{Tier: "webserver", Stage: "http", Op: "profile", Count: 990, P50: 0.5, P99: 0.99}},
		Timeline: []stresstest.Moment{
			{Second: 1, Rate: 100, P50: 1.125, P99: 4.5},
			{Second: 2, Rate: 98.2, P50: 1.5, P99: 250, Errors: 3, Waiting: 7, NotSent: 9},
		},
		Examples: map[string]string{"overloaded": "503 Service Unavailable", "timeout": "context deadline exceeded",
			"wrong_answer": `asked for user00000001, the answer shows "<script>alert(1)</script>"`},
		Notes: []string{"the passwords of the 1000 generated accounts are 256 real hashes, each shared by about 3 accounts"},
	}
}

// golden compares text with a file.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	want, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("it is not as in testdata/%s:\n%s", name, got)
	}
}

func TestReportAsJSONHasItsFixedFields(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := sample().JSON(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.json", b.Bytes())
	var again stresstest.Report
	if err := json.Unmarshal(b.Bytes(), &again); err != nil {
		t.Fatal(err)
	}
	var twice bytes.Buffer
	if again.JSON(&twice) != nil || !bytes.Equal(b.Bytes(), twice.Bytes()) {
		t.Error("a report that is read and written again is another one")
	}
}

func TestReportOfARunHasNoNulls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		cfg := load(t, 10, time.Second, 10)
		cfg.Command, cfg.Machine, cfg.Version = "c", "m", "v"
		var b bytes.Buffer
		if err := run(t, newSite(50), cfg).JSON(&b); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(b.String(), "null") {
			t.Errorf("the report of a run in which nothing happened has a null:\n%s", b.String())
		}
		for _, part := range []string{`"slo": []`, `"stages": []`, `"errors": {}`, `"command": "c"`, `"machine": "m"`, `"version": "v"`,
			`"target": "http://site.test"`, `"dist": "uniform"`, `"users": 50`, `"workers": 10`, `"sessions": "session key"`, `"accounts": 50`,
			"the passwords of the 50 generated accounts are 50 real hashes, each shared by about 1 accounts"} {
			if !strings.Contains(b.String(), part) {
				t.Errorf("the report lacks %s", part)
			}
		}
	})
}

func TestReportAsText(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := sample().Text(&b); err != nil {
		t.Fatal(err)
	}
	golden(t, "report.txt", b.Bytes())
}

func TestReportAsOnePageThatNeedsNothingElse(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	r := sample()
	r.Interrupted = true
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, part := range []string{
		"<title>Stress test of http://127.0.0.1:8080</title>", "--mix &#39;login=1,profile=99&#39;", "2 processors", "prefers-color-scheme: dark",
		"The run was interrupted", "wrong_answer", "&lt;script&gt;", "each shared by about 3 accounts", "BROKEN", "nothing was measured",
		"<td>webserver</td><td>http</td><td>profile</td>", `<td class="n">4.500</td>`, "p999",
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	if found := regexp.MustCompile(`(?i)<script|<link|<img|<iframe|\bsrc=|\bhref=|url\(|@import|ZgotmplZ|NaN|Inf\b`).FindString(page); found != "" {
		t.Errorf("the page contains %q", found)
	}
	lines := regexp.MustCompile(`<polyline class="line\d" points="([^"]*)"/>`).FindAllStringSubmatch(page, -1)
	// Percentiles of login, profile and total, p50 and p99 by second, answered
	// and waiting by second, errors and not sent by second.
	if len(lines) != 9 || strings.Count(page, "<svg") != 4 {
		t.Fatalf("%d lines in %d charts", len(lines), strings.Count(page, "<svg"))
	}
	if lines[0][1] != "" { // no login succeeded
		t.Errorf("the line of logins is %q", lines[0][1])
	}
	// From 1 to 10 ms over 188 units, and from 0 to 99 % over 564: 90 % is half
	// of that, and 2.25 ms is at 196-188*log10(2.25). The slowest has no place.
	if lines[1][1] != "56.0,196.0 338.0,129.8 620.0,73.2" {
		t.Errorf("the line of profile reads is %s", lines[1][1])
	}
	for _, part := range []string{"50..150/10s", "50ms..2s", "<td>50..100/s</td>", "Warning: 9 requests were not sent", "62.5 % of the machine", ">99 %<"} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
}

func TestReportOfNothingIsWritten(t *testing.T) {
	t.Parallel()
	empty := &stresstest.Report{}
	for name, write := range map[string]func(io.Writer) error{"text": empty.Text, "JSON": empty.JSON, "HTML": empty.HTML} {
		if err := write(io.Discard); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := write(broken{}); !errors.Is(err, errFull) {
			t.Errorf("%s to a full disk: error %v", name, err)
		}
	}
}

var errFull = errors.New("no space left")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errFull }

func TestLongTimelineIsDrawnByItsPeaks(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Timeline = nil
	for i := range 86_400 {
		m := stresstest.Moment{Second: float64(i + 1), Rate: 900, P50: 1, P99: 2}
		if i == 40_001 {
			m.P99 = 9999
		}
		r.Timeline = append(r.Timeline, m)
	}
	var b bytes.Buffer
	if err := r.HTML(&b); err != nil {
		t.Fatal(err)
	}
	// The axis ends at 10000 ms, next to which the peak is.
	if b.Len() > 200_000 || !regexp.MustCompile(`points="[^"]* \d+\.\d,8\.0 `).MatchString(b.String()) {
		t.Errorf("the page has %d bytes, and shows no peak", b.Len())
	}
}
