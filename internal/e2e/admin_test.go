package e2e_test

import (
	"encoding/json"
	"testing"
)

func TestAdminEndpointsAreNotPublic(t *testing.T) {
	t.Parallel()
	s := service(t)
	for _, path := range []string{"/metrics", "/livez", "/readyz", "/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline"} {
		client{base: s.url}.do(t, "GET", path, nil).want(t, 404)
		if path != "/debug/pprof/cmdline" { // which shows the arguments, and is nowhere
			client{base: s.admin}.do(t, "GET", path, nil).want(t, 200)
		}
	}
	client{base: s.admin}.do(t, "GET", "/debug/pprof/cmdline", nil).want(t, 404)
	client{base: s.admin}.do(t, "GET", "/login", nil).want(t, 404)
}

func TestAdminTellsReadinessByParts(t *testing.T) {
	t.Parallel()
	a := client{base: service(t).admin}.do(t, "GET", "/readyz", nil).want(t, 200)
	var ready struct {
		Ready  bool
		Checks map[string]struct{ OK bool }
	}
	if err := json.Unmarshal(a.body, &ready); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"backend", "database", "serving"} {
		if !ready.Ready || !ready.Checks[part].OK {
			t.Errorf("%s is not among what is ready: %s", part, a.body)
		}
	}
}

func TestAdminCountsRequestsAndPackets(t *testing.T) {
	t.Parallel()
	s := start(t, append([]string{"serve"}, cheap...)...)
	before := metrics(t, s)
	c, _ := register(t, s.url, newName())
	for range 5 {
		c.profile(t)
	}
	client{base: s.url}.do(t, "GET", "/no/such/path/"+newName(), nil).want(t, 404)
	after := metrics(t, s)
	for name, want := range map[string]float64{
		"gatehouse_http_requests_total": 7, "gatehouse_packets_total": 6,
		"gatehouse_link_crosstalk_total": 0, "gatehouse_panics_total": 0,
	} {
		if got := after[name] - before[name]; got != want {
			t.Errorf("%s grew by %v, want %v", name, got, want)
		}
	}
	if after["gatehouse_build_info"] != 1 || after["gatehouse_pool_open_connections"] == 0 {
		t.Errorf("build info %v, open connections %v", after["gatehouse_build_info"], after["gatehouse_pool_open_connections"])
	}
}
