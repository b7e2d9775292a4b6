package password

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// ErrUnsupportedHash is wrapped by what ParsePHC returns. The words around it say what is wrong and quote nothing of the
// salt and the hash.
var ErrUnsupportedHash = errors.New("unsupported password hash")

// maxPHC is longer than every hash that is supported.
const maxPHC = 512

// ParsePHC turns a hash from elsewhere into the stored form:
//
//	$argon2id$v=19$m=65536,t=3,p=4$SALT$HASH     RFC 9106, the form of the PHC competition
//	$2a$10$…, $2b$…, $2y$…                       bcrypt
//	$scrypt$ln=16,r=8,p=1$SALT$HASH              RFC 7914, the form of passlib
//	$pbkdf2-sha256$600000$SALT$HASH              RFC 8018; also -sha512, and $pbkdf2$ for SHA-1
//
// nfc says that the password was in Unicode NFC when it was hashed, as ours are; FormatPHC returns it. It matters for
// argon2id only, which then is ours where salt and tag have our sizes. Otherwise a password is tried as typed, then in NFC.
//
// A hash that costs more than a login may is refused: argon2id and scrypt over 256 MiB, argon2id over 768 MiB times
// passes, scrypt over N·r·p of 2^21, bcrypt over cost 14, PBKDF2 over 2,000,000 rounds. For our own the limits are those
// of ParseParams. Errors wrap ErrUnsupportedHash.
func ParsePHC(text string, nfc bool) ([]byte, error) {
	stored, err := parsePHC(text, nfc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnsupportedHash, err)
	}
	return stored, nil
}

func parsePHC(text string, nfc bool) ([]byte, error) {
	// The decoders of base64 pass over line ends.
	if len(text) > maxPHC || strings.ContainsAny(text, "\r\n") || !strings.HasPrefix(text, "$") {
		return nil, errors.New("not of the form $NAME$…")
	}
	fields := strings.Split(text[1:], "$")
	var f foreign
	var err error
	switch name := fields[0]; name {
	case "argon2id":
		f, err = parseArgon2id(fields)
	case "2a", "2b", "2y":
		f, err = parseBcrypt(fields)
	case "scrypt":
		f, err = parseScrypt(fields)
	case "pbkdf2", "pbkdf2-sha1", "pbkdf2-sha256", "pbkdf2-sha512":
		f, err = parsePBKDF2(fields)
	default:
		err = errors.New("the scheme is none of argon2id, bcrypt (2a, 2b, 2y), scrypt and pbkdf2 (sha1, sha256, sha512)")
	}
	if err != nil {
		return nil, err
	}
	if own, ok := f.own(); ok && nfc {
		return own.Encode(), own.Params.check()
	}
	return f.encode(), f.check()
}

// own is the credential as one of ours, if it has the shape of one.
func (f foreign) own() (Credential, bool) {
	if f.scheme != schemeForeignArgon2id || len(f.salt) != SaltSize || len(f.tag) != TagSize ||
		f.cost[1] > maxTime || f.cost[2] > maxThreads {
		return Credential{}, false
	}
	return Credential{
		Params: Params{Memory: f.cost[0], Time: uint8(f.cost[1]), Threads: uint8(f.cost[2])},
		Salt:   [SaltSize]byte(f.salt), Tag: [TagSize]byte(f.tag),
	}, true
}

func parseArgon2id(fields []string) (f foreign, err error) {
	if len(fields) != 5 || fields[1] != "v=19" {
		return f, errors.New("argon2id is not of the form $argon2id$v=19$m=…,t=…,p=…$SALT$HASH")
	}
	f.scheme = schemeForeignArgon2id
	if f.cost, err = parseCosts(fields[2], "m", "t", "p"); err != nil {
		return f, err
	}
	return f, f.parseBytes(fields[3], fields[4])
}

func parseScrypt(fields []string) (f foreign, err error) {
	if len(fields) != 4 {
		return f, errors.New("scrypt is not of the form $scrypt$ln=…,r=…,p=…$SALT$HASH")
	}
	f.scheme = schemeScrypt
	if f.cost, err = parseCosts(fields[1], "ln", "r", "p"); err != nil {
		return f, err
	}
	return f, f.parseBytes(fields[2], fields[3])
}

func parsePBKDF2(fields []string) (f foreign, err error) {
	if len(fields) != 4 {
		return f, errors.New("pbkdf2 is not of the form $pbkdf2-DIGEST$ROUNDS$SALT$HASH")
	}
	f.scheme, f.variant = schemePBKDF2, 1
	for number, digest := range digests {
		if digest.name == fields[0] {
			f.variant = number
		}
	}
	if f.cost[0], err = parseCost("rounds", fields[1]); err != nil {
		return f, err
	}
	// passlib writes a dot for the plus, which has a meaning in shadow files.
	return f, f.parseBytes(strings.ReplaceAll(fields[2], ".", "+"), strings.ReplaceAll(fields[3], ".", "+"))
}

func parseBcrypt(fields []string) (f foreign, err error) {
	if len(fields) != 3 || len(fields[1]) != 2 || len(fields[2]) != 53 {
		return f, errors.New("bcrypt is not of the form $2b$COST$ and 53 characters")
	}
	f.scheme, f.variant = schemeBcrypt, fields[0][1]
	if f.cost[0], err = parseCost("cost", fields[1]); err != nil {
		return f, err
	}
	salt, err := bcryptEncoding.DecodeString(fields[2][:22])
	if err != nil {
		return f, errors.New("the salt is not in bcrypt's base64")
	}
	tag, err := bcryptEncoding.DecodeString(fields[2][22:])
	if err != nil {
		return f, errors.New("the hash is not in bcrypt's base64")
	}
	f.salt, f.tag = salt, tag
	return f, nil
}

// parseCosts reads name=number, three of them in any order.
func parseCosts(text string, names ...string) (costs [3]uint32, err error) {
	parts := strings.Split(text, ",")
	if len(parts) != len(names) {
		return costs, fmt.Errorf("the parameters are not %s", strings.Join(names, "=…,")+"=…")
	}
	for i, name := range names {
		found := false
		for _, part := range parts {
			value, ok := strings.CutPrefix(part, name+"=")
			if !ok {
				continue
			}
			found = true
			if costs[i], err = parseCost(name, value); err != nil {
				return costs, err
			}
		}
		if !found {
			return costs, fmt.Errorf("the parameter %s is missing", name)
		}
	}
	return costs, nil
}

func parseCost(name, digits string) (uint32, error) {
	n, err := strconv.ParseUint(digits, 10, 32)
	if err != nil {
		return 0, fmt.Errorf("%s is not a whole number below 2^32", name)
	}
	return uint32(n), nil
}

// parseBytes reads the salt and the tag in base64 without padding.
func (f *foreign) parseBytes(salt, tag string) (err error) {
	if f.salt, err = base64.RawStdEncoding.DecodeString(salt); err != nil {
		return errors.New("the salt is not base64 without padding")
	}
	if f.tag, err = base64.RawStdEncoding.DecodeString(tag); err != nil {
		return errors.New("the hash is not base64 without padding")
	}
	return nil
}

// FormatPHC turns a stored credential into text that ParsePHC turns back into the same bytes. nfc is true for one of our
// own. The error wraps ErrCredential.
func FormatPHC(stored []byte) (text string, nfc bool, err error) {
	if len(stored) > 0 && stored[0] == schemeArgon2id {
		c, err := Decode(stored)
		if err != nil {
			return "", false, err
		}
		return phcArgon2id(c.Params.Memory, uint32(c.Params.Time), uint32(c.Params.Threads), c.Salt[:], c.Tag[:]), true, nil
	}
	f, err := decodeForeign(stored)
	if err != nil {
		return "", false, err
	}
	base := base64.RawStdEncoding
	switch f.scheme {
	case schemeBcrypt:
		return string(f.bcryptText()), false, nil
	case schemeScrypt:
		return fmt.Sprintf("$scrypt$ln=%d,r=%d,p=%d$%s$%s", f.cost[0], f.cost[1], f.cost[2],
			base.EncodeToString(f.salt), base.EncodeToString(f.tag)), false, nil
	case schemePBKDF2:
		salt, tag := base.EncodeToString(f.salt), base.EncodeToString(f.tag)
		return fmt.Sprintf("$%s$%d$%s$%s", digests[f.variant].name, f.cost[0],
			strings.ReplaceAll(salt, "+", "."), strings.ReplaceAll(tag, "+", ".")), false, nil
	}
	return phcArgon2id(f.cost[0], f.cost[1], f.cost[2], f.salt, f.tag), false, nil
}

func phcArgon2id(m, t, p uint32, salt, tag []byte) string {
	return fmt.Sprintf("$argon2id$v=19$m=%d,t=%d,p=%d$%s$%s", m, t, p,
		base64.RawStdEncoding.EncodeToString(salt), base64.RawStdEncoding.EncodeToString(tag))
}

// Own tells whether a stored credential was made by a Hasher, or as one makes them.
func Own(stored []byte) bool { return len(stored) > 0 && stored[0] == schemeArgon2id }
