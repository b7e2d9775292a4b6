package password_test

import (
	"strings"
	"testing"

	"gatehouse/backend/password"
)

func TestParseParamsReadsWhatStringWrites(t *testing.T) {
	t.Parallel()
	for _, want := range []password.Params{
		password.DefaultParams(),
		{Memory: 7168, Time: 1, Threads: 1},
		{Memory: 1 << 20, Time: 16, Threads: 16},
	} {
		got, err := password.ParseParams(want.String())
		if err != nil || got != want {
			t.Errorf("ParseParams(%q) = %v, %v", want.String(), got, err)
		}
	}
	got, err := password.ParseParams("argon2id:p=3,m=65536,t=4")
	if want := (password.Params{Memory: 65536, Time: 4, Threads: 3}); err != nil || got != want {
		t.Errorf("in another order: %v, %v, want %v", got, err, want)
	}
}

func TestDefaultParamsAreTheDocumentedOnes(t *testing.T) {
	t.Parallel()
	if got := password.DefaultParams().String(); got != "argon2id:m=19456,t=2,p=1" {
		t.Errorf("default is %s", got)
	}
}

func TestParseParamsNamesWhatIsWrong(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                  "want argon2id:m=KIB,t=PASSES,p=THREADS",
		"bcrypt:cost=10":                    "want argon2id:m=KIB,t=PASSES,p=THREADS",
		"argon2id:":                         `"" is none of m=, t=, p=`,
		"argon2id:m=19456,t=2":              "p is missing",
		"argon2id:t=2,p=1":                  "m is missing",
		"argon2id:m=19456,p=1":              "t is missing",
		"argon2id:m=19456,t=2,p=1,t=2":      "t is given twice",
		"argon2id:m=19456,t=2,p=1,x=2":      `"x=2" is none of m=, t=, p=`,
		"argon2id:m=7167,t=2,p=1":           `m is "7167", want a whole number from 7168 to 1048576`,
		"argon2id:m=1048577,t=2,p=1":        `m is "1048577", want a whole number from 7168 to 1048576`,
		"argon2id:m=4294967296,t=2,p=1":     `m is "4294967296"`,
		"argon2id:m=19456,t=0,p=1":          `t is "0", want a whole number from 1 to 16`,
		"argon2id:m=19456,t=17,p=1":         `t is "17", want a whole number from 1 to 16`,
		"argon2id:m=19456,t=257,p=1":        `t is "257"`,
		"argon2id:m=19456,t=2,p=0":          `p is "0", want a whole number from 1 to 16`,
		"argon2id:m=19456,t=2,p=17":         `p is "17", want a whole number from 1 to 16`,
		"argon2id:m=19456,t=2,p=":           `p is ""`,
		"argon2id:m=19 MiB,t=2,p=1":         `m is "19 MiB"`,
		"argon2id:m=-19456,t=2,p=1":         `m is "-19456"`,
		"argon2id:m=19456,t=2,p=1,":         `"" is none of m=, t=, p=`,
		" argon2id:m=19456,t=2,p=1":         "want argon2id:",
		"argon2id:m=19456, t=2, p=1":        `" t=2" is none of m=, t=, p=`,
		"argon2id:M=19456,t=2,p=1":          `"M=19456" is none of`,
		"argon2id:m=19456,t=2,p=1\nm=7168":  `p is "1\nm=7168"`,
		"$argon2id$v=19$m=19456,t=2,p=1$a$": "want argon2id:",
	} {
		_, err := password.ParseParams(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseParams(%q): error %v, want it to contain %q", text, err, want)
		}
	}
}

func TestWeakFollowsTheEqualStrengthRows(t *testing.T) {
	t.Parallel()
	for text, weak := range map[string]bool{
		"argon2id:m=47104,t=1,p=1": false,
		"argon2id:m=47103,t=1,p=1": true,
		"argon2id:m=19456,t=2,p=1": false,
		"argon2id:m=19455,t=2,p=1": true,
		"argon2id:m=12288,t=3,p=1": false,
		"argon2id:m=9216,t=4,p=1":  false,
		"argon2id:m=9215,t=4,p=1":  true,
		"argon2id:m=7168,t=5,p=1":  false,
		"argon2id:m=7168,t=4,p=16": true,
	} {
		p, err := password.ParseParams(text)
		if err != nil || p.Weak() != weak {
			t.Errorf("%s: weak %t, error %v, want weak %t", text, p.Weak(), err, weak)
		}
	}
}
