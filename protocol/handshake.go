package protocol

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// Version is the only version of the protocol so far.
const Version = 1

// The packet types that the protocol itself answers.
const (
	typeHello  = "hello"
	typeAuth   = "auth"
	typePing   = "ping"
	typeGoaway = "goaway"
)

// Deadlines.
const (
	// DefaultDeadline holds for a request that names none.
	DefaultDeadline = 2 * time.Second
	// MaxDeadline is the longest that a server works on a request, whatever
	// the request says.
	MaxDeadline = time.Minute
	// HandshakeTimeout bounds the time from accepting or dialling a
	// connection to the end of its handshake.
	HandshakeTimeout = 2 * time.Second
)

type helloRequest struct {
	Versions []int  `json:"versions"`
	Client   string `json:"client"`
}

type helloReply struct {
	Version     int    `json:"version"`
	Server      string `json:"server"`
	Nonce       string `json:"nonce"`
	Auth        bool   `json:"auth,omitempty"`
	MaxFrame    int    `json:"max_frame"`
	MaxInFlight int    `json:"max_in_flight"`
}

type authRequest struct {
	Nonce string `json:"nonce"`
	Proof string `json:"proof"`
}

type authReply struct {
	Proof string `json:"proof"`
}

// proof is what the side named by role shows to the other for having the
// link key: the HMAC-SHA-256 of both nonces, base64url. The role keeps one
// side's proof from being sent back as the other's.
func proof(key []byte, role, serverNonce, clientNonce string) string {
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "gatehouse link 1 %s\n%s\n%s\n", role, serverNonce, clientNonce)
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func sameProof(a, b string) bool { return hmac.Equal([]byte(a), []byte(b)) }

// newNonce returns 256 random bits, base64url.
func newNonce() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// shake does the client's part of the handshake: two calls at most, before
// any other.
func (c *Conn) shake(cfg Config) error {
	var hello helloReply
	if err := c.exchange(typeHello, helloRequest{Versions: []int{Version}, Client: cfg.Name}, &hello); err != nil {
		return err
	}
	if hello.Version != Version {
		return fmt.Errorf("server chose version %d of the protocol, which was not offered", hello.Version)
	}
	if hello.MaxFrame < MaxHelloFrame || hello.MaxInFlight < 1 {
		return fmt.Errorf("server allows frames of %d bytes and %d calls in flight, which is too little to work with",
			hello.MaxFrame, hello.MaxInFlight)
	}
	c.server, c.maxFrame = hello.Server, hello.MaxFrame
	c.slots = make(chan struct{}, min(hello.MaxInFlight, 4096))
	switch {
	case hello.Auth && len(cfg.Key) == 0:
		return fmt.Errorf("server asks for the link key and none is set")
	case !hello.Auth && len(cfg.Key) > 0 && !cfg.KeyIfAsked:
		return fmt.Errorf("a link key is set and the server has none, so it cannot prove who it is")
	case !hello.Auth:
		return nil
	}
	nonce := newNonce()
	var auth authReply
	err := c.exchange(typeAuth, authRequest{Nonce: nonce, Proof: proof(cfg.Key, "client", hello.Nonce, nonce)}, &auth)
	if err != nil {
		return err
	}
	if !sameProof(auth.Proof, proof(cfg.Key, "server", hello.Nonce, nonce)) {
		return fmt.Errorf("server does not have the link key")
	}
	return nil
}

// exchange sends one packet of the handshake and reads its answer.
func (c *Conn) exchange(typ string, req, rep any) error {
	body, err := json.Marshal(req)
	if err != nil {
		return err
	}
	tail, err := appendRequest(nil, Request{Type: typ, Body: body}, "", -1)
	if err != nil {
		return err
	}
	c.lastID++
	if _, err := c.conn.Write(append(c.head(), tail...)); err != nil {
		return fmt.Errorf("send %s: %w", typ, err)
	}
	frame, err := c.frames.Next()
	if err != nil {
		return fmt.Errorf("read answer to %s: %w", typ, err)
	}
	e, err := decodeEnvelope(frame)
	switch {
	case err != nil:
		return fmt.Errorf("read answer to %s: %w", typ, err)
	case e.err != nil:
		return fmt.Errorf("%s refused: %w", typ, e.err)
	case e.typ != typ || e.id != c.lastID:
		return fmt.Errorf("answer to %s %d is a %s %d", typ, c.lastID, e.typ, e.id)
	}
	if err := json.Unmarshal(e.body, rep); err != nil {
		return fmt.Errorf("decode answer to %s: %w", typ, err)
	}
	return nil
}

// greet does the server's part of the handshake.
func (c *serverConn) greet() error {
	e, err := c.expect(typeHello)
	if err != nil {
		return err
	}
	var req helloRequest
	if err := decodeBody(e.body, &req); err != nil {
		return c.refuse(e, AsError(err))
	}
	if !slices.Contains(req.Versions, Version) {
		return c.refuse(e, &Error{Code: Invalid, Reason: "unsupported_version", Fields: []Field{
			{Field: "versions", Detail: fmt.Sprintf("must hold %d, the only version this server speaks", Version)}}})
	}
	c.client = req.Client
	nonce, key := newNonce(), c.server.cfg.Key
	err = c.answer(e, helloReply{Version: Version, Server: c.server.cfg.Name, Nonce: nonce, Auth: len(key) > 0,
		MaxFrame: MaxRequestFrame, MaxInFlight: c.server.cfg.MaxInFlight})
	if err != nil || len(key) == 0 {
		return err
	}
	if e, err = c.expect(typeAuth); err != nil {
		return err
	}
	var auth authRequest
	if err := decodeBody(e.body, &auth); err != nil {
		return c.refuse(e, AsError(err))
	}
	if auth.Nonce == "" || !sameProof(auth.Proof, proof(key, "client", nonce, auth.Nonce)) {
		return c.refuse(e, &Error{Code: Unauthenticated, Reason: "wrong_link_key"})
	}
	return c.answer(e, authReply{Proof: proof(key, "server", nonce, auth.Nonce)})
}

// expect reads the next packet of the handshake, which must be of typ.
func (c *serverConn) expect(typ string) (envelope, error) {
	e, err := c.next()
	if err != nil {
		return e, err
	}
	if e.typ != typ {
		return e, c.refuse(e, &Error{Code: Unauthenticated, Reason: typ + "_expected", Fields: []Field{
			{Field: "type", Detail: "must be " + typ + " at this point of a connection"}}})
	}
	return e, nil
}

func (c *serverConn) answer(e envelope, body any) error {
	text, err := json.Marshal(body)
	if err != nil {
		return err
	}
	frame, err := appendReply(nil, e.id, e.typ, Reply{Body: text})
	if err != nil {
		return err
	}
	return c.out.wait(frame)
}
