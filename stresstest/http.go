package stresstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// maxAnswer bounds the body of an answer, in bytes. A profile is a few
// hundred.
const maxAnswer = 64 << 10

// dialFunc connects, as net.Dialer.DialContext does.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// httpTarget is a webserver, reached through its JSON API. A GET whose kept
// connection turns out to be closed before any answer is sent again by
// net/http, as browsers do; nothing else is ever sent twice.
type httpTarget struct {
	transport       *http.Transport
	sessions, user  *url.URL
	agent, jsonType []string // header values, shared by all requests
}

// openHTTP returns the target at a base URL, after connecting to it once, so
// that a wrong address is told before a run and not as its result.
func openHTTP(ctx context.Context, cfg Config) (*httpTarget, error) {
	base, err := url.Parse(cfg.Target)
	if err != nil {
		return nil, fmt.Errorf("target %q: %w", cfg.Target, err)
	}
	t := &httpTarget{
		transport: newTransport(cfg.dial, cfg.Workers),
		sessions:  &url.URL{Scheme: base.Scheme, Host: base.Host, Path: "/api/v1/sessions"},
		user:      &url.URL{Scheme: base.Scheme, Host: base.Host, Path: "/api/v1/profile"},
		agent:     []string{cfg.agent()},
		jsonType:  []string{"application/json"},
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	conn, err := cfg.dial(ctx, "tcp", hostPort(base))
	if err != nil {
		return nil, fmt.Errorf("target %s: %w", cfg.Target, err)
	}
	return t, conn.Close()
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

// userBody is a user in an answer.
type userBody struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Nickname string `json:"nickname"`
}

func (u userBody) person() person { return person{u.ID, u.Username, u.Nickname} }

func (t *httpTarget) login(ctx context.Context, username, password string) (string, person, error) {
	var answer struct {
		Token string   `json:"token"`
		User  userBody `json:"user"`
	}
	body := struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}{username, password}
	err := t.call(ctx, http.MethodPost, t.sessions, "", body, http.StatusCreated, &answer)
	return answer.Token, answer.User.person(), err
}

func (t *httpTarget) profile(ctx context.Context, token string) (person, error) {
	var answer userBody
	err := t.call(ctx, http.MethodGet, t.user, token, nil, http.StatusOK, &answer)
	return answer.person(), err
}

func (t *httpTarget) update(ctx context.Context, token, nickname string) (person, error) {
	var answer userBody
	body := struct {
		Nickname string `json:"nickname"`
	}{nickname}
	err := t.call(ctx, http.MethodPatch, t.user, token, body, http.StatusOK, &answer)
	return answer.person(), err
}

func (t *httpTarget) close() { t.transport.CloseIdleConnections() }

// call sends one request and decodes the answer, which must have the status
// of its success.
func (t *httpTarget) call(ctx context.Context, method string, u *url.URL, token string, body any, status int, into any) error {
	r := &http.Request{Method: method, URL: u, Host: u.Host, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"User-Agent": t.agent}}
	if token != "" {
		r.Header["Authorization"] = []string{"Bearer " + token}
	}
	if body != nil {
		data, err := json.Marshal(body)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		r.Header["Content-Type"] = t.jsonType
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
	}
	answer, err := t.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return transportFailure(err)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	switch {
	case err != nil:
		return transportFailure(err)
	case answer.StatusCode != status:
		return refusal(answer, data)
	case len(data) > maxAnswer:
		return wrongAnswer("%s %s was answered with more than %d bytes", method, u.Path, maxAnswer)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return wrongAnswer("%s %s was answered with a body that cannot be read: %w", method, u.Path, err)
	}
	return nil
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
