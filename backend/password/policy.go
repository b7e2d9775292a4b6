package password

import (
	"cmp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/trustelem/zxcvbn/frequency"
)

// A Problem says why a password may not be set. Its text is stable: programs rely on it.
type Problem string

// The problems Check finds.
const (
	TooShort         Problem = "password_too_short"
	TooLong          Problem = "password_too_long"
	Common           Problem = "password_common"            // among the 30,000 most used ones, in any case
	TooGuessable     Problem = "password_too_guessable"     // zxcvbn score below 3
	ContainsUsername Problem = "password_contains_username" // and is too guessable without it
	ContainsProduct  Problem = "password_contains_product"  // the same for the name of this program
	Invalid          Problem = "password_invalid"           // not UTF-8, or contains NUL
)

// The defaults of Policy, in code points, and the score (see Strength) from which a password is strong enough: 3 is
// "safely unguessable: moderate protection from offline slow-hash scenario" in zxcvbn's words, at least 10^8 guesses.
const (
	defaultMin = 8
	defaultMax = 256
	minScore   = 3
)

// Policy says which passwords may be set. The zero value works. It is for setting only: whatever was set once is
// verified, never judged again.
type Policy struct {
	Min int // least length in code points after NFC; zero means 8; 15 satisfies NIST SP 800-63B-4 for single-factor logins
	Max int // greatest length; zero means 256; what has more than MaxBytes bytes as received is always too long
}

// Check returns what is wrong with the password for that user, nothing if it may be set. The username may be empty. A
// password may contain the username or the name of this program, but they count for nothing: what is left without them
// must still be strong enough. So "canada goose flight plan" is good for ada, and "ada-2031!" is not. The costliest
// passwords found take some 20 ms.
func (p Policy) Check(password, username string) []Problem {
	if len(password) > MaxBytes {
		return []Problem{TooLong}
	}
	plain, ok := prepare(password)
	if !ok {
		return []Problem{Invalid}
	}
	switch n := utf8.RuneCountInString(plain); {
	case n < cmp.Or(p.Min, defaultMin):
		return []Problem{TooShort}
	case n > cmp.Or(p.Max, defaultMax):
		return []Problem{TooLong}
	case isCommon(plain):
		return []Problem{Common}
	}
	return guessable(plain, username)
}

// isCommon reports whether the password is on zxcvbn's list of common ones, which is in lower case.
func isCommon(plain string) bool {
	return slices.Contains(frequency.FrequencyLists["passwords"], strings.ToLower(plain))
}

// guessable returns why the password is too easily guessed, nothing if it is not.
func guessable(plain, username string) []Problem {
	rest, name, product := withoutNames(plain, username)
	if score(rest, username) >= minScore {
		return nil
	}
	var found []Problem
	if name {
		found = append(found, ContainsUsername)
	}
	if product {
		found = append(found, ContainsProduct)
	}
	if len(found) == 0 {
		found = append(found, TooGuessable)
	}
	return found
}
