package command

import (
	"fmt"

	"gatehouse/stresstest"
)

// usePreset puts the values of the preset in the place of the flags that are
// not given, and its service levels before those that are.
func (c *stresstestRun) usePreset(p *process) (notes []string, err error) {
	if c.Preset == "" {
		return nil, nil
	}
	preset, err := stresstest.FindPreset(c.Preset)
	if err != nil {
		return nil, usage("--preset: %w", err)
	}
	given := map[string]bool{}
	for _, step := range p.parsed.Path {
		if step.Flag != nil {
			given[step.Flag.Name] = true
		}
	}
	for name, use := range map[string]func(){
		"rate":    func() { c.Rate = preset.Rate },
		"dist":    func() { c.Dist = preset.Dist },
		"mix":     func() { c.Mix = preset.Mix },
		"workers": func() { c.Workers = preset.Workers },
	} {
		if !given[name] {
			use()
		}
	}
	c.SLO = append(preset.SLOs, c.SLO...)
	notes = []string{fmt.Sprintf("preset %s: %d connections, %s, service levels %v", preset.Name, preset.Workers, preset.Dist, preset.SLOs)}
	if c.Users < preset.Users {
		notes = append(notes, fmt.Sprintf("preset %s is meant for %d accounts, this run had %d", preset.Name, preset.Users, c.Users))
	}
	return notes, nil
}
