//go:build !unix

package stresstest

import "time"

// processorTime returns 0, because nothing portable tells it.
func processorTime() time.Duration { return 0 }
