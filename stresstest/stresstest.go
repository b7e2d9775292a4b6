// Package stresstest sends requests to a running Gatehouse on an open
// schedule, checks every answer, and reports how long the right ones took. It
// is a black box's user: it knows the JSON API, one page and the packets, and
// nothing of how either tier works.
//
// # What is measured
//
// Request i is due at t0 + i/rate, or where the integral of a changing rate
// is i, whatever became of the requests before it. Latency counts from then,
// service time from when the request was really sent; where the driver's
// workers are all busy the difference is the wait for one. Percentiles are of
// the requests that succeeded. How a request failed is counted by code, and a
// success whose content is wrong is a failure. A request is not sent when no
// worker became free within ten seconds, or by the end of the run: these are
// counted apart, and a service level for errors counts them as errors.
//
// # What a right answer is
//
// An update writes the nickname "User NNNNNNNN SEQ", where SEQ grows with
// every update of that account, also over several runs, and an account is
// updated by one worker at a time. An answer is right when it shows the person
// whose token or name was sent, and a SEQ that is not older than the last one
// acknowledged before the request was sent, nor one that was never written. A
// nickname without SEQ counts as SEQ 0. Updates whose outcome is unknown may
// show up at any later time. One driver at a time may write to an account.
//
// The list of a person's sessions is right when the current one is that of the
// token, a page when it names the person and nobody else, and a logout when its
// session is dead afterwards.
package stresstest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"time"
)

// Run tests a target and returns the report. When ctx ends during the
// measured part, the report of what was measured until then is returned
// together with the error of ctx; any other error comes without a report.
func Run(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	t, err := cfg.openTarget(ctx)
	if err != nil {
		return nil, err
	}
	defer t.close()
	r := &run{cfg: cfg, scenario: newScenario(t, cfg.Mix),
		metrics: &http.Client{Transport: newTransport(cfg.dial, 1)}}
	defer r.metrics.CloseIdleConnections()
	if err := r.openSessions(ctx); err != nil {
		return nil, err
	}
	return r.measure(ctx)
}

// run is one run of the driver.
type run struct {
	cfg      Config
	scenario *scenario
	metrics  *http.Client
	sessions string // where tokens come from, for the report
	notes    []string
}

// openSessions gives the scenario the sessions that its mix needs.
func (r *run) openSessions(ctx context.Context) error {
	cfg := r.cfg
	population := cfg.Dist.population(cfg.Users)
	switch {
	case !cfg.Mix.needsSessions():
		r.sessions = "none"
		return nil
	case len(cfg.SessionKey) > 0:
		r.sessions, r.scenario.holders = "session key", derived(cfg.SessionKey, population)
		return nil
	}
	count := min(cfg.Workers, population)
	tokens, err := r.logIn(ctx, count)
	if err != nil {
		return err
	}
	r.sessions, r.scenario.holders = "logged in", loggedIn(tokens)
	if reached := r.scenario.holders.count; reached < count {
		r.notes = append(r.notes, fmt.Sprintf("only %d of %d accounts could be logged in within %v; operations other than login choose among these",
			reached, count, loginPatience))
	}
	return nil
}

// logIn logs in accounts 1 to count, or as many as it can in time, using and
// keeping the tokens of the sessions file where there is one.
func (r *run) logIn(ctx context.Context, count int) ([]string, error) {
	path := r.cfg.SessionsFile
	if path == "" {
		return logIn(ctx, r.scenario, make([]string, count), r.cfg.Live)
	}
	kept, err := readSessions(path, r.cfg.Target, count)
	if err != nil {
		return nil, err
	}
	tokens, err := logIn(ctx, r.scenario, kept, r.cfg.Live)
	// Also where not all could be logged in: the next run begins there, and
	// with the kept ones that this one did not come to.
	for i, token := range tokens {
		if token != "" {
			kept[i] = token
		}
	}
	return tokens, errors.Join(err, writeSessions(path, r.cfg.Target, kept))
}

// measure warms up, runs the schedule and reports.
func (r *run) measure(ctx context.Context) (*Report, error) {
	cfg := r.cfg
	if cfg.Warmup > 0 {
		r.send(ctx, PhaseWarmup, newRecorder(cfg.Mix, 1), time.Now(), nil)
	}
	before, err := scrape(ctx, r.metrics, cfg.MetricsURLs)
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	plan := cfg.schedule()
	rec, report := newRecorder(cfg.Mix, plan.sections), r.newReport()
	cpu, t0 := processorTime(), time.Now().Add(leadTime)
	report.StartedAt = t0.UTC().Truncate(time.Millisecond)
	ended := r.send(ctx, PhaseRun, rec, t0, report)
	report.DriverCPU = share(processorTime()-cpu, time.Since(t0))
	report.DurationS = plan.duration.Seconds()
	var interrupted error
	if ctx.Err() != nil { // if only the last answers are missing
		interrupted = fmt.Errorf("run ended early: %w", ctx.Err())
		report.Interrupted, report.DurationS = true, min(report.DurationS, max(0, ended.Seconds()))
	}
	// An interrupted run has its stages too.
	after, err := scrape(context.WithoutCancel(ctx), r.metrics, cfg.MetricsURLs)
	if err != nil {
		report.Notes = append(report.Notes, fmt.Sprintf("the stages are missing: %v", err))
	}
	report.Stages = stagesBetween(before, after)
	report.fill(rec, cfg.SLOs)
	report.fillSteps(rec, plan)
	return report, interrupted
}

// leadTime is how long before a schedule starts its workers are made, so
// that the first requests are not late.
const leadTime = 20 * time.Millisecond

// send sends the requests of one phase from t0 and tells how it goes. It
// returns when the phase ended, counted from t0. The moments of it are put
// into report, where there is one.
func (r *run) send(ctx context.Context, phase string, rec *recorder, t0 time.Time, report *Report) time.Duration {
	e := r.engine(phase, rec)
	parts := newIntervals(r.cfg.Mix, e.schedule.duration)
	w := watcher{phase: phase, rec: rec, e: e, tell: func(l LiveLine) {
		r.cfg.Live(l)
		if report != nil {
			report.Timeline = append(report.Timeline, l.moment())
		}
	}, keep: func(to time.Duration) { parts.add(rec, to) }}
	until, enough := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() { w.watch(until, t0) })
	e.run(ctx, t0)
	ended := time.Since(t0)
	enough()
	watching.Wait()
	if report != nil {
		report.Intervals = append(report.Intervals, parts.done...)
	}
	return ended
}

// engine returns what sends the requests of a phase.
func (r *run) engine(phase string, rec *recorder) *engine {
	cfg := r.cfg
	p := plan{seed: cfg.Seed, mix: cfg.Mix, dist: cfg.Dist, everybody: cfg.Dist.population(cfg.Users), holders: r.scenario.holders.count}
	e := &engine{schedule: cfg.schedule(), workers: cfg.Workers, picker: p.picker, punctual: !cfg.plain,
		doer: func(worker int) func(context.Context, request, time.Time) (times, error) {
			return r.scenario.worker(worker).do
		},
		think: func(worker int) func() time.Duration { return cfg.Think.drawer(cfg.Seed, worker) },
		record: func(worker int, res result) {
			rec.record(worker, res)
			r.observe(res)
		}}
	if phase == PhaseWarmup {
		e.schedule = constantly(cfg.rates().steps[0], cfg.Warmup)
		e.record = rec.record
		// Other requests than those measured, whose answers would otherwise
		// all be in the target's cache already.
		e.picker = func() func(int64) request {
			pick := p.picker()
			return func(i int64) request { return pick(-1 - i) }
		}
	}
	return e
}

func (r *run) observe(res result) {
	if errors.Is(res.err, errNotSent) {
		return
	}
	o := Observation{Op: res.op.String(), Latency: res.latency, Service: res.service}
	if res.err != nil {
		o.Code = asFailure(res.err).code
	}
	r.cfg.Observe(o)
}

// newReport returns a report with what is known before a run.
func (r *run) newReport() *Report {
	cfg := r.cfg
	notes := append([]string{passwordsNote(cfg.Users)}, append(r.notes, cfg.Notes...)...)
	report := &Report{
		Command: cfg.Command, Version: cfg.Version, Machine: cfg.Machine, Target: cfg.Target,
		Workers: cfg.Workers, Users: cfg.Users, Dist: cfg.Dist.String(),
		Mix: cfg.Mix.String(), Seed: cfg.Seed, WarmupS: cfg.Warmup.Seconds(),
		Accounts: r.scenario.holders.count, Sessions: r.sessions,
		Timeline: []Moment{}, Intervals: []Interval{}, Notes: notes,
	}
	plan := cfg.schedule()
	report.RateRequested = plan.parts[0].from
	if plan.sections > 1 {
		report.Rates, report.RateRequested = cfg.Rates.String(), float64(plan.count())/plan.duration.Seconds()
	}
	if cfg.Think != (Think{}) {
		report.Think = cfg.Think.String()
	}
	return report
}

// share says how much of this machine so much processor time is, used while
// so much time passed.
func share(used, passed time.Duration) DriverCPU {
	all := passed * time.Duration(runtime.NumCPU())
	return DriverCPU{Seconds: used.Seconds(), Share: float64(used) / float64(max(1, all)), Processors: runtime.NumCPU()}
}

// passwordsNote says how real the passwords of generated accounts are.
func passwordsNote(users int) string {
	return fmt.Sprintf("the passwords of the %d generated accounts are %d real hashes, each shared by about %d accounts",
		users, min(passwords, users), max(1, users/passwords))
}
