package password

import (
	"strings"

	"github.com/trustelem/zxcvbn"
)

// product is the name of this program, which everybody who attacks it knows.
const product = "gatehouse"

// window is the number of code points scored at once. The cost of zxcvbn grows with the third power of the length: 32
// adversarial ones take up to 10 ms, 128 without the simplification of scored over a second.
const window = 32

// Strength returns how hard the password is to guess for somebody who knows the username, from 0 to 4: zxcvbn's score
// (Wheeler, "zxcvbn: Low-Budget Password Strength Estimation", USENIX Security 2016) without the names Check leaves
// out. It is advice while a password is typed; Check decides, and refuses what is below 3.
func Strength(password, username string) int {
	plain, ok := prepare(password)
	if !ok {
		return 0
	}
	rest, _, _ := withoutNames(plain, username)
	return score(rest, username)
}

// withoutNames returns the password without the username and the product's name in any case, and which of them it
// contained.
func withoutNames(plain, username string) (rest string, name, prod bool) {
	rest = cutFold(plain, username)
	name = len(rest) < len(plain)
	without := cutFold(rest, product)
	return without, name, len(without) < len(rest)
}

// cutFold removes every occurrence of part from s, ignoring the case of ASCII letters.
func cutFold(s, part string) string {
	if part == "" {
		return s
	}
	lower, part := lowerASCII(s), lowerASCII(part)
	var b strings.Builder
	for {
		i := strings.Index(lower, part)
		if i < 0 {
			return b.String() + s
		}
		b.WriteString(s[:i])
		s, lower = s[i+len(part):], lower[i+len(part):]
	}
}

// lowerASCII keeps the length of s in bytes, which strings.ToLower does not.
func lowerASCII(s string) string {
	b := []byte(s)
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

// score is the zxcvbn score of the first and of the last window of the password, whichever is better: a password is at
// least as hard to guess as any part of it, so a long one is not refused for a weak beginning. What lies between the
// two windows of a password of more than 64 code points is not looked at.
func score(plain, username string) int {
	points := scored(plain)
	known := []string{username, product}
	best := zxcvbn.PasswordStrength(string(points[:min(window, len(points))]), known).Score
	if best < minScore && len(points) > window {
		best = max(best, zxcvbn.PasswordStrength(string(points[len(points)-window:]), known).Score)
	}
	return best
}

// scored returns one ASCII byte for each code point of the password, in place of those that zxcvbn does not judge well:
//
//   - It mixes up bytes and code points: many random passwords in Cyrillic or Han get 0, one Cyrillic letter thirteen
//     times gets 4. Code points beyond ASCII are taken modulo 21 into the control characters after the line feed, which
//     its patterns exclude, so that repeats and sequences stay what they are.
//   - It tries all combinations of what leet characters may stand for. Keeping one bracket for c and one stroke for i
//     and l leaves a ninth of the combinations and as good a judgement.
func scored(plain string) []byte {
	points := make([]byte, 0, len(plain))
	for _, r := range plain {
		switch {
		case r < ' ' || r >= 0x7f:
			r = '\n' + 1 + r%21
		case strings.ContainsRune("{[<", r):
			r = '('
		case r == '|':
			r = '!'
		}
		points = append(points, byte(r))
	}
	return points
}
