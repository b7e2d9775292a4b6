package webserver_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
)

// sampled returns the address of a route with values in place of its names.
func sampled(pattern string) string {
	return strings.NewReplacer("{$}", "", "{username}", "ada", "{key}", strings.Repeat("0", 64), "{file}", "x.css", "{id}", "7").Replace(pattern)
}

// everyAnswer asks every route, with and without a session, and what is no
// route at all.
func everyAnswer(s *site) map[string]answer {
	answers := make(map[string]answer)
	for _, route := range s.Routes() {
		for _, cookie := range []string{"", "__Host-" + s.cookie(), s.cookie()} {
			name := route[0] + " " + route[1] + " " + strings.SplitN(cookie, "=", 2)[0]
			answers[name] = s.do(route[0], sampled(route[1]), "", "Cookie", cookie)
			answers[name+" form"] = s.do(route[0], sampled(route[1]), "nickname=x&username=y&password=z&id=1", "Content-Type", formType, "Cookie", cookie)
		}
	}
	answers["unknown"] = s.do("GET", "/nothing", "")
	answers["unknown API"] = s.do("GET", "/api/nothing", "")
	answers["method"] = s.do("BREW", "/login", "")
	answers["cross origin"] = s.do("POST", "/login", "", "Sec-Fetch-Site", "cross-site")
	answers["unclean path"] = s.do("GET", "//login", "")
	answers["style.css"] = s.do("GET", s.AssetURL("style.css"), "")
	return answers
}

func TestEveryAnswerHasTheSecurityHeaders(t *testing.T) {
	t.Parallel()
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
			"form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin",
		"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
		"Permissions-Policy": "browsing-topics=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()",
	}
	for _, public := range []string{"http://login.example.org", "https://login.example.org"} {
		hsts := ""
		if strings.HasPrefix(public, "https:") {
			hsts = "max-age=31536000; includeSubDomains"
		}
		for name, a := range everyAnswer(newSite(t, under(public), withPictures(newMemory()))) {
			for header, value := range want {
				if got := a.Header.Values(header); len(got) != 1 || got[0] != value {
					t.Errorf("%s: %s is %q", name, header, got)
				}
			}
			if got := a.Header.Get("Strict-Transport-Security"); got != hsts {
				t.Errorf("%s under %s: HSTS %q", name, public, got)
			}
			if id := a.Header.Get("X-Request-Id"); len(id) != 32 {
				t.Errorf("%s: request id %q", name, id)
			}
			if a.Header.Get("Server") != "" || a.Header.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%s: says too much: %v", name, a.Header)
			}
		}
	}
}

func TestOnlyPublicFilesMayBeKept(t *testing.T) {
	t.Parallel()
	for name, a := range everyAnswer(newSite(t)) {
		want := "no-store"
		switch {
		case strings.HasPrefix(name, "style.css"):
			want = "public, max-age=31536000, immutable"
		case strings.HasPrefix(name, "GET /favicon.ico"), strings.HasPrefix(name, "GET /api/openapi.yaml"):
			want = "public, max-age=3600"
		}
		if got := a.Header.Get("Cache-Control"); got != want {
			t.Errorf("%s: Cache-Control %q, want %q", name, got, want)
		}
	}
}

func TestStaticFilesAreNamedByTheirContentAndCompressed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	types := map[string]string{"style.css": "text/css; charset=utf-8", "app.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"}
	for name, kind := range types {
		address := s.AssetURL(name)
		if ok, _ := path.Match("/static/*.????????????????.*", address); !ok {
			t.Errorf("%s is at %q", name, address)
		}
		plain := s.do("GET", address, "").want(t, 200)
		if got := plain.Header.Get("Content-Type"); got != kind {
			t.Errorf("%s: type %q", name, got)
		}
		packed := s.do("GET", address, "", "Accept-Encoding", "gzip")
		if packed.Header.Get("Content-Encoding") == "gzip" {
			r, err := gzip.NewReader(strings.NewReader(packed.body))
			if err != nil {
				t.Fatal(err)
			}
			if data, err := io.ReadAll(r); err != nil || string(data) != plain.body {
				t.Errorf("%s: differs when compressed: %v", name, err)
			}
		} else if len(plain.body) > 2048 {
			t.Errorf("%s: %d bytes and not compressed", name, len(plain.body))
		}
	}
	if a := s.do("GET", "/favicon.ico", "").want(t, 200); a.Header.Get("Content-Type") != "image/svg+xml" {
		t.Errorf("favicon: %v", a.Header)
	}
	if a := s.do("GET", "/api/openapi.yaml", "", "Accept-Encoding", "gzip").want(t, 200); a.Header.Get("Content-Encoding") != "gzip" {
		t.Error("the description is not compressed")
	}
}

// A page that holds a secret and what somebody sent must not be compressed:
// its length would tell about the secret.
func TestPagesAreNeverCompressed(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{"/login", "/register", "/profile", "/security", "/u/ada", "/nothing", "/api/v1/profile"} {
		if a := s.get(path, "Accept-Encoding", "gzip, br, zstd"); a.Header.Get("Content-Encoding") != "" {
			t.Errorf("%s is compressed", path)
		}
	}
}

func TestHeadAnswersAsGetWithoutABody(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	for _, path := range []string{"/login", "/profile", "/u/ada", "/api/v1/profile"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("HEAD", path, nil)
		r.Header.Set("Cookie", s.cookie())
		s.ServeHTTP(w, r)
		if w.Code != 200 && w.Code != 303 {
			t.Errorf("%s: status %d", path, w.Code)
		}
	}
}

func TestRequestIDIsTakenFromTrustedProxiesOnly(t *testing.T) {
	t.Parallel()
	proxied := newSite(t, trusting("192.0.2.0/24")) // httptest's peer is 192.0.2.1
	if got := proxied.do("GET", "/login", "", "X-Request-Id", "abc-1.2_3").Header.Get("X-Request-Id"); got != "abc-1.2_3" {
		t.Errorf("id %q", got)
	}
	for _, bad := range []string{"", "a b", "<script>", "a\x7f", strings.Repeat("x", 65), "é"} {
		if got := proxied.do("GET", "/login", "", "X-Request-Id", bad).Header.Get("X-Request-Id"); got == bad || len(got) != 32 {
			t.Errorf("%q: id %q", bad, got)
		}
	}
	if got := newSite(t).do("GET", "/login", "", "X-Request-Id", "abc").Header.Get("X-Request-Id"); got == "abc" {
		t.Error("a stranger chose the id")
	}
	one, two := proxied.do("GET", "/login", ""), proxied.do("GET", "/login", "")
	if one.Header.Get("X-Request-Id") == two.Header.Get("X-Request-Id") {
		t.Error("two requests have one id")
	}
	if bytes.Contains([]byte(proxied.log.String()), []byte("<script>")) {
		t.Error("a bad id is logged")
	}
}
