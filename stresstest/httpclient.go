package stresstest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// Paths of the API and of the page that are asked.
const (
	pathSessions = "/api/v1/sessions"
	pathCurrent  = "/api/v1/sessions/current"
	pathProfile  = "/api/v1/profile"
	pathVerify   = "/api/v1/auth/verify"
	pathPage     = "/profile"
)

// httpClient does the operations of one worker over HTTP.
type httpClient struct{ conn httpConn }

// userBody is a user in an answer.
type userBody struct {
	ID       string `json:"id"`
	Username string `json:"username"`
	Nickname string `json:"nickname"`
}

func (u userBody) person() person { return person{u.ID, u.Username, u.Nickname} }

func (c *httpClient) login(ctx context.Context, username, password string) (string, person, error) {
	var answer struct {
		Token string   `json:"token"`
		User  userBody `json:"user"`
	}
	body := struct {
		Username string `json:"username"`
		Password string `json:"password"`
	}{username, password}
	err := c.call(ctx, http.MethodPost, pathSessions, "", body, http.StatusCreated, &answer)
	return answer.Token, answer.User.person(), err
}

func (c *httpClient) profile(ctx context.Context, token string) (person, error) {
	var answer userBody
	err := c.call(ctx, http.MethodGet, pathProfile, token, nil, http.StatusOK, &answer)
	return answer.person(), err
}

func (c *httpClient) update(ctx context.Context, token, nickname string) (person, error) {
	var answer userBody
	body := struct {
		Nickname string `json:"nickname"`
	}{nickname}
	err := c.call(ctx, http.MethodPatch, pathProfile, token, body, http.StatusOK, &answer)
	return answer.person(), err
}

func (c *httpClient) sessions(ctx context.Context, token string) ([]listed, error) {
	var answer struct {
		Sessions []listed `json:"sessions"`
	}
	err := c.call(ctx, http.MethodGet, pathSessions, token, nil, http.StatusOK, &answer)
	return answer.Sessions, err
}

func (c *httpClient) logout(ctx context.Context, token string) error {
	return c.call(ctx, http.MethodDelete, pathCurrent, token, nil, http.StatusNoContent, nil)
}

// verify asks as a reverse proxy does, to which headers tell whose a token is.
func (c *httpClient) verify(ctx context.Context, token string) (person, error) {
	a, err := c.ask(ctx, http.MethodGet, pathVerify, bearer(token), nil, http.StatusOK)
	if err != nil {
		return person{}, err
	}
	encoded := a.Header.Get("X-Gatehouse-Nickname")
	nickname, err := url.PathUnescape(encoded)
	if err != nil {
		return person{}, wrongAnswer("GET %s was answered with the nickname %q, which is not percent-encoded", pathVerify, encoded)
	}
	return person{a.Header.Get("X-Gatehouse-User-Id"), a.Header.Get("X-Gatehouse-User"), nickname}, nil
}

// page reads the page of a profile with the cookie of a browser, under both
// names: which one is right depends on the address that the people use.
func (c *httpClient) page(ctx context.Context, token string) (string, error) {
	cookie := "Cookie: gatehouse=" + token + "; __Host-gatehouse=" + token + "\r\nAccept: text/html\r\n"
	a, err := c.ask(ctx, http.MethodGet, pathPage, cookie, nil, http.StatusOK)
	if err != nil {
		return "", err
	}
	if kind := a.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/html") {
		return "", wrongAnswer("GET %s was answered with %q, want a page", pathPage, kind)
	}
	return string(a.body), nil
}

func bearer(token string) string {
	if token == "" {
		return ""
	}
	return "Authorization: Bearer " + token + "\r\n"
}

// call sends one request of the API and decodes the answer, which must have
// the status of its success.
func (c *httpClient) call(ctx context.Context, method, path, token string, body any, status int, into any) error {
	var data []byte
	if body != nil {
		var err error
		if data, err = json.Marshal(body); err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
	}
	a, err := c.ask(ctx, method, path, bearer(token), data, status)
	if err != nil || into == nil {
		return err
	}
	if err := json.Unmarshal(a.body, into); err != nil {
		return wrongAnswer("%s %s was answered with a body that cannot be read: %w", method, path, err)
	}
	return nil
}

// ask sends one request and returns the answer, which must have the status of
// its success.
func (c *httpClient) ask(ctx context.Context, method, path, header string, body []byte, status int) (answer, error) {
	out := append(c.conn.out[:0], method...)
	out = append(out, ' ')
	out = append(out, path...)
	out = append(out, c.conn.target.common...)
	out = append(out, header...)
	if len(body) > 0 {
		out = append(out, "Content-Type: application/json\r\nContent-Length: "...)
		out = strconv.AppendInt(out, int64(len(body)), 10)
		out = append(out, "\r\n"...)
	}
	out = append(out, "\r\n"...)
	c.conn.out = append(out, body...)
	a, err := c.conn.exchange(ctx, method)
	switch {
	case errors.Is(err, errTooLong) && a.StatusCode == status:
		return a, wrongAnswer("%s %s was answered with more than %d bytes", method, path, maxAnswer)
	case errors.Is(err, errTooLong):
		return a, refusal(a.Response, nil)
	case err != nil:
		return a, err
	case a.StatusCode != status:
		return a, refusal(a.Response, a.body)
	}
	return a, nil
}
