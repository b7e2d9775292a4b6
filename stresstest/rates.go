package stresstest

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

const (
	// maxSteps bounds the rates of one run.
	maxSteps = 20
	// rampSections is in how many parts of equal length reports show a ramp.
	rampSections = 10
)

// Rates is how many requests a second are due in the course of a run. The
// zero Rates stands for Config.Rate.
type Rates struct {
	steps []float64     // one after the other, each for Config.Duration
	over  time.Duration // of a ramp from the first of two steps to the second
}

// ParseRates reads the rates of a run: "1000" for one, "1000,2000,4000" for
// steps of Config.Duration each, and "100..4000/60s" for a ramp that rises or
// falls evenly, and whose own time takes the place of Config.Duration.
func ParseRates(text string) (r Rates, err error) {
	numbers := strings.Split(text, ",")
	if from, rest, ok := strings.Cut(text, ".."); ok {
		to, over, timed := strings.Cut(rest, "/")
		if r.over, err = time.ParseDuration(over); !timed || err != nil || r.over <= 0 || r.over > maxDuration {
			return Rates{}, fmt.Errorf("rate %q: want FROM..TO/TIME, such as 100..4000/60s, with a time up to %v", text, maxDuration)
		}
		numbers = []string{from, to}
	}
	for _, number := range numbers {
		rate, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
		if err != nil || !(rate > 0 && rate <= maxRate) {
			return Rates{}, fmt.Errorf("rate %q: want more than 0 and up to %d requests a second, steps such as 1000,2000 or a ramp such as 100..4000/60s", text, maxRate)
		}
		r.steps = append(r.steps, rate)
	}
	if len(r.steps) > maxSteps {
		return Rates{}, fmt.Errorf("rate %q: %d steps are more than %d", text, len(r.steps), maxSteps)
	}
	return r, nil
}

// String returns the rates in the form that ParseRates reads.
func (r Rates) String() string {
	var numbers []string
	for _, rate := range r.steps {
		numbers = append(numbers, strconv.FormatFloat(rate, 'f', -1, 64))
	}
	if r.over > 0 {
		return strings.Join(numbers, "..") + "/" + r.over.String()
	}
	return strings.Join(numbers, ",")
}

// rates returns those of a Config, whichever field they stand in.
func (c Config) rates() Rates {
	if len(c.Rates.steps) > 0 {
		return c.Rates
	}
	return Rates{steps: []float64{c.Rate}}
}

// schedule returns that of the measured part.
func (c Config) schedule() (s schedule) {
	r := c.rates()
	if r.over > 0 {
		s.add(r.steps[0], r.steps[1], r.over)
		s.sections = rampSections
		return s
	}
	for _, rate := range r.steps {
		s.add(rate, rate, c.Duration)
	}
	s.sections = len(r.steps)
	return s
}

// whole returns how long the measured part is.
func (c Config) whole() time.Duration {
	if r := c.rates(); r.over > 0 {
		return r.over
	}
	return c.Duration * time.Duration(len(c.rates().steps))
}
