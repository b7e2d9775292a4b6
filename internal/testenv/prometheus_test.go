package testenv_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/testenv"
)

// metrics is a program with a histogram that has classic buckets.
func metrics(t *testing.T) (addr string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		io.WriteString(w, "# TYPE t histogram\nt_bucket{le=\"1\"} 3\nt_bucket{le=\"+Inf\"} 5\nt_sum 9\nt_count 5\n")
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestPrometheusReadsItsTargets(t *testing.T) {
	t.Parallel()
	one, two := metrics(t), metrics(t)
	nobody := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	server := testenv.Prometheus(t, testenv.Target{Job: "a", Addr: one}, testenv.Target{Job: "b", Addr: nobody},
		testenv.Target{Job: "a", Addr: two})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	testenv.WaitFor(t, 30*time.Second, "all targets to be read", func() bool {
		samples, err := server.Query(ctx, "count(up)")
		return err == nil && len(samples) == 1 && samples[0].Value == 3
	})
	for expr, want := range map[string][]testenv.Sample{
		`sum by (job) (up{job="a"})`:               {{Labels: map[string]string{"job": "a"}, Value: 2}},
		`sum by (job) (up{job="b"})`:               {{Labels: map[string]string{"job": "b"}, Value: 0}},
		`t_bucket{le="1",instance="` + one + `"}`:  {{Labels: map[string]string{"__name__": "t_bucket", "le": "1", "job": "a", "instance": one}, Value: 3}},
		`t_count{instance="` + two + `",job!="a"}`: {},
		`1 / 0`: {{Value: math.Inf(1)}},
	} {
		got, err := server.Query(ctx, expr)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, error %v, want %v", expr, got, err, want)
		}
	}
}

func TestPrometheusSaysWhatIsWrongWithAQuery(t *testing.T) {
	t.Parallel()
	server := testenv.Prometheus(t)
	for expr, want := range map[string]string{"sum(": "parse error", "up[1m]": "matrix"} {
		if samples, err := server.Query(t.Context(), expr); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, error %v, want an error that says %q", expr, samples, err, want)
		}
	}
}

func TestPromtoolChecksMetrics(t *testing.T) {
	t.Parallel()
	for text, good := range map[string]bool{"# HELP a_total A.\n# TYPE a_total counter\na_total 1\n": true, "a b c\n": false} {
		cmd := exec.CommandContext(t.Context(), testenv.Promtool(t), "check", "metrics")
		cmd.Stdin = strings.NewReader(text)
		if out, err := cmd.CombinedOutput(); (err == nil) != good {
			t.Errorf("%q: got %v: %s", text, err, out)
		}
	}
}
