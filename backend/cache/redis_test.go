package cache_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"gatehouse/backend/cache"
	"gatehouse/backend/cache/cachetest"
	"gatehouse/internal/testenv"
)

// patience is how long a test waits for what happens at once unless something
// is broken.
const patience = 30 * time.Second

func openRedis(t *testing.T, url string) *cache.Redis {
	t.Helper()
	r, err := cache.OpenRedis(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// rawRedis returns a client that knows nothing of the cache.
func rawRedis(t *testing.T, url string) *redis.Client {
	t.Helper()
	options, err := redis.ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := redis.NewClient(options)
	t.Cleanup(func() { client.Close() })
	return client
}

// redisSubject returns a cache in a Redis that can be made to evict values
// and to forget.
func redisSubject(t *testing.T, url string) cachetest.Subject {
	t.Helper()
	raw := rawRedis(t, url)
	evict := redis.NewScript(`
local current = redis.call('GET', KEYS[1])
if current and string.sub(current, 1, 1) == 'V' then redis.call('DEL', KEYS[1]) end
return 1`)
	return cachetest.Subject{
		Cache: openRedis(t, url),
		Evict: func(key string) {
			if err := evict.Run(t.Context(), raw, []string{key}).Err(); err != nil {
				t.Errorf("evict: %v", err)
			}
		},
		Forget: func(key string) {
			if err := raw.Del(t.Context(), key).Err(); err != nil {
				t.Errorf("forget: %v", err)
			}
		},
	}
}

func TestRedisKeepsThePromisesOfACache(t *testing.T) {
	t.Parallel()
	cachetest.Run(t, func(t *testing.T) cachetest.Subject { return redisSubject(t, testenv.Redis(t).URL()) })
}

func TestExternalRedisKeepsThePromisesOfACache(t *testing.T) {
	t.Parallel()
	if url, ok := testenv.ExternalRedis(); ok {
		cachetest.Run(t, func(t *testing.T) cachetest.Subject { return redisSubject(t, url) })
	}
}

func TestRedisNoticesForgottenMarks(t *testing.T) {
	t.Parallel()
	cachetest.ForgottenMarks(t, redisSubject(t, testenv.Redis(t).URL()))
}

func TestRedisReadsAreNeverOlderThanWrites(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string]cachetest.Faults{
		"while values are evicted":                          {Evict: 0.2},
		"while values are evicted and anything goes wrong":  {Evict: 0.1, Cancel: 0.1, Crash: 0.1},
		"while marks are forgotten":                         {Forget: 0.2},
		"while marks are forgotten and writers stop":        {Forget: 0.1, Crash: 0.1},
		"while marks are forgotten and values are evicted":  {Forget: 0.1, Evict: 0.1},
		"while all of this happens but calls are not ended": {Forget: 0.1, Crash: 0.1, Evict: 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cachetest.Race(t, redisSubject(t, testenv.Redis(t).URL()), faults)
		})
	}
	t.Run("while the server pauses", func(t *testing.T) {
		t.Parallel()
		server := testenv.PrivateRedis(t)
		pauses := func(over <-chan struct{}) {
			for {
				select {
				case <-over:
					return
				case <-time.After(time.Duration(rand.IntN(100)) * time.Millisecond):
					server.Pause(t)
					server.Resume(t)
				}
			}
		}
		cachetest.Race(t, redisSubject(t, server.NewKeyspace(t).URL()), cachetest.Faults{Cancel: 0.1, Meanwhile: pauses})
	})
}

func TestRedisLifetimes(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t).URL()
	r, raw := openRedis(t, url), rawRedis(t, url)
	lives := func(key string) time.Duration {
		t.Helper()
		d, err := raw.PTTL(t.Context(), key).Result()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	different := map[time.Duration]bool{}
	for i := range 50 {
		key := fmt.Sprint(i)
		fill(t, r, key, "value")
		d := lives(key).Round(time.Minute)
		if d < 53*time.Minute || d > 67*time.Minute {
			t.Errorf("a value that was to live an hour lives %v", d)
		}
		different[d] = true
	}
	if len(different) < 3 {
		t.Errorf("50 values live for %d different times", len(different))
	}
	lease(t, r, "leased")
	if d := lives("leased"); d <= 0 || d > cache.LeaseTime {
		t.Errorf("a lease lives %v", d)
	}
	for _, key := range []string{"0", "leased", "absent"} {
		for _, token := range []string{"one", "two", "three"} {
			mark(t, r, token, key)
			if d := lives(key); d != -1 {
				t.Errorf("a mark in place of %s lives %v, not for ever", key, d)
			}
		}
		if _, err := r.Unmark(t.Context(), "two", key); err != nil || lives(key) != -1 {
			t.Errorf("the marks that are left in place of %s live %v, error %v", key, lives(key), err)
		}
	}
}

// TestRedisEvictionLeavesMarks has Redis itself evict, by a policy that Check
// allows.
func TestRedisEvictionLeavesMarks(t *testing.T) {
	t.Parallel()
	for _, policy := range []string{"volatile-lfu", "volatile-lru", "volatile-ttl", "volatile-random"} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			server := testenv.PrivateRedis(t, "--maxmemory", "3mb", "--maxmemory-policy", policy)
			k := server.NewKeyspace(t)
			r := openRedis(t, k.URL())
			if err := r.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			const marks = 100
			for i := range marks {
				mark(t, r, "writer", fmt.Sprint("marked", i))
			}
			for i := range 1000 {
				key := fmt.Sprint(i)
				// A lease may be evicted before it is used.
				f := cache.Fill{Key: key, Token: lease(t, r, key), Value: make([]byte, 10_000), TTL: time.Hour}
				if _, err := r.Fill(t.Context(), f); err != nil {
					t.Fatal(err)
				}
			}
			if strings.Contains(k.Do(t, "INFO", "stats"), "evicted_keys:0\r\n") {
				t.Fatal("nothing was evicted")
			}
			for i := range marks {
				if e := get(t, r, fmt.Sprint("marked", i)); e.State != cache.Marked {
					t.Fatalf("mark %d was evicted: got %+v", i, e)
				}
			}
		})
	}
}

func TestRedisMarksWhileMemoryIsFull(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateRedis(t, "--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
	r := openRedis(t, server.NewKeyspace(t).URL())
	fill(t, r, "key", "value")
	full := false
	for i := 0; !full; i++ {
		key := fmt.Sprint(i)
		entries, err := r.Lease(t.Context(), key)
		if err == nil {
			_, err = r.Fill(t.Context(), cache.Fill{Key: key, Token: entries[0].Token, Value: make([]byte, 10_000), TTL: time.Hour})
		}
		full = err != nil
		if i == 10_000 {
			t.Fatal("the memory does not fill")
		}
	}
	mark(t, r, "one", "key", "other")
	mark(t, r, "two", "key", "other")
	for _, token := range []string{"one", "two"} {
		if e := get(t, r, "key"); e.State != cache.Marked {
			t.Errorf("before %s is taken away: got %+v", token, e)
		}
		if lost, err := r.Unmark(t.Context(), token, "key", "other"); lost || err != nil {
			t.Errorf("Unmark: lost %v, error %v", lost, err)
		}
	}
	if e := get(t, r, "key"); e.State != cache.Absent {
		t.Errorf("after all: got %+v", e)
	}
}

func TestRedisCheckRefusesPoliciesThatEvictMarks(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateRedis(t)
	k := server.NewKeyspace(t)
	r := openRedis(t, k.URL())
	for policy, good := range map[string]bool{
		"noeviction": true, "volatile-lru": true, "volatile-lfu": true, "volatile-random": true, "volatile-ttl": true,
		"allkeys-lru": false, "allkeys-lfu": false, "allkeys-random": false,
	} {
		k.Do(t, "CONFIG", "SET", "maxmemory-policy", policy)
		err := r.Check(t.Context())
		if good && err != nil || !good && !errors.Is(err, cache.ErrEvicts) {
			t.Errorf("%s: got error %v", policy, err)
		}
		if !good && !strings.Contains(err.Error(), policy) {
			t.Errorf("%s: the error %q does not name it", policy, err)
		}
	}
	server.Kill(t)
	if err := r.Check(t.Context()); err == nil || errors.Is(err, cache.ErrEvicts) {
		t.Errorf("a dead server: got error %v", err)
	}
}

// TestRedisWithForeignValues has somebody else write to the keys.
func TestRedisWithForeignValues(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t).URL()
	r, raw := openRedis(t, url), rawRedis(t, url)
	for value, want := range map[string]cache.State{
		"": cache.Busy, "x": cache.Busy, "v1": cache.Busy, "\x00": cache.Busy,
		"M": cache.Marked, "Mwriter": cache.Marked, "Mwriter@": cache.Marked, "M@;;@": cache.Marked, "Mwriter@-99999999999999999999": cache.Marked,
	} {
		if err := raw.Set(t.Context(), "key", value, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if e := get(t, r, "key"); e.State != want {
			t.Errorf("%q: got %+v, want state %d", value, e, want)
		}
		mark(t, r, "repair", "key")
		for _, token := range get(t, r, "key").Marks {
			if _, err := r.Unmark(t.Context(), token, "key"); err != nil {
				t.Fatal(err)
			}
		}
		if e := get(t, r, "key"); e.State != cache.Absent {
			t.Errorf("%q is still there after a repair: got %+v", value, e)
		}
	}
}

func TestOpenRedisSaysWhatIsWrongWithTheURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                                "begins with redis://",
		"localhost:6379":                  "begins with redis://",
		"http://user:s3cret@host":         "begins with redis://",
		"unix:///run/redis.sock":          "begins with redis://",
		"user:s3cret@host:6379":           "begins with redis://",
		"redis://user:s3cret@host/x":      "database a number",
		"redis://user:s3cret@host/1/2":    "database a number",
		"redis://user:12/s3cret@host":     "database a number",
		"redis://user:12?s3cret@host":     "an option",
		"redis://user:s3cret@host/?x=1":   "an option",
		"redis://user:s3cret@host/?db=s3": "an option",
		"redis://user:s3cret%zz@host":     "percent-encoded",
		"redis://user:s3cret/x@host":      "percent-encoded",
		"redis://user:s3cret #@host":      "percent-encoded",
		"redis://:s3cret":                 "percent-encoded",
	} {
		_, err := cache.OpenRedis(url)
		if err == nil || !strings.HasPrefix(err.Error(), "--cache: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got error %v, want words on %q", url, err, want)
		} else if strings.Contains(err.Error(), "s3") {
			t.Errorf("%s: the error %q holds the password", url, err)
		}
	}
}

func TestRedisErrorsDoNotHoldThePassword(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateRedis(t, "--requirepass", "s3cret-of-the-server")
	addr := server.NewKeyspace(t).Addr()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := openRedis(t, "redis://:s3cret-of-the-server@"+addr).Ping(ctx); err != nil {
		t.Errorf("with the password: %v", err)
	}
	for name, url := range map[string]string{
		"a wrong password": "redis://:s3cret-wrong@" + addr,
		"no password":      "redis://" + addr,
		"an unknown user":  "redis://ada:s3cret-wrong@" + addr,
		"an absent server": fmt.Sprintf("redis://:s3cret-wrong@127.0.0.1:%d", testenv.FreePort(t)),
		"an unknown host":  "redis://:s3cret-wrong@host.invalid",
		"one without TLS":  "rediss://:s3cret-wrong@" + addr,
	} {
		if err := openRedis(t, url).Ping(ctx); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}
