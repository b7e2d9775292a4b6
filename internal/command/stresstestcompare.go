package command

import (
	"fmt"
	"os"

	"gatehouse/stresstest"
)

type stresstestCompare struct {
	commonFlags
	Base    []string `help:"The reports to compare with. Without it there are two reports, and the first is the base." placeholder:"FILE,FILE" group:"Report"`
	JSON    bool     `name:"json" help:"Print JSON." group:"Report"`
	Reports []string `arg:"" help:"Reports that stresstest run --json wrote."`
}

// Run says which percentiles moved by more than the spread of the runs: that
// of the runs on one side where there are several, otherwise that of the
// intervals within the two.
func (c stresstestCompare) Run(p *process) error {
	old, new := c.Base, c.Reports
	if len(old) == 0 {
		if len(new) != 2 {
			return usage("%d reports without --base: want two, or the ones to compare with as --base FILE,FILE", len(new))
		}
		old, new = new[:1], new[1:]
	}
	base, err := readReports(old)
	if err != nil {
		return err
	}
	reports, err := readReports(new)
	if err != nil {
		return err
	}
	comparison, err := stresstest.Compare(base, reports)
	if err != nil {
		return err
	}
	if c.JSON {
		return comparison.JSON(p.stdout)
	}
	return comparison.Text(p.stdout)
}

func readReports(paths []string) (reports []*stresstest.Report, err error) {
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read report: %w", err)
		}
		report, err := stresstest.ReadReport(f)
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		reports = append(reports, report)
	}
	return reports, nil
}
