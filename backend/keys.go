package backend

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"gatehouse/backend/session"
	"gatehouse/backend/user"
)

// keys are the keys of the cache in one epoch, which is a keyspace of its own.
// The braces put what is read together in one slot of a cluster.
type keys int64

func (epoch keys) user(id int64) string { return fmt.Sprintf("gh:{%d}:%d:u", id, epoch) }

func (epoch keys) session(id int64, d session.Digest) string {
	return fmt.Sprintf("gh:{%d}:%d:s:%s", id, epoch, base64.RawURLEncoding.EncodeToString(d[:]))
}

func (epoch keys) name(username string) string {
	d := sha256.Sum256([]byte(username))
	return fmt.Sprintf("gh:{n%s}:%d:n", base64.RawURLEncoding.EncodeToString(d[:16]), epoch)
}

// userOfKey returns the user whom a key belongs to, or 0 where it is a name's.
func userOfKey(key string) int64 {
	rest, _ := strings.CutPrefix(key, "gh:{")
	digits, _, _ := strings.Cut(rest, "}")
	id, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return 0
	}
	return id
}

// recordVersion is the first byte of every value. A value of another version
// is as good as none, so that versions of the program can share a cache.
const recordVersion = 1

func encodeUser(u user.User) []byte {
	b := []byte{recordVersion}
	for _, n := range []int64{u.ID, u.Version, u.AuthEpoch, flag(u.Disabled), u.CreatedAt.UnixMicro()} {
		b = binary.AppendVarint(b, n)
	}
	return appendTexts(b, u.Username, u.Nickname, u.Picture)
}

func decodeUser(b []byte, u *user.User) bool {
	d := decoder{b: b}
	d.version()
	*u = user.User{ID: d.number(), Version: d.number(), AuthEpoch: d.number(), Disabled: d.number() != 0,
		CreatedAt: time.UnixMicro(d.number()).UTC(), Username: d.text(), Nickname: d.text(), Picture: d.text()}
	return d.whole()
}

func encodeSession(s session.Session) []byte {
	b := []byte{recordVersion}
	for _, n := range []int64{s.UserID, s.AuthEpoch, s.CreatedAt.UnixMicro(), s.LastSeenAt.UnixMicro(), s.ExpiresAt.UnixMicro()} {
		b = binary.AppendVarint(b, n)
	}
	return appendTexts(b, string(s.Digest[:]), s.IP, s.UserAgent)
}

func decodeSession(b []byte, s *session.Session) bool {
	d := decoder{b: b}
	d.version()
	*s = session.Session{UserID: d.number(), AuthEpoch: d.number(), CreatedAt: time.UnixMicro(d.number()).UTC(),
		LastSeenAt: time.UnixMicro(d.number()).UTC(), ExpiresAt: time.UnixMicro(d.number()).UTC()}
	copy(s.Digest[:], d.text())
	s.IP, s.UserAgent = d.text(), d.text()
	return d.whole()
}

// encodeName keeps the name beside the id, because the key holds only a part
// of its digest.
func encodeName(username string, id int64) []byte {
	return appendTexts(binary.AppendVarint([]byte{recordVersion}, id), username)
}

func decodeName(b []byte, username string, id *int64) bool {
	d := decoder{b: b}
	d.version()
	*id = d.number()
	return d.text() == username && d.whole()
}

func flag(set bool) int64 {
	if set {
		return 1
	}
	return 0
}

func appendTexts(b []byte, texts ...string) []byte {
	for _, t := range texts {
		b = append(binary.AppendUvarint(b, uint64(len(t))), t...)
	}
	return b
}

// decoder reads a value from its start. After a fault it returns zeros.
type decoder struct {
	b     []byte
	fault bool
}

func (d *decoder) version() {
	if len(d.b) == 0 || d.b[0] != recordVersion {
		d.fault = true
		return
	}
	d.b = d.b[1:]
}

func (d *decoder) number() int64 {
	n, size := binary.Varint(d.b)
	if size <= 0 || d.fault {
		d.fault = true
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) text() string {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || d.fault || n > uint64(len(d.b)-size) {
		d.fault = true
		return ""
	}
	text := string(d.b[size : size+int(n)])
	d.b = d.b[size+int(n):]
	return text
}

// whole tells that nothing was wrong and nothing is left.
func (d *decoder) whole() bool { return !d.fault && len(d.b) == 0 }
