package e2e_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
)

// A maker makes one request with the token of a live session.
type maker = func(r *rand.Rand, token string) []byte

// fixed is a request without chance.
func fixed(about string, status int, lines ...string) hostileRequest {
	text := strings.Join(lines, "\r\n")
	return hostileRequest{about: about, status: status, bytes: func(*rand.Rand, string) []byte { return []byte(text) }}
}

// cutOff is k with nothing after it.
func cutOff(k hostileRequest) hostileRequest {
	k.cut = true
	return k
}

// get is a GET with one more header.
func get(header string) []string {
	return []string{"GET /login HTTP/1.1", "Host: x", header, "Connection: close", "", ""}
}

// chunked is a POST in chunks.
func chunked(body string) []string {
	return []string{"POST /api/v1/users HTTP/1.1", "Host: x", "Content-Type: application/json", "Transfer-Encoding: chunked", "Connection: close", "", body}
}

// brokenHTTP are requests that are wrong as HTTP.
func brokenHTTP() []hostileRequest {
	return []hostileRequest{
		fixed("no host", 400, "GET /login HTTP/1.1", "Connection: close", "", ""),
		fixed("two hosts", 400, get("Host: y")...),
		fixed("a host that is none", 400, "GET /login HTTP/1.1", "Host: a b\x01", "Connection: close", "", ""),
		fixed("a header without colon", 400, get("No colon here")...),
		fixed("a space before the colon", 400, get("Content-Length : 5")...),
		fixed("a zero byte in a header", 400, get("X-A: a\x00b")...),
		fixed("a length that is none", 400, get("Content-Length: many")...),
		fixed("a negative length", 400, get("Content-Length: -1")...),
		fixed("two lengths", 400, get("Content-Length: 3\r\nContent-Length: 4")...),
		fixed("a version that is none", 400, "GET /login HTTP/one", "Host: x", "", ""),
		// RFC 9112 wants these two, which are told before anything of ours.
		fixed("a version to come", 505, "GET /login HTTP/9.9", "Host: x", "", ""),
		fixed("an unknown transfer coding", 501, get("Transfer-Encoding: lzma")...),
		fixed("a chunk of no size", 400, chunked("zz\r\n{}\r\n0\r\n\r\n")...),
		fixed("a chunk that is too large", 400, chunked("ffffffffffffffffff\r\n{}")...),
		cutOff(fixed("a chunk that ends early", 400, chunked("10\r\n{}")...)),
		cutOff(fixed("a body without its end", 400, "POST /api/v1/users HTTP/1.1", "Host: x", "Content-Type: application/json",
			"Content-Length: 1000", "", `{"username":"ada"`)),
	}
}

// brokenRequests are requests that are wrong by chance, or before their body.
func brokenRequests() []hostileRequest {
	request := func(line string) []byte { return []byte(line + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n") }
	made := func(about string, status int, m func(r *rand.Rand) []byte) hostileRequest {
		return hostileRequest{about: about, status: status, bytes: func(r *rand.Rand, _ string) []byte { return m(r) }}
	}
	return []hostileRequest{
		cutOff(made("noise", 0, func(r *rand.Rand) []byte { return noise(r, 1+r.IntN(4096)) })),
		cutOff(made("noise after a request line", 0, func(r *rand.Rand) []byte { return append([]byte("GET / HTTP/1.1\r\n"), noise(r, 512)...) })),
		cutOff(made("a TLS handshake", 0, func(r *rand.Rand) []byte {
			return append([]byte("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), noise(r, 508)...)
		})),
		cutOff(made("a request cut off", 0, func(r *rand.Rand) []byte {
			whole := "POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n"
			return []byte(whole[:1+r.IntN(len(whole)-5)])
		})),
		made("headers without end", 431, func(r *rand.Rand) []byte {
			return []byte("GET /login HTTP/1.1\r\nHost: x\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 100)+"\r\n", 300+r.IntN(300)))
		}),
		made("a request line without end", 431, func(r *rand.Rand) []byte {
			return []byte("GET /" + strings.Repeat("a", 30000+r.IntN(30000)))
		}),
		made("a method that is none", 405, func(r *rand.Rand) []byte {
			return request(pick(r, "BREW", "TRACE", "OPTIONS", "get", "PROPFIND") + " /login")
		}),
		made("a method that the path has not", 405, func(r *rand.Rand) []byte {
			return request(pick(r, "PUT", "PATCH", "DELETE") + " /api/v1/users")
		}),
		made("a path that is no path", 0, func(r *rand.Rand) []byte {
			return request("GET " + pick(r, "/%zz", "login", "/\x00", "http://[::1", "/u/%ff\x80\xff", "/u/"))
		}),
		made("a user that cannot be", 404, func(r *rand.Rand) []byte {
			return request("GET /api/v1/users/" + pick(r, "%00", "%ff%fe", "..%2f..%2fetc", "%F0%9F%9A%80", strings.Repeat("a", 3000)))
		}),
		made("a picture that cannot be", 404, func(r *rand.Rand) []byte {
			return request("GET /pictures/" + pick(r, "..%2f..%2fgatehouse.db", "%00", strings.Repeat("f", 64), strings.Repeat("F", 64), "a"))
		}),
	}
}

// noise returns random bytes that do not begin as a request does.
func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	b[0] |= 0x80
	return b
}

func pick(r *rand.Rand, words ...string) string { return words[r.IntN(len(words))] }

// withBody returns a whole request.
func withBody(line, contentType, token, body string, headers ...string) []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: %s\r\nContent-Length: %d\r\n", line, contentType, len(body))
	fmt.Fprintf(&b, "Authorization: Bearer %s\r\nCookie: gatehouse=%s\r\n", token, token)
	for _, h := range headers {
		b.WriteString(h + "\r\n")
	}
	return []byte(b.String() + "\r\n" + body)
}

// withJSON returns a request with a body for one of those that want JSON.
func withJSON(r *rand.Rand, token, body string) []byte {
	line := pick(r, "POST /api/v1/users", "POST /api/v1/sessions", "PATCH /api/v1/profile", "PUT /api/v1/password", "DELETE /api/v1/profile")
	return withBody(line, "application/json", token, body)
}

// brokenJSON are bodies that the API does not take.
func brokenJSON() []hostileRequest {
	made := func(about string, status int, body func(r *rand.Rand) string) hostileRequest {
		return hostileRequest{about: about, status: status, bytes: func(r *rand.Rand, token string) []byte {
			return withJSON(r, token, body(r))
		}}
	}
	one := func(about string, status int, bodies ...string) hostileRequest {
		return made(about, status, func(r *rand.Rand) string { return pick(r, bodies...) })
	}
	return []hostileRequest{
		made("JSON that is too large", 413, func(r *rand.Rand) string {
			return `{"username":"` + strings.Repeat("a", 65<<10+r.IntN(200<<10)) + `"}`
		}),
		made("JSON that is too deep", 400, func(r *rand.Rand) string { return strings.Repeat(pick(r, "[", `{"a":`), 5000+r.IntN(5000)) }),
		made("JSON that ends early", 400, func(r *rand.Rand) string {
			whole := `{"username":"ada","password":"x","nickname":"y","current_password":"z"}`
			return whole[:r.IntN(len(whole))]
		}),
		made("noise for JSON", 400, func(r *rand.Rand) string { return string(noise(r, 1+r.IntN(2000))) }),
		made("a key that is too long", 400, func(r *rand.Rand) string { return `{"` + strings.Repeat("k", 1000+r.IntN(30000)) + `":1}` }),
		one("a key twice", 400, `{"username":"a","username":"b","password":"c"}`, `{"password":"a","password":"b"}`,
			`{"nickname":"a","nickname":"b"}`, `{"username":"a","Username":"b","password":"c"}`),
		// Of a request that lacks a field too, that may be told instead.
		one("a value of the wrong type", 0, `{"username":1,"password":"a"}`, `{"nickname":["a"]}`, `[]`, `null`, `"text"`, `17`,
			`{"current_password":{},"new_password":true}`, `{"password":1e999}`, `{"nickname":{"nickname":{"nickname":1}}}`),
		one("a field that is unknown", 400, `{"username":"a","password":"b","id":"1"}`, `{"nickname":"a","version":7}`, `{"__proto__":{}}`, `{"":""}`),
		one("no JSON", 400, "", "{", "{]", "{} {}", "{}}", "\ufeff{}", `{"a":NaN}`, "{'a':1}", `{"a":"\x"}`, `{/**/}`, "{\"a\":\"\xff\xfe\"}",
			"{\"a\":\"\x01\"}", `{"a":"\ud800"}`, `{"a":01}`),
	}
}

// brokenWrites are requests with a session that do not fit what they are for.
func brokenWrites() []hostileRequest {
	made := func(about string, status int, m maker) hostileRequest {
		return hostileRequest{about: about, status: status, bytes: m}
	}
	form := func(about string, status int, line, body string) hostileRequest {
		return made(about, status, func(_ *rand.Rand, token string) []byte {
			return withBody(line, "application/x-www-form-urlencoded", token, body)
		})
	}
	const change, nickname = "PATCH /api/v1/profile", `{"nickname":"a"}`
	return []hostileRequest{
		made("a content type that is none", 415, func(r *rand.Rand, token string) []byte {
			return withBody(change, pick(r, "text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1", ";", "application/jsonp"), token, nickname)
		}),
		made("an idempotency key that is none", 400, func(r *rand.Rand, token string) []byte {
			return withBody(change, "application/json", token, nickname,
				"Idempotency-Key: "+pick(r, "", "a b", "\xc3\xa9", strings.Repeat("k", 256), "a\r\nIdempotency-Key: b"))
		}),
		made("a token that is none", 401, func(r *rand.Rand, token string) []byte {
			return withBody(change, "application/json", pick(r, "x", strings.Repeat("A", 5000), token[:20], token+"A", strings.Repeat("A", len(token))), nickname)
		}),
		form("a field twice", 400, "POST /login", "username=a&username=b&password=c"),
		form("a form in no encoding", 400, "POST /login", "username=%zz&password=%"),
		form("a form that is not UTF-8", 400, "POST /profile", "nickname=%ff%fe"),
		form("a form that is too large", 413, "POST /register", "username="+strings.Repeat("a", 70<<10)),
		form("a nickname of control characters", 422, "POST /profile", "nickname=a%00b"),
	}
}

// brokenUploads are pictures that are none.
func brokenUploads() []hostileRequest {
	made := func(about string, status int, data func(r *rand.Rand) string) hostileRequest {
		return hostileRequest{about: about, status: status, bytes: func(r *rand.Rand, token string) []byte {
			return withBody("PUT /api/v1/profile/picture", "image/png", token, data(r))
		}}
	}
	form := func(about string, status int, kind func(r *rand.Rand) (contentType, body string)) hostileRequest {
		return hostileRequest{about: about, status: status, bytes: func(r *rand.Rand, token string) []byte {
			contentType, body := kind(r)
			return withBody("POST /profile/picture", contentType, token, body)
		}}
	}
	return []hostileRequest{
		made("noise for a picture", 415, func(r *rand.Rand) string { return string(noise(r, 1+r.IntN(5000))) }),
		made("no picture", 422, func(*rand.Rand) string { return "" }),
		made("a picture that is too large", 413, func(r *rand.Rand) string { return "\x89PNG\r\n\x1a\n" + strings.Repeat("x", 2<<20+r.IntN(1<<20)) }),
		made("a PNG that would fill the memory", 422, func(r *rand.Rand) string {
			return hugePNG(uint32(16385+r.IntN(1<<30)), uint32(16385+r.IntN(1<<30)))
		}),
		made("a GIF that would fill the memory", 422, func(*rand.Rand) string {
			return "GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\xff\xff\xff\xff\x00\x02\x02L\x01\x00;"
		}),
		form("a multipart form without its boundary", 0, func(r *rand.Rand) (string, string) {
			return pick(r, "multipart/form-data", "multipart/form-data; boundary=", "multipart/mixed; boundary=a", "text/html"), "--a\r\n\r\n--a--"
		}),
		form("a multipart form that is noise", 400, func(r *rand.Rand) (string, string) {
			return "multipart/form-data; boundary=a", string(noise(r, 1000))
		}),
	}
}

// hugePNG returns a PNG of a few bytes that says it has very many pixels.
func hugePNG(width, height uint32) string {
	header := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("IHDR"), width), height)
	header = append(header, 8, 6, 0, 0, 0)
	sum := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(header))
	return "\x89PNG\r\n\x1a\n\x00\x00\x00\x0d" + string(header) + string(sum) + "\x00\x00\x00\x00IDAT\x35\xaf\x06\x1e"
}
