package packet

import "gatehouse/protocol"

// Login verifies a password and makes a session. Refused with
// Unauthenticated "invalid_credentials", which is the same for a wrong
// password, no such user and a disabled one; Exhausted "too_many_attempts";
// or Overloaded. It ignores the idempotency key and must not be repeated by
// anything but a person.
var Login = protocol.Method[LoginRequest, SessionReply]{Type: "login"}

// LoginRequest is the body of a login packet.
type LoginRequest struct {
	Named
	Password Secret `json:"password"`
	// Code is the second factor, for accounts that have one.
	Code Secret `json:"code,omitempty"`
}

// Logout ends the session of the token.
var Logout = protocol.Method[Authenticated, Empty]{Type: "logout"}

// Verify tells whether a token is of a live session, and whose. Refused with
// Unauthenticated.
var Verify = protocol.Method[Authenticated, UserReply]{Type: "verify", ReadOnly: true}
