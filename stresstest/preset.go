package stresstest

import (
	"fmt"
	"strings"
)

// Preset is the load of one of the four targets of the exercise that the
// service goes back to: so many connections, which accounts, and more right
// answers a second than a bound. Every request must cause a call between the
// tiers and an access to the cache or the database, which is why logins, whose
// cost is that of hashing, have no part in it.
type Preset struct {
	Name string
	// Workers is the number of connections, each of one worker.
	Workers int
	// Dist, Rate, Mix and SLOs are in the forms that the Parse functions read.
	// The rate is 5 % above the bound, which a run at just the bound could
	// not pass.
	Dist, Rate, Mix string
	SLOs            []string
	// Users is how many accounts there should be.
	Users int
}

// presetUsers is the number of accounts that the exercise asks for.
const presetUsers = 10_000_000

// Presets returns all of them.
func Presets() []Preset {
	return []Preset{
		newPreset("fixed-200", 200, "fixed:200", 3000),
		newPreset("random-200", 200, "uniform", 1000),
		newPreset("fixed-2000", 2000, "fixed:200", 1500),
		newPreset("random-2000", 2000, "uniform", 800),
	}
}

func newPreset(name string, workers int, dist string, bound int) Preset {
	return Preset{Name: name, Workers: workers, Dist: dist, Rate: fmt.Sprint(float64(bound) * 1.05), Mix: "profile=95,update=5",
		SLOs: []string{fmt.Sprintf("rate>%d", bound), "errors<0.1%", "p99<200ms"}, Users: presetUsers}
}

// FindPreset returns the one of a name.
func FindPreset(name string) (Preset, error) {
	var names []string
	for _, p := range Presets() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Preset{}, fmt.Errorf("there is no preset %q: want one of %s", name, strings.Join(names, ", "))
}
