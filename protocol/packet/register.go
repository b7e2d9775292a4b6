package packet

import (
	"time"

	"gatehouse/protocol"
)

// Register makes an account and a first session of it. Refused with
// Conflict "username_taken", Forbidden "registration_closed", Invalid with
// fields, or Exhausted "too_many_attempts".
var Register = protocol.Method[RegisterRequest, SessionReply]{Type: "register"}

// RegisterRequest is the body of a register packet.
type RegisterRequest struct {
	Named
	Password Secret `json:"password"`
	// Nickname is the username where it is empty.
	Nickname string `json:"nickname,omitempty"`
	// Invite is needed where registration is by invitation.
	Invite Secret `json:"invite,omitempty"`
}

// SessionReply answers register and login with a new session.
type SessionReply struct {
	Token     Secret    `json:"token"`
	ExpiresAt time.Time `json:"expires_at"`
	User      User      `json:"user"`
	// Device is the known-device token to send as Client.Device at later logins.
	Device Secret `json:"device,omitempty"`
}
