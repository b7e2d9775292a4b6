package stresstest

import (
	"context"
	"crypto/x509"
	"io"
	"net"
	"time"
)

// LeadTime is how long after the preparations the measured part begins.
const LeadTime = leadTime

// LoginPatience bounds the logins before the clock starts.
const LoginPatience = loginPatience

// Bubbled makes a run work in a bubble of testing/synctest: it connects by
// dial, and leaves the timers as they are.
func (c Config) Bubbled(dial func(ctx context.Context, network, address string) (net.Conn, error)) Config {
	c.dial, c.plain = dial, true
	return c
}

// Due and Count are those of a schedule.
func Due(rate float64, i int64) time.Duration {
	s := constantly(rate, time.Hour)
	return s.due(i)
}

func Count(rate float64, duration time.Duration) int64 {
	s := constantly(rate, duration)
	return s.count()
}

func DueBy(rate float64, duration, elapsed time.Duration) int64 {
	s := constantly(rate, duration)
	return s.dueBy(elapsed)
}

// Dues returns when each request of a run is due, and in which section.
func Dues(c Config) (dues []time.Duration, sections []int) {
	s := c.schedule()
	for i := range s.count() {
		dues = append(dues, s.due(i))
		sections = append(sections, s.section(s.due(i)))
	}
	return dues, sections
}

// DueByOf returns how many requests of a run are due by then.
func DueByOf(c Config, elapsed time.Duration) int64 {
	s := c.schedule()
	return s.dueBy(elapsed)
}

// SessionID is that of a token in the list of sessions.
func SessionID(token string) string { return sessionID(token) }

// Pick returns operation and account of request i, of users accounts that
// all have a session.
func Pick(seed uint64, m Mix, d Dist, users int) func(i int64) (op string, account int) {
	n := d.population(users)
	pick := plan{seed: seed, mix: m, dist: d, everybody: n, holders: n}.picker()
	return func(i int64) (string, int) {
		r := pick(i)
		return r.op.String(), r.whose
	}
}

// Stages returns what passed between two texts of /metrics.
func Stages(before, after io.Reader) ([]Stage, error) {
	first, second := stageCounts{}, stageCounts{}
	if err := readStages(before, first); err != nil {
		return nil, err
	}
	err := readStages(after, second)
	return stagesBetween(first, second), err
}

// WakeOften is wakeOften for a schedule that starts now.
func WakeOften(ctx context.Context, rate float64, duration time.Duration) {
	s := constantly(rate, duration)
	wakeOften(ctx, &s, time.Now())
}

// Written is what a run remembers of the updates of one account.
type Written struct{ q *sequence }

// NewWritten returns the memory of an account that nothing was written to.
func NewWritten() Written { return Written{newSequences(time.Now()).of(1)} }

func (w Written) Next() int64 { return w.q.next() }

func (w Written) Acknowledge(number int64) { w.q.settle(number, applied) }

func (w Written) Refuse(number int64) { w.q.settle(number, notApplied) }

func (w Written) Doubt(number int64) { w.q.settle(number, unknown) }

func (w Written) Floor() int64 { return w.q.acknowledged() }

func (w Written) Allows(number, floor int64) bool { return w.q.allows(number, floor) }

// Workers returns a function that makes a worker of cfg, whose accounts have
// generated sessions: one that sends and records request i without waiting
// until it is due.
func Workers(ctx context.Context, cfg Config) (worker func(number int) func(i int64) error, stop func(), err error) {
	cfg = cfg.withDefaults()
	t, err := cfg.openTarget(ctx)
	if err != nil {
		return nil, nil, err
	}
	r := &run{cfg: cfg, scenario: newScenario(t, cfg.Mix)}
	r.scenario.holders = derived(cfg.SessionKey, cfg.Users)
	e := r.engine(PhaseRun, newRecorder(cfg.Mix, 1))
	return func(number int) func(i int64) error {
		pick, do := e.picker(), e.doer(number)
		return func(i int64) error {
			req := pick(i)
			at, err := do(ctx, req, time.Now().Add(time.Minute))
			took := time.Since(at.sent)
			e.record(number, result{request: req, latency: took, service: took, err: err})
			return err
		}
	}, t.close, nil
}

// CheckFiles is checkFiles.
func CheckFiles(workers int, limit uint64) error { return checkFiles(workers, limit) }

// WarningsOf are those that a report gives rise to.
func (r *Report) WarningsOf() []string { return r.warnings() }

// Trusting makes a run trust certificates of roots alone.
func (c Config) Trusting(roots *x509.CertPool) Config {
	c.roots = roots
	return c
}
