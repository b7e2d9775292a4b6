// Command driver compares what a request costs Gatehouse's load driver with
// what it costs vegeta, which sends the same requests to the same handler from
// the same number of connections. Each round runs the two one after the other,
// each in a process of its own, because what a machine does at the side changes
// from one minute to the next; the handler has a process of its own as well.
// It knows the driver as a library, and nothing of the service.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"
)

// settings are those of one comparison.
type settings struct {
	rate     float64
	duration time.Duration
	workers  int
	rounds   int
}

// measured is what one driver did in one round.
type measured struct {
	Sent    int64   `json:"sent"`
	Failed  int64   `json:"failed"`
	Seconds float64 `json:"seconds"`
	// CPU is the processor time of the driver's process, in seconds.
	CPU float64 `json:"cpu"`
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
}

func (m measured) rate() float64 { return float64(m.Sent) / m.Seconds }

// cost is in microseconds of processor time a request.
func (m measured) cost() float64 { return 1e6 * m.CPU / float64(max(1, m.Sent)) }

func main() {
	var s settings
	var role, target string
	flag.Float64Var(&s.rate, "rate", 20_000, "requests a second")
	flag.DurationVar(&s.duration, "duration", 4*time.Second, "of each run")
	flag.IntVar(&s.workers, "workers", 64, "connections of each driver")
	flag.IntVar(&s.rounds, "rounds", 5, "how often each driver runs")
	flag.StringVar(&role, "role", "", "what this process is; set by the program itself")
	flag.StringVar(&target, "target", "", "what a driver sends to; set by the program itself")
	flag.Parse()
	err := map[string]func() error{
		"":          func() error { return compare(os.Stdout, s) },
		"handler":   serve,
		"gatehouse": func() error { return tell(gatehouse(target, s)) },
		"vegeta":    func() error { return tell(vegeta(target, s)) },
	}[role]()
	if err != nil {
		fmt.Fprintln(os.Stderr, "driver:", err)
		os.Exit(1)
	}
}

// tell is how the process of a driver tells what it measured.
func tell(m measured, err error) error {
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(m)
}

// compare runs the handler and, in turn, the drivers.
func compare(w *os.File, s settings) error {
	handler, target, err := startHandler()
	if err != nil {
		return err
	}
	defer func() {
		// It only ever ends by being killed.
		_ = handler.Process.Kill()
		_ = handler.Wait()
	}()
	fmt.Fprintf(w, "%v/s asked for, %d connections, %d rounds of %v each in turn\n\n", s.rate, s.workers, s.rounds, s.duration)
	fmt.Fprintf(w, "%-7s %-10s %10s %8s %14s %9s %9s\n", "round", "driver", "sent/s", "failed", "CPU µs/request", "p50 ms", "p99 ms")
	names := []string{"gatehouse", "vegeta"}
	costs, ratios := map[string][]float64{}, []float64(nil)
	for round := range s.rounds {
		for _, name := range names {
			m, err := run(name, target, s)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			costs[name] = append(costs[name], m.cost())
			fmt.Fprintf(w, "%-7d %-10s %10.0f %8d %14.1f %9.3f %9.3f\n", round+1, name, m.rate(), m.Failed, m.cost(), m.P50, m.P99)
		}
		slices.Reverse(names) // neither is always the first
		ratios = append(ratios, costs["gatehouse"][round]/costs["vegeta"][round])
	}
	fmt.Fprintf(w, "\nmedian CPU µs/request: gatehouse %.1f, vegeta %.1f; median ratio of a round %.2f, from %.2f to %.2f\n",
		median(costs["gatehouse"]), median(costs["vegeta"]), median(ratios), slices.Min(ratios), slices.Max(ratios))
	return nil
}

func median(of []float64) float64 {
	sorted := slices.Sorted(slices.Values(of))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// run runs a driver in a process of its own.
func run(name, target string, s settings) (m measured, err error) {
	cmd := exec.Command(os.Args[0], "-role", name, "-target", target, "-rate", fmt.Sprint(s.rate),
		"-duration", s.duration.String(), "-workers", fmt.Sprint(s.workers))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(out, &m)
}
