package command

import (
	"fmt"

	"gatehouse/stresstest"
)

// overwrites tells whether the live line of a run is written over and over: on
// a terminal that can.
func (p *process) overwrites() bool { return terminal(p.stderr) && p.environ["TERM"] != "dumb" }

// liveLine shows how the run goes: over and over on one line of a terminal,
// a line every five seconds elsewhere. A terminal shows a line with failures
// in red, unless NO_COLOR is set (no-color.org).
func (p *process) liveLine() func(stresstest.LiveLine) {
	if p.overwrites() {
		colour := p.environ["NO_COLOR"] == ""
		return func(l stresstest.LiveLine) { fmt.Fprint(p.stderr, overwritten(l, colour)) }
	}
	n := 0
	return func(l stresstest.LiveLine) {
		if n++; n%5 == 0 {
			fmt.Fprintln(p.stderr, l)
		}
	}
}

// overwritten returns a line that takes the place of the one before it.
func overwritten(l stresstest.LiveLine, colour bool) string {
	if colour && l.Errors+l.NotSent > 0 {
		return fmt.Sprintf("\r\033[K\033[31m%s\033[0m", l)
	}
	return fmt.Sprintf("\r\033[K%s", l)
}
