package matrix

import (
	"encoding/json"
	"fmt"
	"io"
)

// cellJSON is one cell in the JSON form of a result.
type cellJSON struct {
	Cell
	Replicas int   `json:"replicas"`
	Requests int64 `json:"requests"` // of all replicas, as are those below
	Errors   int64 `json:"errors"`
	// Codes are the errors by code.
	Codes   map[string]int64 `json:"error_codes"`
	Wrong   int64            `json:"wrong"`
	NotSent int64            `json:"not_sent"`
	// Metrics are by the heading of their column in the tables. Times are in
	// milliseconds; those of stages are 99th percentiles.
	Metrics map[string]Spread `json:"metrics"`
}

// JSON writes what the tables say, as indented JSON.
func (r *Result) JSON(w io.Writer, h Heading, settings map[string]string) error {
	cells := []cellJSON{}
	for _, m := range r.Cells {
		cells = append(cells, m.json())
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	if err := e.Encode(struct {
		Heading
		Settings map[string]string `json:"settings"`
		Cells    []cellJSON        `json:"cells"`
	}{h, settings, cells}); err != nil {
		return fmt.Errorf("write result: %w", err)
	}
	return nil
}

func (m Measured) json() cellJSON {
	c := cellJSON{Cell: m.Cell, Replicas: len(m.Reports), Requests: m.sum(requests), Errors: m.sum(failures), Codes: m.codes(),
		Wrong: m.sum(wrong), NotSent: m.sum(notSent), Metrics: map[string]Spread{}}
	columns := []metric{achieved, driverP50, driverP99, roundTrip, poolGet, send, free, cacheHit, cacheMiss, cacheFill, dbGet, dbUpdate, hitRatio}
	if m.Cell.Logins {
		columns = append([]metric{achieved}, loginColumns...)
	}
	for _, column := range columns {
		if s := m.spread(column); len(s.Values) > 0 {
			c.Metrics[column.name] = s
		}
	}
	return c
}
