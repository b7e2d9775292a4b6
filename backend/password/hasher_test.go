package password_test

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"gatehouse/backend/password"
)

// tiny makes real hashes quick.
func tiny() password.Params { return password.Params{Memory: 8, Time: 1, Threads: 1} }

func open(t *testing.T, cfg password.Config) *password.Hasher {
	t.Helper()
	h, err := password.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func mustHash(t *testing.T, h *password.Hasher, plain string) []byte {
	t.Helper()
	c, err := h.Hash(t.Context(), plain)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// The tags come from the reference implementation in C (phc-winner-argon2).
func TestVerifyAgreesWithTheReferenceImplementation(t *testing.T) {
	t.Parallel()
	h := open(t, password.Config{Params: tiny()})
	for _, v := range []struct {
		plain  string
		params password.Params
		tag    string
	}{
		{"password", password.Params{Memory: 256, Time: 2, Threads: 1}, "cab746b4621993fdc91ec50787980b414a90a692f0bc68dfe19f9c25b3cba9ec"},
		{"password", password.Params{Memory: 64, Time: 3, Threads: 4}, "9cb56f6cad0c84f51536569e63acbc47d2fdefaeea4b4f711efb5409e37f34ca"},
		{"cafe\u0301", tiny(), "81c8c61c53a5c599600caa19b8c556f2ae0dfd79ba220de76e0d6845ab9636b7"},
	} {
		tag, err := hex.DecodeString(v.tag)
		if err != nil {
			t.Fatal(err)
		}
		c := password.Credential{Params: v.params, Salt: [16]byte([]byte("somesaltsomesalt")), Tag: [32]byte(tag)}
		if ok, _, err := h.Verify(t.Context(), c.Encode(), v.plain); !ok || err != nil {
			t.Errorf("%q at %v: %t, %v, want true", v.plain, v.params, ok, err)
		}
		c.Tag[31] ^= 1
		if ok, _, err := h.Verify(t.Context(), c.Encode(), v.plain); ok || err != nil {
			t.Errorf("%q with another tag: %t, %v, want false", v.plain, ok, err)
		}
	}
}

func TestVerifyAcceptsOnlyThePasswordHashed(t *testing.T) {
	t.Parallel()
	h := open(t, password.Config{Params: tiny()})
	c := mustHash(t, h, "Correct horse  é ")
	for plain, want := range map[string]bool{
		"Correct horse  é ":       true,
		"Correct horse  e\u0301 ": true, // the same, decomposed
		"correct horse  é ":       false,
		"Correct horse  é":        false,
		"Correct horse é ":        false,
		"Correct horse  e ":       false,
		"Correct horse\u2003 é ":  false,
		"":                        false,
	} {
		if ok, rehash, err := h.Verify(t.Context(), c, plain); ok != want || rehash || err != nil {
			t.Errorf("%q: %t, rehash %t, %v, want %t", plain, ok, rehash, err, want)
		}
	}
}

func TestComposedAndDecomposedAreOnePassword(t *testing.T) {
	t.Parallel()
	h := open(t, password.Config{Params: tiny()})
	composed, decomposed := "Hélène Ångström", "He\u0301le\u0300ne A\u030angstro\u0308m"
	for _, pair := range [][2]string{{composed, decomposed}, {decomposed, composed}} {
		if ok, _, err := h.Verify(t.Context(), mustHash(t, h, pair[0]), pair[1]); !ok || err != nil {
			t.Errorf("%+q against %+q: %t, %v", pair[1], pair[0], ok, err)
		}
	}
}

func TestHashTakesANewSaltEachTime(t *testing.T) {
	t.Parallel()
	h := open(t, password.Config{Params: tiny()})
	if a, b := mustHash(t, h, "one password"), mustHash(t, h, "one password"); bytes.Equal(a, b) {
		t.Errorf("two credentials are equal: %x", a)
	}
}

func TestHashRefusesWhatIsNoPassword(t *testing.T) {
	t.Parallel()
	h := open(t, password.Config{Params: tiny()})
	for name, plain := range unusable() {
		if c, err := h.Hash(t.Context(), plain); !errors.Is(err, password.ErrInvalidPassword) {
			t.Errorf("%s: %x, %v, want ErrInvalidPassword", name, c, err)
		}
	}
	mustHash(t, h, strings.Repeat("a", password.MaxBytes))
}

func unusable() map[string]string {
	return map[string]string{
		"empty":         "",
		"not UTF-8":     "pass\xffword",
		"NUL":           "pass\x00word",
		"over MaxBytes": strings.Repeat("a", password.MaxBytes+1),
	}
}

func TestVerifyAsksForARehashWhenParametersChanged(t *testing.T) {
	t.Parallel()
	old := open(t, password.Config{Params: tiny()})
	current := open(t, password.Config{Params: password.Params{Memory: 16, Time: 2, Threads: 1}})
	c := mustHash(t, old, "open sesame")
	if ok, rehash, err := current.Verify(t.Context(), c, "open sesame"); !ok || !rehash || err != nil {
		t.Errorf("right password, old parameters: %t, rehash %t, %v, want true, true", ok, rehash, err)
	}
	if ok, rehash, err := current.Verify(t.Context(), c, "open simsim"); ok || rehash || err != nil {
		t.Errorf("wrong password, old parameters: %t, rehash %t, %v, want false, false", ok, rehash, err)
	}
	if ok, rehash, err := current.Verify(t.Context(), mustHash(t, current, "open sesame"), "open sesame"); !ok || rehash || err != nil {
		t.Errorf("current parameters: %t, rehash %t, %v, want true, false", ok, rehash, err)
	}
}

// derivation is what one computation was asked for.
type derivation struct {
	plain  string
	params password.Params
}

func TestNobodyCostsWhatSomebodyCosts(t *testing.T) {
	t.Parallel()
	var log []derivation
	var waited, worked atomic.Int32
	h, err := password.NewWithDerive(password.Config{
		Workers: 1,
		Params:  tiny(),
		Trace: password.Trace{
			Waited: func(context.Context, time.Duration) { waited.Add(1) },
			Worked: func(context.Context, time.Duration) { worked.Add(1) },
		},
	}, func(plain string, params password.Params, _ [16]byte) (tag [32]byte) {
		log = append(log, derivation{plain, params})
		copy(tag[:], plain)
		return tag
	})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	ada, broken := mustHash(t, h, "right"), stored()
	broken[6] = 99
	for name, c := range map[string]struct {
		credential []byte
		plain      string
		wantErr    error
		derived    string
	}{
		"somebody, wrong": {ada, "wrong", nil, "wrong"},
		"nil":             {nil, "wrong", nil, "wrong"},
		"empty":           {[]byte{}, "wrong", nil, "wrong"},
		"broken":          {broken, "wrong", password.ErrCredential, "wrong"},
		"not UTF-8":       {ada, "\xff", nil, ""},
		"over MaxBytes":   {ada, strings.Repeat("a", 5000), nil, ""},
	} {
		log = nil
		waited.Store(0)
		worked.Store(0)
		ok, rehash, err := h.Verify(t.Context(), c.credential, c.plain)
		if ok || rehash || !errors.Is(err, c.wantErr) {
			t.Errorf("%s: %t, rehash %t, %v, want false, false, %v", name, ok, rehash, err, c.wantErr)
		}
		if want := (derivation{c.derived, tiny()}); len(log) != 1 || log[0] != want {
			t.Errorf("%s: computed %v, want one %v", name, log, want)
		}
		if waited.Load() != 1 || worked.Load() != 1 {
			t.Errorf("%s: waited %d times, worked %d times, want 1, 1", name, waited.Load(), worked.Load())
		}
	}
}

// Whatever the hash of nobody's password is, no password is right for nobody.
func TestNobodyHasNoRightPassword(t *testing.T) {
	t.Parallel()
	h, err := password.NewWithDerive(password.Config{Workers: 1},
		func(string, password.Params, [16]byte) (tag [32]byte) { return tag })
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	if ok, _, err := h.Verify(t.Context(), nil, "anything"); ok || err != nil {
		t.Errorf("nobody: %t, %v, want false", ok, err)
	}
	if ok, _, err := h.Verify(t.Context(), mustHash(t, h, "a"), "\xff"); ok || err != nil {
		t.Errorf("unusable password with a tag that matches: %t, %v, want false", ok, err)
	}
}

func TestNewRefusesImpossibleParameters(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]password.Params{
		"t is 0":          {Memory: 8, Threads: 1},
		"p is 0":          {Memory: 8, Time: 1},
		"m is 7 KiB":      {Memory: 7, Time: 1, Threads: 1},
		"m is 2097152 Ki": {Memory: 1 << 21, Time: 1, Threads: 1},
	} {
		if _, err := password.New(password.Config{Params: p}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("New with %v: error %v, want it to contain %q", p, err, want)
		}
	}
}

func TestExhaustedRandomnessIsAnError(t *testing.T) {
	t.Parallel()
	broken := errors.New("no entropy")
	if _, err := password.New(password.Config{Params: tiny(), Rand: iotest.ErrReader(broken)}); !errors.Is(err, broken) {
		t.Errorf("New: %v, want %v", err, broken)
	}
	h := open(t, password.Config{Params: tiny(), Rand: bytes.NewReader(make([]byte, 16+32+10))})
	if c, err := h.Hash(t.Context(), "a password"); err == nil {
		t.Errorf("Hash with 10 of 16 random bytes: %x, want an error", c)
	}
}

func TestZeroConfigUsesTheDefaultParameters(t *testing.T) {
	t.Parallel()
	h := open(t, password.Config{})
	c, err := password.Decode(mustHash(t, h, "a password"))
	if err != nil || c.Params != password.DefaultParams() {
		t.Errorf("parameters %v, %v, want %v", c.Params, err, password.DefaultParams())
	}
}
