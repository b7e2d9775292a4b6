package cache

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/logging"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// ErrEvicts means that this Redis may forget marks when its memory is full.
// Its maxmemory-policy must be noeviction or a volatile one, best volatile-lfu.
var ErrEvicts = errors.New("redis may evict keys that have no lifetime")

// OpenRedis connects to the Redis that a URL names:
// redis://[user:password@]host[:port][/database], or rediss:// for TLS. It
// does not wait for an answer. Nothing of the URL is in its errors, because a
// password may be anywhere in one that is wrong. Where nodes are given, only
// they are talked to.
//
// It turns go-redis's log, which goes to standard error and is one for the
// whole process, off: what matters is in the errors.
func OpenRedis(url string, nodes ...string) (*Redis, error) {
	options, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	logging.Disable()
	tune(options)
	if len(nodes) > 0 {
		options.OnConnect = admit(nodes)
	}
	return &Redis{client: redis.NewClient(options)}, nil
}

func parseURL(text string) (*redis.Options, error) {
	u, err := url.Parse(text)
	if err != nil {
		return nil, errors.New("--cache: not a URL: is everything special in the password percent-encoded?")
	}
	if u.Scheme != "redis" && u.Scheme != "rediss" {
		return nil, errors.New("--cache: the URL of a Redis begins with redis:// or rediss://")
	}
	options, err := redis.ParseURL(text)
	if err != nil {
		return nil, errors.New("--cache: want redis://[user:password@]host[:port][/database], the database a number: this one is wrong, or an option behind it")
	}
	return options, nil
}

// tune replaces the defaults of go-redis, which would wait for five seconds
// four times over, whatever the caller's deadline is.
func tune(o *redis.Options) {
	o.ContextTimeoutEnabled = true
	// A caller knows better than the client whether, and with how much of its
	// time, to try again. One refused dial is an answer.
	o.MaxRetries, o.DialerRetries = -1, 1
	o.DialTimeout, o.ReadTimeout, o.WriteTimeout = time.Second, time.Second, time.Second
	o.PoolTimeout = 100 * time.Millisecond
	o.PoolSize, o.MaxActiveConns, o.MinIdleConns = 64, 64, 4
	// Firewalls forget quiet connections, the hastiest after some 350 s.
	o.ConnMaxIdleTime = 5 * time.Minute
	// Pipelines have no connections of their own, beyond the bound above.
	o.PipelinePoolSize = -1
	// With protocol 2 nothing comes that was not asked for, so that whatever
	// waits on an idle connection condemns it. Announcements of maintenance
	// need protocol 3, and would cost every connection a round trip more, as
	// telling the server the library's name would.
	o.Protocol, o.DisableIdentity = 2, true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
}

// Check asks this Redis for its policy of eviction and returns ErrEvicts
// where that may take away what has no lifetime. A service whose Redis fails
// the check must not use it.
func (r *Redis) Check(ctx context.Context) error {
	info, err := r.client.Info(ctx, "memory").Result()
	if err != nil {
		return fmt.Errorf("ask redis for its maxmemory-policy: %w", err)
	}
	return evicts(info)
}

func evicts(info string) error {
	policy := field(info, "maxmemory_policy")
	if policy != "noeviction" && !strings.HasPrefix(policy, "volatile-") {
		return fmt.Errorf("maxmemory-policy %q: %w", policy, ErrEvicts)
	}
	return nil
}

// Ping implements Cache.
func (r *Redis) Ping(ctx context.Context) error {
	if err := r.client.Ping(ctx).Err(); err != nil {
		return fmt.Errorf("ping redis: %w", err)
	}
	return nil
}

// Stats describes the pool of connections.
func (r *Redis) Stats() *redis.PoolStats { return r.client.PoolStats() }

// Close implements Cache.
func (r *Redis) Close() error { return r.client.Close() }
