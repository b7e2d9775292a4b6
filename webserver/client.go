package webserver

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"unicode/utf8"

	"gatehouse/protocol"
)

// maxUserAgent and maxDevice bound what is passed on about a client, in bytes.
const (
	maxUserAgent = 255
	maxDevice    = 255
)

// clientIP returns the address of the person's end: the peer's, or, where
// the peer is a trusted proxy, the right-most hop of X-Forwarded-For that is
// none. Hops further left are what the client claims. It also tells whether
// the peer itself is trusted.
func (s *Server) clientIP(r *http.Request) (ip string, trusted bool) {
	peer, ok := parseHop(r.RemoteAddr)
	if !ok {
		return "", false
	}
	if !s.isProxy(peer) {
		return peer.String(), false
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, ok := parseHop(strings.TrimSpace(hops[i]))
		if !ok {
			break
		}
		peer = hop
		if !s.isProxy(hop) {
			break
		}
	}
	return peer.String(), true
}

func (s *Server) isProxy(ip netip.Addr) bool {
	for _, p := range s.proxies {
		if p.Contains(ip) {
			return true
		}
	}
	return false
}

// parseHop reads an address with or without a port. Zones are dropped and
// IPv4 in IPv6 unwrapped, so that one client has one address.
func parseHop(hop string) (netip.Addr, bool) {
	if host, _, err := net.SplitHostPort(hop); err == nil {
		hop = host
	}
	ip, err := netip.ParseAddr(strings.Trim(hop, "[]"))
	if err != nil {
		return netip.Addr{}, false
	}
	return ip.Unmap().WithZone(""), true
}

// meta is what travels beside a call made for r.
func (s *Server) meta(r *http.Request, idempotencyKey string) protocol.Meta {
	return protocol.Meta{IdempotencyKey: idempotencyKey, Client: protocol.Client{
		IP:        eventOf(r.Context()).client,
		UserAgent: cutText(r.UserAgent(), maxUserAgent),
		Device:    s.device(r),
	}}
}

// device returns the known-device token that the client holds, if any.
func (s *Server) device(r *http.Request) string {
	device := r.Header.Get("X-Gatehouse-Device")
	if !isAPI(r) {
		device = s.readCookie(r, s.deviceCookie())
	}
	if len(device) > maxDevice || !visible(device) {
		return ""
	}
	return device
}

// cutText returns text as valid UTF-8 of at most limit bytes.
func cutText(text string, limit int) string {
	if len(text) > limit {
		cut := limit
		for cut > 0 && cut > limit-utf8.UTFMax && !utf8.RuneStart(text[cut]) {
			cut--
		}
		text = text[:cut]
	}
	return strings.ToValidUTF8(text, "?")
}

// visible tells whether text is nothing but visible ASCII.
func visible(text string) bool {
	for i := range len(text) {
		if text[i] < '!' || text[i] > '~' {
			return false
		}
	}
	return true
}
