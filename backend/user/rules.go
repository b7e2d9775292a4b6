package user

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of the fields, see the rules for data in docs/architecture.md.
const (
	MinUsername      = 3   // bytes, which are all ASCII
	MaxUsername      = 32  // bytes
	MaxNickname      = 64  // code points
	MaxNicknameBytes = 256 // bytes of UTF-8
)

// Fold maps the ASCII capitals of a username to small letters. Two usernames
// are the same when they fold to the same bytes. Every other byte stays, so
// that nothing which is not ASCII can fold into a valid name (the Kelvin
// sign, for one, lower-cases to k in Unicode).
func Fold(username string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + ('a' - 'A')
		}
		return r
	}, username)
}

// reserved are usernames that could be taken for somebody in charge, or that
// would make an address under /u/ look like a part of the service.
var reserved = map[string]bool{
	"about": true, "abuse": true, "account": true, "accounts": true, "admin": true, "administrator": true,
	"anonymous": true, "api": true, "auth": true, "deleted": true, "gatehouse": true, "guest": true,
	"help": true, "hostmaster": true, "info": true, "login": true, "logout": true, "moderator": true,
	"nobody": true, "noreply": true, "no-reply": true, "null": true, "official": true, "operator": true,
	"owner": true, "postmaster": true, "privacy": true, "profile": true, "register": true, "reset": true,
	"root": true, "security": true, "service": true, "settings": true, "staff": true, "static": true,
	"status": true, "support": true, "sysadmin": true, "system": true, "terms": true, "undefined": true,
	"unknown": true, "user": true, "users": true, "webmaster": true, "www": true,
}

// A Problem is why a value is refused, as a stable word.
type Problem string

// The problems.
const (
	UsernameLength   Problem = "username_length"
	UsernameChars    Problem = "username_characters"
	UsernameReserved Problem = "username_reserved"
	NicknameEmpty    Problem = "nickname_empty"
	NicknameTooLong  Problem = "nickname_too_long"
	NicknameChars    Problem = "nickname_characters"
)

// Detail says in English what would be right.
func (p Problem) Detail() string {
	switch p {
	case UsernameLength:
		return "must be 3 to 32 characters long"
	case UsernameChars:
		return "must start with a letter or digit and hold only a-z, 0-9, dot, underscore and hyphen"
	case UsernameReserved:
		return "is reserved; choose another"
	case NicknameEmpty:
		return "must hold at least one visible character"
	case NicknameTooLong:
		return "must be at most 64 code points and 256 bytes"
	case NicknameChars:
		return "must be valid UTF-8 without control characters and bidirectional overrides"
	}
	return string(p)
}

// CheckUsername returns why a folded username is refused, or "".
func CheckUsername(folded string) Problem {
	if len(folded) < MinUsername || len(folded) > MaxUsername {
		return UsernameLength
	}
	for i := range len(folded) {
		c := folded[i]
		letterOrDigit := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !letterOrDigit && (i == 0 || c != '.' && c != '_' && c != '-') {
			return UsernameChars
		}
	}
	if reserved[folded] {
		return UsernameReserved
	}
	return ""
}

// CheckNickname returns why a nickname is refused, or "".
func CheckNickname(nickname string) Problem {
	switch {
	case len(nickname) > MaxNicknameBytes:
		return NicknameTooLong
	case !utf8.ValidString(nickname):
		return NicknameChars
	case utf8.RuneCountInString(nickname) > MaxNickname:
		return NicknameTooLong
	}
	visible := false
	for _, r := range nickname {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || bidiControl(r) {
			return NicknameChars
		}
		visible = visible || unicode.IsGraphic(r) && !unicode.IsSpace(r) && !blank(r)
	}
	if !visible {
		return NicknameEmpty
	}
	return ""
}

// bidiControl tells the characters that turn the direction of the text after
// them around, with which one name can be made to look like another
// (Unicode TR 36, section 3).
func bidiControl(r rune) bool {
	return '\u202a' <= r && r <= '\u202e' || '\u2066' <= r && r <= '\u2069'
}

// blank tells the characters that count as graphic and show nothing: fillers,
// variation selectors and the empty Braille pattern.
func blank(r rune) bool {
	return r == '\u2800' || unicode.In(r, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector)
}
