package store

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	"github.com/go-sql-driver/mysql"
)

// place is where a URL points: a server, or the path of a file.
type place struct {
	server *mysql.Config
	path   string
}

const (
	example   = "mysql://user:password@host:3306/name"
	malformed = "--database: this is no URL like " + example + "; in the user and the password every character " +
		"but letters, digits and -._~ must be percent-encoded, for instance @ as %40, / as %2F, ? as %3F and # as %23"
)

// parse reads a URL. Its errors quote only what cannot be a piece of a
// password.
func parse(raw string) (place, error) {
	scheme, rest, found := strings.Cut(raw, ":")
	switch {
	case found && scheme == "sqlite":
		path, err := parseSQLite(rest)
		return place{path: path}, err
	case found && scheme == "mysql":
		server, err := parseMySQL(raw)
		return place{server: server}, err
	case raw == "":
		return place{}, errors.New("--database: nothing given; write sqlite:PATH or " + example)
	}
	return place{}, errors.New("--database: unknown kind of database; write sqlite:PATH or " + example)
}

func parseSQLite(path string) (string, error) {
	// A URL's three slashes mean what they mean elsewhere.
	if strings.HasPrefix(path, "///") {
		path = path[2:]
	}
	switch {
	case path == "":
		return "", errors.New("--database: sqlite: names no file; write sqlite:PATH")
	case strings.HasPrefix(path, "//"):
		return "", fmt.Errorf("--database: sqlite:%s names a host, and a file has none; write sqlite:PATH", path)
	case path == ":memory:":
		return "", errors.New("--database: sqlite::memory: would forget everything; write sqlite:PATH")
	case strings.Contains(path, "?"):
		return "", fmt.Errorf("--database: sqlite:%s has parameters, and there are none for SQLite; write sqlite:PATH", path)
	}
	return path, nil
}

func parseMySQL(raw string) (*mysql.Config, error) {
	u, err := url.Parse(raw)
	// The parser's own error would quote what it stumbled over.
	if err != nil || u.Opaque != "" || u.Fragment != "" {
		return nil, errors.New(malformed)
	}
	name := strings.TrimPrefix(u.Path, "/")
	if strings.ContainsAny(name, "/@:") {
		return nil, errors.New(malformed)
	}
	if u.User == nil || u.User.Username() == "" {
		return nil, errors.New("--database: names no user; write " + example)
	}
	if name == "" {
		return nil, errors.New("--database: names no database on the server; write " + example)
	}
	cfg := mysql.NewConfig()
	cfg.User, cfg.DBName = u.User.Username(), name
	cfg.Passwd, _ = u.User.Password()
	cfg.Net, cfg.Addr = "tcp", net.JoinHostPort(u.Hostname(), portOf(u))
	if err := applyParameters(cfg, u); err != nil {
		return nil, err
	}
	return cfg, nil
}

func portOf(u *url.URL) string {
	if port := u.Port(); port != "" {
		return port
	}
	return "3306"
}

func applyParameters(cfg *mysql.Config, u *url.URL) error {
	parameters, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return errors.New(malformed)
	}
	for name, values := range parameters {
		switch name {
		case "tls", "tls-ca", "socket":
		default:
			if strings.ContainsAny(name, "@:/") {
				return errors.New(malformed)
			}
			return fmt.Errorf("--database: unknown parameter %q; there are tls, tls-ca and socket", name)
		}
		if len(values) != 1 {
			return fmt.Errorf("--database: parameter %q is given %d times", name, len(values))
		}
	}
	if err := applySocket(cfg, u, parameters); err != nil {
		return err
	}
	return applyTLS(cfg, parameters)
}

func applySocket(cfg *mysql.Config, u *url.URL, parameters url.Values) error {
	socket := parameters.Get("socket")
	switch {
	case socket == "" && u.Hostname() == "":
		return errors.New("--database: names no host; write " + example + ", or mysql://user@/name?socket=PATH")
	case socket != "" && u.Host != "":
		return errors.New("--database: names both a host and a socket; leave one out")
	case socket != "":
		cfg.Net, cfg.Addr = "unix", socket
	}
	return nil
}

func applyTLS(cfg *mysql.Config, parameters url.Values) error {
	mode, ca := parameters.Get("tls"), parameters.Get("tls-ca")
	switch mode {
	case "", "true", "skip-verify", "preferred", "false":
	default:
		return fmt.Errorf("--database: tls=%s is unknown; there are true, skip-verify, preferred and false", mode)
	}
	cfg.TLSConfig = mode
	if ca == "" {
		return nil
	}
	if mode != "" && mode != "true" {
		return fmt.Errorf("--database: tls-ca with tls=%s, which verifies nothing; write tls=true", mode)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		return fmt.Errorf("--database: read tls-ca: %w", err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(pem) {
		return fmt.Errorf("--database: tls-ca %s holds no certificate in PEM", ca)
	}
	cfg.TLS = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return nil
}

// Place names where a database is, without any secret, so that two processes
// of one machine can tell whether they mean the same: the true path of a file.
// Of a server it is the name of the database alone, because the same server
// goes by many names. It is empty where raw is no URL of a database.
func Place(raw string) string {
	where, err := parse(raw)
	switch {
	case err != nil:
		return ""
	case where.server != nil:
		return "mysql:" + where.server.DBName
	}
	path, err := filepath.Abs(where.path)
	if err != nil {
		return ""
	}
	if whole, err := filepath.EvalSymlinks(path); err == nil {
		path = whole
	}
	return "sqlite:" + path
}

// Redacted returns a URL as it may be shown: without the password, and
// without anything where it cannot be told what the password is.
func Redacted(raw string) string {
	where, err := parse(raw)
	if err == nil && where.server == nil {
		return raw
	}
	if u, parseErr := url.Parse(raw); err == nil && parseErr == nil {
		if _, has := u.User.Password(); has {
			u.User = url.UserPassword(u.User.Username(), "REDACTED")
		}
		return u.String()
	}
	if scheme, _, found := strings.Cut(raw, "://"); found {
		return scheme + "://REDACTED"
	}
	return "REDACTED"
}
