package webserver_test

import (
	"strings"
	"testing"

	"gatehouse/webserver"
)

// TestOtherSitesCannotMakeABrowserWrite is the whole matrix of what browsers
// tell about where a request comes from.
func TestOtherSitesCannotMakeABrowserWrite(t *testing.T) {
	t.Parallel()
	const (
		same  = "http://example.com" // the host of every request in these tests
		other = "https://evil.example"
	)
	routes := []struct{ method, path, body, kind string }{
		{"POST", "/profile", "nickname=x", formType},
		{"POST", "/login", "username=ada&password=x", formType},
		{"POST", "/logout", "", formType},
		{"PUT", "/api/v1/password", `{"current_password":"x","new_password":"y"}`, jsonType},
		{"PATCH", "/api/v1/profile", `{"nickname":"x"}`, jsonType},
		{"DELETE", "/api/v1/sessions", "", ""},
		{"POST", "/api/v1/sessions", `{"username":"ada","password":"x"}`, jsonType},
		{"GET", "/profile", "", ""},
		{"HEAD", "/profile", "", ""},
		{"GET", "/api/v1/profile", "", ""},
	}
	tried := 0
	for _, site := range []string{"", "none", "same-origin", "same-site", "cross-site"} {
		for _, origin := range []string{"", same, other, "null"} {
			for _, route := range routes {
				s := newSite(t)
				headers := []string{"Cookie", s.cookie()}
				for name, value := range map[string]string{"Sec-Fetch-Site": site, "Origin": origin, "Content-Type": route.kind} {
					if value != "" {
						headers = append(headers, name, value)
					}
				}
				allowed := route.method == "GET" || route.method == "HEAD" || site == "none" || site == "same-origin" ||
					site == "" && (origin == "" || origin == same)
				a := s.do(route.method, route.path, route.body, headers...)
				tried++
				if allowed != (len(s.fake.calls) > 0) {
					t.Errorf("%s %s from %q, origin %q: %d calls, allowed is %v", route.method, route.path, site, origin, len(s.fake.calls), allowed)
				}
				if allowed {
					continue
				}
				a.want(t, 403)
				if strings.HasPrefix(route.path, "/api/") {
					if p := a.problem(t); p.Code != "cross_origin" {
						t.Errorf("code %q", p.Code)
					}
				} else {
					parse(t, a)
					a.has(t, "Request from another site refused")
				}
			}
		}
	}
	if tried != 5*4*len(routes) {
		t.Errorf("%d combinations tried", tried)
	}
}

func TestPublicOriginIsTrustedBehindAProxyThatChangesTheHost(t *testing.T) {
	t.Parallel()
	s := newSite(t, under("https://login.example.org"))
	submit := func(origin string) answer {
		return s.do("POST", "/login", "username=ada&password=x", "Host", "10.0.0.1:8080", "Content-Type", formType, "Origin", origin)
	}
	submit("https://login.example.org").want(t, 401)
	for _, origin := range []string{"http://login.example.org", "https://login.example.org.evil.example", "https://login.example.org:8443"} {
		submit(origin).want(t, 403)
	}
}

func TestOnlyThePublicHostIsAnsweredWhereAsked(t *testing.T) {
	t.Parallel()
	only := func(c *webserver.Config) { c.OnlyPublicHost = true }
	s := newSite(t, under("https://Login.example.org"), only)
	for _, host := range []string{"login.example.org", "LOGIN.example.org:443", "login.example.org:8443"} {
		s.do("GET", "/login", "", "Host", host).want(t, 200)
	}
	for _, host := range []string{"", "evil.example", "login.example.org.evil.example", "10.0.0.1", "login.example.org@evil.example", "[::1]:80"} {
		parse(t, s.do("GET", "/login", "", "Host", host).want(t, 421)).all("h1")
		if p := s.do("GET", "/api/v1/profile", "", "Host", host).want(t, 421).problem(t); p.Code != "misdirected" {
			t.Errorf("code %q", p.Code)
		}
	}
	v6 := newSite(t, under("http://[::1]:8080"), only)
	v6.do("GET", "/login", "", "Host", "[::1]:8080").want(t, 200)
	v6.do("GET", "/login", "", "Host", "[::1]").want(t, 200)
	// Without being asked, any host is answered.
	newSite(t, under("https://login.example.org")).do("GET", "/login", "", "Host", "10.0.0.1").want(t, 200)
}

func TestLoginGoesNowhereElse(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	elsewhere := []string{
		"", "https://evil.example", "http://evil.example/", "HTTPS://evil.example", "//evil.example", "///evil.example", "////evil.example",
		`/\evil.example`, `\/evil.example`, `\\evil.example`, `/\/evil.example`, "/\t/evil.example", "/\n/evil.example", "/\r\n/evil.example",
		"\t//evil.example", " //evil.example", " /profile", "/ /evil.example", "javascript:alert(1)", "java\nscript:alert(1)", "data:text/html,x",
		"mailto:a@b", "evil.example", "evil.example/profile", "profile", "./profile", "../profile", "?x", "#x", ".evil.example", "@evil.example",
		":80", "http:evil.example", "https:/evil.example", "https:///evil.example", "/\x00", "/\x7f", "/\u00a0/evil", "/%zz", "/é",
		"/" + strings.Repeat("x", 1024), "ftp://evil.example", "//", "/\\",
	}
	for _, next := range elsewhere {
		target := "/login?" + encode("next", next)
		s.do("POST", target, encode("username", "ada", "password", adaPassword), "Content-Type", formType).to(t, "/profile")
		s.get(target).to(t, "/profile")
		s.do("GET", target, "").want(t, 200).has(t, `action="/login"`).hasNot(t, "evil")
	}
	here := []string{"/", "/security", "/profile?a=b&c=d", "/u/ada#top", "/%2f%2fevil.example", "/a//b", "/login?next=%2Fprofile", "/a@b:c"}
	for _, next := range here {
		s.do("POST", "/login?"+encode("next", next), encode("username", "ada", "password", adaPassword), "Content-Type", formType).to(t, next)
	}
	// The first counts, and what is in the form does not.
	s.visit("/login?next=/security&next=/u/ada", "username", "ada", "password", adaPassword, "next", "/u/ada").to(t, "/security")
}
