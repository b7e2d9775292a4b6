package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/stresstest"
	"gatehouse/stresstest/capacity"
)

type stresstestCapacity struct {
	commonFlags
	linkFlags
	Target         string        `help:"What to test: http://HOST:PORT through the JSON API, or tcp://HOST:PORT, a backend without HTTP." default:"http://127.0.0.1:8080" placeholder:"URL" group:"Load"`
	SLO            []string      `name:"slo" sep:"none" required:"" help:"A service level to keep, such as p99<10ms, profile.p99<4ms or errors<0.1%. May be given several times." placeholder:"SLO" group:"Search"`
	From           float64       `help:"The first rate, in requests a second." default:"500" placeholder:"N" group:"Search"`
	To             float64       `help:"The highest rate that is tried." default:"50000" placeholder:"N" group:"Search"`
	Tolerance      float64       `help:"How close the rate that is kept and the one that is not come in the end, as a part of the rate." default:"0.05" placeholder:"PART" group:"Search"`
	StepDuration   time.Duration `help:"How long each rate is measured." default:"10s" group:"Search"`
	Warmup         time.Duration `help:"How long before that, not counted." default:"2s" group:"Search"`
	Pause          time.Duration `help:"How long the target may rest after each rate." default:"1s" group:"Search"`
	Workers        int           `help:"Requests under way at once, at most." default:"1000" placeholder:"N" group:"Load"`
	Users          int           `help:"How many accounts users generate has made." required:"" placeholder:"N" group:"Load"`
	Dist           string        `help:"Which of them: uniform, fixed:N or zipf:S." default:"uniform" placeholder:"DIST" group:"Load"`
	Mix            string        `help:"What is asked, in shares." default:"profile=95,update=5" placeholder:"MIX" group:"Load"`
	Seed           uint64        `help:"Makes a search draw other accounts than another." default:"1" placeholder:"N" group:"Load"`
	SessionKeyFile string        `help:"The file with which the accounts were generated, so that no logins are needed." placeholder:"FILE" group:"Load"`
	Sessions       string        `help:"A file that keeps the tokens of logged-in accounts for the next rate." placeholder:"FILE" group:"Load"`
	PoolSize       int           `help:"Connections to a tcp:// target." default:"4" placeholder:"N" group:"Load"`
	PoolInFlight   int           `help:"Calls in flight on each of them." default:"64" placeholder:"N" group:"Load"`
	Metrics        []string      `help:"The /metrics of the tiers, to name the stage that gives way first." placeholder:"URL,URL" group:"Report"`
	JSON           string        `name:"json" help:"Write the result as JSON." placeholder:"FILE" group:"Report"`
}

// Run searches and says what it found. It fails as a broken service level
// does where no rate keeps the promises.
func (c stresstestCapacity) Run(p *process) error {
	search := capacity.Config{From: c.From, To: c.To, Tolerance: c.Tolerance, Pause: c.Pause,
		Told: func(t capacity.Try) { fmt.Fprintln(p.stderr, t) }}
	if err := search.Check(); err != nil {
		return usage("--%w", err)
	}
	if c.StepDuration <= 0 {
		return usage("--step-duration %v: want more than 0", c.StepDuration)
	}
	cfg, err := c.driver().config(p)
	if err != nil {
		return err
	}
	cfg.Live = nil // each rate is told when it was tried
	ctx, cancel := untilSignal(p.ctx)
	defer cancel()
	result, err := capacity.Search(ctx, search, func(ctx context.Context, rate float64) (*stresstest.Report, error) {
		cfg.Rate = rate
		cfg.Seed++ // so that a rate that is tried again is not asked the same
		return stresstest.Run(ctx, cfg)
	})
	if err != nil {
		return err
	}
	err = result.Text(p.stdout)
	if c.JSON != "" {
		err = errors.Join(err, writeFile(c.JSON, result.JSON))
	}
	switch {
	case err != nil:
		return err
	case result.Wrong() > 0:
		return fmt.Errorf("%d answers were wrong", result.Wrong())
	case result.Good == nil:
		return errSLO
	}
	return nil
}

// driver is the run of the driver that measures one rate.
func (c stresstestCapacity) driver() stresstestRun {
	return stresstestRun{commonFlags: c.commonFlags, linkFlags: c.linkFlags, Target: c.Target, Rate: c.From, Duration: c.StepDuration,
		Warmup: c.Warmup, Workers: c.Workers, Users: c.Users, Dist: c.Dist, Mix: c.Mix, Seed: c.Seed, SessionKeyFile: c.SessionKeyFile,
		Sessions: c.Sessions, PoolSize: c.PoolSize, PoolInFlight: c.PoolInFlight, SLO: c.SLO, Metrics: c.Metrics}
}
