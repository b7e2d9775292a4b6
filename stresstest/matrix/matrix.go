// Package matrix measures the same load over and over under every combination
// of a few settings, as the tables of the system that Gatehouse re-does were
// made, and shows what it found beside those. It plans, keeps what was
// finished and makes tables; how a cell is put up, and that there are
// processes at all, it does not know: a Runner does.
package matrix

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gatehouse/stresstest"
)

// A Runner measures one step. Run makes everything that the cell describes
// and takes all of it away before it returns.
type Runner interface {
	Run(ctx context.Context, step Step) (*stresstest.Report, error)
}

// Config is what is measured and where it is kept.
type Config struct {
	Grid Grid
	// Settings are what the numbers depend on beyond the grid, by name. A
	// report that was kept is used again only where all of them are equal.
	Settings map[string]string
	// Dir is where the reports of finished steps are kept, and found by the
	// next Run. It is made where it is missing. Empty keeps nothing.
	Dir string
	// Told, where set, is called after each step. It must not wait for long.
	Told func(Progress)
}

// Progress tells of a step that is finished.
type Progress struct {
	Step   Step
	Number int // of the step, from 1
	Of     int // how many there are
	// Kept tells that the report is one of an earlier run.
	Kept   bool
	Report *stresstest.Report
	// Left is how long the others are going to take, as far as the steps
	// that were measured so far tell. It is 0 before the first of these.
	Left time.Duration
}

// Result is what was measured of every cell, in the order of the grid.
type Result struct{ Cells []Measured }

// Measured is a cell with the reports of its replicas.
type Measured struct {
	Cell    Cell
	Reports []*stresstest.Report
}

// ErrInterrupted ends a Run whose context ended. What was finished until then
// is kept where Config.Dir is set.
var ErrInterrupted = errors.New("interrupted")

// Run measures all steps of the grid that are not kept, one after the other.
// It ends with the first that cannot be measured.
func Run(ctx context.Context, cfg Config, r Runner) (*Result, error) {
	if err := cfg.Grid.Check(); err != nil {
		return nil, err
	}
	kept, err := openKept(cfg.Dir, cfg.Settings)
	if err != nil {
		return nil, err
	}
	steps, reports := cfg.Grid.Steps(), map[Cell][]*stresstest.Report{}
	remaining := newCountdown(steps, kept)
	for i, step := range steps {
		began := time.Now()
		report, known, err := measure(ctx, step, kept, r)
		if ctx.Err() != nil {
			return nil, fmt.Errorf("%w after %d of %d steps: %w", ErrInterrupted, i, len(steps), ctx.Err())
		}
		if err != nil {
			return nil, fmt.Errorf("step %d of %d (%s): %w", i+1, len(steps), step, err)
		}
		reports[step.Cell] = append(reports[step.Cell], report)
		if !known {
			remaining.took(time.Since(began))
		}
		if cfg.Told != nil {
			cfg.Told(Progress{Step: step, Number: i + 1, Of: len(steps), Kept: known, Report: report, Left: remaining.left()})
		}
	}
	result := &Result{}
	for _, cell := range cfg.Grid.Cells() {
		result.Cells = append(result.Cells, Measured{cell, reports[cell]})
	}
	return result, nil
}

// measure returns the report of a step, and whether it was known already.
func measure(ctx context.Context, step Step, kept *kept, r Runner) (report *stresstest.Report, known bool, err error) {
	if report, err = kept.load(step); report != nil || err != nil {
		return report, true, err
	}
	if ctx.Err() != nil {
		return nil, false, ctx.Err()
	}
	if report, err = r.Run(ctx, step); err != nil {
		return nil, false, err
	}
	if report == nil || report.Interrupted {
		return nil, false, errors.New("it was not measured to its end")
	}
	return report, false, kept.save(step, report)
}

// countdown estimates how long the steps to come are going to take.
type countdown struct {
	missing  int // steps that are still to be measured
	measured int
	spent    time.Duration
}

func newCountdown(steps []Step, kept *kept) *countdown {
	c := &countdown{}
	for _, step := range steps {
		if !kept.has(step) {
			c.missing++
		}
	}
	return c
}

func (c *countdown) took(d time.Duration) {
	c.missing--
	c.measured++
	c.spent += d
}

func (c *countdown) left() time.Duration {
	return time.Duration(c.missing) * c.spent / time.Duration(max(1, c.measured))
}

// Wrong returns how many answers were wrong in all of it.
func (r *Result) Wrong() (wrong int64) {
	for _, m := range r.Cells {
		for _, report := range m.Reports {
			wrong += report.Wrong
		}
	}
	return wrong
}
