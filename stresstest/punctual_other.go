//go:build !linux

package stresstest

import (
	"context"
	"time"
)

// wakeOften does nothing where timers are as exact as they get.
func wakeOften(context.Context, *schedule, time.Time) {}
