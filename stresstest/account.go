package stresstest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"gatehouse/protocol/packet"
)

// maxUsers bounds the number of generated accounts: the number has eight
// digits in their names.
const maxUsers = 99_999_999

// passwords is how many different passwords generated accounts have.
// Verifying one costs the same as verifying any other, but generating a hash
// for each of ten million accounts would take days.
const passwords = 256

// Username returns the name of generated account n, counted from 1.
func Username(n int) string { return fmt.Sprintf("user%08d", n) }

// Nickname returns the nickname with which generated account n begins.
func Nickname(n int) string { return fmt.Sprintf("User %08d", n) }

// Password returns the password of generated account n.
func Password(n int) string { return "gatehouse-load-" + strconv.Itoa(n%passwords) }

// Token returns the token of the session that account n is generated with
// under a session key: base64url of 8 bytes user id, which is n, big endian,
// and the HMAC-SHA-256, by the key, of n in decimal. The key is the content
// of the key file as it is, to the last byte.
func Token(key []byte, n int) string {
	mac := hmac.New(sha256.New, key)
	mac.Write(strconv.AppendInt(nil, int64(n), 10))
	raw := binary.BigEndian.AppendUint64(make([]byte, 0, 8+sha256.Size), uint64(n))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(raw))
}

// sessionID returns the id under which the list of a person's sessions shows
// the one of a token: 63 bits of the token's digest, in decimal. It is empty
// for what is no token.
func sessionID(token string) string {
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return ""
	}
	digest := sha256.Sum256(raw)
	return strconv.FormatUint(binary.BigEndian.Uint64(digest[:8])>>1, 10)
}

// subject returns the user id that a token names, empty for what is no token.
// A line break in one, which its decoding would pass over, would end the line
// of a request.
func subject(token string) string {
	if strings.ContainsAny(token, "\r\n") {
		return ""
	}
	return packet.TokenSubject(packet.Secret(token))
}
