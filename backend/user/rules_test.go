package user_test

import (
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"gatehouse/backend/user"
)

func TestCheckUsername(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		want user.Problem
	}{
		{"ada", ""},
		{"a.b", ""},
		{"0--", ""},
		{"x__", ""},
		{"user00000001", ""},
		{"administrator1", ""},
		{strings.Repeat("z", 32), ""},
		{"", user.UsernameLength},
		{"ad", user.UsernameLength},
		{"é", user.UsernameLength},
		{strings.Repeat("z", 33), user.UsernameLength},
		{strings.Repeat("z", 1<<20), user.UsernameLength},
		{"Ada", user.UsernameChars}, // it is to be folded before
		{".ada", user.UsernameChars},
		{"-ada", user.UsernameChars},
		{"_ada", user.UsernameChars},
		{"ada ", user.UsernameChars},
		{" ada", user.UsernameChars},
		{"a da", user.UsernameChars},
		{"ada\n", user.UsernameChars},
		{"ada\x00", user.UsernameChars},
		{"ada/..", user.UsernameChars},
		{"ada@x", user.UsernameChars},
		{"a%41", user.UsernameChars},
		{"\u212aate", user.UsernameChars},       // KELVIN SIGN
		{"adm\u0131n", user.UsernameChars},      // dotless i
		{"adm\u0130n", user.UsernameChars},      // I with a dot
		{"ſtaff", user.UsernameChars},           // long s
		{"аdа", user.UsernameChars},             // Cyrillic
		{"ａｄａ", user.UsernameChars},             // full width
		{"ad\u0301a", user.UsernameChars},       // combining
		{"ada\u200b", user.UsernameChars},       // zero width
		{"ada\u00ad", user.UsernameChars},       // soft hyphen
		{"a\u202eda", user.UsernameChars},       // override
		{"ada\xff", user.UsernameChars},         // not UTF-8
		{"\xc1\xa1da", user.UsernameChars},      // a, encoded too long
		{"ada\xed\xa0\x80", user.UsernameChars}, // surrogate
		{"admin", user.UsernameReserved},
		{"no-reply", user.UsernameReserved},
		{"gatehouse", user.UsernameReserved},
		{"api", user.UsernameReserved},
		{"root", user.UsernameReserved},
	} {
		if got := user.CheckUsername(test.name); got != test.want {
			t.Errorf("%.40q: %q, want %q", test.name, got, test.want)
		}
	}
}

// rule is the rule as it is published, for names as folded.
var rule = regexp.MustCompile(`\A[a-z0-9][a-z0-9._-]{2,31}\z`)

// checkName compares the rules with their definition, for any name at all.
func checkName(t *testing.T, name string) {
	t.Helper()
	folded := user.Fold(name)
	if again := user.Fold(folded); again != folded {
		t.Fatalf("%q folds to %q, and that to %q", name, folded, again)
	}
	problem := user.CheckUsername(folded)
	if good := rule.MatchString(folded); good != (problem == "" || problem == user.UsernameReserved) {
		t.Fatalf("%q: %q, and it follows the rule: %v", folded, problem, good)
	}
	if problem != "" && (problem.Detail() == "" || problem.Detail() == string(problem)) {
		t.Fatalf("problem %q says nothing of what would be right", problem)
	}
	if problem == "" && !(len(name) == len(folded) && strings.EqualFold(name, folded) && ascii(name)) {
		t.Fatalf("%q became the valid name %q by more than the case of ASCII letters", name, folded)
	}
	if utf8.ValidString(name) && len(name) != len(folded) {
		t.Fatalf("folding made %q of %q", folded, name)
	}
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// TestNoTrickyNamePassesForAnother builds some twelve thousand names out of
// valid ones and of what looks, folds, sorts or trims like a part of them.
func TestNoTrickyNamePassesForAnother(t *testing.T) {
	t.Parallel()
	parts := []string{"k", "K", "\u212a", "i", "I", "\u0131", "\u0130", "s", "ſ", "ß", "a", "å", "\u212b", "а", "ａ", "\u0061\u030a",
		".", "_", "-", " ", "\u00a0", "\u3000", "\t", "\n", "\x00", "\x7f", "\u200b", "\u200d", "\ufeff", "\u00ad", "\u202e", "\u2066",
		"0", "٠", "０", "²", "\U0001d4ea", "\xff", "\xc0\xaf", "\xed\xa0\x80", "%", "'", "\"", "\\", "/", "<", "", "ada", "admin", "ı̇"}
	tried := 0
	for _, first := range parts {
		for _, second := range parts {
			for _, frame := range []string{"%", "x%", "%x", "root%", "a%b."} {
				checkName(t, strings.ReplaceAll(frame, "%", first+second))
				tried++
			}
		}
	}
	if tried < 10_000 {
		t.Errorf("only %d names were tried", tried)
	}
}

func FuzzUsername(f *testing.F) {
	for _, name := range []string{"ada", "ADA.b-c_9", "\u212aate", "adm\u0131n", "admin ", "ａｄａ", "\xff", "", strings.Repeat("Z", 32)} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) { checkName(t, name) })
}

func TestFoldTouchesASCIICapitalsAlone(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"":                       "",
		"AZaz09.@[`{":            "azaz09.@[`{",
		"ÅÉΣДİ\u212a\u212b":      "ÅÉΣДİ\u212a\u212b",
		strings.Repeat("Ab", 99): strings.Repeat("ab", 99),
		"A\x00B":                 "a\x00b",
	} {
		if got := user.Fold(name); got != want {
			t.Errorf("%q folds to %q, want %q", name, got, want)
		}
	}
}

func TestCheckNickname(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		nickname string
		want     user.Problem
	}{
		{"one letter", "A", ""},
		{"spaces around", " Ada ", ""},
		{"emoji of several code points", "👩‍💻🏳️‍🌈", ""},
		{"right to left", "עדה לאבלייס", ""},
		{"direction marks, which isolate nothing", "ada\u200f\u200e", ""},
		{"combining", "e\u0301", ""},
		{"markup", "<b>&amp;'\"", ""},
		{"64 letters", strings.Repeat("x", 64), ""},
		{"64 code points in 256 bytes", strings.Repeat("🦊", 64), ""},
		{"65 letters", strings.Repeat("x", 65), user.NicknameTooLong},
		{"65 code points in 257 bytes", strings.Repeat("🦊", 64) + "x", user.NicknameTooLong},
		{"a megabyte", strings.Repeat("x", 1<<20), user.NicknameTooLong},
		{"a megabyte that is not UTF-8", strings.Repeat("\xff", 1<<20), user.NicknameTooLong},
		{"nothing", "", user.NicknameEmpty},
		{"spaces", " \u00a0\u3000\u2003", user.NicknameEmpty},
		{"zero width", "\u200b\u200c\u200d\u2060\ufeff", user.NicknameEmpty},
		{"soft hyphen", "\u00ad", user.NicknameEmpty},
		{"fillers", "\u3164\u115f\u1160\uffa0", user.NicknameEmpty},
		{"Braille blank", "\u2800", user.NicknameEmpty},
		{"variation selectors", "\ufe0f\U000e0100", user.NicknameEmpty},
		{"grapheme joiner", "\u034f", user.NicknameEmpty},
		{"tags", "\U000e0041", user.NicknameEmpty},
		{"unassigned", "\U000e0fff", user.NicknameEmpty},
		{"NUL", "a\x00", user.NicknameChars},
		{"tab", "a\tb", user.NicknameChars},
		{"line feed", "a\nb", user.NicknameChars},
		{"delete", "a\x7f", user.NicknameChars},
		{"C1 control", "a\u0085", user.NicknameChars},
		{"escape", "a\x1b[31m", user.NicknameChars},
		{"line separator", "a\u2028b", user.NicknameChars},
		{"paragraph separator", "a\u2029b", user.NicknameChars},
		{"not UTF-8", "a\xff", user.NicknameChars},
		{"surrogate", "a\xed\xa0\x80", user.NicknameChars},
	} {
		if got := user.CheckNickname(test.nickname); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
	for r := rune('\u202a'); r <= '\u202e'; r++ {
		if got := user.CheckNickname("a" + string(r) + "b"); got != user.NicknameChars {
			t.Errorf("%U: %q, want %q", r, got, user.NicknameChars)
		}
	}
	for r := rune('\u2066'); r <= '\u2069'; r++ {
		if got := user.CheckNickname("a" + string(r) + "b"); got != user.NicknameChars {
			t.Errorf("%U: %q, want %q", r, got, user.NicknameChars)
		}
	}
}

// TestEveryUsernameIsANickname because it is one where none is given.
func TestEveryUsernameIsANickname(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"abc", "0..", "x--", "a__", strings.Repeat("w", 32)} {
		if p := user.CheckUsername(name); p != "" {
			t.Fatalf("%q: %q", name, p)
		}
		if p := user.CheckNickname(name); p != "" {
			t.Errorf("%q is a username and no nickname: %q", name, p)
		}
	}
}

func FuzzNickname(f *testing.F) {
	for _, nickname := range []string{"Ada", "👩‍💻", "\u202e", "\xff", " ", strings.Repeat("🦊", 64)} {
		f.Add(nickname)
	}
	f.Fuzz(func(t *testing.T, nickname string) {
		problem := user.CheckNickname(nickname)
		if problem != "" {
			if problem.Detail() == "" || problem.Detail() == string(problem) {
				t.Fatalf("problem %q says nothing of what would be right", problem)
			}
			return
		}
		if len(nickname) > 256 || !utf8.ValidString(nickname) || utf8.RuneCountInString(nickname) > 64 || nickname == "" {
			t.Fatalf("%q was taken", nickname)
		}
		if strings.ContainsAny(nickname, "\x00\t\r\n\x1b\x7f\u0085\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069") {
			t.Fatalf("%q was taken", nickname)
		}
	})
}
