// Mutants puts known bugs into the code, one at a time, and runs the test
// that must find each: a suite is judged by the bugs it kills. It works on
// copies that the compiler is given in place of the files, so that no bug is
// ever in the tree; it knows texts and tests, and nothing of what they mean.
//
// It exits with 1 where a mutant survived and with 2 where it could not be
// tried, because its text is gone, it does not compile, or its test does not
// pass without it either.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"time"
)

func main() {
	flag.Usage = func() {
		fmt.Fprint(flag.CommandLine.Output(), "Usage: go run ./internal/mutants [name ...]\n\nTries the mutants named, or all. Run it in the root of the module.\n")
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Stdout, flag.Args())
	stop()
	os.Exit(code)
}

// run tries mutants, prints a table, and returns the exit code.
func run(ctx context.Context, out io.Writer, names []string) int {
	chosen, err := choose(names)
	if err != nil {
		fmt.Fprintln(out, err)
		return 2
	}
	l, err := newLab(".")
	if err != nil {
		fmt.Fprintln(out, err)
		return 2
	}
	defer l.close()
	code, survived := 0, 0
	start := time.Now()
	for _, m := range chosen {
		verdict, took, err := l.try(ctx, m)
		switch {
		case err != nil:
			code = 2
			fmt.Fprintf(out, "ERROR     %-54s %v\n", m.name, err)
			continue
		case verdict == "":
			survived++
			verdict = "SURVIVED"
		}
		fmt.Fprintf(out, "%-9s %-54s %6.1f s  %s %s\n", verdict, m.name, took.Seconds(), m.pkg, m.test)
	}
	fmt.Fprintf(out, "%d mutants, %d survived, %.0f s\n", len(chosen), survived, time.Since(start).Seconds())
	if code == 0 && survived > 0 {
		code = 1
	}
	return code
}

// choose returns the mutants of these names, or all.
func choose(names []string) ([]mutant, error) {
	all := slices.Concat(cacheMutants, linkMutants)
	if len(names) == 0 {
		return all, nil
	}
	var chosen []mutant
	for _, name := range names {
		i := slices.IndexFunc(all, func(m mutant) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("there is no mutant %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}
