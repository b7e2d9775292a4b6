package command

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"gatehouse/monitoring"
)

// version is the release that this tree becomes.
const version = "0.2.0"

// build returns what is known of this build. The revision is that of the
// working tree it was made from, where the build noted one.
func build() monitoring.Build {
	b := monitoring.Build{Version: version, Revision: "unknown"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	dirty := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.Revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "-dirty"
		}
	}
	b.Revision += dirty
	return b
}

type versionCommand struct{}

// Run prints the version.
func (versionCommand) Run(p *process) error {
	b := build()
	_, err := fmt.Fprintf(p.stdout, "gatehouse %s (revision %s, %s, %s/%s)\n", b.Version, b.Revision, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return err
}
