// Package capacity searches for the highest rate of requests at which a target
// keeps its promises, and names the stage that gives way first beyond it. It
// knows runs by their reports alone: what is asked of which target, and how,
// is the business of the Probe that it is given.
package capacity

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"gatehouse/stresstest"
)

// A Probe sends requests at a rate for a while and reports.
type Probe func(ctx context.Context, rate float64) (*stresstest.Report, error)

// Config is where and how finely is searched.
type Config struct {
	// From is the first rate that is tried, and To the highest, in requests a
	// second. Below From is searched only where From is not kept.
	From, To float64
	// Tolerance is how far apart, as a part of the rate that is kept, the rate
	// that is kept and the one that is not may be in the end. Default 0.05.
	Tolerance float64
	// Pause is left between two probes, so that a target that was asked too
	// much comes to rest.
	Pause time.Duration
	// Told, where set, is called after each probe. It must not wait for long.
	Told func(Try)
}

const (
	// tries is how often a rate is probed at most; most of them decide.
	tries = 3
	// halvings is how often the first rate is halved where it is not kept.
	halvings      = 6
	tolerance     = 0.05
	maxRate       = 1_000_000
	shortOfRate   = 0.01 // how far the achieved rate may stay below the wanted
	leastDistance = 1    // between two rates, in requests a second
)

// Try is one probe of a rate.
type Try struct {
	Rate float64 `json:"rate"`
	Kept bool    `json:"kept"`
	// Broken says what was not kept, in words.
	Broken []string           `json:"broken"`
	Report *stresstest.Report `json:"report,omitempty"`
}

// Result is what a search found.
type Result struct {
	// Good is the try at the highest rate that keeps the promises, nil where
	// none did, and Bad one at the lowest above that does not, nil where even
	// Config.To was kept.
	Good *Try `json:"good"`
	Bad  *Try `json:"bad"`
	// Tries are all of them, in their order.
	Tries []Try `json:"tries"`
	// Weakest is the stage that gives way first, nil where that is not known.
	Weakest *Weakest `json:"weakest"`
	// Stages compares the two, where the tiers' metrics were read.
	Stages []Change `json:"stages"`
}

// Check tells what is wrong with the settings.
func (c Config) Check() error {
	switch {
	case !(c.From > 0 && c.From <= c.To && c.To <= maxRate): // which NaN is not
		return fmt.Errorf("from %v and to %v: want rates above 0 and up to %d, the first not above the second", c.From, c.To, maxRate)
	case !(c.Tolerance >= 0 && c.Tolerance <= 1):
		return fmt.Errorf("tolerance %v: want a part from 0 to 1", c.Tolerance)
	case c.Pause < 0:
		return fmt.Errorf("pause %v: it cannot be negative", c.Pause)
	}
	return nil
}

// Search doubles the rate until the promises are broken, then halves the
// distance between the highest rate that is kept and the lowest that is not
// until they are close. A rate whose first try is broken is tried again, and
// so is every rate after the doubling: it is kept where two of three tries
// are. When ctx ends, or a probe fails, the error comes without a result.
func Search(ctx context.Context, cfg Config, probe Probe) (*Result, error) {
	if err := cfg.Check(); err != nil {
		return nil, err
	}
	cfg.Tolerance = cmp.Or(cfg.Tolerance, tolerance)
	s := &search{cfg: cfg, probe: probe, tries: map[float64][]Try{}}
	good, bad, err := s.double(ctx)
	if err == nil {
		good, bad, err = s.narrow(ctx, good, bad)
	}
	if err != nil {
		return nil, fmt.Errorf("search for the capacity: %w", err)
	}
	return s.result(good, bad), nil
}

// search is one search. Rates that are not there are 0 for none below and
// +Inf for none above.
type search struct {
	cfg   Config
	probe Probe
	tries map[float64][]Try // by rate
	order []Try
}

// double finds a rate that is kept and the double that is not. Where the
// first is not kept it goes down instead.
func (s *search) double(ctx context.Context) (good, bad float64, err error) {
	rate := s.cfg.From
	kept, err := s.kept(ctx, rate, 1)
	if err != nil || !kept {
		return 0, rate, err
	}
	for good = rate; good < s.cfg.To; good = rate {
		rate = math.Min(round(2*good), s.cfg.To)
		if kept, err = s.kept(ctx, rate, 1); err != nil || !kept {
			return good, rate, err
		}
	}
	return good, math.Inf(1), nil
}

// halve goes down from a rate that is not kept to one that is, 0 for none.
func (s *search) halve(ctx context.Context, from float64) (good, bad float64, err error) {
	bad = from
	for range halvings {
		rate := round(bad / 2)
		if rate <= 0 || rate >= bad {
			break
		}
		if kept, err := s.kept(ctx, rate, 1); err != nil || kept {
			return rate, bad, err
		}
		bad = rate
	}
	return 0, bad, nil
}

// narrow brings the two rates together. At the end the good one has been
// kept in two tries of three; where it turns out that it was not, it becomes
// the bad one, and the next lower that was kept the good one.
func (s *search) narrow(ctx context.Context, good, bad float64) (_, _ float64, err error) {
	for {
		if good == 0 {
			if good, bad, err = s.halve(ctx, bad); err != nil || good == 0 {
				return good, bad, err
			}
		}
		rate, enough := s.between(good, bad)
		kept, err := s.kept(ctx, rate, 2)
		switch {
		case err != nil || enough && kept:
			return good, bad, err
		case enough:
			good, bad = s.below(good), good
		case kept:
			good = rate
		default:
			bad = rate
		}
	}
}

// between is the rate in the middle of two, or the good one where they are
// close enough.
func (s *search) between(good, bad float64) (rate float64, enough bool) {
	middle := round((good + bad) / 2)
	if math.IsInf(bad, 1) || bad-good <= math.Max(leastDistance, s.cfg.Tolerance*good) || middle <= good || middle >= bad {
		return good, true
	}
	return middle, false
}

// below is the highest rate under a rate of which most tries were kept, 0 for
// none.
func (s *search) below(rate float64) (best float64) {
	for r, list := range s.tries {
		if good, bad := count(list); r < rate && r > best && good > bad {
			best = r
		}
	}
	return best
}

// kept tells whether a rate is kept: whether need tries are, before two are
// not. Tries of before count.
func (s *search) kept(ctx context.Context, rate float64, need int) (bool, error) {
	for {
		switch good, bad := count(s.tries[rate]); {
		case bad > tries/2:
			return false, nil
		case good > tries/2, bad == 0 && good >= need:
			return true, nil
		}
		if err := s.try(ctx, rate); err != nil {
			return false, err
		}
	}
}

func count(list []Try) (good, bad int) {
	for _, t := range list {
		if t.Kept {
			good++
		} else {
			bad++
		}
	}
	return good, bad
}

// try probes a rate once.
func (s *search) try(ctx context.Context, rate float64) error {
	if len(s.order) > 0 {
		if err := rest(ctx, s.cfg.Pause); err != nil {
			return err
		}
	}
	report, err := s.probe(ctx, rate)
	if err != nil {
		return fmt.Errorf("at %s a second: %w", number(rate), err)
	}
	if report == nil || report.Interrupted {
		return errors.Join(fmt.Errorf("at %s a second: it was not measured to its end", number(rate)), ctx.Err())
	}
	t := judge(rate, report)
	s.tries[rate], s.order = append(s.tries[rate], t), append(s.order, t)
	if s.cfg.Told != nil {
		s.cfg.Told(t)
	}
	return nil
}

// rest waits, or until ctx ends.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// result gathers what was found.
func (s *search) result(good, bad float64) *Result {
	r := &Result{Tries: s.order, Good: s.typical(good, true), Bad: s.typical(bad, false), Stages: []Change{}}
	if r.Good != nil && r.Bad != nil {
		p := newPair(r.Good.Report, r.Bad.Report)
		r.Stages, r.Weakest = p.changes(), p.weakest()
	}
	return r
}

// typical is the last try of a rate that was kept, or that was not.
func (s *search) typical(rate float64, kept bool) (last *Try) {
	for _, t := range s.tries[rate] {
		if t.Kept == kept {
			last = &t
		}
	}
	return last
}

// round makes a rate that a person would have chosen: whole, or above ten
// thousand to the hundred. Rates below ten keep one digit behind the point.
func round(rate float64) float64 {
	switch {
	case rate >= 10_000:
		return 100 * math.Round(rate/100)
	case rate >= 10:
		return math.Round(rate)
	}
	return math.Round(10*rate) / 10
}
