package stresstest_test

import (
	"context"
	"testing"
	"time"

	"gatehouse/stresstest"
)

func TestRequestIsDueAtItsNumberDividedByTheRate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate float64
		i    int64
		want time.Duration
	}{
		{1000, 0, 0},
		{1000, 1, time.Millisecond},
		{1000, 29_999, 29*time.Second + 999*time.Millisecond},
		{3, 1, 333_333_333},
		{3, 2, 666_666_667},
		{3, 3, time.Second},
		{0.5, 3, 6 * time.Second},
		{7, 7 * 86_400, 24 * time.Hour},
		{1_000_000, 86_400_000_000, 24 * time.Hour},
	} {
		if got := stresstest.Due(c.rate, c.i); got != c.want {
			t.Errorf("request %d at %v/s is due at %v, want %v", c.i, c.rate, got, c.want)
		}
	}
}

func TestScheduleHasTheRequestsThatAreDueBeforeItsEnd(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		rate     float64
		duration time.Duration
		want     int64
	}{
		{1000, 30 * time.Second, 30_000},
		{1000, time.Second + 1, 1001},
		{1000, time.Second - 1, 1000},
		{3, time.Second, 3},
		{3, 333_333_333, 1}, // the second one is due just then
		{3, 333_333_334, 2},
		{3, 666_666_667, 2}, // the third one is due a third of a nanosecond earlier, which is rounded
		{0.1, time.Second, 1},
		{0.3, 10 * time.Second, 3},
		{1_000_000, 24 * time.Hour, 86_400_000_000},
	} {
		got := stresstest.Count(c.rate, c.duration)
		if got != c.want {
			t.Errorf("%v/s for %v are %d requests, want %d", c.rate, c.duration, got, c.want)
		}
		if last, next := stresstest.Due(c.rate, got-1), stresstest.Due(c.rate, got); last >= c.duration || next < c.duration {
			t.Errorf("%v/s for %v: the last request is due at %v and the one after it at %v", c.rate, c.duration, last, next)
		}
	}
}

func TestRequestsDueByAMoment(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		elapsed time.Duration
		want    int64
	}{
		{-time.Second, 0}, {0, 1}, {99 * time.Millisecond, 1}, {100 * time.Millisecond, 2}, {time.Hour, 20},
	} {
		if got := stresstest.DueBy(10, 2*time.Second, c.elapsed); got != c.want {
			t.Errorf("%v after the start %d requests are due, want %d", c.elapsed, got, c.want)
		}
	}
}

func TestWakingOftenEndsWithTheSchedule(t *testing.T) {
	t.Parallel()
	stresstest.WakeOften(t.Context(), 1000, 3*time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	stresstest.WakeOften(ctx, 0.001, time.Hour)
}
