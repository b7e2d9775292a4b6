package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// What a value in Redis is, its first byte tells:
//
//	V<bytes>                      the record
//	N                             there is no such record
//	L<token>                      a reader is about to fill
//	M<token>@<sec>[;<token>@<sec>…]  writers are at work; without a lifetime,
//	                              so that a policy of eviction which touches
//	                              only keys with one never evicts it
const (
	tagValue    = 'V'
	tagNegative = 'N'
	tagLease    = 'L'
	tagMark     = 'M'
)

// The scripts do the same once however often they are executed, because a
// client whose connection broke may send them again. Marks are set and taken
// away also where memory is full, which they fill less than they protect.
var (
	// fillScript: KEYS[1] the key; ARGV the lease, the value, milliseconds.
	fillScript = redis.NewScript(`
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1`)

	// leaseScript: KEYS; ARGV a lease for each key, then the milliseconds.
	// Returns what each key holds in the end, so that a lease that was granted
	// is seen by its token. Where memory is full none is granted.
	leaseScript = redis.NewScript(`
local values = {}
for i, key in ipairs(KEYS) do
  values[i] = redis.call('GET', key)
  if not values[i] then
    local set = redis.pcall('SET', key, ARGV[i], 'PX', ARGV[#KEYS + 1])
    values[i] = set.ok and ARGV[i]
  end
end
return values`)

	// markScript: KEYS[1] the key; ARGV the token, the most marks. Returns 0
	// where there is no room for another mark.
	markScript = redis.NewScript(`#!lua flags=allow-oom
local now = redis.call('TIME')[1]
local current = redis.call('GET', KEYS[1])
if not current or string.sub(current, 1, 1) ~= 'M' then
  redis.call('SET', KEYS[1], 'M' .. ARGV[1] .. '@' .. now)
  return 1
end
if string.find(';' .. string.sub(current, 2), ';' .. ARGV[1] .. '@', 1, true) then return 1 end
local _, others = string.gsub(current, ';', ';')
if others + 1 >= tonumber(ARGV[2]) then return 0 end
redis.call('SET', KEYS[1], current .. ';' .. ARGV[1] .. '@' .. now)
return 1`)

	// unmarkScript: KEYS[1] the key; ARGV the token. Returns -1 where another
	// than a mark stands in its place. A cache that lost the mark has let it
	// in, or it came in after the mark had been taken away, by a repair or by
	// an Unmark whose answer was lost. These look the same.
	unmarkScript = redis.NewScript(`#!lua flags=allow-oom
local current = redis.call('GET', KEYS[1])
if not current then return 0 end
if string.sub(current, 1, 1) ~= 'M' then
  redis.call('DEL', KEYS[1])
  return -1
end
local rest = {}
for mark in string.gmatch(string.sub(current, 2), '[^;]+') do
  if string.match(mark, '^[^@]*') ~= ARGV[1] then rest[#rest + 1] = mark end
end
if #rest == 0 then
  redis.call('DEL', KEYS[1])
else
  redis.call('SET', KEYS[1], 'M' .. table.concat(rest, ';'))
end
return 1`)
)

// Redis is a Cache in Redis 7 or Valkey, shared by all backends of a
// database.
type Redis struct {
	client redis.UniversalClient
}

// jitter is by how much lifetimes differ, so that what was filled together
// does not end together.
const jitter = 0.1

// Get implements Cache.
func (r *Redis) Get(ctx context.Context, keys ...string) ([]Entry, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	values, err := r.client.MGet(ctx, keys...).Result()
	if err != nil {
		return nil, fmt.Errorf("read %d keys: %w", len(keys), err)
	}
	if len(values) != len(keys) {
		return nil, fmt.Errorf("read %d keys: got %d values", len(keys), len(values))
	}
	entries := make([]Entry, len(keys))
	for i, v := range values {
		if text, ok := v.(string); ok {
			entries[i] = parseEntry(text)
		}
	}
	return entries, nil
}

// parseEntry reads a value. One that makes no sense is as good as busy: it
// is not used, and not replaced either.
func parseEntry(text string) Entry {
	switch {
	case text == "":
		return Entry{State: Busy}
	case text[0] == tagValue:
		return Entry{State: Hit, Value: []byte(text[1:])}
	case text[0] == tagNegative:
		return Entry{State: Negative}
	case text[0] == tagMark:
		return parseMarks(text[1:])
	}
	return Entry{State: Busy}
}

func parseMarks(text string) Entry {
	e := Entry{State: Marked}
	for mark := range strings.SplitSeq(text, ";") {
		token, since, _ := strings.Cut(mark, "@")
		e.Marks = append(e.Marks, token)
		if seconds, err := strconv.ParseInt(since, 10, 64); err == nil && (e.Oldest.IsZero() || seconds < e.Oldest.Unix()) {
			e.Oldest = time.Unix(seconds, 0)
		}
	}
	return e
}

// Lease implements Cache. The keys must be of one slot of a cluster.
func (r *Redis) Lease(ctx context.Context, keys ...string) ([]Entry, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	args := make([]any, len(keys)+1)
	for i := range keys {
		args[i] = string(tagLease) + newToken()
	}
	args[len(keys)] = LeaseTime.Milliseconds()
	values, err := leaseScript.Run(ctx, r.client, keys, args...).Slice()
	if err != nil {
		return nil, fmt.Errorf("lease %d keys: %w", len(keys), err)
	}
	if len(values) != len(keys) {
		return nil, fmt.Errorf("lease %d keys: got %d values", len(keys), len(values))
	}
	entries := make([]Entry, len(keys))
	for i, v := range values {
		switch text, ok := v.(string); {
		case ok && text == args[i]:
			entries[i] = Entry{State: Leased, Token: text[1:]}
		case ok:
			entries[i] = parseEntry(text)
		}
	}
	return entries, nil
}

// Fill implements Cache.
func (r *Redis) Fill(ctx context.Context, fills ...Fill) ([]bool, error) {
	results, err := r.run(ctx, fillScript, len(fills), func(i int) (string, []any) {
		f := fills[i]
		value := string(tagNegative)
		if f.Value != nil {
			value = string(tagValue) + string(f.Value)
		}
		ttl := time.Duration(float64(f.TTL) * (1 - jitter + 2*jitter*rand.Float64()))
		return f.Key, []any{string(tagLease) + f.Token, value, max(1, ttl.Milliseconds())}
	})
	if err != nil {
		return nil, fmt.Errorf("fill %d keys: %w", len(fills), err)
	}
	kept := make([]bool, len(fills))
	for i, n := range results {
		kept[i] = n == 1
	}
	return kept, nil
}

// Mark implements Cache.
func (r *Redis) Mark(ctx context.Context, token string, keys ...string) error {
	results, err := r.run(ctx, markScript, len(keys), func(i int) (string, []any) { return keys[i], []any{token, maxMarks} })
	if err != nil {
		return fmt.Errorf("mark %d keys: %w", len(keys), err)
	}
	if i := slices.Index(results, 0); i >= 0 {
		return fmt.Errorf("mark %s: %w", keys[i], ErrMarks)
	}
	return nil
}

// Unmark implements Cache.
func (r *Redis) Unmark(ctx context.Context, token string, keys ...string) (lost bool, err error) {
	results, err := r.run(ctx, unmarkScript, len(keys), func(i int) (string, []any) { return keys[i], []any{token} })
	if err != nil {
		return false, fmt.Errorf("unmark %d keys: %w", len(keys), err)
	}
	for _, n := range results {
		lost = lost || n < 0
	}
	return lost, nil
}

// run runs a script once for each of n keys in one round trip, two where the
// server does not know the script yet.
func (r *Redis) run(ctx context.Context, script *redis.Script, n int, args func(i int) (key string, args []any)) ([]int64, error) {
	results, err := r.pipeline(ctx, n, func(p redis.Pipeliner, i int) *redis.Cmd {
		key, args := args(i)
		return script.EvalSha(ctx, p, []string{key}, args...)
	})
	if err == nil || !redis.HasErrorPrefix(err, "NOSCRIPT") {
		return results, err
	}
	return r.pipeline(ctx, n, func(p redis.Pipeliner, i int) *redis.Cmd {
		key, args := args(i)
		return script.Eval(ctx, p, []string{key}, args...)
	})
}

func (r *Redis) pipeline(ctx context.Context, n int, add func(p redis.Pipeliner, i int) *redis.Cmd) ([]int64, error) {
	commands := make([]*redis.Cmd, n)
	if _, err := r.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for i := range commands {
			commands[i] = add(p, i)
		}
		return nil
	}); err != nil {
		return nil, err
	}
	results := make([]int64, n)
	for i, c := range commands {
		var err error
		if results[i], err = c.Int64(); err != nil {
			return nil, err
		}
	}
	return results, nil
}
