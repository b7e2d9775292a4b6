package stresstest_test

import (
	"strings"
	"testing"
	"time"

	"gatehouse/stresstest"
)

// parsed checks a parser: want is the text that the value has afterwards, or
// what the error must say.
func parsed[T interface{ String() string }](t *testing.T, parse func(string) (T, error), text, want, wantError string) {
	t.Helper()
	got, err := parse(text)
	switch {
	case wantError == "" && err != nil:
		t.Errorf("%q: %v", text, err)
	case wantError == "" && got.String() != want:
		t.Errorf("%q is read as %q, want %q", text, got, want)
	case wantError != "" && (err == nil || !strings.Contains(err.Error(), wantError) || !strings.Contains(err.Error(), text)):
		t.Errorf("%q: error %v, want one that quotes it and says %q", text, err, wantError)
	}
}

func TestParseMix(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want, wantError string }{
		{"login=1,profile=94,update=5", "login=1,profile=94,update=5", ""},
		{"update=5, login=1", "login=1,update=5", ""},
		{"profile=1000000", "profile=1000000", ""},
		{"login=0,profile=1", "profile=1", ""},
		{"", "", "is not OPERATION=WEIGHT"},
		{"login", "", "is not OPERATION=WEIGHT"},
		{"login=1,", "", "is not OPERATION=WEIGHT"},
		{"register=1", "", `there is no operation "register": want one of login, profile, update, page, sessions, logout, verify`},
		{"verify=1,logout=2,sessions=3,page=4", "page=4,sessions=3,logout=2,verify=1", ""},
		{"login=1,login=2", "", "login is named twice"},
		{"login=0,login=1", "", "login is named twice"},
		{"login=-1", "", "want a whole number from 0 to 1000000"},
		{"login=0.5", "", "want a whole number"},
		{"login=1000001", "", "want a whole number"},
		{"login=0,profile=0", "", "every weight is 0"},
	} {
		parsed(t, stresstest.ParseMix, c.text, c.want, c.wantError)
	}
}

func TestParseDist(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want, wantError string }{
		{"uniform", "uniform", ""},
		{"fixed:200", "fixed:200", ""},
		{"zipf:1.1", "zipf:1.1", ""},
		{"uniform:", "", "want uniform, fixed:N or zipf:S"},
		{"normal", "", "want uniform, fixed:N or zipf:S"},
		{"", "", "want uniform"},
		{"fixed", "", "want fixed:N"},
		{"fixed:0", "", "want fixed:N"},
		{"fixed:100000000", "", "want fixed:N"},
		{"zipf:1", "", "with S above 1"},
		{"zipf:NaN", "", "with S above 1"},
		{"zipf:+Inf", "", "with S above 1"},
		{"zipf:", "", "with S above 1"},
	} {
		parsed(t, stresstest.ParseDist, c.text, c.want, c.wantError)
	}
}

func TestParseSLO(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want, wantError string }{
		{"p99<10ms", "p99<10ms", ""},
		{" p99 < 0.01s", "p99<10ms", ""},
		{"profile.p99<4ms", "profile.p99<4ms", ""},
		{"p999<1.5ms", "p999<1.5ms", ""},
		{"update.max<1m", "update.max<60000ms", ""},
		{"p50<1ms", "p50<1ms", ""}, {"p90<1ms", "p90<1ms", ""}, {"p95<1ms", "p95<1ms", ""},
		{"errors<0.1%", "errors<0.1%", ""},
		{"login.errors<100%", "login.errors<100%", ""},
		{"", "", "want METRIC<LIMIT"},
		{"p99>10ms", "", "want METRIC<LIMIT"},
		{"p98<10ms", "", `there is no metric "p98"`},
		{"total.p99<10ms", "", `there is no operation "total"`},
		{"register.p99<10ms", "", `there is no operation "register"`},
		{"rate>3000", "rate>3000", ""},
		{"profile.rate > 0.5", "profile.rate>0.5", ""},
		{"rate<3000", "", `there is no metric "rate"`},
		{"rate>0", "", "want more than 0"},
		{"rate>3000ms", "", "want more than 0"},
		{"errors>1%", "", "want METRIC<LIMIT"},
		{"p99<10", "", "want a duration"},
		{"p99<-1ms", "", "want a duration"},
		{"p99<2m", "", "want a duration above 0 and up to 1m0s"},
		{"p99<1%", "", "want a duration"},
		{"errors<1", "", "want a percentage"},
		{"errors<0%", "", "want a percentage"},
		{"errors<101%", "", "want a percentage"},
		{"errors<NaN%", "", "want a percentage"},
	} {
		parsed(t, stresstest.ParseSLO, c.text, c.want, c.wantError)
	}
}

func TestCheckNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	good := stresstest.Config{Target: "http://127.0.0.1:8080", Users: 100}
	if err := good.Check(); err != nil {
		t.Fatalf("a Config of target and users: %v", err)
	}
	for name, c := range map[string]struct {
		change func(*stresstest.Config)
		want   string
	}{
		"no target":      {func(c *stresstest.Config) { c.Target = "" }, "want http://HOST:PORT or tcp://HOST:PORT"},
		"a path":         {func(c *stresstest.Config) { c.Target = "http://h/x" }, "without a path"},
		"a password":     {func(c *stresstest.Config) { c.Target = "http://u:p@h" }, "without a path"},
		"no host":        {func(c *stresstest.Config) { c.Target = "http://:80" }, "want http://HOST:PORT"},
		"no port":        {func(c *stresstest.Config) { c.Target = "tcp://h" }, "want tcp://HOST:PORT"},
		"another scheme": {func(c *stresstest.Config) { c.Target = "ftp://h" }, "want http://HOST:PORT"},
		"no rate":        {func(c *stresstest.Config) { c.Rate = -1 }, "rate -1"},
		"a wild rate":    {func(c *stresstest.Config) { c.Rate = 2e6 }, "rate 2e+06"},
		"no time":        {func(c *stresstest.Config) { c.Duration = -1 }, "duration"},
		"two days":       {func(c *stresstest.Config) { c.Duration = 48 * time.Hour }, "up to 24h"},
		"warm-up":        {func(c *stresstest.Config) { c.Warmup = -1 }, "warmup"},
		"workers":        {func(c *stresstest.Config) { c.Workers = 5001 }, "workers 5001: want from 1 to 5000"},
		"no users":       {func(c *stresstest.Config) { c.Users = 0 }, "users 0"},
		"too many users": {func(c *stresstest.Config) { c.Users = 100_000_000 }, "users 100000000"},
		"few users":      {func(c *stresstest.Config) { c.Dist = dist(t, "fixed:101") }, "there are only 100 users"},
		"pool":           {func(c *stresstest.Config) { c.PoolSize = -1 }, "pool-size -1"},
		"two sources":    {func(c *stresstest.Config) { c.SessionKey, c.SessionsFile = []byte("k"), "f" }, "give one of the two"},
		"metrics":        {func(c *stresstest.Config) { c.MetricsURLs = []string{"127.0.0.1:8081"} }, "want http://HOST:PORT/metrics"},
		"a foreign level": {func(c *stresstest.Config) {
			c.Mix, c.SLOs = mix(t, "login=1"), []stresstest.SLO{slo(t, "update.p99<1ms")}
		}, "update is not in the mix login=1"},
		"an empty level": {func(c *stresstest.Config) { c.SLOs = make([]stresstest.SLO, 1) }, "make it with ParseSLO"},
	} {
		bad := good
		c.change(&bad)
		if err := bad.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one that says %q", name, err, c.want)
		}
		if _, err := stresstest.Run(t.Context(), bad); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: Run: error %v, want one that says %q", name, err, c.want)
		}
	}
}
