package capacity_test

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"gatehouse/stresstest"
	"gatehouse/stresstest/capacity"
)

// stages are 99th percentiles by "tier stage op", in milliseconds.
type stages map[string]float64

// report is a run whose latency and stages are p99s. Of 1000 requests 940 are
// reads, 50 updates and 10 logins.
func report(rate, latency, service float64, list ...stages) *stresstest.Report {
	r := at(rate, latency)
	r.Total.Service.P99 = service
	r.Ops = map[string]stresstest.OpReport{}
	counts := map[string]int64{"get_profile": 940, "GET /api/v1/profile": 940, "update_profile": 50, "PATCH /api/v1/profile": 50,
		"login": 10, "POST /api/v1/sessions": 10, "get_user": 1}
	for _, s := range list {
		for name, p99 := range s {
			part := strings.SplitN(name, " ", 3)
			r.Stages = append(r.Stages, stresstest.Stage{Tier: part[0], Stage: part[1], Op: part[2], Count: counts[part[2]], P99: p99})
		}
	}
	return r
}

// quiet are the stages of a target that has time.
func quiet() stages {
	return stages{
		"webserver http GET /api/v1/profile": 2, "webserver pool_get get_profile": 0.1, "webserver round_trip get_profile": 1.8,
		"backend queue get_profile": 0.1, "backend handle get_profile": 1.5, "backend cache_hit get_profile": 0.3,
		"backend cache_miss get_profile": 1.4, "backend db_get_session get_profile": 1.2, "backend encode get_profile": 0.1,
		"webserver http PATCH /api/v1/profile": 5, "webserver round_trip update_profile": 4.8, "backend handle update_profile": 4.5,
		"backend db_update_user update_profile": 4, "webserver http POST /api/v1/sessions": 70, "webserver round_trip login": 69,
		"backend handle login": 68, "backend password_verify login": 60, "backend db_get_user login": 1,
	}
}

// with returns the stages with others in their place.
func (s stages) with(changed stages) stages {
	for name, p99 := range changed {
		s[name] = p99
	}
	return s
}

// find searches a target that gives way above 100 requests a second.
func find(t *testing.T, good, bad func(rate float64) *stresstest.Report) *capacity.Result {
	t.Helper()
	return search(t, capacity.Config{From: 100, To: 200, Tolerance: 1}, func(_ context.Context, rate float64) (*stresstest.Report, error) {
		if rate > 100 {
			return bad(rate), nil
		}
		return good(rate), nil
	})
}

func TestTheStageThatGivesWayIsNamed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		latency, service float64
		changed          stages
		want             string
	}{
		"the database, behind the cache": {60, 58, stages{"webserver http GET /api/v1/profile": 55, "webserver round_trip get_profile": 54,
			"backend handle get_profile": 52, "backend cache_miss get_profile": 51, "backend db_get_session get_profile": 50}, "backend db_get_session get_profile"},
		"the link's pool": {60, 58, stages{"webserver http GET /api/v1/profile": 55, "webserver pool_get get_profile": 50}, "webserver pool_get get_profile"},
		"a lane": {60, 58, stages{"webserver http GET /api/v1/profile": 55, "webserver round_trip get_profile": 54,
			"backend queue get_profile": 50}, "backend queue get_profile"},
		"between the tiers": {60, 58, stages{"webserver http GET /api/v1/profile": 55, "webserver round_trip get_profile": 54},
			"webserver round_trip get_profile itself"},
		"before the webserver":  {60, 58, stages{"webserver http GET /api/v1/profile": 3}, "driver service all itself"},
		"the driver's workers":  {60, 3, stages{}, "driver wait all"},
		"waits behind slowness": {500, 60, stages{"webserver http GET /api/v1/profile": 55, "webserver pool_get get_profile": 50}, "webserver pool_get get_profile"},
		"updates that hold up nothing": {20, 19, stages{"webserver http GET /api/v1/profile": 15, "webserver pool_get get_profile": 12,
			"webserver http PATCH /api/v1/profile": 40, "webserver round_trip update_profile": 39}, "webserver pool_get get_profile"},
		"updates alone": {40, 39, stages{"webserver http PATCH /api/v1/profile": 70, "webserver round_trip update_profile": 69,
			"backend handle update_profile": 68, "backend db_update_user update_profile": 66}, "backend db_update_user update_profile"},
		"an operation too rare to matter": {60, 58, stages{"webserver http GET /api/v1/profile": 55, "webserver round_trip get_profile": 54,
			"backend queue get_profile": 50, "webserver round_trip get_user": 90_000}, "backend queue get_profile"},
		"a stage that is new": {60, 58, stages{"webserver http GET /api/v1/profile": 55, "webserver round_trip get_profile": 54,
			"backend handle get_profile": 52, "backend prefetch get_profile": 48}, "backend prefetch get_profile"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := find(t, func(rate float64) *stresstest.Report { return report(rate, 3, 2.8, quiet()) },
				func(rate float64) *stresstest.Report {
					return report(rate, c.latency, c.service, quiet().with(c.changed))
				})
			if got := named(r.Weakest); got != c.want {
				t.Errorf("what gives way is said to be %q, want %q", got, c.want)
			}
		})
	}
}

func named(w *capacity.Weakest) string {
	if w == nil {
		return "nothing"
	}
	name := w.Tier + " " + w.Stage + " " + w.Op
	if w.Itself {
		name += " itself"
	}
	return name
}

// TestALevelOfOneOperationLooksAtThisOne has updates get slower by much more
// than the logins whose level is broken.
func TestALevelOfOneOperationLooksAtThisOne(t *testing.T) {
	t.Parallel()
	logins := func(r *stresstest.Report, p99 float64) *stresstest.Report {
		r.Ops["login"] = stresstest.OpReport{Count: 10, Succeeded: 10, Latency: stresstest.Percentiles{P99: p99}, Service: stresstest.Percentiles{P99: p99}}
		r.SLO = []stresstest.SLOResult{{SLO: "login.p99<100ms", Op: "login", Metric: "p99", Limit: 100, Unit: "ms", Actual: &p99, OK: p99 < 100}}
		return r
	}
	r := find(t, func(rate float64) *stresstest.Report { return logins(report(rate, 3, 2.8, quiet()), 71) },
		func(rate float64) *stresstest.Report {
			return logins(report(rate, 60, 59, quiet().with(stages{"webserver http GET /api/v1/profile": 900, "webserver pool_get get_profile": 890,
				"webserver http POST /api/v1/sessions": 400, "webserver round_trip login": 399, "backend handle login": 398,
				"backend password_wait login": 330})), 401)
		})
	if got := named(r.Weakest); got != "backend password_wait login" {
		t.Errorf("what gives way is said to be %q", got)
	}
	if share := r.Weakest.BadShare; share < 82 || share > 83 {
		t.Errorf("its share is %v %%, want 330 of 401", share)
	}
}

func TestATargetWithoutWebserverHasStagesToo(t *testing.T) {
	t.Parallel()
	tcp := func(handle, wait float64) stages {
		return stages{"backend queue get_profile": 0.1, "backend handle get_profile": handle, "backend db_get_session get_profile": wait}
	}
	r := find(t, func(rate float64) *stresstest.Report { return report(rate, 3, 2.8, tcp(2, 1.5)) },
		func(rate float64) *stresstest.Report { return report(rate, 30, 29, tcp(27, 26)) })
	if got := named(r.Weakest); got != "backend db_get_session get_profile" {
		t.Errorf("what gives way is said to be %q", got)
	}
}

func TestTheSentenceSaysWhatIsKnown(t *testing.T) {
	t.Parallel()
	good := func(rate float64) *stresstest.Report { return report(rate, 3, 2.8, quiet()) }
	slow := quiet().with(stages{"webserver http GET /api/v1/profile": 55, "webserver pool_get get_profile": 50})
	for name, c := range map[string]struct {
		good, bad func(rate float64) *stresstest.Report
		want      string
	}{
		"a stage": {good, func(rate float64) *stresstest.Report { return report(rate, 60, 58, slow) },
			"The promises are kept at 100 requests a second (p99 3 ms) and not at 200 (p99 60 ms: p99<10ms reached 60ms): the first to give way is " +
				"stage pool_get of get_profile in the webserver: its p99 rises, from 0.1 ms to 50 ms, from 3 % to 83 % of the driver's p99."},
		"no metrics": {func(rate float64) *stresstest.Report { return report(rate, 3, 2.8) }, func(rate float64) *stresstest.Report { return report(rate, 60, 58) },
			"which stage gives way first was not measured"},
		"nothing slower": {good, func(rate float64) *stresstest.Report {
			r := report(rate, 3, 2.8, quiet())
			r.NotSent = 5
			return r
		}, "5 requests were not sent, because all workers of the driver were waiting for answers): no stage became slower"},
		"the driver": {good, func(rate float64) *stresstest.Report { return report(rate, 60, 3, quiet()) }, "the driver gives way first"},
		"the way there": {good, func(rate float64) *stresstest.Report { return report(rate, 60, 58, quiet()) },
			"between the driver and the target's own clock"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := find(t, c.good, c.bad)
			if !strings.Contains(r.Sentence(), c.want) {
				t.Errorf("it is %q, want %q in it", r.Sentence(), c.want)
			}
			var text bytes.Buffer
			if err := r.Text(&text); err != nil || !strings.HasSuffix(text.String(), r.Sentence()+"\n") {
				t.Errorf("the text (%v) does not end with it:\n%s", err, text.String())
			}
		})
	}
}

func TestTheTableMarksWhatGivesWay(t *testing.T) {
	t.Parallel()
	slow := quiet().with(stages{"webserver http GET /api/v1/profile": 55, "webserver pool_get get_profile": 50})
	r := find(t, func(rate float64) *stresstest.Report { return report(rate, 3, 2.8, quiet()) },
		func(rate float64) *stresstest.Report { return report(rate, 60, 58, slow) })
	var text bytes.Buffer
	if err := r.Text(&text); err != nil {
		t.Fatal(err)
	}
	marked := 0
	for line := range strings.Lines(text.String()) {
		if strings.Contains(line, "<- gives way") {
			marked++
			if got, want := strings.Join(strings.Fields(line), " "), "webserver pool_get get_profile 0.100 3 50.000 83 <- gives way"; got != want {
				t.Errorf("the line is %q, want %q", got, want)
			}
		}
	}
	if marked != 1 {
		t.Errorf("%d lines are marked in\n%s", marked, text.String())
	}
}
