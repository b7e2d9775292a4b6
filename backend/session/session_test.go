package session_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"math"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"gatehouse/backend/session"
)

func TestTokenNamesItsUserAndIsKeptByDigest(t *testing.T) {
	t.Parallel()
	for _, id := range []int64{1, 42, math.MaxInt64} {
		token, digest, err := session.NewToken(id, rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || len(raw) != 40 || binary.BigEndian.Uint64(raw) != uint64(id) {
			t.Fatalf("token %q of user %d decodes to %x, %v", token, id, raw, err)
		}
		if digest != sha256.Sum256(raw) {
			t.Error("the digest is not the SHA-256 of the token")
		}
		gotID, gotDigest, ok := session.ParseToken(token)
		if !ok || gotID != id || gotDigest != digest {
			t.Errorf("token of user %d parses to %d, %v", id, gotID, ok)
		}
	}
}

func TestTokensHold256RandomBits(t *testing.T) {
	t.Parallel()
	random := bytes.Repeat([]byte{0xa5, 0x5a, 1, 2}, 8)
	token, _, err := session.NewToken(7, bytes.NewReader(random))
	if err != nil {
		t.Fatal(err)
	}
	if raw, _ := base64.RawURLEncoding.DecodeString(token); !bytes.Equal(raw[8:], random) {
		t.Errorf("the token holds %x, want all 32 random bytes", raw[8:])
	}
	if _, _, err := session.NewToken(7, bytes.NewReader(random[1:])); err == nil {
		t.Error("31 random bytes were enough")
	}
	dry := errors.New("dry")
	if token, _, err := session.NewToken(7, iotest.ErrReader(dry)); !errors.Is(err, dry) || token != "" {
		t.Errorf("token %q, %v, want none and %v", token, err, dry)
	}
}

// TestOnlyTheOneFormOfATokenIsTaken because two forms of one token would be
// two keys of one session.
func TestOnlyTheOneFormOfATokenIsTaken(t *testing.T) {
	t.Parallel()
	raw := append(binary.BigEndian.AppendUint64(nil, 1<<62+63<<50), bytes.Repeat([]byte{0xff}, 32)...)
	token := base64.RawURLEncoding.EncodeToString(raw)
	if _, _, ok := session.ParseToken(token); !ok || !strings.ContainsAny(token, "-_") {
		t.Fatalf("the token that the others are made of is no good: %q", token)
	}
	encode := func(id uint64, random int) string {
		return base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint64(nil, id), make([]byte, random)...))
	}
	for name, bad := range map[string]string{
		"nothing":               "",
		"padding":               token + "==",
		"the other alphabet":    strings.NewReplacer("-", "+", "_", "/").Replace(token),
		"bits beyond the end":   token[:53] + string(token[53]+1),
		"a space at the end":    token + " ",
		"a space within":        token[:20] + " " + token[21:],
		"a line feed within":    token[:20] + "\n" + token[20:],
		"line feeds for digits": token[:50] + "\r\n\r\n",
		"a digit less":          token[:53],
		"a digit more":          token + "A",
		"39 bytes":              encode(1, 31),
		"41 bytes":              encode(1, 33),
		"user 0":                encode(0, 32),
		"a negative user":       encode(1<<63, 32),
		"user -1":               encode(math.MaxUint64, 32),
		"NULs":                  strings.Repeat("\x00", 54),
		"not ASCII":             strings.Repeat("é", 27),
		"a megabyte":            strings.Repeat("A", 1<<20),
	} {
		if id, digest, ok := session.ParseToken(bad); ok || id != 0 || digest != (session.Digest{}) {
			t.Errorf("%s: %.60q was taken as of user %d", name, bad, id)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	token, _, err := session.NewToken(42, strings.NewReader(strings.Repeat("r", 32)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add(token + "=")
	f.Add("")
	f.Fuzz(func(t *testing.T, token string) {
		id, digest, ok := session.ParseToken(token)
		if !ok {
			return
		}
		raw, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || base64.RawURLEncoding.EncodeToString(raw) != token {
			t.Fatalf("%q is not the one form of %x", token, raw)
		}
		if id <= 0 || binary.BigEndian.Uint64(raw) != uint64(id) || digest != sha256.Sum256(raw) {
			t.Fatalf("%q was taken as of user %d", token, id)
		}
	})
}

func TestSessionIDIsDecimalAndOfTheDigestAlone(t *testing.T) {
	t.Parallel()
	s := session.Session{UserID: 7, Digest: session.Digest{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3}}
	if got := s.ID(); got != strconv.FormatInt(math.MaxInt64, 10) {
		t.Errorf("id %s, want the greatest of 63 bits", got)
	}
	if got := (session.Session{UserID: 7}).ID(); got != "0" {
		t.Errorf("id %s of a zero digest", got)
	}
	same := session.Session{UserID: 8, Digest: s.Digest, IP: "192.0.2.1", CreatedAt: time.Now()}
	if same.ID() != s.ID() {
		t.Error("the id is of more than the digest")
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	made := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	limits := session.Limits{Idle: time.Hour, Lifetime: 3 * time.Hour, PerUser: 1}
	for _, test := range []struct {
		name      string
		seen, now time.Duration // after it was made
		epoch     int64         // of the user
		end       time.Duration
		live      bool
	}{
		{"new", 0, 0, 5, time.Hour, true},
		{"just not idle too long", 0, time.Hour - 1, 5, time.Hour, true},
		{"just idle too long", 0, time.Hour, 5, time.Hour, false},
		{"long idle", 0, 2 * time.Hour, 5, time.Hour, false},
		{"seen since", 30 * time.Minute, time.Hour, 5, 90 * time.Minute, true},
		{"seen late: the lifetime counts", 150 * time.Minute, 170 * time.Minute, 5, 3 * time.Hour, true},
		{"just before the lifetime is over", 3*time.Hour - 1, 3*time.Hour - 1, 5, 3 * time.Hour, true},
		{"lifetime over", 3*time.Hour - 1, 3 * time.Hour, 5, 3 * time.Hour, false},
		{"the two ends together", 2 * time.Hour, 3*time.Hour - 1, 5, 3 * time.Hour, true},
		{"later epoch", 0, 0, 6, time.Hour, false},
		{"earlier epoch", 0, 0, 4, time.Hour, false},
		{"a clock behind that of the login", 0, -time.Minute, 5, time.Hour, true},
	} {
		s := session.Session{AuthEpoch: 5, CreatedAt: made, LastSeenAt: made.Add(test.seen), ExpiresAt: made.Add(limits.Lifetime)}
		if got := limits.End(s).Sub(made); got != test.end {
			t.Errorf("%s: ends after %v, want %v", test.name, got, test.end)
		}
		if got := limits.Live(s, test.epoch, made.Add(test.now)); got != test.live {
			t.Errorf("%s: live is %v, want %v", test.name, got, test.live)
		}
	}
}
