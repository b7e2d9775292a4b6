package stresstest

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
)

const (
	stageMetric = "gatehouse_stage_duration_seconds"
	// maxMetrics bounds what one /metrics may say, in bytes, and
	// maxMetricLine one line of it.
	maxMetrics    = 32 << 20
	maxMetricLine = 64 << 10
	// maxBuckets bounds the buckets that are kept of it.
	maxBuckets = 100_000
)

// stageKey names one stage histogram.
type stageKey struct{ tier, stage, op string }

// buckets are the cumulative counts of a histogram by upper bound, in
// seconds, +Inf among them.
type buckets map[float64]float64

// stageCounts are the stage histograms of one or more tiers at a moment.
type stageCounts map[stageKey]buckets

// scrape reads the stage histograms from the /metrics of all tiers. Series
// that several of them have, as two backends do, are added up.
func scrape(ctx context.Context, client *http.Client, urls []string) (stageCounts, error) {
	counts := stageCounts{}
	for _, address := range urls {
		if err := scrapeOne(ctx, client, address, counts); err != nil {
			return nil, fmt.Errorf("read metrics of %s: %w", redacted(address), err)
		}
	}
	return counts, nil
}

func scrapeOne(ctx context.Context, client *http.Client, address string, into stageCounts) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "text/plain;version=0.0.4")
	answer, err := client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("it answers %s", answer.Status)
	}
	return readStages(io.LimitReader(answer.Body, maxMetrics), into)
}

// readStages adds the stage histograms in Prometheus' text format to into.
// It reads the classic buckets alone; the last of them is the count.
// https://prometheus.io/docs/instrumenting/exposition_formats/
func readStages(r io.Reader, into stageCounts) error {
	scanner := bufio.NewScanner(r)
	scanner.Buffer(nil, maxMetricLine)
	kept := 0
	for scanner.Scan() {
		line, ok := strings.CutPrefix(scanner.Text(), stageMetric+"_bucket{")
		if !ok {
			continue
		}
		labels, value, err := parseSample(line)
		if err != nil {
			return fmt.Errorf("sample %q: %w", scanner.Text(), err)
		}
		bound, err := strconv.ParseFloat(labels["le"], 64)
		if err != nil || math.IsNaN(bound) {
			return fmt.Errorf("sample %q: le is no number", scanner.Text())
		}
		if kept++; kept > maxBuckets {
			return fmt.Errorf("more than %d buckets of %s", maxBuckets, stageMetric)
		}
		key := stageKey{labels["tier"], labels["stage"], labels["op"]}
		if into[key] == nil {
			into[key] = buckets{}
		}
		into[key][bound] += value
	}
	if err := scanner.Err(); err != nil {
		return fmt.Errorf("read: %w", err)
	}
	return nil
}

// parseSample reads what follows the brace that opens the labels of a
// sample: name="value",… } value, and perhaps a time, which is passed over.
func parseSample(text string) (labels map[string]string, value float64, err error) {
	labels = map[string]string{}
	for {
		text = strings.TrimLeft(text, " ,")
		if rest, end := strings.CutPrefix(text, "}"); end {
			text = rest
			break
		}
		name, rest, ok := strings.Cut(text, `="`)
		if !ok {
			return nil, 0, fmt.Errorf("a label has no value")
		}
		var content string
		if content, text, ok = cutLabel(rest); !ok {
			return nil, 0, fmt.Errorf("label %s does not end", name)
		}
		labels[name] = content
	}
	fields := strings.Fields(text)
	if len(fields) == 0 {
		return nil, 0, fmt.Errorf("there is no value")
	}
	value, err = strconv.ParseFloat(fields[0], 64)
	return labels, value, err
}

// cutLabel reads a label's value up to the quote that ends it.
func cutLabel(text string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:], true
		case c == '\\' && i+1 < len(text):
			i++
			if text[i] == 'n' {
				b.WriteByte('\n')
			} else {
				b.WriteByte(text[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}
