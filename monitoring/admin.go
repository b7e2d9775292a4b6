package monitoring

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// readyTimeout bounds the checks behind one /readyz.
const readyTimeout = 2 * time.Second

// Check is one thing that /readyz looks at.
type Check struct {
	Name string
	// Check returns what is shown, and the reason why the process is not
	// ready.
	Check func(ctx context.Context) (detail string, err error)
	// Shown means that the result is shown and does not decide.
	Shown bool
}

// Admin answers on the admin listener: /metrics, /livez, /readyz and
// /debug/pprof/. It must never be on a public address.
func (m *Metrics) Admin(checks ...Check) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry: m.registry, EnableOpenMetrics: true, Timeout: 10 * time.Second, MaxRequestsInFlight: 8}))
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte("alive\n"))
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) { serveReady(w, r, checks) })
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", http.NotFound) // arguments are nobody's business
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("POST /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

type readiness struct {
	Ready  bool             `json:"ready"`
	Checks map[string]state `json:"checks"`
}

type state struct {
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
	Error  string `json:"error,omitempty"`
}

// serveReady runs all checks, so that the answer tells everything at once.
func serveReady(w http.ResponseWriter, r *http.Request, checks []Check) {
	ctx, cancel := context.WithTimeout(r.Context(), readyTimeout)
	defer cancel()
	answer := readiness{Ready: true, Checks: map[string]state{}}
	for _, c := range checks {
		detail, err := c.Check(ctx)
		s := state{OK: err == nil, Detail: detail}
		if err != nil {
			s.Error = err.Error()
			answer.Ready = answer.Ready && c.Shown
		}
		answer.Checks[c.Name] = s
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	if !answer.Ready {
		w.WriteHeader(http.StatusServiceUnavailable)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.Encode(answer)
}
