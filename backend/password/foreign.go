package password

import (
	"bytes"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// The schemes of credentials that other programs made. They differ from ours in what the password was before it was
// hashed: few programs normalise it, so it is tried as it was typed and, where that is something else, in its NFC form.
// The other order would cost two computations for every decomposed password of those who never normalise.
const (
	schemeForeignArgon2id = 2
	schemeBcrypt          = 3
	schemeScrypt          = 4
	schemePBKDF2          = 5
)

// The most that a foreign credential may cost. It is about one and a half seconds of a core, for a login that has two,
// and the memory that libsodium calls moderate. The sum of work is what RFC 9106 (argon2), RFC 7914 (scrypt) and RFC 8018
// (PBKDF2) say that time is proportional to.
const (
	maxForeignMemory = 256 << 10 // KiB, of argon2id
	maxArgon2Work    = 768 << 10 // m·t, KiB-passes
	maxBcryptCost    = 14
	minBcryptCost    = 4
	maxScryptWork    = 2 << 20   // N·r·p; of memory, 128·N·r bytes, that is 256 MiB
	maxPBKDF2Work    = 2_000_000 // iterations · blocks of the digest
	maxForeignBytes  = 64        // of a salt, and of a tag
	minForeignTag    = 16
)

const (
	bcryptSalt = 16
	bcryptTag  = 23
	bcryptMost = 72 // bytes of a password that bcrypt looks at

	foreignHead = 1 + 1 + 3*4 + 1
)

// bcryptEncoding is bcrypt's own alphabet. The last character of a salt has four bits to spare, which some programs fill.
var bcryptEncoding = base64.NewEncoding("./ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789").WithPadding(base64.NoPadding)

// foreign is a credential that another program made. Its stored form is scheme (1 byte), variant (1), the three numbers
// of cost (4 each, big endian), the length of the salt (1), the salt and the tag.
type foreign struct {
	scheme  byte
	variant byte      // the letter of bcrypt's version, the number of PBKDF2's digest, else 0
	cost    [3]uint32 // m, t, p of argon2id; log2 N, r, p of scrypt; one number of the others
	salt    []byte
	tag     []byte
}

func (f foreign) encode() []byte {
	b := append(make([]byte, 0, foreignHead+len(f.salt)+len(f.tag)), f.scheme, f.variant)
	for _, n := range f.cost {
		b = binary.BigEndian.AppendUint32(b, n)
	}
	b = append(b, byte(len(f.salt)))
	return append(append(b, f.salt...), f.tag...)
}

// decodeForeign reads the stored form; its errors wrap ErrCredential.
func decodeForeign(stored []byte) (foreign, error) {
	if len(stored) < foreignHead || len(stored) < foreignHead+int(stored[foreignHead-1]) {
		return foreign{}, fmt.Errorf("%w: %d bytes", ErrCredential, len(stored))
	}
	f := foreign{scheme: stored[0], variant: stored[1]}
	for i := range f.cost {
		f.cost[i] = binary.BigEndian.Uint32(stored[2+4*i:])
	}
	salt := foreignHead + int(stored[foreignHead-1])
	f.salt, f.tag = stored[foreignHead:salt], stored[salt:]
	if err := f.check(); err != nil {
		return foreign{}, fmt.Errorf("%w: %w", ErrCredential, err)
	}
	return f, nil
}

// check refuses what cannot be computed and what costs too much.
func (f foreign) check() error {
	switch f.scheme {
	case schemeForeignArgon2id, schemeScrypt, schemePBKDF2:
		if len(f.salt) == 0 || len(f.salt) > maxForeignBytes {
			return fmt.Errorf("salt of %d bytes, want 1 to %d", len(f.salt), maxForeignBytes)
		}
		if len(f.tag) < minForeignTag || len(f.tag) > maxForeignBytes {
			return fmt.Errorf("hash of %d bytes, want %d to %d", len(f.tag), minForeignTag, maxForeignBytes)
		}
	}
	switch f.scheme {
	case schemeForeignArgon2id:
		return f.checkArgon2id()
	case schemeBcrypt:
		return f.checkBcrypt()
	case schemeScrypt:
		return f.checkScrypt()
	case schemePBKDF2:
		return f.checkPBKDF2()
	}
	return errors.New("unknown scheme")
}

func (f foreign) checkArgon2id() error {
	m, t, p := f.cost[0], f.cost[1], f.cost[2]
	switch {
	case p < 1 || p > maxThreads:
		return fmt.Errorf("argon2id p is %d, want 1 to %d", p, maxThreads)
	case t < 1:
		return errors.New("argon2id t is 0")
	case m < 8*p || m > maxForeignMemory:
		return fmt.Errorf("argon2id m is %d KiB, want %d to %d", m, 8*p, maxForeignMemory)
	case uint64(m)*uint64(t) > maxArgon2Work:
		return fmt.Errorf("argon2id m·t is %d, at most %d", uint64(m)*uint64(t), maxArgon2Work)
	}
	return nil
}

func (f foreign) checkBcrypt() error {
	switch {
	case f.variant != 'a' && f.variant != 'b' && f.variant != 'y':
		return errors.New("bcrypt version is none of 2a, 2b and 2y")
	case len(f.salt) != bcryptSalt || len(f.tag) != bcryptTag:
		return errors.New("bcrypt salt or hash has the wrong length")
	case f.cost[0] < minBcryptCost || f.cost[0] > maxBcryptCost:
		return fmt.Errorf("bcrypt cost is %d, want %d to %d", f.cost[0], minBcryptCost, maxBcryptCost)
	}
	return nil
}

func (f foreign) checkScrypt() error {
	ln, r, p := f.cost[0], uint64(f.cost[1]), uint64(f.cost[2])
	switch {
	case ln < 1 || ln > 20 || r < 1 || p < 1:
		return fmt.Errorf("scrypt ln is %d, r %d, p %d, want 1 to 20 and at least 1", ln, r, p)
	case r > maxScryptWork || p > maxScryptWork || (r*p)<<ln > maxScryptWork:
		return fmt.Errorf("scrypt ln=%d,r=%d,p=%d is more work than N·r·p of %d", ln, r, p, maxScryptWork)
	}
	return nil
}

func (f foreign) checkPBKDF2() error {
	digest, ok := digests[f.variant]
	if !ok {
		return errors.New("pbkdf2 digest is none of sha1, sha256 and sha512")
	}
	size := digest.make().Size()
	blocks := uint64(len(f.tag)+size-1) / uint64(size)
	if f.cost[0] < 1 || uint64(f.cost[0])*blocks > maxPBKDF2Work {
		return fmt.Errorf("pbkdf2 rounds are %d for %d block(s), want 1 to %d together", f.cost[0], blocks, maxPBKDF2Work)
	}
	return nil
}

// digests are those of PBKDF2, by their number in stored credentials.
var digests = map[byte]struct {
	name string
	make func() hash.Hash
}{
	1: {"pbkdf2", sha1.New},
	2: {"pbkdf2-sha256", sha256.New},
	3: {"pbkdf2-sha512", sha512.New},
}

// matches compares in constant time with the password as typed, then in its NFC form.
func (f foreign) matches(typed, nfc string) bool {
	return f.matchesOne(typed) || nfc != typed && f.matchesOne(nfc)
}

func (f foreign) matchesOne(plain string) bool {
	var tag []byte
	switch f.scheme {
	case schemeBcrypt:
		// The version says which bugs its maker had, and none of them touches what is allowed here.
		plain := []byte(plain)
		return bcrypt.CompareHashAndPassword(f.bcryptText(), plain[:min(len(plain), bcryptMost)]) == nil
	case schemeForeignArgon2id:
		tag = argon2.IDKey([]byte(plain), f.salt, f.cost[1], f.cost[0], uint8(f.cost[2]), uint32(len(f.tag)))
	case schemeScrypt:
		// Errors leave a tag that is too short to be right; check has left no room for them.
		tag, _ = scrypt.Key([]byte(plain), f.salt, 1<<f.cost[0], int(f.cost[1]), int(f.cost[2]), len(f.tag))
	case schemePBKDF2:
		tag, _ = pbkdf2.Key(digests[f.variant].make, plain, f.salt, int(f.cost[0]), len(f.tag))
	}
	return subtle.ConstantTimeCompare(f.tag, tag) == 1
}

// bcryptText is the text form, $2b$10$ and 53 characters.
func (f foreign) bcryptText() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "$2%c$%02d$%s%s", f.variant, f.cost[0], bcryptEncoding.EncodeToString(f.salt), bcryptEncoding.EncodeToString(f.tag))
	return b.Bytes()
}
