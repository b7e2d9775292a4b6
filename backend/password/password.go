// Package password turns passwords into stored credentials and checks them, at a bounded cost, and says which
// passwords are too weak to be set. It does not know users, where credentials are kept, packets, or metrics.
//
// # Work
//
// One argon2id computation at the default parameters takes some 50 ms of a core and 19 MiB. A [Hasher] therefore owns a
// fixed number of workers and a bounded queue in front of them: what cannot be answered in time is refused before any
// hashing ([ErrOverloaded]), and what nobody waits for any longer is dropped, not hashed. golang.org/x/crypto/argon2
// allocates its memory anew for every computation and offers no way to reuse it (golang/go#36634), so the live memory
// is workers × memory and the garbage is memory per login; set GOMEMLIMIT on machines where that matters.
//
// # Nobody
//
// [Hasher.Verify] without a credential ("there is no such user") waits in the same queue and computes the same hash with
// the current parameters as a real one does, so that time does not tell who exists. Credentials still stored with
// other parameters take another time until their owner's next login, when rehash asks for a new one; so do those that
// another program made.
//
// # Elsewhere
//
// [ParsePHC] takes over hashes of other programs: argon2id, bcrypt, scrypt and PBKDF2, each at a bounded cost. They are
// verified by the same workers, and rehash is true for every one of them.
//
// # Text
//
// A password is normalised as Unicode NFC before it is hashed, the normalization rule of the OpaqueString profile
// (RFC 8265, section 4.2.2), so that é typed on two keyboards is one password. Nothing else of that profile is applied:
// spaces, case and width are verified exactly as received (OWASP ASVS 5.0, 6.2.8).
package password

import (
	"errors"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// MaxBytes is the length in bytes, as received, above which a password is refused before any other work. 256 code
// points of any kind fit.
const MaxBytes = 1024

// ErrInvalidPassword is returned by Hash for what cannot be a password: empty text, text over MaxBytes, text that is not
// UTF-8 or contains NUL.
var ErrInvalidPassword = errors.New("invalid password")

// prepare returns the form of the password that is hashed and judged. It reports false for text that is no password, and
// then does no work proportional to the text beyond MaxBytes.
func prepare(password string) (string, bool) {
	if len(password) > MaxBytes || !utf8.ValidString(password) || strings.ContainsRune(password, 0) {
		return "", false
	}
	return norm.NFC.String(password), true
}
