package throttle

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// The bounds of a Limit. maxRecovery keeps the arithmetic far from overflow.
const (
	maxCount    = 1_000_000
	minPeriod   = time.Second
	maxPeriod   = 24 * time.Hour
	maxRecovery = 366 * 24 * time.Hour
)

// Limit is a rate and a burst: 10/1m is ten at once and then one every six seconds, 10/1m,20 twenty at once and then one
// every six seconds. The zero Limit stands for the default of its place; "off" is no limit. Any other is made by
// ParseLimit or UnmarshalText and is valid.
type Limit struct {
	count  int
	period time.Duration
	burst  int
	off    bool
}

// ParseLimit reads COUNT/PERIOD, COUNT/PERIOD,BURST or off. Without a burst it is the count. Count and burst are 1 to
// 1,000,000, the period is 1s to 24h, and a used-up burst must recover in full within 366 days.
func ParseLimit(text string) (Limit, error) {
	if text == "off" {
		return Limit{off: true}, nil
	}
	l, err := parseRate(text)
	if err != nil {
		return Limit{}, fmt.Errorf("limit %q: %w", text, err)
	}
	return l, nil
}

func parseRate(text string) (Limit, error) {
	rate, burst, hasBurst := strings.Cut(text, ",")
	count, period, isRate := strings.Cut(rate, "/")
	if !isRate {
		return Limit{}, errors.New("want COUNT/PERIOD or COUNT/PERIOD,BURST, such as 10/1m or 10/1m,20, or off")
	}
	if !hasBurst {
		burst = count
	}
	var l Limit
	var err error
	if l.count, err = parseCount("count", count); err != nil {
		return Limit{}, err
	}
	if l.period, err = time.ParseDuration(period); err != nil || l.period < minPeriod || l.period > maxPeriod {
		return Limit{}, fmt.Errorf("the period is %q, want a duration from 1s to 24h, such as 1m", period)
	}
	if l.burst, err = parseCount("burst", burst); err != nil {
		return Limit{}, err
	}
	if l.interval() > maxRecovery/time.Duration(l.burst) {
		return Limit{}, errors.New("a used-up burst takes more than 366 days to recover: want a smaller burst or a higher rate")
	}
	return l, nil
}

func parseCount(name, digits string) (int, error) {
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil || n < 1 || n > maxCount {
		return 0, fmt.Errorf("the %s is %q, want a whole number from 1 to %d", name, digits, maxCount)
	}
	return int(n), nil
}

// String returns the form ParseLimit reads, and nothing for the zero Limit.
func (l Limit) String() string {
	switch {
	case l.off:
		return "off"
	case l == Limit{}:
		return ""
	case l.burst == l.count:
		return fmt.Sprintf("%d/%s", l.count, shortDuration(l.period))
	}
	return fmt.Sprintf("%d/%s,%d", l.count, shortDuration(l.period), l.burst)
}

// shortDuration writes 1m for what time.Duration calls 1m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = s[:len(s)-2]
	}
	if strings.HasSuffix(s, "h0m") {
		s = s[:len(s)-2]
	}
	return s
}

// MarshalText makes a Limit usable as the type of a flag or a setting.
func (l Limit) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText is ParseLimit.
func (l *Limit) UnmarshalText(text []byte) error {
	parsed, err := ParseLimit(string(text))
	if err != nil {
		return err
	}
	*l = parsed
	return nil
}

// or returns the default for the zero Limit.
func (l Limit) or(byDefault Limit) Limit {
	if l == (Limit{}) {
		return byDefault
	}
	return l
}

// interval is the time in which one event is recovered. It is rounded up: a limit may err on the strict side.
func (l Limit) interval() time.Duration {
	n := time.Duration(l.count)
	return (l.period + n - 1) / n
}
