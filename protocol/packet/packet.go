// Package packet is the contract between the tiers: every packet type with
// its request and reply. Both tiers import it and neither imports the other.
// It knows the shape of what travels and nothing of how it is kept, checked
// or shown.
//
// A reply may gain fields and a request may gain optional ones; none is ever
// renamed or given another meaning, because the tiers are upgraded in any
// order. The file names are those of the handlers in backend and of the
// pages in webserver.
package packet

import (
	"encoding/base64"
	"encoding/binary"
	"log/slog"
	"strconv"
	"strings"
	"time"
)

// Secret is text that must never be printed: a password, or a token. It
// travels as it is and prints as REDACTED.
type Secret string

// String returns "REDACTED".
func (Secret) String() string { return "REDACTED" }

// GoString returns "REDACTED", for %#v.
func (Secret) GoString() string { return "REDACTED" }

// LogValue returns "REDACTED", for slog.
func (Secret) LogValue() slog.Value { return slog.StringValue("REDACTED") }

// tokenBytes is the length of a decoded token: 8 bytes of user id, big
// endian, and 32 random bytes.
const tokenBytes = 8 + 32

// TokenSubject returns the subject that an answer to a call with this
// token must carry: the decimal id of the user whom the token names, or ""
// where it is not a token at all (such a call is refused, and a refusal has
// no subject).
func TokenSubject(token Secret) string {
	raw, err := base64.RawURLEncoding.DecodeString(string(token))
	if err != nil || len(raw) != tokenBytes {
		return ""
	}
	return strconv.FormatUint(binary.BigEndian.Uint64(raw), 10)
}

// FoldUsername maps the ASCII capitals of a username to small letters and
// leaves every other byte alone, as the backend does before it compares names.
func FoldUsername(username string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, username)
}

// Authenticated is the part of a request that says who asks.
type Authenticated struct {
	Token Secret `json:"token"`
}

// Subject returns the id of the user whom the token names.
func (a Authenticated) Subject() string { return TokenSubject(a.Token) }

// Named is the part of a request that names a user by username.
type Named struct {
	Username string `json:"username"`
}

// Subject returns the folded username.
func (n Named) Subject() string { return FoldUsername(n.Username) }

// User is a person's own view of their record. The JSON API shows it
// unchanged.
type User struct {
	ID         int64     `json:"id,string"`
	Username   string    `json:"username"`
	Nickname   string    `json:"nickname"`
	PictureURL *string   `json:"picture_url"`
	Version    int64     `json:"version"`
	CreatedAt  time.Time `json:"created_at"`
}

// UserReply answers every call whose result is the person's record.
type UserReply struct {
	User User `json:"user"`
}

// Empty is the body of a request or reply that has nothing to say.
type Empty struct{}
