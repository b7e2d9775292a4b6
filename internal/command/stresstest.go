package command

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"gatehouse/monitoring"
	"gatehouse/protocol"
	"gatehouse/stresstest"
)

type stresstestCommand struct {
	Run      stresstestRun      `cmd:"" help:"Send requests at a steady rate, check every answer, and report the latencies."`
	Matrix   stresstestMatrix   `cmd:"" help:"Measure both tiers under every combination of pool size, workers, rate and cache, and make tables."`
	Capacity stresstestCapacity `cmd:"" help:"Find the highest rate at which a target keeps its service levels, and the stage that gives way first."`
}

type stresstestRun struct {
	commonFlags
	linkFlags
	Target         string        `help:"What to test: http://HOST:PORT through the JSON API, or tcp://HOST:PORT, a backend without HTTP." default:"http://127.0.0.1:8080" placeholder:"URL" group:"Load"`
	Rate           float64       `help:"Requests a second." default:"1000" placeholder:"N" group:"Load"`
	Duration       time.Duration `help:"How long." default:"30s" group:"Load"`
	Warmup         time.Duration `help:"How long before that, not counted." default:"5s" group:"Load"`
	Workers        int           `help:"Requests under way at once, at most." default:"1000" placeholder:"N" group:"Load"`
	Users          int           `help:"How many accounts users generate has made." required:"" placeholder:"N" group:"Load"`
	Dist           string        `help:"Which of them: uniform, fixed:N or zipf:S." default:"uniform" placeholder:"DIST" group:"Load"`
	Mix            string        `help:"What is asked, in shares." default:"login=1,profile=94,update=5" placeholder:"MIX" group:"Load"`
	Seed           uint64        `help:"Makes a run draw other accounts than another." default:"1" placeholder:"N" group:"Load"`
	SessionKeyFile string        `help:"The file with which the accounts were generated, so that no logins are needed." placeholder:"FILE" group:"Load"`
	Sessions       string        `help:"A file that keeps the tokens of logged-in accounts for the next run." placeholder:"FILE" group:"Load"`
	PoolSize       int           `help:"Connections to a tcp:// target." default:"4" placeholder:"N" group:"Load"`
	PoolInFlight   int           `help:"Calls in flight on each of them." default:"64" placeholder:"N" group:"Load"`
	SLO            []string      `name:"slo" sep:"none" help:"A service level to keep, such as p99<10ms, profile.p99<4ms or errors<0.1%. May be given several times; a broken one exits 3." placeholder:"SLO" group:"Report"`
	JSON           string        `name:"json" help:"Write the report as JSON." placeholder:"FILE" group:"Report"`
	HTML           string        `name:"html" help:"Write the report as one page." placeholder:"FILE" group:"Report"`
	Metrics        []string      `help:"The /metrics of the tiers, for the table of stages." placeholder:"URL,URL" group:"Report"`
	Admin          string        `help:"Address of the driver's own /metrics. None by default." placeholder:"HOST:PORT" group:"Report"`
}

// errSLO fails a run that broke a service level.
var errSLO = errors.New("a service level was broken")

// Run drives the load and reports.
func (c stresstestRun) Run(p *process) error {
	cfg, err := c.config(p)
	if err != nil {
		return err
	}
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	if c.Admin != "" {
		metrics := monitoring.New(build())
		admin, err := newAdminTier(c.Admin, metrics.Admin(), slog.New(slog.DiscardHandler))
		if err != nil {
			return err
		}
		stopped := make(chan error, 1)
		go func() { stopped <- admin.serve() }()
		defer func() { admin.stop(); <-stopped }()
		cfg.Observe = func(o stresstest.Observation) {
			metrics.Driven(o.Op, o.Code, o.Latency, o.Service)
		}
	}
	report, err := stresstest.Run(ctx, cfg)
	if terminal(p.stderr) {
		fmt.Fprint(p.stderr, "\r\033[K")
	}
	if report == nil {
		return err
	}
	return errors.Join(err, c.write(p, report)) // one that was interrupted is reported too
}

// config makes what the driver is told of the flags.
func (c stresstestRun) config(p *process) (cfg stresstest.Config, err error) {
	if c.Rate <= 0 || c.Duration <= 0 || c.Workers < 1 {
		return cfg, usage("--rate %v, --duration %v and --workers %d: want more than 0 of each", c.Rate, c.Duration, c.Workers)
	}
	cfg = stresstest.Config{Target: c.Target, Rate: c.Rate, Duration: c.Duration, Warmup: c.Warmup, Workers: c.Workers,
		Users: c.Users, Seed: c.Seed, SessionsFile: c.Sessions, MetricsURLs: c.Metrics, PoolSize: c.PoolSize, InFlight: c.PoolInFlight,
		Command: "gatehouse " + strings.Join(p.parsed.Args, " "), Version: version, Machine: machine(), Live: liveLine(p.stderr)}
	if cfg.Dist, err = stresstest.ParseDist(c.Dist); err != nil {
		return cfg, usage("--dist: %w", err)
	}
	if cfg.Mix, err = stresstest.ParseMix(c.Mix); err != nil {
		return cfg, usage("--mix: %w", err)
	}
	for _, text := range c.SLO {
		slo, err := stresstest.ParseSLO(text)
		if err != nil {
			return cfg, usage("--slo: %w", err)
		}
		cfg.SLOs = append(cfg.SLOs, slo)
	}
	if c.SessionKeyFile != "" {
		if cfg.SessionKey, err = os.ReadFile(c.SessionKeyFile); err != nil {
			return cfg, fmt.Errorf("--session-key-file: %w", err)
		}
	}
	if cfg.Link, err = c.link(); err != nil {
		return cfg, err
	}
	if err := cfg.Check(); err != nil {
		return cfg, usage("--%w", err)
	}
	return cfg, nil
}

func (c stresstestRun) link() (cfg protocol.Config, err error) {
	cfg = protocol.Config{Name: "stresstest/" + version, KeyIfAsked: true}
	if cfg.TLS, err = c.tls(); err != nil {
		return cfg, err
	}
	cfg.Key, err = c.key(slog.New(slog.DiscardHandler))
	return cfg, err
}

// machine describes where the driver runs, as far as it matters to numbers.
func machine() string {
	return fmt.Sprintf("%s/%s, %d processors, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())
}

// liveLine shows how the run goes: over and over on one line of a terminal,
// a line every five seconds elsewhere.
func liveLine(w io.Writer) func(stresstest.LiveLine) {
	onTerminal, n := terminal(w), 0
	return func(l stresstest.LiveLine) {
		if onTerminal {
			fmt.Fprintf(w, "\r\033[K%s", l)
		} else if n++; n%5 == 0 {
			fmt.Fprintln(w, l)
		}
	}
}

// write writes the report in every form that is asked for.
func (c stresstestRun) write(p *process, r *stresstest.Report) error {
	if err := r.Text(p.stdout); err != nil {
		return err
	}
	for _, file := range []struct {
		path  string
		write func(io.Writer) error
	}{{c.JSON, r.JSON}, {c.HTML, r.HTML}} {
		if file.path == "" {
			continue
		}
		if err := writeFile(file.path, file.write); err != nil {
			return err
		}
	}
	switch {
	case r.Wrong > 0:
		return fmt.Errorf("%d answers were wrong", r.Wrong)
	case len(r.Broken()) > 0:
		return errSLO
	}
	return nil
}

// writeFile replaces a file by what write writes, at once or not at all.
func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write report: %w", err)
	}
	err = errors.Join(write(f), f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write report: %w", err), os.Remove(f.Name()))
	}
	return nil
}
