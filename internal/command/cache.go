package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"time"

	"gatehouse/backend/cache"
	"gatehouse/monitoring"
)

type cacheFlag struct {
	Cache string `help:"Where records are remembered: none, memory:SIZE (SQLite only), redis:// or rediss://. memory:64MiB on SQLite and none on MySQL by default." placeholder:"URL" secret:"" group:"Storage"`
}

const defaultMemory = "memory:64MiB"

// cacheURL is --cache, or what suits the database.
func (f cacheFlag) cacheURL(database string) string {
	switch {
	case f.Cache != "":
		return f.Cache
	case strings.HasPrefix(database, "sqlite:"):
		return defaultMemory
	}
	return "none"
}

// check tells what is wrong with --cache beside this database.
func (f cacheFlag) check(database string) error {
	target := f.cacheURL(database)
	switch {
	case target == "none":
		return nil
	case strings.HasPrefix(target, "memory:"):
		if strings.HasPrefix(database, "mysql:") {
			return usage("--cache %s: several backends may use one MySQL database, and each would remember something else; use redis:// or none", target)
		}
		_, err := parseSize(strings.TrimPrefix(target, "memory:"))
		return err
	case strings.HasPrefix(target, "redis://"), strings.HasPrefix(target, "rediss://"):
		return nil
	}
	return usage("--cache: want none, memory:SIZE, redis://… or rediss://…")
}

// open opens the cache, nil for none. A Redis that does not answer is told
// and no reason to stop: the cache may come later.
func (f cacheFlag) open(ctx context.Context, database string, log *slog.Logger) (cache.Cache, error) {
	if err := f.check(database); err != nil {
		return nil, err
	}
	target := f.cacheURL(database)
	if target == "none" {
		return nil, nil
	}
	if size, ok := strings.CutPrefix(target, "memory:"); ok {
		bytes, err := parseSize(size)
		if err != nil {
			return nil, err
		}
		return cache.NewMemory(bytes, nil)
	}
	c, err := cache.OpenRedis(target)
	if err != nil {
		return nil, usage("%w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, cacheCheckTimeout)
	defer cancel()
	switch err := c.Check(ctx); {
	case errors.Is(err, cache.ErrEvicts):
		warn(log, "running without the cache: %v", err)
		return nil, c.Close()
	case err != nil:
		warn(log, "the cache does not answer: reads come from the database and changes are refused until it does: %v", err)
	}
	return c, nil
}

// cacheCheckTimeout bounds the first question to a cache.
const cacheCheckTimeout = 2 * time.Second

// parseSize reads a size such as 64MiB.
func parseSize(text string) (int64, error) {
	for _, unit := range []struct {
		name  string
		bytes float64
	}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}} {
		digits, ok := strings.CutSuffix(text, unit.name)
		if !ok {
			continue
		}
		n, err := strconv.ParseFloat(digits, 64)
		if size := n * unit.bytes; err == nil && size >= 1<<20 && size < math.MaxInt32<<10 {
			return int64(size), nil
		}
	}
	return 0, usage("--cache: %q is no size; want for instance memory:64MiB, at least 1MiB", text)
}

// cacheCheck shows the cache in /readyz, where it never decides.
func cacheCheck(c cache.Cache) monitoring.Check {
	return monitoring.Check{Name: "cache", Shown: true, Check: func(ctx context.Context) (string, error) {
		if c == nil {
			return "none", nil
		}
		if err := c.Ping(ctx); err != nil {
			return "", fmt.Errorf("not used for reads, and changes are refused: %w", err)
		}
		return "", nil
	}}
}
