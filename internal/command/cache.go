package command

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse/backend/cache"
	"gatehouse/backend/store"
	"gatehouse/monitoring"
)

type cacheFlag struct {
	Cache string `help:"Where records are remembered: none, memory:SIZE (SQLite only), redis:// or rediss://. memory:64MiB on SQLite and none on MySQL by default." placeholder:"URL" secret:"" group:"Storage"`
	// AuditRate is bounded by what the database can do beside its work.
	AuditRate float64 `help:"Compare so many records a second of the cache with the database and count those that are older: gatehouse_audit_violations_total." placeholder:"N" group:"Storage"`
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
	if f.AuditRate < 0 || f.AuditRate > 10_000 {
		return usage("--audit-rate %v: want a number from 0 to 10000", f.AuditRate)
	}
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

// cacheTier is the cache of a backend at work.
type cacheTier struct {
	cache.Views
	name   string // of its kind, for /readyz
	memory *cache.Memory
	probe  *cache.Redis // asks the server who it is
	stop   func()       // ends the keeper
}

// open opens the cache. A Redis that does not answer is told and no reason to
// stop: the cache may come later.
func (f cacheFlag) open(ctx context.Context, st *store.Store, database string, metrics *monitoring.Metrics, log *slog.Logger) (*cacheTier, error) {
	if err := f.check(database); err != nil {
		return nil, err
	}
	target := f.cacheURL(database)
	t := &cacheTier{name: "none"}
	size, inMemory := strings.CutPrefix(target, "memory:")
	switch {
	case strings.HasPrefix(target, "redis"):
		if err := t.connect(ctx, target, log); err != nil {
			return nil, err
		}
	case inMemory:
		bytes, err := parseSize(size)
		if err != nil {
			return nil, err
		}
		if t.memory, err = cache.NewMemory(bytes, nil); err != nil {
			return nil, err
		}
		t.name = "memory"
	}
	if strings.HasPrefix(database, "sqlite:") && t.probe == nil {
		t.Views = cache.Fixed{}
		if t.memory != nil {
			t.Views = cache.Fixed{Cache: t.memory}
		}
		metrics.Cache(t.memory != nil, t.View().Epoch)
		return t, retire(ctx, st)
	}
	t.keep(ctx, st, target, metrics, log)
	return t, nil
}

// connect makes the connection that asks the server who it is. One that may
// evict marks is not used.
func (t *cacheTier) connect(ctx context.Context, target string, log *slog.Logger) error {
	probe, err := cache.OpenRedis(target)
	if err != nil {
		return usage("%w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, cacheCheckTimeout)
	defer cancel()
	switch err := probe.Check(ctx); {
	case errors.Is(err, cache.ErrEvicts):
		warn(log, "running without the cache: %v", err)
		return probe.Close()
	case err != nil:
		warn(log, "the cache does not answer: %v", err)
	}
	t.name, t.probe = "redis", probe
	return nil
}

// keep starts the keeper, which agrees with the other backends on the cache.
// One without a cache of its own sees to it that nobody has one.
func (t *cacheTier) keep(ctx context.Context, st *store.Store, target string, metrics *monitoring.Metrics, log *slog.Logger) {
	cfg := cache.KeeperConfig{Store: st, Backend: rand.Text()[:16], Log: log, Changed: func(v cache.View) {
		log.Info("the cache", "mode", v.Mode.String(), "epoch", v.Epoch)
		metrics.Cache(v.Mode == cache.On, v.Epoch)
	}}
	if t.probe != nil {
		cfg.Node = t.probe.Node
		cfg.Open = func(nodes []string) (cache.Cache, error) { return cache.OpenRedis(target, nodes...) }
	}
	keeper := cache.NewKeeper(cfg)
	keeper.Begin(ctx)
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	running.Go(func() { keeper.Run(ctx) })
	t.Views, t.stop = keeper, func() {
		cancel()
		running.Wait()
	}
}

// retire ends the epoch that an earlier run on this file may have begun in a
// Redis, so that a later one does not find there what is old by then. Nobody
// else uses the file.
func retire(ctx context.Context, st *store.Store) error {
	ctx, cancel := context.WithTimeout(ctx, cacheCheckTimeout)
	defer cancel()
	epoch, err := st.CacheEpoch(ctx)
	if err == nil && epoch.Enabled && len(epoch.Nodes) > 0 {
		if err = st.DisableCache(ctx, epoch.Number); err == nil {
			err = st.DrainCache(ctx, epoch.Number+1)
		}
	}
	if err != nil {
		return fmt.Errorf("end the use of an earlier cache: %w", err)
	}
	return nil
}

func (t *cacheTier) close() (err error) {
	if t.stop != nil {
		t.stop()
	}
	if t.probe != nil {
		err = t.probe.Close()
	}
	if t.memory != nil {
		err = errors.Join(err, t.memory.Close())
	}
	return err
}

// check shows the cache in /readyz, where it never decides.
func (t *cacheTier) check() monitoring.Check {
	return monitoring.Check{Name: "cache", Shown: true, Check: func(ctx context.Context) (string, error) {
		v := t.View()
		state := fmt.Sprintf("%s, epoch %d", v.Mode, v.Epoch)
		if t.probe == nil {
			return t.name, nil
		}
		if v.Mode != cache.On {
			return "", fmt.Errorf("%s is not used: %s", t.name, state)
		}
		if err := v.Cache.Ping(ctx); err != nil {
			return "", fmt.Errorf("%s: %w", state, err)
		}
		return state, nil
	}}
}

// cacheCheckTimeout bounds the first questions about a cache.
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
