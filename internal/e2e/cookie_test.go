package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"gatehouse/internal/testenv"
)

// submit sends a form as a browser of the page's own site does.
func (c client) submit(t testing.TB, path string, fields url.Values, headers ...string) answer {
	t.Helper()
	headers = append([]string{"Content-Type", "application/x-www-form-urlencoded", "Sec-Fetch-Site", "same-origin"}, headers...)
	a, err := c.send(t.Context(), "POST", path, strings.NewReader(fields.Encode()), headers...)
	if err != nil {
		t.Fatalf("POST %s: %v", path, err)
	}
	return a
}

// cookie returns a cookie that an answer sets.
func (a answer) cookie(t testing.TB, name string) *http.Cookie {
	t.Helper()
	for _, c := range (&http.Response{Header: a.header}).Cookies() {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("the answer sets no cookie %s: %v", name, a.header["Set-Cookie"])
	return nil
}

func account(name string) url.Values {
	return url.Values{"username": {name}, "password": {password}}
}

func TestCookiesOfPlainHTTP(t *testing.T) {
	t.Parallel()
	s := service(t)
	a := client{base: s.url}.submit(t, "/register", account(newName())).want(t, 303)
	if a.header.Get("Location") != "/profile" || a.header.Get("Strict-Transport-Security") != "" {
		t.Errorf("answered with %v", a.header)
	}
	checkCookie(t, a.cookie(t, "gatehouse"), false, 30*24*time.Hour)
	checkCookie(t, a.cookie(t, "gatehouse-device"), false, 365*24*time.Hour)

	session := a.cookie(t, "gatehouse")
	page := client{base: s.url}.do(t, "GET", "/profile", nil, "Cookie", "gatehouse="+session.Value).want(t, 200)
	if page.header.Get("Cache-Control") != "no-store" || page.header.Get("Content-Security-Policy") == "" || page.has(session.Value) {
		t.Errorf("the page comes with %v", page.header)
	}
	out := client{base: s.url}.submit(t, "/logout", nil, "Cookie", "gatehouse="+session.Value).want(t, 303)
	if gone := out.cookie(t, "gatehouse"); gone.MaxAge >= 0 || gone.Value != "" || out.header.Get("Clear-Site-Data") == "" {
		t.Errorf("after logout the cookie is %v and the headers %v", gone, out.header)
	}
	client{base: s.url, token: session.Value}.do(t, "GET", "/api/v1/profile", nil).refused(t, 401, "unauthenticated")
}

func checkCookie(t *testing.T, c *http.Cookie, secure bool, age time.Duration) {
	t.Helper()
	if !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" || c.Secure != secure {
		t.Errorf("the cookie is %v, want HttpOnly, SameSite=Lax, Path=/, no domain, secure %v", c, secure)
	}
	if got := time.Duration(c.MaxAge) * time.Second; got > age || got < age-time.Hour {
		t.Errorf("the cookie %s lives for %v, want %v", c.Name, got, age)
	}
}

func TestCookiesOfHTTPSAreBoundToTheHost(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	cert, key := ca.issue(t, "127.0.0.1")
	s := start(t, append([]string{"serve", "--http-tls-cert", cert, "--http-tls-key", key}, cheap...)...)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	c := client{base: s.url, http: &http.Client{Transport: transport, Timeout: patience, CheckRedirect: plain.CheckRedirect}}
	if !strings.HasPrefix(s.url, "https://") {
		t.Fatalf("the address is %s", s.url)
	}
	a := c.submit(t, "/register", account(newName())).want(t, 303)
	checkCookie(t, a.cookie(t, "__Host-gatehouse"), true, 30*24*time.Hour)
	checkCookie(t, a.cookie(t, "__Host-gatehouse-device"), true, 365*24*time.Hour)
	if a.header.Get("Strict-Transport-Security") == "" {
		t.Error("no Strict-Transport-Security over HTTPS")
	}
	c.do(t, "GET", "/profile", nil, "Cookie", "__Host-gatehouse="+a.cookie(t, "__Host-gatehouse").Value).want(t, 200)
}

func TestPublicURLIsTheOnlyHostAnswered(t *testing.T) {
	t.Parallel()
	address := fmt.Sprintf("127.0.0.1:%d", testenv.FreePort(t))
	start(t, append([]string{"serve", "--http", address, "--public-url", "https://login.example.org"}, cheap...)...)
	c := client{base: "http://" + address}
	c.do(t, "GET", "/login", nil).want(t, 421)
	c.do(t, "GET", "/api/v1/profile", nil, "Host", "evil.example").refused(t, 421, "misdirected")
	a := c.submit(t, "/register", account(newName()), "Host", "login.example.org", "Origin", "https://login.example.org").want(t, 303)
	checkCookie(t, a.cookie(t, "__Host-gatehouse"), true, 30*24*time.Hour)
	if a.header.Get("Strict-Transport-Security") == "" {
		t.Error("no Strict-Transport-Security where people come by HTTPS")
	}
	to := c.do(t, "GET", "/api/v1/auth/verify?redirect=1", nil, "Host", "login.example.org").want(t, 302).header.Get("Location")
	if to != "https://login.example.org/login" {
		t.Errorf("the login page is said to be at %q", to)
	}
}

func TestPagesRefuseFormsOfOtherSites(t *testing.T) {
	t.Parallel()
	s := service(t)
	name := newName()
	c, o := register(t, s.url, name)
	for about, headers := range map[string][]string{
		"the browser says so": {"Sec-Fetch-Site", "cross-site"},
		"a sibling's page":    {"Sec-Fetch-Site", "same-site"},
		"by its origin":       {"Sec-Fetch-Site", "", "Origin", "https://evil.example"},
		"by a null origin":    {"Sec-Fetch-Site", "", "Origin", "null"},
	} {
		t.Run(about, func(t *testing.T) {
			headers = append(headers, "Cookie", "gatehouse="+o.Token)
			a := client{base: s.url}.submit(t, "/profile", url.Values{"nickname": {"stolen"}}, headers...).want(t, 403)
			if !a.has("<h1>", "another site") {
				t.Errorf("answered %s", a.body)
			}
		})
	}
	if got := c.profile(t).Nickname; got != name {
		t.Errorf("the nickname is %q now", got)
	}
}
