package testenv

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A PrometheusServer is a Prometheus that only one test uses, on loopback.
// It reads its targets once a second.
type PrometheusServer struct {
	*process
	port int
}

// Target is what a Prometheus reads: http://ADDR/metrics, under the name of
// a job.
type Target struct {
	Job  string
	Addr string // host:port
}

// Sample is one element of an answer to a query.
type Sample struct {
	Labels map[string]string
	Value  float64
}

// Prometheus starts a server that reads these targets, whether they answer
// already or not. It ends after the test.
func Prometheus(t testing.TB, targets ...Target) *PrometheusServer {
	t.Helper()
	s, err := startPrometheus(targets)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.close(); err != nil {
			t.Errorf("end Prometheus: %v", err)
		}
	})
	return s
}

// Promtool returns the path of promtool, which checks rules and metrics.
func Promtool(t testing.TB) string {
	t.Helper()
	path, ok := lookup("promtool")
	if !ok {
		t.Fatal(missing("promtool"))
	}
	return path
}

func startPrometheus(targets []Target) (*PrometheusServer, error) {
	program, ok := lookup("prometheus")
	if !ok {
		return nil, missing("prometheus")
	}
	p, err := newProcess("Prometheus")
	if err != nil {
		return nil, err
	}
	s := &PrometheusServer{process: p}
	config := filepath.Join(s.dir, "prometheus.yml")
	if err := os.WriteFile(config, prometheusConfig(targets), 0o600); err != nil {
		return nil, errors.Join(err, s.close())
	}
	if s.port, err = freePort(); err != nil {
		return nil, errors.Join(err, s.close())
	}
	// Not with --enable-feature=native-histograms: Prometheus 2.42 then drops
	// the classic buckets of a histogram that has both.
	args := []string{"--config.file=" + config, "--storage.tsdb.path=" + filepath.Join(s.dir, "data"),
		"--web.listen-address=127.0.0.1:" + strconv.Itoa(s.port), "--log.level=warn"}
	if err := s.start(program, args, s.ready); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// prometheusConfig names each job once, as Prometheus wants it.
func prometheusConfig(targets []Target) []byte {
	var b strings.Builder
	b.WriteString("global: {scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}\nscrape_configs:\n")
	var jobs []string
	addrs := map[string][]string{}
	for _, t := range targets {
		if !slices.Contains(jobs, t.Job) {
			jobs = append(jobs, t.Job)
		}
		addrs[t.Job] = append(addrs[t.Job], strconv.Quote(t.Addr))
	}
	for _, job := range jobs {
		fmt.Fprintf(&b, "- {job_name: %q, static_configs: [{targets: [%s]}]}\n", job, strings.Join(addrs[job], ", "))
	}
	return []byte(b.String())
}

func (s *PrometheusServer) ready() error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	_, err := s.read(ctx, "/-/ready")
	return err
}

// URL is where the server answers, without a slash at the end.
func (s *PrometheusServer) URL() string { return "http://127.0.0.1:" + strconv.Itoa(s.port) }

// Query evaluates an expression of PromQL now. A number is one sample without
// labels.
func (s *PrometheusServer) Query(ctx context.Context, expr string) ([]Sample, error) {
	body, err := s.read(ctx, "/api/v1/query?query="+url.QueryEscape(expr))
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", expr, err)
	}
	samples, err := parseSamples(body)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", expr, err)
	}
	return samples, nil
}

// read returns what is at a path, at most 16 MiB.
func (s *PrometheusServer) read(ctx context.Context, path string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL()+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 16<<20))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", response.Status, body)
	}
	return body, nil
}

// parseSamples reads an answer, see
// https://prometheus.io/docs/prometheus/latest/querying/api/.
func parseSamples(body []byte) ([]Sample, error) {
	var answer struct {
		Data struct {
			ResultType string
			Result     json.RawMessage
		}
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, err
	}
	var vector []struct {
		Metric map[string]string
		Value  point
	}
	var scalar point
	switch kind := answer.Data.ResultType; kind {
	case "scalar":
		err := json.Unmarshal(answer.Data.Result, &scalar)
		return []Sample{{Value: float64(scalar)}}, err
	case "vector":
		if err := json.Unmarshal(answer.Data.Result, &vector); err != nil {
			return nil, err
		}
	default:
		return nil, fmt.Errorf("the result is a %s, not a vector or scalar", kind)
	}
	samples := make([]Sample, len(vector))
	for i, v := range vector {
		samples[i] = Sample{Labels: v.Metric, Value: float64(v.Value)}
	}
	return samples, nil
}

// point is a time and a value, of which the value is kept. The value is text,
// because JSON has no infinity.
type point float64

func (p *point) UnmarshalJSON(text []byte) error {
	var pair [2]any
	if err := json.Unmarshal(text, &pair); err != nil {
		return err
	}
	value, _ := pair[1].(string)
	f, err := strconv.ParseFloat(value, 64)
	*p = point(f)
	return err
}
