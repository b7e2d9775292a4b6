package command

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progress shows how far a long run is: on a terminal one line that is
// written over, elsewhere a line every few seconds.
type progress struct {
	out      io.Writer
	stdout   io.Writer
	terminal bool
	total    int
	// part tells how much of the whole is done, from 0 to 1, where there is
	// no total.
	part func() float64

	mu       sync.Mutex // guards the fields below
	started  time.Time
	shown    time.Time
	finished int
	ends     map[int]int // by its first number, the last number of a part done
	first    int         // all numbers below are done
}

const progressEvery = 2 * time.Second

// newProgress shows a run over total numbers from first on.
func newProgress(p *process, first, total int) *progress {
	now := time.Now()
	return &progress{out: p.stderr, stdout: p.stdout, terminal: terminal(p.stderr), total: total,
		started: now, shown: now, ends: map[int]int{}, first: first}
}

// done notes that the count numbers up to last are done.
func (p *progress) done(count, last int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ends[last-count+1] = last
	for start := p.first; ; start = p.first {
		last, ok := p.ends[start]
		if !ok {
			break
		}
		delete(p.ends, start)
		p.first = last + 1
	}
	p.count(count)
}

// add notes that count more are done, which have no numbers.
func (p *progress) add(count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count(count)
}

// count counts and, when it is time, shows; mu is held.
func (p *progress) count(count int) {
	p.finished += count
	now := time.Now()
	if p.terminal && now.Sub(p.shown) > 200*time.Millisecond || now.Sub(p.shown) > progressEvery {
		p.shown = now
		p.show()
	}
}

// next is the first number that is not done.
func (p *progress) next() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.first
}

func (p *progress) rate() float64 {
	return float64(p.finished) / max(time.Since(p.started).Seconds(), 1e-3)
}

func (p *progress) show() {
	of, upTo, part := "", "", 0.0
	if p.total > 0 {
		of, upTo = " of "+shown(p.total), fmt.Sprintf(", all up to %d are done", p.first-1)
		part = float64(p.finished) / float64(p.total)
	} else if p.part != nil {
		part = p.part()
	}
	line := fmt.Sprintf("%s%s accounts, %s a second", shown(p.finished), of, shown(int(p.rate())))
	if part > 0 {
		line += fmt.Sprintf(", %v left", time.Duration(float64(time.Since(p.started))*(1-part)/part).Round(time.Second))
	}
	if p.terminal {
		fmt.Fprintf(p.out, "\r\033[K%s%s", line, upTo)
	} else {
		fmt.Fprintln(p.out, line+upTo)
	}
}

// end says what was done.
func (p *progress) end(verb string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		fmt.Fprint(p.out, "\r\033[K")
	}
	_, err := fmt.Fprintf(p.stdout, "%s %s accounts in %v, %s a second\n", verb, shown(p.finished),
		time.Since(p.started).Round(10*time.Millisecond), shown(int(p.rate())))
	return err
}
