package stresstest

import (
	"math"
	"time"
)

// schedule says when each request of a run is due, counted from the start,
// whatever became of those before it. Such a schedule is called open. A driver
// that waits for an answer before it sends the next request sends least when
// the target is slowest, and so does not see its worst moments ("coordinated
// omission", Gil Tene, "How NOT to Measure Latency").
type schedule struct {
	parts    []part // one after the other, at least one
	duration time.Duration
	// sections is how many parts of equal length reports show by themselves.
	sections int
}

// part is a piece of a schedule in which the rate is the same or changes
// evenly.
type part struct {
	begin, length time.Duration
	from, to      float64 // requests a second at its begin and end
	first, count  int64   // the number of its first request, and how many it has
}

// constantly returns the schedule of one rate: request i is due at i/rate.
func constantly(rate float64, duration time.Duration) schedule {
	var s schedule
	s.add(rate, rate, duration)
	s.sections = 1
	return s
}

// add puts a part at the end.
func (s *schedule) add(from, to float64, length time.Duration) {
	p := part{begin: s.duration, length: length, from: from, to: to, first: s.count()}
	p.count = int64(math.Ceil(length.Seconds() * (from + to) / 2))
	for p.count > 0 && p.due(p.count-1) >= length {
		p.count-- // due rounds to nanoseconds, and may round the last one up to the end
	}
	s.parts, s.duration = append(s.parts, p), s.duration+length
}

// due returns when request i of the part is due, counted from its begin: at
// i/rate where the rate is the same. Where it changes from a to b over T, the
// requests up to t are a·t + (b-a)/2T·t², and this is the t at which they are i.
func (p part) due(i int64) time.Duration {
	n := float64(i)
	if p.from == p.to {
		return time.Duration(math.Round(n * float64(time.Second) / p.from))
	}
	if i == 0 {
		return 0
	}
	root := p.from*p.from + 2*n*(p.to-p.from)/p.length.Seconds()
	return time.Duration(math.Round(2 * n * float64(time.Second) / (p.from + math.Sqrt(max(0, root)))))
}

// dueBy returns how many requests of the part are due up to elapsed after its
// begin.
func (p part) dueBy(elapsed time.Duration) int64 {
	if elapsed < 0 {
		return 0
	}
	t := min(elapsed, p.length).Seconds()
	return min(p.count, int64(p.from*t+(p.to-p.from)*t*t/2/p.length.Seconds())+1)
}

// due returns when request i is due, counted from the start.
func (s *schedule) due(i int64) time.Duration {
	last := len(s.parts) - 1
	for k := range s.parts[:last] {
		if p := &s.parts[k]; i < p.first+p.count {
			return p.begin + p.due(i-p.first)
		}
	}
	return s.parts[last].begin + s.parts[last].due(i-s.parts[last].first)
}

// count returns how many requests are due before the end.
func (s *schedule) count() (n int64) {
	for _, p := range s.parts {
		n += p.count
	}
	return n
}

// dueBy returns how many requests are due up to elapsed after the start.
func (s *schedule) dueBy(elapsed time.Duration) (n int64) {
	for _, p := range s.parts {
		n += p.dueBy(elapsed - p.begin)
	}
	return n
}

// section returns which of the sections a moment is in, counted from 0.
func (s *schedule) section(at time.Duration) int {
	if s.sections == 1 {
		return 0
	}
	return min(s.sections-1, int(at/s.sectionLength()))
}

// sectionLength rounds up, so that no moment lies behind the last section.
func (s *schedule) sectionLength() time.Duration {
	return (s.duration + time.Duration(s.sections) - 1) / time.Duration(s.sections)
}

// rateAt returns the rate at a moment of a section.
func (s *schedule) rateAt(section int, at time.Duration) float64 {
	p := s.parts[0]
	if len(s.parts) > 1 { // then every section is a part
		p = s.parts[section]
	}
	done := float64(at-p.begin) / float64(p.length)
	return p.from + (p.to-p.from)*min(1, done)
}
