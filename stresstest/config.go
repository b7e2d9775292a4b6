package stresstest

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"gatehouse/protocol"
)

// Config is what a run does. Target and Users must be set; every other field
// works when zero.
type Config struct {
	// Target is what is tested: a webserver, http://HOST:PORT, through its
	// JSON API, or a backend, tcp://HOST:PORT, without HTTP.
	Target string

	// Rate is how many requests are due in a second. Default 1000.
	Rate float64
	// Rates, where set, takes the place of Rate: steps, or a ramp.
	Rates Rates
	// Duration is how long they are, at each step. Default 30 s, all together
	// at most a day.
	Duration time.Duration
	// Warmup is how long requests are sent at the first rate before that,
	// without being counted. They are other requests than those counted.
	Warmup time.Duration
	// Workers is how many requests can be under way at once. Default 1000, at
	// most 5000.
	Workers int

	// Users is how many accounts "gatehouse users generate" has made, from 1.
	Users int
	// Dist says which of them requests are about, Mix what they do.
	Dist Dist
	Mix  Mix
	// Think is how long a worker rests after each answer.
	Think Think
	// Seed makes a run draw other accounts and operations than another.
	Seed uint64

	// SessionKey is the content of the file with which the accounts were
	// generated, so that their sessions need no login; see Token. Without it,
	// operations other than login use min(Workers, Users) accounts, which are
	// logged in before the clock starts.
	SessionKey []byte
	// SessionsFile keeps the tokens of these for the next run.
	SessionsFile string

	// SLOs are the service levels to be kept.
	SLOs []SLO
	// MetricsURLs are the /metrics of the tiers, read before and after the
	// measured part.
	MetricsURLs []string

	// Link is how a tcp:// target is connected to. Its Name is the driver's
	// where it is empty.
	Link protocol.Config
	// PoolSize is the number of connections to a tcp:// target and InFlight
	// the number of calls that each carries at once. Default 4 and 64.
	PoolSize, InFlight int

	// Live, where set, is told once a second how the run goes. It must not
	// wait.
	Live func(LiveLine)
	// Observe, where set, is told of every measured request that finished, by
	// many goroutines at once.
	Observe func(Observation)

	// Command, Version and Machine are put into the report: how the driver
	// was called, which build it is, and where it ran.
	Command, Version, Machine string
	// Notes are put into the report too.
	Notes []string

	dial  dialFunc       // net.Dialer's where nil
	roots *x509.CertPool // those of the system where nil
	plain bool           // leaves timers as they are
}

// Observation is one measured request that finished.
type Observation struct {
	Op string
	// Code is that of the failure, as in OpReport.Errors, empty for success.
	Code string
	// Latency counts from when the request was due, Service from when it was
	// sent.
	Latency, Service time.Duration
}

const (
	maxRate     = 1_000_000
	maxWorkers  = 5000
	maxDuration = 24 * time.Hour
)

// withDefaults fills in the fields left zero.
func (c Config) withDefaults() Config {
	c.Target = strings.TrimSuffix(c.Target, "/")
	c.Rate = cmp.Or(c.Rate, 1000)
	c.Duration = cmp.Or(c.Duration, 30*time.Second)
	c.Workers = cmp.Or(c.Workers, 1000)
	if c.Mix.sum() == 0 {
		c.Mix, _ = ParseMix(DefaultMix)
	}
	if c.Live == nil {
		c.Live = func(LiveLine) {}
	}
	if c.Observe == nil {
		c.Observe = func(Observation) {}
	}
	if c.dial == nil {
		c.dial = (&net.Dialer{Timeout: requestTimeout}).DialContext
	}
	return c
}

// Check tells what is wrong with the settings, beginning with the name of the
// one at fault as the command line has it. Run calls it too.
func (c Config) Check() error {
	c = c.withDefaults()
	if err := checkTarget(c.Target); err != nil {
		return fmt.Errorf("target %q: %w", redacted(c.Target), err)
	}
	if err := c.checkLoad(); err != nil {
		return err
	}
	if len(c.SessionKey) > 0 && c.SessionsFile != "" {
		return errors.New("sessions: a session key makes every session, so that no file of kept ones is needed: give one of the two")
	}
	if c.Mix.has(page) && strings.HasPrefix(c.Target, "tcp://") {
		return fmt.Errorf("mix %s: page has no packet, and a tcp:// target takes nothing else; want an http:// target for it", c.Mix)
	}
	for _, s := range c.SLOs {
		if err := s.check(c.Mix); err != nil {
			return err
		}
	}
	for _, address := range c.MetricsURLs {
		if u, err := url.Parse(address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
			return fmt.Errorf("metrics %q: want http://HOST:PORT/metrics", redacted(address))
		}
	}
	return nil
}

// checkLoad tells what is wrong with the numbers of a run.
func (c Config) checkLoad() error {
	switch {
	case !(c.Rate > 0 && c.Rate <= maxRate): // which NaN is not
		return fmt.Errorf("rate %v: want more than 0 and up to %d requests a second", c.Rate, maxRate)
	case c.Duration <= 0 || c.Duration > maxDuration || c.whole() > maxDuration:
		return fmt.Errorf("duration %v: want more than 0 and all steps together up to %v", c.Duration, maxDuration)
	case c.Warmup < 0 || c.Warmup > maxDuration:
		return fmt.Errorf("warmup %v: want from 0 to %v", c.Warmup, maxDuration)
	case c.Workers < 1 || c.Workers > maxWorkers:
		return fmt.Errorf("workers %d: want from 1 to %d", c.Workers, maxWorkers)
	case c.Users < 1 || c.Users > maxUsers:
		return fmt.Errorf("users %d: want how many accounts were generated, from 1 to %d", c.Users, maxUsers)
	case c.Dist.fixed > c.Users:
		return fmt.Errorf("dist %s: there are only %d users", c.Dist, c.Users)
	case c.PoolSize < 0 || c.InFlight < 0:
		return fmt.Errorf("pool-size %d and pool-in-flight %d: neither can be negative", c.PoolSize, c.InFlight)
	}
	return nil
}

// redacted returns an address without the password that may be in it.
func redacted(address string) string {
	if u, err := url.Parse(address); err == nil {
		return u.Redacted()
	}
	return address
}

func checkTarget(address string) error {
	scheme, rest, _ := strings.Cut(address, "://")
	switch scheme {
	case "http", "https":
		return checkHTTP(address)
	case "tcp":
		return checkTCP(rest)
	}
	return errors.New("want http://HOST:PORT or tcp://HOST:PORT")
}

// agent is what the driver calls itself.
func (c Config) agent() string { return "gatehouse-stresstest/" + cmp.Or(c.Version, "unknown") }

// openTarget connects to what is tested.
func (c Config) openTarget(ctx context.Context) (target, error) {
	if address, ok := strings.CutPrefix(c.Target, "tcp://"); ok {
		return openTCP(ctx, address, c)
	}
	if err := checkFiles(c.Workers, openFiles()); err != nil {
		return nil, err
	}
	return openHTTP(ctx, c)
}
