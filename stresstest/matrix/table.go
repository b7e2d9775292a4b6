package matrix

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Heading is what stands above the tables.
type Heading struct {
	Command string `json:"command"`
	Version string `json:"version"`
	Machine string `json:"machine"`
	// Notes are what a reader must know to judge the numbers.
	Notes []string `json:"notes"`
}

var (
	stageColumns = []metric{roundTrip, poolGet, send, free}
	cacheColumns = []metric{cacheHit, cacheMiss, cacheFill}
	loginColumns = []metric{loginTrip, loginGet, tokenUpdate, hashWait, hashVerify, driverP50, driverP99}
)

// Markdown writes the tables.
func (r *Result) Markdown(w io.Writer, h Heading) error {
	var b strings.Builder
	r.head(&b, h)
	for _, cache := range []bool{false, true} {
		if cells := r.of(cache, false); len(cells) > 0 {
			stageTable(&b, cache, cells)
			driverTable(&b, cache, cells)
		}
	}
	r.loginTable(&b)
	r.besideOriginal(&b)
	if _, err := io.WriteString(w, b.String()); err != nil {
		return fmt.Errorf("write tables: %w", err)
	}
	return nil
}

// of returns the cells with a cache setting, of logins or of all else.
func (r *Result) of(cache, logins bool) (cells []Measured) {
	for _, m := range r.Cells {
		if m.Cell.Cache == cache && m.Cell.Logins == logins {
			cells = append(cells, m)
		}
	}
	return cells
}

func (r *Result) head(b *strings.Builder, h Heading) {
	fmt.Fprintf(b, "Measured %s by version %s on %s with\n\n    %s\n\n", r.days(), h.Version, h.Machine, h.Command)
	b.WriteString("Each number is the median of the replicas ± half of what lies between the least and the greatest; times are in milliseconds.\n\n")
	for _, note := range h.Notes {
		fmt.Fprintf(b, "* %s\n", note)
	}
}

// days are the first and the last day on which something was measured.
func (r *Result) days() string {
	var days []string
	for _, m := range r.Cells {
		for _, report := range m.Reports {
			days = append(days, report.StartedAt.UTC().Format(time.DateOnly))
		}
	}
	if len(days) == 0 {
		return "never"
	}
	if first, last := slices.Min(days), slices.Max(days); first != last {
		return first + " to " + last
	}
	return days[0]
}

// stageTable shows the 99th percentile of each stage.
func stageTable(b *strings.Builder, cache bool, cells []Measured) {
	columns := slices.Clone(stageColumns)
	if cache {
		columns = append(columns, cacheColumns...)
	}
	columns = append(columns, dbGet, dbUpdate)
	t := table{b: b}
	t.head(fmt.Sprintf("p99 of each stage, cache %s", onOff(cache)), slices.Concat([]string{"pool", "workers", "QPS"}, names(columns)))
	for _, m := range cells {
		t.row(slices.Concat(place(m.Cell), m.values(columns)))
	}
}

// driverTable shows what the driver saw of the same requests.
func driverTable(b *strings.Builder, cache bool, cells []Measured) {
	columns := []metric{achieved, driverP50, driverP99}
	if cache {
		columns = append(columns, hitRatio)
	}
	t := table{b: b}
	t.head(fmt.Sprintf("What the driver saw, cache %s", onOff(cache)),
		slices.Concat([]string{"pool", "workers", "QPS"}, names(columns), []string{"requests", "errors", "wrong", "not sent"}))
	for _, m := range cells {
		t.row(slices.Concat(place(m.Cell), m.values(columns), m.counts()))
	}
}

// loginTable shows logins, which were measured apart.
func (r *Result) loginTable(b *strings.Builder) {
	cells := append(r.of(false, true), r.of(true, true)...)
	if len(cells) == 0 {
		return
	}
	t := table{b: b}
	t.head("Logins, measured apart; of stages the p99", slices.Concat([]string{"cache", "pool", "workers", "logins/s"}, names(loginColumns), []string{"logins", "errors", "wrong", "not sent"}))
	for _, m := range cells {
		t.row(slices.Concat([]string{onOff(m.Cell.Cache)}, place(m.Cell), m.values(loginColumns), m.counts()))
	}
}

// besideOriginal shows the published numbers with what was measured under
// the load that is most like theirs.
func (r *Result) besideOriginal(b *strings.Builder) {
	t := table{b: b}
	t.head("Beside the original system",
		[]string{"cache", "workers", "QPS", "number", "original, pool", "original", "Gatehouse, pool", "Gatehouse"})
	for _, p := range publishedNumbers {
		ours, pool := "not measured", "–"
		if like := r.like(p); len(like) > 0 {
			ours, pool = rangeOf(like, p.of), pools(like)
		}
		name := p.of.name
		if !strings.Contains(name, "%") {
			name += ", p99"
		}
		qps := "–"
		if p.rate > 0 {
			qps = number(p.rate)
		}
		t.row([]string{onOff(p.cache), strconv.Itoa(p.workers), qps, name, fromTo(p.pools[0], p.pools[1]), p.original, pool, ours})
	}
	fmt.Fprintf(b, "\n%s\n", publishedNote)
}

// rangeOf is the least and the greatest median of cells, or the one.
func rangeOf(cells []Measured, of metric) string {
	var medians []float64
	var last Spread
	for _, m := range cells {
		if s := m.spread(of); len(s.Values) > 0 {
			medians, last = append(medians, s.Median), s
		}
	}
	if len(medians) < 2 {
		return last.String()
	}
	least, greatest := shown(slices.Min(medians)), shown(slices.Max(medians))
	if least == greatest {
		return least
	}
	return least + "–" + greatest
}

// pools are the pool sizes of cells.
func pools(cells []Measured) string {
	least, greatest := cells[0].Cell.Pool, cells[0].Cell.Pool
	for _, m := range cells {
		least, greatest = min(least, m.Cell.Pool), max(greatest, m.Cell.Pool)
	}
	return fromTo(least, greatest)
}

func fromTo(least, greatest int) string {
	if least == greatest {
		return strconv.Itoa(least)
	}
	return fmt.Sprintf("%d–%d", least, greatest)
}

func names(columns []metric) (names []string) {
	for _, c := range columns {
		names = append(names, c.name)
	}
	return names
}

func place(c Cell) []string {
	return []string{strconv.Itoa(c.Pool), strconv.Itoa(c.Workers), number(c.Rate)}
}

func (m Measured) values(columns []metric) (values []string) {
	for _, c := range columns {
		values = append(values, m.spread(c).String())
	}
	return values
}

// counts are those of all replicas together.
func (m Measured) counts() []string {
	return []string{strconv.FormatInt(m.sum(requests), 10), m.failed(),
		strconv.FormatInt(m.sum(wrong), 10), strconv.FormatInt(m.sum(notSent), 10)}
}

// failed is how many requests failed, and how.
func (m Measured) failed() string {
	text, codes := strconv.FormatInt(m.sum(failures), 10), m.codes()
	if len(codes) == 0 {
		return text
	}
	var list []string
	for _, code := range slices.Sorted(maps.Keys(codes)) {
		list = append(list, fmt.Sprintf("%d %s", codes[code], code))
	}
	return text + " (" + strings.Join(list, ", ") + ")"
}

// String shows the median and the deviation, a dash where there is none.
func (s Spread) String() string {
	switch len(s.Values) {
	case 0:
		return "–"
	case 1:
		return shown(s.Median)
	}
	return shown(s.Median) + " ± " + shown(s.Deviation)
}

// shown cuts a number to what a measurement can tell.
func shown(x float64) string {
	if x >= 100 {
		return strconv.FormatFloat(x, 'f', 0, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

// table writes a table of Markdown.
type table struct{ b *strings.Builder }

func (t table) head(title string, columns []string) {
	fmt.Fprintf(t.b, "\n**%s**\n\n", title)
	t.row(columns)
	t.row(slices.Repeat([]string{"--:"}, len(columns)))
}

func (t table) row(values []string) { fmt.Fprintf(t.b, "| %s |\n", strings.Join(values, " | ")) }
