package stresstest

import (
	"math"
	"strconv"
	"strings"
)

// The size of a chart and of the margins that its labels stand in, in SVG
// units.
const (
	chartWidth, chartHeight  = 640.0, 220.0
	marginLeft, marginBottom = 56.0, 24.0
	marginTop, marginRight   = 8.0, 20.0
)

// point is a place in a chart, in the units of what it shows.
type point struct{ x, y float64 }

// chart is a set of lines over one axis. The exported fields are what the
// page draws, in SVG units.
type chart struct {
	Title  string
	Lines  []line
	XTicks []tick
	YTicks []tick

	// Left, Right, Bottom and Label are where the area of the lines ends and
	// the labels of the x axis stand.
	Left, Right, Bottom, Label float64
	Width, Height              float64

	logarithmic bool
	lowX, highX float64
	lowY, highY float64
	series      [][]point
	xLabels     []label
}

type line struct {
	Name string
	// Number tells lines apart by their colour.
	Number int
	Points string
}

type tick struct {
	At    float64
	Label string
}

type label struct {
	x    float64
	text string
}

// newChart returns an empty chart whose y axis is logarithmic or begins at 0.
func newChart(title string, logarithmic bool) *chart {
	return &chart{Title: title, logarithmic: logarithmic,
		Left: marginLeft, Right: chartWidth - marginRight, Bottom: chartHeight - marginBottom, Label: chartHeight - 6,
		Width: chartWidth, Height: chartHeight,
		lowX: math.Inf(1), highX: math.Inf(-1), lowY: math.Inf(1), highY: math.Inf(-1)}
}

// add adds a line. A logarithmic axis has no place for 0, which stands for
// nothing measured there.
func (c *chart) add(name string, points []point) {
	var kept []point
	for _, p := range points {
		if c.logarithmic && p.y <= 0 {
			continue
		}
		kept = append(kept, p)
		c.lowX, c.highX = min(c.lowX, p.x), max(c.highX, p.x)
		c.lowY, c.highY = min(c.lowY, p.y), max(c.highY, p.y)
	}
	c.Lines = append(c.Lines, line{Name: name, Number: len(c.Lines)})
	c.series = append(c.series, kept)
}

// label writes text below a place of the x axis.
func (c *chart) label(x float64, text string) { c.xLabels = append(c.xLabels, label{x, text}) }

// labelSeconds labels the x axis with whole seconds at round distances.
func (c *chart) labelSeconds() {
	step := max(1, roundUp((c.highX-c.lowX)/8))
	for x := math.Ceil(c.lowX/step) * step; x <= c.highX; x += step {
		c.label(x, strconv.FormatFloat(x, 'f', -1, 64)+" s")
	}
}

// drawn returns the chart with its lines and labels in SVG units.
func (c *chart) drawn() chart {
	c.fit()
	for i, points := range c.series {
		var b strings.Builder
		for _, p := range points {
			b.WriteString(units(c.atX(p.x)) + "," + units(c.atY(p.y)) + " ")
		}
		c.Lines[i].Points = strings.TrimSpace(b.String())
	}
	for _, l := range c.xLabels {
		c.XTicks = append(c.XTicks, tick{c.atX(l.x), l.text})
	}
	for _, y := range c.steps() {
		c.YTicks = append(c.YTicks, tick{c.atY(y), strconv.FormatFloat(y, 'f', -1, 64)})
	}
	return *c
}

// fit widens the axes to round numbers, and gives those of an empty chart
// some extent.
func (c *chart) fit() {
	if math.IsInf(c.lowY, 1) {
		c.lowX, c.highX, c.lowY, c.highY = 0, 1, 1, 1
	}
	if c.highX == c.lowX {
		c.highX++
	}
	if !c.logarithmic {
		c.lowY, c.highY = 0, roundUp(c.highY)
		return
	}
	c.lowY = math.Pow(10, math.Floor(math.Log10(c.lowY)))
	c.highY = math.Pow(10, math.Ceil(math.Log10(c.highY)))
	if c.highY == c.lowY {
		c.highY *= 10
	}
}

// roundUp returns the next of 1, 2, 5, 10, 20, 50 and so on.
func roundUp(y float64) float64 {
	if y <= 0 {
		return 1
	}
	decade := math.Pow(10, math.Floor(math.Log10(y)))
	for _, step := range []float64{1, 2, 5} {
		if y <= step*decade {
			return step * decade
		}
	}
	return 10 * decade
}

// steps returns where the y axis has a line.
func (c *chart) steps() (steps []float64) {
	if !c.logarithmic {
		for i := range 5 {
			steps = append(steps, c.highY*float64(i)/4)
		}
		return steps
	}
	for y := c.lowY; y <= c.highY*1.01; y *= 10 {
		steps = append(steps, math.Round(y*1e6)/1e6) // 0.1 is not 0.09999999
	}
	return steps
}

func (c *chart) atX(x float64) float64 {
	return marginLeft + (x-c.lowX)/(c.highX-c.lowX)*(chartWidth-marginLeft-marginRight)
}

func (c *chart) atY(y float64) float64 {
	part := (y - c.lowY) / (c.highY - c.lowY)
	if c.logarithmic {
		part = math.Log10(y/c.lowY) / math.Log10(c.highY/c.lowY)
	}
	return chartHeight - marginBottom - part*(chartHeight-marginBottom-marginTop)
}

func units(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }
