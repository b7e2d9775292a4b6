package matrix_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"gatehouse/stresstest"
	"gatehouse/stresstest/matrix"
)

var update = flag.Bool("update", false, "write the golden files anew")

// measured makes reports whose numbers follow from the step, so that a number
// in the wrong place shows.
type measured struct{}

func (measured) Run(_ context.Context, s matrix.Step) (*stresstest.Report, error) {
	replica := float64(s.Replica)
	r := &stresstest.Report{StartedAt: time.Date(2026, 3, 1+s.Replica, 12, 0, 0, 0, time.UTC), RateAchieved: s.Rate - replica, Wrong: 1, NotSent: 3,
		Total: stresstest.OpReport{Count: 1000, Succeeded: 998, Errors: map[string]int64{"timeout": 1, "overloaded": 1}, Latency: stresstest.Percentiles{P50: replica, P99: float64(s.Pool) + replica}}}
	stage := func(tier, name, op string, count int64, p99 float64) {
		r.Stages = append(r.Stages, stresstest.Stage{Tier: tier, Stage: name, Op: op, Count: count, P99: p99})
	}
	if s.Logins {
		stage("webserver", "round_trip", "login", 50, 60+replica)
		stage("backend", "db_get_user", "login", 50, 2)
		stage("backend", "db_put_session", "login", 50, 3*replica)
		stage("backend", "password_verify", "login", 50, 55)
		return r, nil
	}
	stage("webserver", "http", "GET /api/v1/profile", 950, 9000)
	for i, name := range []string{"pool_get", "send", "round_trip", "pool_put"} {
		stage("webserver", name, "get_profile", 950, float64(i)+float64(s.Workers)/100+replica/10)
		stage("webserver", name, "update_profile", 50, 9001)
	}
	if s.Cache {
		stage("backend", "cache_hit", "get_profile", 931, 0.25*replica*replica)
		stage("backend", "cache_miss", "get_profile", 19, 2)
		stage("backend", "cache_fill", "get_profile", 19, 0.5)
		stage("backend", "db_get_session", "get_profile", 4, 9002) // the fewer
		stage("backend", "db_get_user", "get_profile", 15, 1.5)
	} else {
		stage("backend", "db_get_session", "get_profile", 950, 1.25)
	}
	stage("backend", "db_update_user", "update_profile", 50, 150.4*replica)
	return r, nil
}

func result(t *testing.T, g matrix.Grid) *matrix.Result {
	t.Helper()
	r, err := matrix.Run(t.Context(), matrix.Config{Grid: g}, measured{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

var heading = matrix.Heading{Command: "gatehouse stresstest matrix --users 5", Version: "1.2.3", Machine: "a machine", Notes: []string{"first note", "second note"}}

func TestTablesAreAsTheyWere(t *testing.T) {
	t.Parallel()
	g := matrix.Grid{Pools: []int{50, 400}, Workers: []int{50, 1000}, Rates: []float64{1000, 4000}, Caches: []bool{true, false}, Replicas: 3, LoginRate: 5}
	var got bytes.Buffer
	if err := result(t, g).Markdown(&got, heading); err != nil {
		t.Fatal(err)
	}
	const path = "testdata/tables.md"
	if *update {
		if err := os.WriteFile(path, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("the tables are\n%s\nwant\n%s", got.Bytes(), want)
	}
}

func TestANumberIsTheMedianOfItsReplicas(t *testing.T) {
	t.Parallel()
	for replicas, want := range map[int]string{
		1: "| 50 | 10 | 100 | 99.00 | 1.00 | 51.00 |",
		2: "| 50 | 10 | 100 | 98.50 ± 0.50 | 1.50 ± 0.50 | 51.50 ± 0.50 |",
		3: "| 50 | 10 | 100 | 98.00 ± 1.00 | 2.00 ± 1.00 | 52.00 ± 1.00 |",
	} {
		g := small()
		g.Replicas = replicas
		var got bytes.Buffer
		if err := result(t, g).Markdown(&got, heading); err != nil || !strings.Contains(got.String(), want) {
			t.Errorf("%d replicas (%v): no line begins with %s in\n%s", replicas, err, want, got.String())
		}
	}
}

func TestJSONSaysWhatTheTablesSay(t *testing.T) {
	t.Parallel()
	var text bytes.Buffer
	if err := result(t, small()).JSON(&text, heading, map[string]string{"users": "5"}); err != nil {
		t.Fatal(err)
	}
	var got struct {
		Command  string
		Settings map[string]string
		Cells    []struct {
			Logins   bool
			Rate     float64
			Replicas int
			Requests int64
			Errors   int64
			Wrong    int64
			NotSent  int64            `json:"not_sent"`
			Codes    map[string]int64 `json:"error_codes"`
			Metrics  map[string]matrix.Spread
		}
	}
	if err := json.Unmarshal(text.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Command != heading.Command || got.Settings["users"] != "5" || len(got.Cells) != 3 {
		t.Fatalf("it says %s", text.String())
	}
	c := got.Cells[1]
	if c.Rate != 400 || c.Replicas != 2 || c.Requests != 2000 || c.Errors != 4 || c.Codes["timeout"] != 2 || c.Wrong != 2 || c.NotSent != 6 {
		t.Errorf("the second cell is %+v", c)
	}
	if s := c.Metrics["DB update"]; s.Median < 225.59 || s.Median > 225.61 || s.Deviation < 75.19 || s.Deviation > 75.21 || len(s.Values) != 2 {
		t.Errorf("its DB update is %+v, want 225.6 ± 75.2 of two", s)
	}
	if s := c.Metrics["hit ratio %"]; s.Median != 98 {
		t.Errorf("its hit ratio is %+v, want 98 %%", s)
	}
	if _, there := got.Cells[2].Metrics["DB update token"]; !got.Cells[2].Logins || !there {
		t.Errorf("the cell of logins is %+v", got.Cells[2])
	}
}

func TestReplaceSectionTouchesNothingElse(t *testing.T) {
	t.Parallel()
	const begin, end = "<!-- matrix begin -->", "<!-- matrix end -->"
	for name, c := range map[string]struct{ document, want string }{
		"a section":      {"# A\n\n" + begin + "\nold\n" + end + "\n\n# B\n", "# A\n\n" + begin + "\n\nnew\n\n" + end + "\n\n# B\n"},
		"an empty one":   {begin + end, begin + "\n\nnew\n\n" + end},
		"a new document": {" \n", begin + "\n\nnew\n\n" + end + "\n"},
	} {
		got, err := matrix.ReplaceSection([]byte(c.document), []byte("\nnew\n"))
		if err != nil || string(got) != c.want {
			t.Errorf("%s becomes %q (%v), want %q", name, got, err, c.want)
		}
	}
	for name, document := range map[string]string{
		"no marks": "# A\n", "begin alone": "# A\n" + begin, "end alone": "# A\n" + end,
		"turned round": end + "\n" + begin, "twice": begin + end + begin + end,
	} {
		if got, err := matrix.ReplaceSection([]byte(document), []byte("new")); !errors.Is(err, matrix.ErrNoSection) {
			t.Errorf("%s becomes %q (%v), want ErrNoSection", name, got, err)
		}
	}
}
