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
	return &progress{out: p.stderr, stdout: p.stdout, terminal: terminal(p.stderr), total: total,
		started: time.Now(), ends: map[int]int{}, first: first}
}

// restart leaves what came before out of the rate.
func (p *progress) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.started = time.Now()
}

// done notes that the count numbers up to last are done.
func (p *progress) done(count, last int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finished += count
	p.ends[last-count+1] = last
	for start := p.first; ; start = p.first {
		last, ok := p.ends[start]
		if !ok {
			break
		}
		delete(p.ends, start)
		p.first = last + 1
	}
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
	left := time.Duration(float64(p.total-p.finished) / max(p.rate(), 1) * float64(time.Second)).Round(time.Second)
	line := fmt.Sprintf("%s of %s accounts, %s a second, %v left", shown(p.finished), shown(p.total), shown(int(p.rate())), left)
	if p.terminal {
		fmt.Fprintf(p.out, "\r\033[K%s", line)
	} else {
		fmt.Fprintln(p.out, line)
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
