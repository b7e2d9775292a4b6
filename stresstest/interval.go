package stresstest

import "time"

// maxIntervals bounds the intervals of a report.
const maxIntervals = 60

// Interval is a part of a run with percentiles of its own, by which two runs
// are compared where there is only one of each.
type Interval struct {
	// FromS and ToS are counted from the start, in seconds. What an interval
	// shows finished in it.
	FromS float64 `json:"from_s"`
	ToS   float64 `json:"to_s"`
	// Latency is that of each operation with a success in it, and of all as
	// "total".
	Latency map[string]Percentiles `json:"latency_ms"`
}

// intervals cuts a run into at most maxIntervals of whole seconds.
type intervals struct {
	length time.Duration
	begin  time.Duration // of the one that is not complete
	ops    [operations]*tally
	done   []Interval
}

func newIntervals(mix Mix, duration time.Duration) *intervals {
	whole := (duration + maxIntervals*time.Second - 1) / (maxIntervals * time.Second)
	v := &intervals{length: max(1, whole) * time.Second}
	for _, op := range mix.all() {
		v.ops[op] = newTally()
	}
	return v
}

// add takes what a recorder counted last, up to a moment of the run.
func (v *intervals) add(rec *recorder, to time.Duration) {
	for _, op := range rec.mix.all() {
		v.ops[op].merge(rec.second[op])
	}
	// The last one may be as much shorter as the last moment may be.
	if to-v.begin < v.length-minMoment || len(v.done) == maxIntervals {
		return
	}
	one, total := Interval{FromS: v.begin.Seconds(), ToS: to.Seconds(), Latency: map[string]Percentiles{}}, newTally()
	for _, op := range rec.mix.all() {
		if t := v.ops[op]; t.finished > t.failed {
			one.Latency[op.String()] = percentilesOf(t.latency)
		}
		total.merge(v.ops[op])
		v.ops[op].clear()
	}
	if total.finished > total.failed {
		one.Latency[totalName] = percentilesOf(total.latency)
	}
	v.done, v.begin = append(v.done, one), to
}
