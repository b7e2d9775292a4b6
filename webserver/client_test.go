package webserver_test

import (
	"context"
	"net/http/httptest"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"gatehouse/protocol"
	"gatehouse/webserver"
)

func trusting(prefixes ...string) func(*webserver.Config) {
	return func(c *webserver.Config) {
		for _, p := range prefixes {
			c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix(p))
		}
	}
}

func TestClientAddressIsTheFirstHopThatIsNoProxy(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, peer string
		forwarded  []string
		want       string
	}{
		{"no proxy", "203.0.113.9:5000", []string{"198.51.100.1"}, "203.0.113.9"},
		{"one proxy", "10.0.0.1:5000", []string{"198.51.100.1"}, "198.51.100.1"},
		{"two proxies", "10.0.0.1:5000", []string{"198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"client lies", "10.0.0.1:5000", []string{"127.0.0.1, 192.0.2.66, 198.51.100.1"}, "198.51.100.1"},
		{"two headers", "10.0.0.1:5000", []string{"192.0.2.66", "198.51.100.1, 10.0.0.2"}, "198.51.100.1"},
		{"no header", "10.0.0.1:5000", nil, "10.0.0.1"},
		{"all proxies", "10.0.0.1:5000", []string{"10.0.0.3, 10.0.0.2"}, "10.0.0.3"},
		{"garbage", "10.0.0.1:5000", []string{"198.51.100.1, garbage"}, "10.0.0.1"},
		{"garbage behind a proxy", "10.0.0.1:5000", []string{"garbage, 10.0.0.2"}, "10.0.0.2"},
		{"with port", "10.0.0.1:5000", []string{"198.51.100.1:443"}, "198.51.100.1"},
		{"IPv6", "[2001:db8:ffff::1]:5000", []string{"2001:db8::7"}, "2001:db8::7"},
		{"IPv6 with port", "[2001:db8:ffff::1]:5000", []string{"[2001:db8::7]:443"}, "2001:db8::7"},
		{"IPv4 in IPv6", "[::ffff:10.0.0.1]:5000", []string{"::ffff:198.51.100.1"}, "198.51.100.1"},
		{"zone", "[fe80::1%eth0]:5000", nil, "fe80::1"},
		{"unix socket", "@", []string{"198.51.100.1"}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := newSite(t, trusting("10.0.0.0/8", "2001:db8:ffff::/48"))
			r := httptest.NewRequest("GET", "/u/ada", nil)
			r.RemoteAddr = tt.peer
			for _, f := range tt.forwarded {
				r.Header.Add("X-Forwarded-For", f)
			}
			s.serve(r).want(t, 200)
			if got := s.fake.called("get_user")[0].Client.IP; got != tt.want {
				t.Errorf("client %q, want %q", got, tt.want)
			}
			if got := s.logged()["client_ip"]; got != tt.want {
				t.Errorf("logged %q, want %q", got, tt.want)
			}
		})
	}
}

func TestUserAgentIsCutToValidText(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, sent, want string }{
		{"short", "curl/8", "curl/8"},
		{"exact", strings.Repeat("a", 255), strings.Repeat("a", 255)},
		{"long", strings.Repeat("a", 256), strings.Repeat("a", 255)},
		{"cut within a character", strings.Repeat("a", 254) + "é", strings.Repeat("a", 254)},
		{"cut after a character", strings.Repeat("a", 253) + "éé", strings.Repeat("a", 253) + "é"},
		{"cut within an emoji", strings.Repeat("a", 252) + "👑", strings.Repeat("a", 252)},
		{"not UTF-8", "a\xff\xfeb", "a?b"},
		{"nothing but continuations", strings.Repeat("\x80", 300), "?"},
	}
	for _, tt := range tests {
		if got := webserver.CutText(tt.sent, 255); got != tt.want || !utf8.ValidString(got) {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
	s := newSite(t)
	s.do("GET", "/u/ada", "", "User-Agent", strings.Repeat("a", 300))
	if got := s.fake.called("get_user")[0].Client.UserAgent; len(got) != 255 {
		t.Errorf("user agent of %d bytes", len(got))
	}
}

func TestTraceIsTakenOverOrMade(t *testing.T) {
	t.Parallel()
	var seen string
	server, err := webserver.New(webserver.Config{Backend: protocol.CallerFunc(func(ctx context.Context, _ protocol.Request) (protocol.Reply, error) {
		seen = protocol.Trace(ctx)
		return protocol.Reply{}, protocol.NotFound
	})})
	if err != nil {
		t.Fatal(err)
	}
	traceparent := regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	trace := func(sent string) string {
		r := httptest.NewRequest("GET", "/u/ada", nil)
		r.Header.Set("Traceparent", sent)
		server.ServeHTTP(httptest.NewRecorder(), r)
		if !traceparent.MatchString(seen) {
			t.Errorf("%q: trace %q", sent, seen)
		}
		return seen
	}
	const id, span = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
	if got := trace("00-" + id + "-" + span + "-01"); got[3:35] != id || got[36:52] == span || got[53:] != "01" {
		t.Errorf("taken over as %q", got)
	}
	for _, bad := range []string{"", "x", "00-" + id + "-" + span, "01-" + id + "-" + span + "-01", "00-" + strings.ToUpper(id) + "-" + span + "-01",
		"00-" + strings.Repeat("0", 32) + "-" + span + "-01", "00-" + id + "-" + strings.Repeat("0", 16) + "-01", "00-" + id[:31] + "g-" + span + "-01"} {
		if got := trace(bad); got[3:35] == id {
			t.Errorf("%q was taken over", bad)
		}
	}
}
