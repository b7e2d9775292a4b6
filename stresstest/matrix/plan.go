package matrix

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// Bounds of a grid, so that a slip of the hand does not measure for weeks.
const (
	maxReplicas = 100
	maxSteps    = 10_000
)

// Grid is the settings to combine.
type Grid struct {
	Pools    []int     // connections of the webserver
	Workers  []int     // requests under way at once, at most
	Rates    []float64 // requests a second
	Caches   []bool    // with and without a cache
	Replicas int       // how often each combination is measured
	// LoginRate is how many logins a second are measured apart, for each pool
	// size and cache setting, with the first of Workers. 0 measures none.
	LoginRate float64
}

// Cell is one combination.
type Cell struct {
	// Logins tells that logins alone are measured; otherwise reads and
	// updates of profiles are.
	Logins  bool    `json:"logins"`
	Pool    int     `json:"pool"`
	Workers int     `json:"workers"`
	Rate    float64 `json:"rate"`
	Cache   bool    `json:"cache"`
}

// Step is one measurement of a cell.
type Step struct {
	Cell
	Replica int `json:"replica"` // from 1
}

// Check tells what is wrong with the grid.
func (g Grid) Check() error {
	switch {
	case len(g.Pools) == 0 || len(g.Workers) == 0 || len(g.Rates) == 0 || len(g.Caches) == 0:
		return errors.New("want at least one pool size, number of workers, rate and cache setting")
	case repeats(g.Pools) || repeats(g.Workers) || repeats(g.Rates) || repeats(g.Caches):
		return errors.New("a pool size, number of workers, rate or cache setting is named twice")
	case slices.Min(g.Pools) < 1 || slices.Min(g.Workers) < 1 || !(slices.Min(g.Rates) > 0): // which NaN is not
		return errors.New("a pool size, number of workers or rate is not above 0")
	case g.Replicas < 1 || g.Replicas > maxReplicas:
		return fmt.Errorf("replicas %d: want from 1 to %d", g.Replicas, maxReplicas)
	case len(g.Cells())*g.Replicas > maxSteps:
		return fmt.Errorf("%d cells of %d replicas are more than the %d steps that one matrix may have", len(g.Cells()), g.Replicas, maxSteps)
	}
	return nil
}

func repeats[T comparable](list []T) bool {
	for i, v := range list {
		if slices.Contains(list[:i], v) {
			return true
		}
	}
	return false
}

// Cells returns the combinations in the order in which tables show them.
func (g Grid) Cells() (cells []Cell) {
	for _, cache := range g.Caches {
		for _, pool := range g.Pools {
			for _, workers := range g.Workers {
				for _, rate := range g.Rates {
					cells = append(cells, Cell{Pool: pool, Workers: workers, Rate: rate, Cache: cache})
				}
			}
			if g.LoginRate > 0 && len(g.Workers) > 0 {
				cells = append(cells, Cell{Logins: true, Pool: pool, Workers: g.Workers[0], Rate: g.LoginRate, Cache: cache})
			}
		}
	}
	return cells
}

// Steps returns all measurements in their order: every cell once, then every
// cell again. A host whose speed drifts so spreads its drift over the cells
// instead of over the replicas of one.
func (g Grid) Steps() (steps []Step) {
	cells := g.Cells()
	for replica := 1; replica <= g.Replicas; replica++ {
		for _, cell := range cells {
			steps = append(steps, Step{cell, replica})
		}
	}
	return steps
}

// String names the step in lines for people.
func (s Step) String() string {
	what := "requests"
	if s.Logins {
		what = "logins"
	}
	return fmt.Sprintf("pool %d, %d workers, %s %s/s, cache %s, replica %d", s.Pool, s.Workers, number(s.Rate), what, onOff(s.Cache), s.Replica)
}

// fileName names the step in the names of files.
func (s Step) fileName() string {
	what := "profile"
	if s.Logins {
		what = "login"
	}
	return fmt.Sprintf("%s-pool%d-workers%d-rate%s-cache%s-replica%d", what, s.Pool, s.Workers, number(s.Rate), onOff(s.Cache), s.Replica)
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

// number shows a number with as many digits as it has.
func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }
