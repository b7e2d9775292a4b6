package cache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/redis/go-redis/v9"
)

// ErrStranger means that this Redis is not one whose memory is trusted: it
// was started again, or another took its place, and marks may be missing.
var ErrStranger = errors.New("another redis process than the one in use")

// Node names the process that answers and the history of its data. It differs
// after a restart, a failover and a replacement by a restored copy. It returns
// ErrEvicts as Check does, and an error for a replica.
func (r *Redis) Node(ctx context.Context) (string, error) {
	info, err := r.client.Info(ctx, "server", "replication", "memory").Result()
	if err != nil {
		return "", fmt.Errorf("ask redis who it is: %w", err)
	}
	if err := evicts(info); err != nil {
		return "", err
	}
	return node(info)
}

func node(info string) (string, error) {
	if role := field(info, "role"); role != "master" {
		return "", fmt.Errorf("redis has the role %q, want master", role)
	}
	run, history := field(info, "run_id"), field(info, "master_replid")
	if run == "" || history == "" {
		return "", errors.New("redis does not tell its run_id and master_replid")
	}
	return run + ":" + history, nil
}

// field returns a value of INFO.
func field(info, name string) string {
	_, rest, found := strings.Cut("\r\n"+info, "\r\n"+name+":")
	if !found {
		return ""
	}
	value, _, _ := strings.Cut(rest, "\r\n")
	return value
}

// admit has each new connection ask who answers, before it is used.
func admit(nodes []string) func(context.Context, *redis.Conn) error {
	return func(ctx context.Context, conn *redis.Conn) error {
		info, err := conn.Info(ctx, "server", "replication").Result()
		if err != nil {
			return fmt.Errorf("ask redis who it is: %w", err)
		}
		name, err := node(info)
		if err == nil && !slices.Contains(nodes, name) {
			err = fmt.Errorf("%s: %w", name, ErrStranger)
		}
		return err
	}
}
