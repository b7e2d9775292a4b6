package password

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/crypto/argon2"
)

// Sizes in bytes of the parts of a stored credential.
const (
	SaltSize = 16
	TagSize  = 32

	credentialSize = 1 + 4 + 1 + 1 + SaltSize + TagSize
)

// schemeArgon2id is the first byte of a credential: argon2id version 1.3 over the NFC form of the password. Whatever
// changes the meaning of the bytes after it, or the preparation of the password, takes another number.
const schemeArgon2id = 1

// ErrCredential is returned for stored bytes that are not a credential.
var ErrCredential = errors.New("malformed password credential")

// Credential is what is stored of a password.
type Credential struct {
	Params Params
	Salt   [SaltSize]byte
	Tag    [TagSize]byte
}

// Encode returns the stored form, 55 bytes: scheme (1 byte), m (4, big endian), t (1), p (1), salt (16), tag (32).
func (c Credential) Encode() []byte {
	b := make([]byte, 0, credentialSize)
	b = append(b, schemeArgon2id)
	b = binary.BigEndian.AppendUint32(b, c.Params.Memory)
	b = append(b, c.Params.Time, c.Params.Threads)
	b = append(b, c.Salt[:]...)
	return append(b, c.Tag[:]...)
}

// Decode reads the stored form. It returns an error wrapping ErrCredential for an unknown scheme, a wrong length, and
// parameters out of bounds (m over 1 GiB, t or p over 16), which only a corrupt or forged row can hold.
func Decode(stored []byte) (Credential, error) {
	if len(stored) == 0 || stored[0] != schemeArgon2id {
		return Credential{}, fmt.Errorf("%w: unknown scheme", ErrCredential)
	}
	if len(stored) != credentialSize {
		return Credential{}, fmt.Errorf("%w: %d bytes, want %d", ErrCredential, len(stored), credentialSize)
	}
	c := Credential{Params: Params{Memory: binary.BigEndian.Uint32(stored[1:]), Time: stored[5], Threads: stored[6]}}
	copy(c.Salt[:], stored[7:])
	copy(c.Tag[:], stored[7+SaltSize:])
	if err := c.Params.check(); err != nil {
		return Credential{}, fmt.Errorf("%w: %w", ErrCredential, err)
	}
	return c, nil
}

// deriveFunc computes the tag of a prepared password.
type deriveFunc func(plain string, params Params, salt [SaltSize]byte) [TagSize]byte

// argon2id is the only deriveFunc outside tests.
func argon2id(plain string, params Params, salt [SaltSize]byte) [TagSize]byte {
	tag := argon2.IDKey([]byte(plain), salt[:], uint32(params.Time), params.Memory, params.Threads, TagSize)
	return [TagSize]byte(tag)
}

// matches compares in constant time.
func (c Credential) matches(tag [TagSize]byte) bool {
	return subtle.ConstantTimeCompare(c.Tag[:], tag[:]) == 1
}
