package command

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// minLinkKey is the least length of a link key, in bytes as they stand in
// the file: 128 random bits in hexadecimal digits.
const minLinkKey = 32

// readLinkKey returns the content of a link key file without the space
// around it.
func readLinkKey(path string, log *slog.Logger) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("--link-key-file: %w", err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		warn(log, "the link key %s can be read by other users of this machine; chmod 600 it", path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--link-key-file: %w", err)
	}
	key := bytes.TrimSpace(content)
	if len(key) < minLinkKey {
		return nil, fmt.Errorf("--link-key-file %s: a key of %d bytes is too short, want at least %d; make one with: openssl rand -hex 32", path, len(key), minLinkKey)
	}
	return key, nil
}

// ownLinkKey returns the key in DATA/link.key, making it first where it is
// not there.
func ownLinkKey(data string, log *slog.Logger) ([]byte, error) {
	path := filepath.Join(data, "link.key")
	var raw [32]byte
	rand.Read(raw[:]) // never fails
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return readLinkKey(path, log)
	}
	if err != nil {
		return nil, fmt.Errorf("make link key: %w", err)
	}
	_, err = fmt.Fprintln(f, hex.EncodeToString(raw[:]))
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, fmt.Errorf("make link key: %w", err)
	}
	return readLinkKey(path, log)
}

// key returns the key of --link-key-file, or none.
func (f linkFlags) key(log *slog.Logger) ([]byte, error) {
	if f.LinkKeyFile == "" {
		return nil, nil
	}
	return readLinkKey(f.LinkKeyFile, log)
}

// tls returns how the link is encrypted, or nil for not at all. The same
// configuration serves both ends: each shows its certificate and verifies
// the other's.
func (f linkFlags) tls() (*tls.Config, error) {
	given := 0
	for _, path := range []string{f.LinkTLSCert, f.LinkTLSKey, f.LinkTLSCA} {
		if path != "" {
			given++
		}
	}
	switch given {
	case 0:
		return nil, nil
	case 3:
	default:
		return nil, usage("--link-tls-cert, --link-tls-key and --link-tls-ca belong together: %d of 3 are set", given)
	}
	pem, err := os.ReadFile(f.LinkTLSCA)
	if err != nil {
		return nil, fmt.Errorf("--link-tls-ca: %w", err)
	}
	authorities := x509.NewCertPool()
	if !authorities.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--link-tls-ca %s: holds no certificate in PEM", f.LinkTLSCA)
	}
	pair := &keyPair{cert: f.LinkTLSCert, key: f.LinkTLSKey}
	if _, err := pair.load(); err != nil {
		return nil, fmt.Errorf("--link-tls-cert: %w", err)
	}
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.load() },
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return pair.load()
		},
		RootCAs:    authorities,
		ClientCAs:  authorities,
		ClientAuth: tls.RequireAndVerifyClientCert,
	}, nil
}

// keyPair is a certificate in two files, which is read again when they
// change, so that a renewed one is used without a restart.
type keyPair struct {
	cert, key string

	mu      sync.Mutex // guards the fields below
	loaded  *tls.Certificate
	changed time.Time
}

// load returns the certificate. One that cannot be read, because its two
// files are being replaced, leaves the one before in use.
func (k *keyPair) load() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	changed := modified(k.cert, k.key)
	if k.loaded != nil && changed.Equal(k.changed) {
		return k.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	if err != nil {
		if k.loaded != nil {
			return k.loaded, nil
		}
		return nil, err
	}
	k.loaded, k.changed = &pair, changed
	return k.loaded, nil
}

// modified returns when one of the files was last changed.
func modified(paths ...string) (last time.Time) {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && info.ModTime().After(last) {
			last = info.ModTime()
		}
	}
	return last
}

// listenTCP listens and says which flag to change where it cannot.
func listenTCP(flag, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--%s %s: %w; choose another address with --%s", flag, address, err, flag)
	}
	return l, nil
}

// listenUnix listens on a socket that only this user may use. A socket that
// nobody answers on is what a killed process left, and is replaced.
func listenUnix(flag, path string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return nil, fmt.Errorf("--%s unix://%s: another process answers on this socket", flag, path)
	}
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSocket != 0 {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("--%s: replace a socket that nobody answers on: %w", flag, err)
		}
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("--%s unix://%s: %w", flag, path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("--%s: protect socket: %w", flag, err)
	}
	return l, nil
}

// loopback tells whether an address to listen on is reached from this
// machine alone.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
