package e2e_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"gatehouse/internal/testenv"
)

// TestEveryPanelOfTheDashboardShowsData evaluates each expression of the
// dashboard on a Prometheus that reads a service at work.
func TestEveryPanelOfTheDashboardShowsData(t *testing.T) {
	t.Parallel()
	s := start(t, append([]string{"serve"}, cheap...)...)
	p := testenv.Prometheus(t, testenv.Target{Job: "webserver", Addr: strings.TrimPrefix(s.admin, "http://")})
	startReaders(t, 2, s)
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	text, err := os.ReadFile("../../monitoring/grafana/stages.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	if len(dashboard.Panels) == 0 {
		t.Fatal("the dashboard has no panels")
	}
	// What Grafana fills in.
	fill := strings.NewReplacer("$__rate_interval", "10s", "$op", ".*")
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			expr := fill.Replace(target.Expr)
			testenv.WaitFor(t, patience, panel.Title+": "+expr, func() bool {
				samples, err := p.Query(t.Context(), expr)
				if err != nil {
					t.Fatalf("%s: %s: %v", panel.Title, expr, err)
				}
				for _, s := range samples {
					if s.Value == s.Value && s.Value >= 0 { // not NaN
						return true
					}
				}
				return false
			})
		}
	}
}
