package stresstest

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// dialFunc connects, as net.Dialer.DialContext does.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// httpTarget is a webserver, reached through its JSON API and its pages, with
// one connection for each worker.
type httpTarget struct {
	base    *url.URL
	address string // of the base, in the terms of net.Dial
	tls     *tls.Config
	dial    dialFunc
	// common is what every request says after its first line.
	common  string
	clients []*httpClient
}

// openHTTP returns the target at a base URL, after connecting to it once, so
// that a wrong address is told before a run and not as its result.
func openHTTP(ctx context.Context, cfg Config) (*httpTarget, error) {
	base, err := url.Parse(cfg.Target)
	if err != nil {
		return nil, fmt.Errorf("target %q: %w", cfg.Target, err)
	}
	t := &httpTarget{base: base, address: hostPort(base), dial: cfg.dial,
		common: " HTTP/1.1\r\nHost: " + base.Host + "\r\nUser-Agent: " + cfg.agent() + "\r\n"}
	if base.Scheme == "https" {
		t.tls = &tls.Config{RootCAs: cfg.roots, ServerName: base.Hostname(), NextProtos: []string{"http/1.1"}}
	}
	for range max(cfg.Workers, loginWorkers) {
		t.clients = append(t.clients, &httpClient{conn: httpConn{target: t}})
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn, err := t.connect(ctx)
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", cfg.Target, err)
	}
	return t, conn.Close()
}

// connect makes a connection to the webserver.
func (t *httpTarget) connect(ctx context.Context) (net.Conn, error) {
	conn, err := t.dial(ctx, "tcp", t.address)
	if err != nil || t.tls == nil {
		return conn, err
	}
	secured := tls.Client(conn, t.tls)
	if err := secured.HandshakeContext(ctx); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return secured, nil
}

func (t *httpTarget) client(worker int) client { return t.clients[worker] }

// close ends the connections, whose requests are all over.
func (t *httpTarget) close() {
	for _, c := range t.clients {
		c.conn.close()
	}
}

// newTransport returns a transport that keeps a connection for every worker
// and asks for nothing that costs time on either side.
func newTransport(dial dialFunc, conns int) *http.Transport {
	return &http.Transport{
		DialContext:         dial,
		MaxIdleConnsPerHost: conns,
		IdleConnTimeout:     90 * time.Second,
		TLSHandshakeTimeout: requestTimeout,
		DisableCompression:  true,
	}
}

// hostPort returns the address of a URL in the terms of net.Dial.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// refusal is the failure of an answer that says it is one.
func refusal(answer *http.Response, body []byte) error {
	f := &failure{code: "http_" + strconv.Itoa(answer.StatusCode), outcome: unknown}
	var problem struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &problem) == nil && isCode(problem.Code) {
		f.code = problem.Code
	}
	f.cause = errors.New(strings.TrimSpace(answer.Status + " " + problem.Detail))
	refused := answer.StatusCode >= 400 && answer.StatusCode < 500
	if refused || f.code == "unavailable" || f.code == "overloaded" {
		f.outcome = notApplied
	}
	if answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusServiceUnavailable {
		f.again, f.retryAfter = true, retryAfter(answer.Header.Get("Retry-After"))
	}
	return f
}

// retryAfter reads a Retry-After header: seconds, or a date. Without one
// that can be read it is a second.
func retryAfter(value string) time.Duration {
	if seconds, err := strconv.ParseUint(strings.TrimSpace(value), 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, time.Until(at))
	}
	return time.Second
}

// checkHTTP tells what is wrong with the address of a webserver.
func checkHTTP(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	if u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return errors.New("want http://HOST:PORT, without a path")
	}
	return nil
}
