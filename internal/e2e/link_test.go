package e2e_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"testing"

	"gatehouse/internal/testenv"
)

// A link is how the two tiers may be joined, told from both ends.
type link struct{ backend, webserver []string }

// keyFile makes a link key.
func keyFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(testenv.TempDir(t), "key")
	if err := os.WriteFile(path, []byte(rand.Text()+rand.Text()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// tlsFlags makes a certificate of the authority and returns the flags.
func (a *authority) tlsFlags(t testing.TB) []string {
	t.Helper()
	cert, key := a.issue(t, "127.0.0.1")
	return []string{"--link-tls-cert", cert, "--link-tls-key", key, "--link-tls-ca", a.file}
}

func TestLinkJoinsTheTiers(t *testing.T) {
	t.Parallel()
	key, ca := keyFile(t), newAuthority(t)
	socket := "unix://" + filepath.Join(testenv.TempDir(t), "link")
	for about, l := range map[string]link{
		"with a key":              {[]string{"--link-key-file", key}, []string{"--link-key-file", key}},
		"with TLS":                {ca.tlsFlags(t), ca.tlsFlags(t)},
		"with TLS and a key":      {append(ca.tlsFlags(t), "--link-key-file", key), append(ca.tlsFlags(t), "--link-key-file", key)},
		"over a unix socket":      {[]string{"--listen", socket}, nil},
		"beyond loopback, by key": {[]string{"--listen", "0.0.0.0:0", "--link-key-file", key}, []string{"--link-key-file", key}},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			b := start(t, append(append([]string{"backend"}, l.backend...), cheap...)...)
			w := start(t, append([]string{"webserver", "--backend", b.link}, l.webserver...)...)
			awaitReady(t, w)
			c, o := register(t, w.url, newName())
			if got := c.profile(t); got != o.User {
				t.Errorf("the profile is %+v, want %+v", got, o.User)
			}
		})
	}
}

func TestLinkRefusesWhoDoesNotBelong(t *testing.T) {
	t.Parallel()
	key, ca, other := keyFile(t), newAuthority(t), newAuthority(t)
	for about, l := range map[string]link{
		"without the key":              {[]string{"--link-key-file", key}, nil},
		"with another key":             {[]string{"--link-key-file", key}, []string{"--link-key-file", keyFile(t)}},
		"a backend that proves no key": {nil, []string{"--link-key-file", key}},
		"without TLS":                  {ca.tlsFlags(t), nil},
		"of another authority":         {ca.tlsFlags(t), other.tlsFlags(t)},
		"certified by nobody known":    {ca.tlsFlags(t), append(other.tlsFlags(t)[:4], "--link-tls-ca", ca.file)},
	} {
		t.Run(about, func(t *testing.T) {
			t.Parallel()
			b := start(t, append([]string{"backend"}, l.backend...)...)
			w := start(t, append([]string{"webserver", "--backend", b.link}, l.webserver...)...)
			// Only after an attempt has failed it is known that none succeeded.
			testenv.WaitFor(t, patience, "an attempt to connect", func() bool {
				return metrics(t, w)["gatehouse_pool_dial_errors_total"] > 0
			})
			client{base: w.admin}.do(t, "GET", "/readyz", nil).want(t, 503)
			client{base: w.url}.do(t, "POST", "/api/v1/users", map[string]string{"username": newName(), "password": password}).
				refused(t, 503, "unavailable")
			if n := metrics(t, b)["gatehouse_packets_total"]; n != 0 {
				t.Errorf("the backend answered %v packets", n)
			}
		})
	}
}
