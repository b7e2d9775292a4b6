package matrix_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"gatehouse/stresstest/matrix"
)

// small is a grid of two cells of requests and one of logins, measured twice.
func small() matrix.Grid {
	return matrix.Grid{Pools: []int{50}, Workers: []int{10}, Rates: []float64{100, 400}, Caches: []bool{true}, Replicas: 2, LoginRate: 5}
}

func TestStepsMeasureEveryCellOnceBeforeAnyAgain(t *testing.T) {
	t.Parallel()
	g := matrix.Grid{Pools: []int{50, 400}, Workers: []int{50, 1000}, Rates: []float64{1000, 4000}, Caches: []bool{true, false}, Replicas: 3, LoginRate: 5}
	cells, steps := g.Cells(), g.Steps()
	if len(cells) != 2*2*2*2+2*2 || len(steps) != 3*len(cells) {
		t.Fatalf("%d cells and %d steps, want 20 and 60", len(cells), len(steps))
	}
	for i, step := range steps {
		if want := (matrix.Step{Cell: cells[i%len(cells)], Replica: i/len(cells) + 1}); step != want {
			t.Errorf("step %d is %v, want %v", i, step, want)
		}
	}
	for i, cell := range cells {
		if slices.Contains(cells[:i], cell) {
			t.Errorf("cell %+v is there twice", cell)
		}
	}
}

func TestLoginsAreMeasuredOncePerPoolAndCache(t *testing.T) {
	t.Parallel()
	g := matrix.Grid{Pools: []int{50, 400}, Workers: []int{50, 1000}, Rates: []float64{1000}, Caches: []bool{true, false}, Replicas: 1, LoginRate: 5}
	var logins []matrix.Cell
	for _, c := range g.Cells() {
		if c.Logins {
			logins = append(logins, c)
		}
	}
	want := []matrix.Cell{{Logins: true, Pool: 50, Workers: 50, Rate: 5, Cache: true}, {Logins: true, Pool: 400, Workers: 50, Rate: 5, Cache: true},
		{Logins: true, Pool: 50, Workers: 50, Rate: 5}, {Logins: true, Pool: 400, Workers: 50, Rate: 5}}
	if !slices.Equal(logins, want) {
		t.Errorf("logins are measured in %+v, want %+v", logins, want)
	}
	g.LoginRate = 0
	if n := len(g.Cells()); n != 8 {
		t.Errorf("%d cells without logins, want 8", n)
	}
}

func TestAGridWithoutSenseIsRefused(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*matrix.Grid)
		want   string
	}{
		"no pool":           {func(g *matrix.Grid) { g.Pools = nil }, "at least one"},
		"no cache":          {func(g *matrix.Grid) { g.Caches = nil }, "at least one"},
		"a rate twice":      {func(g *matrix.Grid) { g.Rates = []float64{100, 100} }, "twice"},
		"a rate of nothing": {func(g *matrix.Grid) { g.Rates[1] = 0 }, "above 0"},
		"no number":         {func(g *matrix.Grid) { g.Rates[1] = math.NaN() }, "above 0"},
		"nobody at work":    {func(g *matrix.Grid) { g.Workers[0] = 0 }, "above 0"},
		"no replica":        {func(g *matrix.Grid) { g.Replicas = 0 }, "replicas 0"},
		"too many":          {func(g *matrix.Grid) { g.Replicas = 101 }, "replicas 101"},
		"too long": {func(g *matrix.Grid) {
			g.Replicas = 100
			for n := range 200 {
				g.Pools = append(g.Pools, 51+n)
			}
		}, "10000 steps"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := small()
			c.change(&g)
			if err := g.Check(); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("the error is %v, want one that says %q", err, c.want)
			}
		})
	}
	if err := small().Check(); err != nil {
		t.Errorf("the grid they are made of is refused: %v", err)
	}
}
