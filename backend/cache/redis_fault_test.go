package cache_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/backend/cache"
	"gatehouse/internal/testenv"
)

// operations are all of a cache's, each on a key of its own.
var operations = map[string]func(ctx context.Context, r *cache.Redis) error{
	"Get":   func(ctx context.Context, r *cache.Redis) error { _, err := r.Get(ctx, "got"); return err },
	"Lease": func(ctx context.Context, r *cache.Redis) error { _, err := r.Lease(ctx, "leased"); return err },
	"Fill": func(ctx context.Context, r *cache.Redis) error {
		_, err := r.Fill(ctx, cache.Fill{Key: "filled", Token: "none", TTL: time.Hour})
		return err
	},
	"Mark": func(ctx context.Context, r *cache.Redis) error { return r.Mark(ctx, "writer", "marked") },
	"Unmark": func(ctx context.Context, r *cache.Redis) error {
		_, err := r.Unmark(ctx, "writer", "unmarked")
		return err
	},
	"Ping":  func(ctx context.Context, r *cache.Redis) error { return r.Ping(ctx) },
	"Check": func(ctx context.Context, r *cache.Redis) error { return r.Check(ctx) },
}

// wantsAll waits until every operation succeeds, each within patience.
func wantsAll(t *testing.T, r *cache.Redis) {
	t.Helper()
	for name, operation := range operations {
		var err error
		testenv.WaitFor(t, patience, name+" to succeed", func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			err = operation(ctx, r)
			return err == nil
		})
	}
}

// TestRedisSilentObeysDeadlines does not run beside other tests, because it
// counts goroutines.
func TestRedisSilentObeysDeadlines(t *testing.T) {
	server := testenv.PrivateRedis(t)
	r := openRedis(t, server.NewKeyspace(t).URL())
	wantsAll(t, r)
	before := runtime.NumGoroutine()
	server.Pause(t)
	// The timeouts of the client itself are of a second. If deadlines were not
	// obeyed, this would take half a minute and more.
	const rounds, deadline = 5, 20 * time.Millisecond
	began := time.Now()
	for name, operation := range operations {
		for range rounds {
			ctx, cancel := context.WithTimeout(t.Context(), deadline)
			if err := operation(ctx, r); err == nil {
				t.Errorf("%s: a server that is silent answered", name)
			}
			cancel()
		}
	}
	if spent, enough := time.Since(began), 500*time.Millisecond*rounds*time.Duration(len(operations)); spent > enough {
		t.Errorf("operations with a deadline of %v took %v together, want less than %v", deadline, spent, enough)
	}
	var callers sync.WaitGroup
	for range 50 {
		for _, operation := range operations {
			callers.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), deadline)
				defer cancel()
				operation(ctx, r)
			})
		}
	}
	callers.Wait()
	testenv.WaitFor(t, patience, "goroutines to end while the server is still silent", func() bool {
		return runtime.NumGoroutine() <= before+8
	})
	if stats := r.Stats(); stats.TotalConns > 64 {
		t.Errorf("there are %d connections", stats.TotalConns)
	}
	server.Resume(t)
	wantsAll(t, r)
}

func TestRedisHealsByItself(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateRedis(t)
	k := server.NewKeyspace(t)
	r := openRedis(t, k.URL())
	for name, hurt := range map[string]func(){
		"the scripts are flushed":   func() { k.Do(t, "SCRIPT", "FLUSH") },
		"the connections are ended": func() { k.Do(t, "CLIENT", "KILL", "TYPE", "normal") },
		"the server is restarted":   func() { server.Restart(t) },
		"the server is killed":      func() { server.Kill(t); server.Start(t) },
		"the server is away a while": func() {
			server.Kill(t)
			// More than the connections that the pool may have.
			for range 100 {
				for name, operation := range operations {
					if err := operation(t.Context(), r); err == nil {
						t.Errorf("%s: a dead server answered", name)
					}
				}
			}
			server.Start(t)
		},
	} {
		wantsAll(t, r)
		hurt()
		wantsAll(t, r)
		key := "after " + name
		fill(t, r, key, "value")
		mark(t, r, "writer", key)
		if lost, err := r.Unmark(t.Context(), "writer", key); lost || err != nil {
			t.Errorf("after %s: lost %v, error %v", name, lost, err)
		}
	}
}

// TestRedisIsNeededAtNoTime opens the cache before there is a server.
func TestRedisIsNeededAtNoTime(t *testing.T) {
	t.Parallel()
	server := testenv.PrivateRedis(t)
	k := server.NewKeyspace(t)
	server.Kill(t)
	r := openRedis(t, k.URL())
	if err := r.Ping(t.Context()); err == nil {
		t.Error("a dead server answered")
	}
	server.Start(t)
	wantsAll(t, r)
}

func TestRedisGivesNobodyTheAnswerOfAnother(t *testing.T) {
	t.Parallel()
	t.Run("over TCP", func(t *testing.T) {
		t.Parallel()
		k := testenv.Redis(t)
		proxy := testenv.NewProxy(t, k.Addr())
		storm(t, openRedis(t, k.URLThrough(proxy.Addr())), proxy)
	})
	t.Run("over TLS", func(t *testing.T) {
		t.Parallel()
		proxy := testenv.NewProxy(t, tlsRedis(t))
		storm(t, openRedis(t, "rediss://"+proxy.Addr()+"/?skip_verify=true"), proxy)
	})
}

func TestRedisVerifiesTheServer(t *testing.T) {
	t.Parallel()
	err := openRedis(t, "rediss://"+tlsRedis(t)).Ping(t.Context())
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a certificate that nobody we know signed: got error %v", err)
	}
}

// What a storm is made of.
const (
	stormKeys    = 40
	stormCallers = 16
	stormCalls   = 100 // of each caller
	stormShare   = 5   // one call of so many is given up
)

// storm gives calls up at all moments, such that answers are on their way to
// nobody, and checks that nobody else takes one for its own. The answers pass
// a proxy that delays each piece of them.
func storm(t *testing.T, r *cache.Redis, proxy *testenv.Proxy) {
	for i := range stormKeys {
		fill(t, r, stormKey(i), stormValue(i))
	}
	proxy.Delay(testenv.ToClient, time.Millisecond)
	var callers sync.WaitGroup
	var answered, givenUp atomic.Int64
	for caller := range stormCallers {
		callers.Go(func() {
			for range stormCalls {
				ctx, cancel := t.Context(), func() {}
				if rand.IntN(stormShare) == 0 {
					ctx, cancel = soonOver(ctx)
				}
				if err := stormCall(t, ctx, r, caller); err == nil {
					answered.Add(1)
				} else {
					givenUp.Add(1)
				}
				cancel()
			}
		})
	}
	callers.Wait()
	proxy.Heal()
	if givenUp.Load() == 0 || answered.Load() < givenUp.Load() {
		t.Errorf("%d calls were answered, %d given up", answered.Load(), givenUp.Load())
	}
	for i := range stormKeys {
		if e := get(t, r, stormKey(i)); e.State != cache.Hit || string(e.Value) != stormValue(i) {
			t.Errorf("after the storm: key %d: got state %d and %.20q", i, e.State, e.Value)
		}
	}
	testenv.WaitFor(t, patience, "no connection to be in use", func() bool {
		s := r.Stats()
		return s.IdleConns == s.TotalConns && s.TotalConns <= 64
	})
}

// soonOver returns a context that ends within the time that answers take.
func soonOver(ctx context.Context) (context.Context, context.CancelFunc) {
	soon := time.Duration(rand.IntN(4000)) * time.Microsecond
	if rand.IntN(2) == 0 {
		return context.WithTimeout(ctx, soon)
	}
	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(soon, cancel)
	return ctx, cancel
}

func stormKey(i int) string { return fmt.Sprint("storm", i) }

// stormValue is longer than what is read at once for some keys, so that
// answers are cut at many places.
func stormValue(i int) string { return strings.Repeat(stormKey(i)+"|", 1+i*i*3) }

// stormCall calls something whose answer it knows, and returns the error of
// the call. Marks are on a key of the caller's own.
func stormCall(t *testing.T, ctx context.Context, r *cache.Redis, caller int) error {
	i, j := rand.IntN(stormKeys), rand.IntN(stormKeys)
	own := fmt.Sprint("caller", caller)
	switch rand.IntN(8) {
	case 0:
		return r.Mark(ctx, own, own)
	case 1:
		_, err := r.Unmark(ctx, own, own)
		return err
	case 2:
		entries, err := r.Get(ctx, own, stormKey(i))
		if err == nil && (entries[0].State != cache.Absent && (entries[0].State != cache.Marked || entries[0].Marks[0] != own) || string(entries[1].Value) != stormValue(i)) {
			t.Errorf("%s and %s: got %.40v", own, stormKey(i), entries)
		}
		return err
	case 3:
		entries, err := r.Lease(ctx, stormKey(i))
		if err == nil && string(entries[0].Value) != stormValue(i) {
			t.Errorf("lease %s: got state %d, %.20q", stormKey(i), entries[0].State, entries[0].Value)
		}
		return err
	}
	entries, err := r.Get(ctx, stormKey(i), stormKey(j))
	if err == nil && (string(entries[0].Value) != stormValue(i) || string(entries[1].Value) != stormValue(j)) {
		t.Errorf("%s and %s: got %.20q and %.20q", stormKey(i), stormKey(j), entries[0].Value, entries[1].Value)
	}
	return err
}

// tlsRedis starts a Redis with a certificate that it signed itself, and
// returns where that speaks TLS.
func tlsRedis(t *testing.T) (addr string) {
	t.Helper()
	dir := testenv.TempDir(t)
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	writeCertificate(t, cert, key)
	port := fmt.Sprint(testenv.FreePort(t))
	testenv.PrivateRedis(t, "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key,
		"--tls-ca-cert-file", cert, "--tls-auth-clients", "no")
	return net.JoinHostPort("127.0.0.1", port)
}

func writeCertificate(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "a Redis of tests"},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	cert, err := x509.CreateCertificate(crand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: cert},
		keyFile:  {Type: "PRIVATE KEY", Bytes: private},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
