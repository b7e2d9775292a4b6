package stresstest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
)

// JSON writes the comparison as indented JSON.
func (c *Comparison) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	if err := e.Encode(c); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	return nil
}

// Text writes the comparison for a terminal.
func (c *Comparison) Text(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "runs: %d as the base, %d new; %s\n\n", c.BaseRuns, c.NewRuns, c.spreadInWords())
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "op\tmetric\tbase\t\tnew\t\tchange\tspread\t\t")
	for _, ch := range c.Changes {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\n", ch.Op, ch.Metric, ch.Base.shown(), ch.Base.span(c.BaseRuns),
			ch.New.shown(), ch.New.span(c.NewRuns), ch.percent(), ch.spread(), ch.Unit+"  "+ch.Verdict)
	}
	t.Flush()
	fmt.Fprintln(&b)
	for _, note := range c.Notes {
		fmt.Fprintf(&b, "note: %s\n", note)
	}
	if _, err := w.Write(b.Bytes()); err != nil {
		return fmt.Errorf("write comparison: %w", err)
	}
	return nil
}

func (c *Comparison) spreadInWords() string {
	if c.SpreadFrom == SpreadOfIntervals {
		return "one run each, so that the spread is that of the intervals within them, which is less than that between runs"
	}
	return "the spread is that of the runs of a side, from the least to the most"
}

func (s Side) shown() string { return showMS(s.Median) }

// span shows from where to where several runs reach.
func (s Side) span(runs int) string {
	if runs == 1 {
		return ""
	}
	return showMS(s.Least) + ".." + showMS(s.Most)
}

func (ch Change) percent() string {
	if ch.Percent == nil {
		return ""
	}
	return fmt.Sprintf("%+.1f %%", *ch.Percent)
}

func (ch Change) spread() string {
	if ch.Verdict == VerdictUnknown {
		return "?"
	}
	return showMS(ch.Spread)
}
