package capacity

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// String shows a try on one line.
func (t Try) String() string {
	verdict := "kept"
	if !t.Kept {
		verdict = "broken: " + strings.Join(t.Broken, "; ")
	}
	return fmt.Sprintf("%s/s, p99 %s ms: %s", number(t.Rate), number(t.Report.Total.Latency.P99), verdict)
}

// Sentence says plainly what was found.
func (r *Result) Sentence() string {
	switch {
	case r.Good == nil && r.Bad == nil:
		return "Nothing was measured."
	case r.Good == nil:
		return fmt.Sprintf("The promises are not kept even at %s requests a second (%s).", number(r.Bad.Rate), strings.Join(r.Bad.Broken, "; "))
	case r.Bad == nil:
		return fmt.Sprintf("The promises are kept up to the highest rate that was tried, %s requests a second (p99 %s ms): nothing gave way.",
			number(r.Good.Rate), number(r.Good.Report.Total.Latency.P99))
	}
	return fmt.Sprintf("The promises are kept at %s requests a second (p99 %s ms) and not at %s (p99 %s ms: %s): %s.",
		number(r.Good.Rate), number(r.Good.Report.Total.Latency.P99), number(r.Bad.Rate), number(r.Bad.Report.Total.Latency.P99),
		strings.Join(r.Bad.Broken, "; "), r.culprit())
}

// culprit says what gives way first, as far as that can be known.
func (r *Result) culprit() string {
	w := r.Weakest
	switch {
	case len(r.Bad.Report.Stages) == 0 || len(r.Good.Report.Stages) == 0:
		return "which stage gives way first was not measured, because the tiers' metrics were not read"
	case w == nil:
		return "no stage became slower, so that none can be named"
	case w.Stage == stageWait:
		return fmt.Sprintf("the driver gives way first, whose requests %s", w.change("wait longer for a free worker"))
	case w.Stage == stageSpent:
		return fmt.Sprintf("what gives way first lies between the driver and the target's own clock, in the network, in the queue of connections or in a processor that is short: "+
			"answers %s, and no stage of the target explains it", w.change("take longer"))
	case w.Itself:
		return fmt.Sprintf("the first to give way is stage %s of %s in the %s, outside of the stages that it contains: its p99 %s", w.Stage, w.Op, w.Tier, w.change("rises"))
	}
	return fmt.Sprintf("the first to give way is stage %s of %s in the %s: its p99 %s", w.Stage, w.Op, w.Tier, w.change("rises"))
}

// change says from what to what a stage went.
func (w *Weakest) change(verb string) string {
	return fmt.Sprintf("%s, from %s ms to %s ms, from %.0f %% to %.0f %% of the driver's p99", verb, number(w.GoodP99), number(w.BadP99), w.GoodShare, w.BadShare)
}

// Text writes the result for a terminal: the stages and the sentence. The
// tries are told while they happen.
func (r *Result) Text(w io.Writer) error {
	var b bytes.Buffer
	if len(r.Stages) > 0 {
		fmt.Fprintf(&b, "p99, ms, and its part of the driver's p99, at %s/s and at %s/s; stages contain others\n\n", number(r.Good.Rate), number(r.Bad.Rate))
		r.table(&b)
		fmt.Fprintln(&b)
	}
	fmt.Fprintln(&b, r.Sentence())
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

func (r *Result) table(w io.Writer) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(t, "\tstage\top\t%s/s\t%%\t%s/s\t%%\t\n", number(r.Good.Rate), number(r.Bad.Rate))
	for _, c := range r.Stages {
		mark := ""
		if r.Weakest != nil && c == r.Weakest.Change {
			mark = "  <- gives way"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%.3f\t%.0f\t%.3f\t%.0f\t%s\n", c.Tier, c.Stage, c.Op, c.GoodP99, c.GoodShare, c.BadP99, c.BadShare, mark)
	}
	t.Flush() // into memory
}

// JSON writes the result as indented JSON. Of the tries, the two that are
// compared have their whole reports.
func (r *Result) JSON(w io.Writer) error {
	short := *r
	short.Tries = []Try{}
	for _, t := range r.Tries {
		t.Report = nil
		short.Tries = append(short.Tries, t)
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false) // so that a service level reads as it was given
	if err := e.Encode(struct {
		Sentence string `json:"sentence"`
		Result
	}{r.Sentence(), short}); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

// Wrong returns how many answers were wrong in all tries.
func (r *Result) Wrong() (wrong int64) {
	for _, t := range r.Tries {
		wrong += t.Report.Wrong
	}
	return wrong
}
