package protocol_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"testing"
	"time"

	"gatehouse/protocol"
)

// pki is a certificate authority of the test's own.
type pki struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pool *x509.CertPool
}

func newPKI(t *testing.T) pki {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	return pki{cert, key, pool}
}

func (p pki) issue(t *testing.T) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, p.cert, &key.PublicKey, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func (p pki) server(t *testing.T) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{p.issue(t)},
		ClientCAs: p.pool, ClientAuth: tls.RequireAndVerifyClientCert}
}

func (p pki) client(t *testing.T) *tls.Config {
	return &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{p.issue(t)}, RootCAs: p.pool}
}

func cancelStormTLS(t *testing.T) int32 {
	t.Helper()
	authority := newPKI(t)
	return cancelStorm(t,
		func(l net.Listener) net.Listener { return tls.NewListener(l, authority.server(t)) },
		func(cfg *protocol.Config) { cfg.TLS = authority.client(t) })
}

func TestTLSVerifiesBothSides(t *testing.T) {
	ours, theirs := newPKI(t), newPKI(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, tls.NewListener(l, ours.server(t)), protocol.ServerConfig{})
	stranger := ours.client(t)
	stranger.Certificates = theirs.client(t).Certificates
	old := ours.client(t)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	anonymous := ours.client(t)
	anonymous.Certificates = nil
	for name, test := range map[string]struct {
		tls *tls.Config
		ok  bool
	}{
		"both of one authority": {ours.client(t), true},
		"a server of another":   {theirs.client(t), false},
		"a client of another":   {stranger, false},
		"a client without":      {anonymous, false},
		"TLS 1.2":               {old, false},
		"no TLS":                {nil, false},
	} {
		c, err := protocol.Dial(t.Context(), "tcp", l.Addr().String(), protocol.Config{TLS: test.tls})
		if err == nil {
			_, err = echo.Call(t.Context(), c, protocol.Meta{}, nameBody{"x"})
			c.Close()
		}
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}
