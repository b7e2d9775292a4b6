package password_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"gatehouse/backend/password"
)

const (
	plain      = "correct horse é"
	decomposed = "cafe\u0301 au lait"
	composed   = "caf\u00e9 au lait"
	// long fills what bcrypt looks at to the last byte.
	long = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
)

// vectors were made by others: the argon2id ones are of the reference
// implementation's own tests, scrypt and PBKDF2 of Python's hashlib (OpenSSL),
// bcrypt of libxcrypt's crypt(3).
var vectors = []struct{ plain, phc string }{
	{"password", "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"},
	{"password", "$argon2id$v=19$m=256,t=2,p=2$c29tZXNhbHQ$bQk8UB/VmZZF4Oo79iDXuL5/0ttZwg2f/5U52iv1cDc"},
	{plain, "$2a$05$abcdefghijklmnopqrstuuNKTrdYIyJepeBe0WMJS4ZyMwX4aEJLK"},
	{plain, "$2b$05$abcdefghijklmnopqrstuuNKTrdYIyJepeBe0WMJS4ZyMwX4aEJLK"},
	{plain, "$2y$05$abcdefghijklmnopqrstuuNKTrdYIyJepeBe0WMJS4ZyMwX4aEJLK"},
	{"U*U", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"},
	{decomposed, "$2b$05$abcdefghijklmnopqrstuusKeFw3RaP1O7CX4UsL1Zvha7joCwYZ."},
	{composed, "$2b$05$abcdefghijklmnopqrstuusTJFCVMZBlQP1dwbtUrCxhcr59UYFQO"},
	{long, "$2b$05$abcdefghijklmnopqrstuujf8SX2ahXLwp9w/B.Y5XdysS6yR576q"},
	{plain, "$scrypt$ln=10,r=8,p=2$++++AAECAwQFBgcICQoLDA$KqUbLf0FaWrqfbMSHmOWPpU5oxkntCX6y9PQg5qkmK0"},
	{decomposed, "$scrypt$ln=10,r=8,p=2$++++AAECAwQFBgcICQoLDA$gpnGvCRenjoOs8wI0Ahbk0mbAR6HPjS4fvNYAFAUI0A"},
	{composed, "$scrypt$ln=10,r=8,p=2$++++AAECAwQFBgcICQoLDA$ZJNeylT531uT/+L4Gn7QtnXxG7EmTf3Ke8JeYU/izXs"},
	{plain, "$pbkdf2$1000$....AAECAwQFBgcICQoLDA$E5xcrlgRP6cGr0Olx8k3cg7AH9A"},
	{plain, "$pbkdf2-sha256$1000$....AAECAwQFBgcICQoLDA$EmkUiNZPhtq9ykNprqbgXUrG7fNWgivTwJZIkEBkiqo"},
	{plain, "$pbkdf2-sha512$1000$....AAECAwQFBgcICQoLDA$5scrb3HPMPH7O7NYD3lMMWlumSsiBwdwRka6RnuW62b2yMNYz8.pQ2MkREWHaUKEdWCYm.SqOQWlkSQy3Z1V.A"},
	{decomposed, "$pbkdf2-sha256$1000$....AAECAwQFBgcICQoLDA$gwpnJS7EMOTPyDVKZihAjq9FJb7UdYaQbM3z8dChazs"},
	{composed, "$pbkdf2-sha256$1000$....AAECAwQFBgcICQoLDA$WLPVR5nt4ke867fYb9l1NhZXMRYXxNSOuukHCEYjW5c"},
}

func parsed(t *testing.T, phc string, nfc bool) []byte {
	t.Helper()
	stored, err := password.ParsePHC(phc, nfc)
	if err != nil {
		t.Fatalf("%s: %v", phc, err)
	}
	return stored
}

func TestVerifyKnowsTheHashesOfOthers(t *testing.T) {
	t.Parallel()
	h := open(t, password.Config{Params: tiny()})
	for _, v := range vectors {
		stored := parsed(t, v.phc, false)
		if ok, rehash, err := h.Verify(t.Context(), stored, v.plain); !ok || !rehash || err != nil {
			t.Errorf("%s of %+q: %t, rehash %t, %v", v.phc, v.plain, ok, rehash, err)
		}
		for _, wrong := range []string{"", v.plain[1:], "X" + v.plain[1:], strings.ToUpper(v.plain) + "Q", strings.Repeat("x", 2000)} {
			if ok, rehash, err := h.Verify(t.Context(), stored, wrong); ok || rehash || err != nil {
				t.Errorf("%s with the wrong %.20q: %t, rehash %t, %v", v.phc, wrong, ok, rehash, err)
			}
		}
		stored[len(stored)-1] ^= 1
		if ok, _, err := h.Verify(t.Context(), stored, v.plain); ok || err != nil {
			t.Errorf("%s with another tag: %t, %v", v.phc, ok, err)
		}
		if password.Own(stored) {
			t.Errorf("%s counts as our own", v.phc)
		}
	}
}

// Other programs seldom normalise: what was typed decomposed was hashed so.
func TestForeignPasswordsAreTriedAsTypedAndThenInNFC(t *testing.T) {
	t.Parallel()
	h := open(t, password.Config{Params: tiny()})
	for _, v := range vectors {
		if v.plain != decomposed && v.plain != composed {
			continue
		}
		for _, typed := range []string{decomposed, composed} {
			// The one thing that cannot be: composed is typed, decomposed was hashed.
			want := typed == v.plain || typed == decomposed
			if ok, _, err := h.Verify(t.Context(), parsed(t, v.phc, false), typed); ok != want || err != nil {
				t.Errorf("%s of %+q, typed %+q: %t, %v, want %t", v.phc, v.plain, typed, ok, err, want)
			}
		}
	}
}

func TestBcryptLooksAtSeventyTwoBytes(t *testing.T) {
	t.Parallel()
	h := open(t, password.Config{Params: tiny()})
	whole := parsed(t, "$2b$05$abcdefghijklmnopqrstuujf8SX2ahXLwp9w/B.Y5XdysS6yR576q", false)
	// The 72nd byte is the first of two.
	half := parsed(t, "$2b$05$abcdefghijklmnopqrstuusZHkwA51nwMp0X4BRE2tJ9nwPqtpEp6", false)
	for _, test := range []struct {
		stored []byte
		plain  string
		want   bool
	}{
		{whole, long, true}, {whole, long + "and more", true}, {whole, long[1:], false},
		{half, long[1:] + "é", true}, {half, long[1:] + "é and more", true}, {half, long[1:] + "x", false},
	} {
		if ok, _, err := h.Verify(t.Context(), test.stored, test.plain); ok != test.want || err != nil {
			t.Errorf("%d bytes, ending in %q: %t, %v, want %t", len(test.plain), test.plain[68:], ok, err, test.want)
		}
	}
}

func TestAForeignCredentialIsReplacedByOneOfOurs(t *testing.T) {
	t.Parallel()
	h := open(t, password.Config{Params: tiny()})
	ours := mustHash(t, h, plain)
	if ok, rehash, err := h.Verify(t.Context(), ours, plain); !ok || rehash || err != nil || !password.Own(ours) {
		t.Errorf("what replaces a foreign one: %t, rehash %t, %v", ok, rehash, err)
	}
}

func TestPHCComesBackAsItWas(t *testing.T) {
	t.Parallel()
	for _, v := range vectors {
		stored := parsed(t, v.phc, false)
		text, nfc, err := password.FormatPHC(stored)
		if text != v.phc || nfc || err != nil {
			t.Errorf("%s became %s, %t, %v", v.phc, text, nfc, err)
		}
		if again := parsed(t, text, nfc); !bytes.Equal(again, stored) || len(stored) > 255 {
			t.Errorf("%s: %x, then %x", v.phc, stored, again)
		}
	}
	h := open(t, password.Config{Params: tiny()})
	ours := mustHash(t, h, plain)
	text, nfc, err := password.FormatPHC(ours)
	if !nfc || err != nil || !bytes.Equal(parsed(t, text, nfc), ours) {
		t.Errorf("our own: %s, %t, %v", text, nfc, err)
	}
	// Without the note it is somebody else's, whose password was as typed.
	if other := parsed(t, text, false); password.Own(other) {
		t.Errorf("%s without nfc is ours", text)
	} else if ok, rehash, err := h.Verify(t.Context(), other, plain); !ok || !rehash || err != nil {
		t.Errorf("our own as another's: %t, rehash %t, %v", ok, rehash, err)
	}
	// Our own limits are wider than those for others.
	wide := password.Credential{Params: password.Params{Memory: 1 << 20, Time: 2, Threads: 1}}.Encode()
	text, nfc, err = password.FormatPHC(wide)
	if err != nil || !bytes.Equal(parsed(t, text, nfc), wide) {
		t.Errorf("our own of 1 GiB: %s, %t, %v", text, nfc, err)
	}
}

func TestParsePHCRefuses(t *testing.T) {
	t.Parallel()
	const salt, tag = "c29tZXNhbHQ", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	const blowfish = "abcdefghijklmnopqrstuuNKTrdYIyJepeBe0WMJS4ZyMwX4aEJLK"
	argon := func(params string) string { return "$argon2id$v=19$" + params + "$" + salt + "$" + tag }
	scrypt := func(params string) string { return "$scrypt$" + params + "$" + salt + "$" + tag }
	for name, test := range map[string]struct{ phc, want string }{
		"nothing":                  {"", "form"},
		"plain text":               {"hunter2", "form"},
		"md5-crypt":                {"$1$abcdefgh$1234567890123456789012", "scheme"},
		"argon2i":                  {"$argon2i$v=19$m=256,t=2,p=1$" + salt + "$" + tag, "scheme"},
		"a broken bcrypt":          {"$2x$05$" + blowfish, "scheme"},
		"too long":                 {argon("m=256,t=2,p=1") + strings.Repeat("A", 500), "form"},
		"argon2id 1.0":             {"$argon2id$v=16$m=256,t=2,p=1$" + salt + "$" + tag, "v=19"},
		"argon2id memory":          {argon("m=262145,t=1,p=1"), "m is 262145"},
		"argon2id work":            {argon("m=262144,t=4,p=1"), "m·t is 1048576"},
		"argon2id passes":          {argon("m=8,t=4294967295,p=1"), "m·t is"},
		"argon2id no passes":       {argon("m=256,t=0,p=1"), "t is 0"},
		"argon2id lanes":           {argon("m=256,t=1,p=17"), "p is 17"},
		"argon2id no lanes":        {argon("m=256,t=1,p=0"), "p is 0"},
		"argon2id too many lanes":  {argon("m=262144,t=1,p=4294967295"), "p is 4294967295"},
		"argon2id memory a lane":   {argon("m=15,t=1,p=2"), "m is 15"},
		"argon2id a number":        {argon("m=1e3,t=1,p=1"), "m is not"},
		"argon2id a large number":  {argon("m=4294967552,t=1,p=1"), "m is not"},
		"argon2id a missing one":   {argon("m=256,t=1,t=1"), "p is missing"},
		"argon2id one more":        {argon("m=256,t=1,p=1,keyid=AA"), "parameters"},
		"salt with padding":        {"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ=$" + tag, "salt"},
		"salt with a line end":     {"$argon2id$v=19$m=256,t=2,p=1$c29tZXNhb\nHQ$" + tag, "form"},
		"no salt":                  {"$argon2id$v=19$m=256,t=2,p=1$$" + tag, "salt of 0"},
		"a salt of 65 bytes":       {"$pbkdf2$1000$" + strings.Repeat("A", 87) + "$" + tag, "salt of 65"},
		"a hash of 15 bytes":       {"$pbkdf2$1000$" + salt + "$" + strings.Repeat("A", 20), "hash of 15"},
		"a hash of 65 bytes":       {"$pbkdf2$1000$" + salt + "$" + strings.Repeat("A", 87), "hash of 65"},
		"bcrypt too dear":          {"$2b$15$" + blowfish, "cost is 15"},
		"bcrypt cost of 31":        {"$2b$31$" + blowfish, "cost is 31"},
		"bcrypt too cheap":         {"$2b$03$" + blowfish, "cost is 3"},
		"bcrypt cost of one digit": {"$2b$5$" + blowfish, "form"},
		"bcrypt cost of a sign":    {"$2b$+5$" + blowfish, "cost is not"},
		"bcrypt cut":               {"$2b$05$" + blowfish[:52], "form"},
		"bcrypt other alphabet":    {"$2b$05$" + blowfish[:52] + "+", "base64"},
		"scrypt work":              {scrypt("ln=17,r=8,p=3"), "more work"},
		"scrypt one block's lanes": {scrypt("ln=1,r=1048577,p=1"), "more work"},
		"scrypt overflow":          {scrypt("ln=20,r=4294967295,p=4294967295"), "more work"},
		"scrypt ln":                {scrypt("ln=21,r=1,p=1"), "ln is 21"},
		"scrypt no r":              {scrypt("ln=10,r=0,p=1"), "r 0"},
		"pbkdf2 rounds":            {"$pbkdf2-sha256$2000001$" + salt + "$" + tag, "rounds are 2000001"},
		"pbkdf2 two blocks":        {"$pbkdf2$1000001$" + salt + "$" + tag, "2 block"},
		"pbkdf2 no rounds":         {"$pbkdf2-sha256$0$" + salt + "$" + tag, "rounds are 0"},
		"pbkdf2 other digest":      {"$pbkdf2-md5$1000$" + salt + "$" + tag, "scheme"},
	} {
		_, err := password.ParsePHC(test.phc, false)
		if !errors.Is(err, password.ErrUnsupportedHash) || !strings.Contains(fmt.Sprint(err), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
		if err != nil && (strings.Contains(err.Error(), tag) || strings.Contains(err.Error(), blowfish)) {
			t.Errorf("%s: the error quotes the hash: %v", name, err)
		}
	}
}

func TestParsePHCTakesWhatIsJustCheapEnough(t *testing.T) {
	t.Parallel()
	const bytes = "$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	for _, phc := range []string{
		"$argon2id$v=19$m=262144,t=3,p=16" + bytes, "$scrypt$ln=18,r=8,p=1" + bytes, "$pbkdf2-sha256$2000000" + bytes,
		"$pbkdf2-sha1$1000" + bytes, "$2b$14$abcdefghijklmnopqrstuuNKTrdYIyJepeBe0WMJS4ZyMwX4aEJLK",
	} {
		parsed(t, phc, false)
	}
}

func FuzzParsePHC(f *testing.F) {
	for _, v := range vectors {
		f.Add(v.phc, false)
	}
	f.Add("$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4", true)
	f.Fuzz(func(t *testing.T, phc string, nfc bool) {
		stored, err := password.ParsePHC(phc, nfc)
		if err != nil {
			if !errors.Is(err, password.ErrUnsupportedHash) {
				t.Fatalf("error %v is no ErrUnsupportedHash", err)
			}
			return
		}
		if len(stored) > 255 {
			t.Fatalf("%q is stored as %d bytes", phc, len(stored))
		}
		text, own, err := password.FormatPHC(stored)
		if err != nil {
			t.Fatalf("%q cannot be written again: %v", phc, err)
		}
		if again, err := password.ParsePHC(text, own); err != nil || !bytes.Equal(again, stored) {
			t.Fatalf("%q became %q: %x, then %x, %v", phc, text, stored, again, err)
		}
	})
}
