// Package protocol is the wire between the tiers: frames, packets and calls.
// It knows nothing of users, of pools of connections or of metrics.
//
// What follows is the specification. It is meant to be enough to write a
// client in another language; the words MUST, SHOULD and MAY are those of
// RFC 2119.
//
// # Transport
//
// The server listens on TCP or on a unix socket. TCP MAY carry TLS, then at
// least 1.3, with a certificate verified on both sides. Without TLS what
// travels can be read on the way, so that beyond one machine TLS is needed;
// the link key below tells who is there, and hides nothing.
//
// # Frames
//
// A frame is one JSON object in UTF-8 on one line, ended by a newline (LF,
// 0x0A). A carriage return before it counts as space. The newline included, a
// frame from the client has at most 65,536 bytes (4,096 until the handshake
// is over), one from the server at most 262,144.
//
// The JSON MUST be such that two readers cannot understand it in two ways
// (RFC 7493, I-JSON): valid UTF-8, no control character in a string, no half
// of a surrogate pair alone, no object with two keys that are equal or differ
// only in case, nested at most 16 levels, at most 128 members an object. An
// empty line is not a frame.
//
// # Packets
//
// The object of a frame is a packet. Its members are, in any order:
//
//	id               whole number below 2^64. A request has one, higher than
//	                 all before it on this connection; the reply repeats it.
//	type             the packet type, such as "login"; the reply repeats it.
//	deadline_ms      request: how many milliseconds the client will wait from
//	                 now on. Optional, 2000. No clocks need to agree. Above
//	                 60000 counts as 60000.
//	trace            request: a W3C traceparent of at most 128 bytes. Optional.
//	client           request: {"ip","user_agent","device"}, the browser or
//	                 program that the call is made for. Optional, as is each.
//	idempotency_key  request: at most 255 bytes. Optional. A write that is
//	                 repeated with the same key and body is done once and
//	                 answered alike.
//	subject          reply: whose record the answer was made from.
//	body             an object whose form depends on the type. Optional in a
//	                 request, then {}.
//	error            reply, instead of body: see Errors.
//
// Members that are not named here are ignored, in every object, so that
// either side may be newer than the other. One of these names written in
// another case is an error.
//
// # Handshake
//
// The client speaks first. Until the handshake is over nothing else is
// answered, and the server closes the connection two seconds after it was
// accepted.
//
//	→ {"id":1,"type":"hello","body":{"versions":[1],"client":"webserver/0.1.0"}}
//	← {"id":1,"type":"hello","body":{"version":1,"server":"backend/0.1.0","nonce":"N","auth":true,
//	   "max_frame":65536,"max_in_flight":64}}
//
// versions lists what the client can speak; the server chooses the highest
// that it can speak too, or refuses with "unsupported_version" and closes.
// max_frame and max_in_flight bind the client from then on. Where auth is
// true the client MUST show that it has the link key:
//
//	→ {"id":2,"type":"auth","body":{"nonce":"M","proof":"P"}}
//	← {"id":2,"type":"auth","body":{"proof":"Q"}}
//
// N and M are nonces of 256 random bits in base64url (RFC 4648 section 5,
// without padding), never used twice. P and Q are in base64url too:
//
//	P = HMAC-SHA-256(key, "gatehouse link 1 client\n" N "\n" M "\n")
//	Q = HMAC-SHA-256(key, "gatehouse link 1 server\n" N "\n" M "\n")
//
// with N and M as they were written. The key is the content of the link key
// file without the space around it, as bytes. The client MUST verify Q. A
// client that has a key and meets a server which does not ask for it SHOULD
// refuse the server. A wrong proof is answered "wrong_link_key" and the
// connection closed.
//
// # Calls
//
// After the handshake the client sends requests and the server replies, each
// in the order that suits it: many calls are in flight on one connection,
// and a reply finds its request by id.
//
//	→ {"id":7,"type":"login","deadline_ms":1480,"client":{"ip":"192.0.2.7"},"body":{"username":"ada","password":"…"}}
//	→ {"id":8,"type":"get_user","body":{"username":"bob"}}
//	← {"id":8,"type":"get_user","subject":"bob","body":{"username":"bob","nickname":"Bob","picture_url":null}}
//	← {"id":7,"type":"login","subject":"ada","body":{"token":"…","expires_at":"…","user":{…},"device":"…"}}
//
// Each request is answered once. A client that stops waiting keeps the id and
// drops the reply when it comes; the call counts as in flight until then. An
// id is never used again on its connection. Requests beyond max_in_flight
// are refused with "exhausted" and may be sent again once a reply came.
//
// The client MUST compare the subject of a reply that is not an error with
// what it asked for: the decimal user id that a token begins with (its first
// 8 bytes, big endian) where the request holds a token, the username in ASCII
// small letters where it holds a username, and no subject otherwise. The
// server takes it from the record that it used. A difference, or a reply of
// another type than its request, means that answers were mixed up: the
// client MUST close the connection and MUST NOT use the reply.
//
// The packet types are declared in package packet; "gatehouse call --list"
// prints them. A type that the server does not know is answered "not_found"
// with the reason "unknown_type". Types that begin with "op_" are for operators:
// a backend knows them on its operator socket, which speaks this protocol
// without a link key, and nowhere else.
//
// # Errors
//
//	← {"id":9,"type":"update_profile","error":{"code":"invalid","reason":"nickname_too_long",
//	   "fields":[{"field":"nickname","reason":"nickname_too_long","detail":"must be at most 64 code points and 256 bytes"}]}}
//	← {"id":10,"type":"login","error":{"code":"overloaded","retry_after_ms":1200}}
//
// code is one of those at Code, and tells the kind; reason is finer and may be
// absent; fields say what is wrong with the request; retry_after_ms stands
// where waiting helps. A client that does not know a code treats it as
// "internal". What a code says of a write:
//
//	invalid, unauthenticated, forbidden,
//	not_found, conflict, exhausted          refused: not applied
//	overloaded, unavailable, timeout        certainly not applied
//	unknown_outcome, internal               may be applied; ask again with the
//	                                        same idempotency_key
//
// A connection that is lost before the reply leaves a write unknown too,
// unless its frame was not sent whole.
//
// # What ends a connection
//
// A frame that is too long, is not JSON as above, has no id or type, an id
// that is not higher than all before it, or a member of the wrong kind ends
// the connection, because what follows cannot be trusted. The server first
// answers with an error, with the id if it could read one, and closes once
// calls in flight are answered. A body that does not suit its type is
// answered "invalid" and ends nothing. A client closes a connection on which
// the server sends a reply to no call of its, two replies to one, or
// anything else than this page says.
//
// # Keepalive
//
// Only the client pings, after 10 seconds in which it received no byte:
//
//	→ {"id":11,"type":"ping"}
//	← {"id":11,"type":"ping","body":{}}
//
// It takes the server for dead when no byte at all came in another 3 seconds.
// Pings MUST be at least 5 seconds apart; a server closes a connection that
// keeps sending more, with "too_many_pings", and one on which no whole frame
// came for 60 seconds. Either side closes one whose peer takes nothing from
// it for 2 seconds.
//
// # Leaving
//
// A server that is about to stop says so, without an id:
//
//	← {"type":"goaway","body":{"last_id":8}}
//
// It executes no request with a higher id, whatever arrives: these may be
// sent again elsewhere. It answers all others and then closes. The client
// sends nothing more on this connection.
package protocol
