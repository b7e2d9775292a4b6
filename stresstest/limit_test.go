package stresstest_test

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/stresstest"
)

func TestMoreWorkersThanFilesAreRefused(t *testing.T) {
	t.Parallel()
	if err := stresstest.CheckFiles(5000, 1024); err == nil || !strings.Contains(err.Error(), "workers 5000") || !strings.Contains(err.Error(), "only 1024 files") {
		t.Errorf("error %v", err)
	}
	for _, enough := range []uint64{5064, 1 << 40, 0} {
		if err := stresstest.CheckFiles(5000, enough); err != nil {
			t.Errorf("%d files for 5000 workers: %v", enough, err)
		}
	}
}

func TestPresetsAreRunsThatCanKeepTheirLevels(t *testing.T) {
	t.Parallel()
	for _, want := range []struct {
		name, dist, level string
		workers           int
		rate              float64
	}{
		{"fixed-200", "fixed:200", "rate>3000", 200, 3000}, {"random-200", "uniform", "rate>1000", 200, 1000},
		{"fixed-2000", "fixed:200", "rate>1500", 2000, 1500}, {"random-2000", "uniform", "rate>800", 2000, 800},
	} {
		p, err := stresstest.FindPreset(want.name)
		if err != nil {
			t.Fatal(err)
		}
		cfg := stresstest.Config{Target: "http://h", Workers: p.Workers, Users: p.Users, Rates: rates(t, p.Rate), Dist: dist(t, p.Dist), Mix: mix(t, p.Mix)}
		for _, text := range p.SLOs {
			cfg.SLOs = append(cfg.SLOs, slo(t, text))
		}
		if err := cfg.Check(); err != nil {
			t.Errorf("%s: %v", want.name, err)
		}
		dues, _ := stresstest.Dues(stresstest.Config{Rates: cfg.Rates, Duration: time.Second})
		if p.Workers != want.workers || p.Dist != want.dist || p.SLOs[0] != want.level || p.Users != 10_000_000 || float64(len(dues)) <= want.rate {
			t.Errorf("%s is %+v, with %d requests a second", want.name, p, len(dues))
		}
	}
	if _, err := stresstest.FindPreset("fixed"); err == nil || !strings.Contains(err.Error(), "fixed-200, random-200, fixed-2000, random-2000") {
		t.Errorf("error %v", err)
	}
}

func TestRateIsAServiceLevelFromBelow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		n := 0
		s.before = func(w http.ResponseWriter, _ *http.Request) bool {
			if n++; n%10 == 0 { // which are no right answers
				refuse(w, 503, "overloaded")
			}
			return n%10 == 0
		}
		cfg := load(t, 100, 4*time.Second, 1)
		cfg.SLOs = append(cfg.SLOs, slo(t, "rate>89.9"), slo(t, "rate>90"), slo(t, "profile.rate>95"))
		r := run(t, s, cfg)
		if !r.SLO[0].OK || r.SLO[1].OK || r.SLO[2].OK || *r.SLO[1].Actual != 90 || r.SLO[1].Unit != "/s" {
			t.Errorf("%+v", r.SLO)
		}
	})
}

func TestRunIsCutIntoIntervals(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		t0 := time.Now().Add(stresstest.LeadTime)
		s := newSite(50)
		s.before = func(http.ResponseWriter, *http.Request) bool {
			time.Sleep(time.Duration(1+int(time.Since(t0)/(2*time.Second))) * time.Millisecond)
			return false
		}
		r := run(t, s, load(t, 10, 62*time.Second, 10)) // more than 60 s: of two seconds each
		if len(r.Intervals) != 31 {
			t.Fatalf("%d intervals", len(r.Intervals))
		}
		for i, v := range r.Intervals {
			p := v.Latency["profile"]
			if v.FromS != float64(2*i) || v.ToS > float64(2*i+2) || v.ToS < float64(2*i)+1.9 || p != v.Latency["total"] || p.P50 < float64(i+1) || p.P50 > float64(i+1)*1.001 {
				t.Errorf("interval %d is %+v", i, v)
			}
		}
	})
}

func TestDriverTellsWhereItIsTheLimit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		report stresstest.Report
		want   string
	}{
		"nothing":    {stresstest.Report{}, ""},
		"not sent":   {stresstest.Report{NotSent: 3, Workers: 7}, "3 requests were not sent, because all of the 7 workers were busy"},
		"processors": {stresstest.Report{DriverCPU: stresstest.DriverCPU{Share: 0.625, Processors: 2}}, "62 % of the machine's 2 processors"},
		"lag":        {stresstest.Report{DriverLag: stresstest.Percentiles{P99: 7.5}}, "7.500 ms late although a worker was free"},
	} {
		got := strings.Join(c.report.WarningsOf(), "\n")
		if !strings.Contains(got, c.want) || (c.want == "") != (got == "") {
			t.Errorf("%s: %q", name, got)
		}
	}
}
