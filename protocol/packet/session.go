package packet

import (
	"time"

	"gatehouse/protocol"
)

// ListSessions returns the live sessions of the person who asks, the one
// last seen first.
var ListSessions = protocol.Method[Authenticated, ListSessionsReply]{Type: "list_sessions", ReadOnly: true}

// ListSessionsReply is the body of the answer to list_sessions.
type ListSessionsReply struct {
	Sessions []Session `json:"sessions"`
}

// Session is one session as its owner sees it. The JSON API shows it
// unchanged.
type Session struct {
	ID         string    `json:"id"`
	Current    bool      `json:"current"`
	CreatedAt  time.Time `json:"created_at"`
	LastSeenAt time.Time `json:"last_seen_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	IP         string    `json:"ip"`
	UserAgent  string    `json:"user_agent"`
}

// EndSession ends one session of the person who asks. Refused with NotFound.
var EndSession = protocol.Method[EndSessionRequest, Empty]{Type: "end_session"}

// EndSessionRequest is the body of an end_session packet.
type EndSessionRequest struct {
	Authenticated
	ID string `json:"id"`
}

// EndOtherSessions ends all sessions of the person but the one that asks.
var EndOtherSessions = protocol.Method[Authenticated, Empty]{Type: "end_other_sessions"}
