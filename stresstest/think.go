package stresstest

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// Think is how long a worker waits after an answer before it takes the next
// request. The zero Think is not at all. The schedule stays as it is: a request
// that finds every worker waiting is late, and this is part of its latency, or
// is not sent. It bounds what one worker does in a second, as a person is
// bounded, and never how much is due.
type Think struct{ least, most time.Duration }

// maxThink bounds the wait.
const maxThink = time.Hour

// ParseThink reads a time, such as "100ms", or a range of times that are
// equally likely, such as "50ms..2s".
func ParseThink(text string) (Think, error) {
	from, to, ranged := strings.Cut(text, "..")
	if !ranged {
		to = from
	}
	least, err := time.ParseDuration(from)
	most, err2 := time.ParseDuration(to)
	if err != nil || err2 != nil || least < 0 || most < least || most > maxThink {
		return Think{}, fmt.Errorf("think time %q: want a time such as 100ms or a range such as 50ms..2s, up to %v", text, maxThink)
	}
	return Think{least, most}, nil
}

// String returns the time in the form that ParseThink reads.
func (t Think) String() string {
	if t.least == t.most {
		return t.least.String()
	}
	return t.least.String() + ".." + t.most.String()
}

// drawer returns a function that draws the waits of one worker.
func (t Think) drawer(seed uint64, worker int) func() time.Duration {
	if t.most == 0 {
		return nil
	}
	r := rand.New(rand.NewPCG(seed, scatter(uint64(worker)+1)))
	return func() time.Duration { return t.least + time.Duration(r.Int64N(int64(t.most-t.least)+1)) }
}
