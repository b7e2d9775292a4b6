package stresstest_test

import (
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestFailuresAreCountedByCodeAndAreNoSuccesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		var asked atomic.Int64
		s.before = func(w http.ResponseWriter, _ *http.Request) bool {
			switch asked.Add(1) % 10 {
			case 0:
				refuse(w, 503, "overloaded")
			case 1:
				refuse(w, 401, "unauthenticated")
			case 2:
				w.WriteHeader(502)
				fmt.Fprint(w, "<html>Bad Gateway</html>")
			case 3: // a success that is none
				refuse(w, 201, "")
			case 4: // a code that is no word
				refuse(w, 500, "Ouch! <b>"+strings.Repeat("x", 100))
			case 5:
				time.Sleep(time.Minute)
			case 6: // an answer that ends early
				w.Header().Set("Content-Length", "100")
				w.WriteHeader(200)
				panic(http.ErrAbortHandler)
			default:
				time.Sleep(time.Second)
				return false
			}
			return true
		}
		r := run(t, s, load(t, 10, 10*time.Second, 200))
		want := map[string]int64{"overloaded": 10, "unauthenticated": 10, "http_502": 10, "http_201": 10, "http_500": 10, "timeout": 10, "connection": 10}
		if !maps.Equal(r.Total.Errors, want) || r.Total.Count != 100 || r.Total.Succeeded != 30 || r.Checked != 30 || r.Wrong != 0 {
			t.Errorf("errors %v of %d, %d succeeded, %d checked, %d wrong", r.Total.Errors, r.Total.Count, r.Total.Succeeded, r.Checked, r.Wrong)
		}
		// The quick refusals and the timeouts would show on either side of it.
		if l := r.Total.Latency; l.P50 < 1000 || l.Max > 1001 {
			t.Errorf("the latencies of the successes are %+v, want a second", l)
		}
		if len(r.Examples) != len(want) || !strings.Contains(r.Examples["overloaded"], "because the test says so") {
			t.Errorf("examples: %v", r.Examples)
		}
	})
}

func TestCodesOfFailuresAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		var asked atomic.Int64
		s.before = func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(500)
			fmt.Fprintf(w, `{"code":"code_%d","detail":"\u001b[31m%s"}`, asked.Add(1), strings.Repeat("x", 5000))
			return true
		}
		r := run(t, s, load(t, 100, 10*time.Second, 10))
		sum := int64(0)
		for _, n := range r.Total.Errors {
			sum += n
		}
		if len(r.Total.Errors) > 33 || r.Total.Errors["other"] < 900 || sum != 1000 || len(r.Examples) > 32 {
			t.Errorf("%d codes with %d failures, %d of them other, %d examples", len(r.Total.Errors), sum, r.Total.Errors["other"], len(r.Examples))
		}
		for code, text := range r.Examples {
			if len(text) > 300 || strings.Contains(text, "\x1b") {
				t.Errorf("%s is quoted with %d bytes: %.40q", code, len(text), text)
			}
		}
	})
}

func TestServiceLevelsAreComparedWithWhatWasMeasured(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		var updates atomic.Int64
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPatch {
				time.Sleep(5 * time.Millisecond)
				return false
			}
			if updates.Add(1)%10 == 0 {
				refuse(w, 503, "overloaded")
				return true
			}
			time.Sleep(20 * time.Millisecond)
			return false
		}
		cfg := load(t, 100, 10*time.Second, 100)
		cfg.Mix = mix(t, "profile=90,update=10,login=1")
		levels := map[string]bool{
			"p50<6ms": true, "p50<5ms": false, "max<21ms": true, "max<20ms": false, "p999<10ms": false,
			"profile.max<6ms": true, "update.p50<10ms": false, "update.p50<21ms": true,
			"errors<5%": true, "errors<0.1%": false, "profile.errors<0.1%": true, "update.errors<9%": false,
		}
		for text := range levels {
			cfg.SLOs = append(cfg.SLOs, slo(t, text))
		}
		r := run(t, s, cfg)
		broken := map[string]bool{}
		for _, b := range r.Broken() {
			broken[b.SLO] = true
		}
		for _, got := range r.SLO {
			if got.OK != levels[got.SLO] || broken[got.SLO] == got.OK || got.Actual == nil {
				t.Errorf("%s: kept %v, broken %v, want kept %v", got.SLO, got.OK, broken[got.SLO], levels[got.SLO])
			}
		}
		if len(r.SLO) != len(levels) {
			t.Errorf("%d levels of %d", len(r.SLO), len(levels))
		}
	})
}

func TestServiceLevelOfNothingMeasuredIsBroken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		s.before = func(w http.ResponseWriter, _ *http.Request) bool { refuse(w, 500, "internal"); return true }
		cfg := load(t, 10, time.Second, 10)
		cfg.SLOs = append(cfg.SLOs, slo(t, "p99<1m"), slo(t, "errors<100%"))
		r := run(t, s, cfg)
		if len(r.Broken()) != 2 || r.SLO[0].Actual != nil || *r.SLO[1].Actual != 100 {
			t.Errorf("levels: %+v", r.SLO)
		}
	})
}

func TestRequestsThatWereNotSentCountAsErrorsOfALevel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		s.before = func(http.ResponseWriter, *http.Request) bool { time.Sleep(time.Second); return false }
		cfg := load(t, 10, 2*time.Second, 1)
		cfg.SLOs = append(cfg.SLOs, slo(t, "errors<50%"))
		r := run(t, s, cfg)
		if r.Total.Count != 2 || r.NotSent != 18 || len(r.Broken()) != 1 || *r.SLO[0].Actual != 90 {
			t.Errorf("%d sent, %d not sent, levels %+v", r.Total.Count, r.NotSent, r.SLO)
		}
	})
}
