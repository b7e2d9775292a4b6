package password_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"

	"gatehouse/backend/password"
)

// stored is a credential of valid form whose bytes the tests corrupt.
func stored() []byte {
	return password.Credential{
		Params: password.Params{Memory: 19456, Time: 2, Threads: 1},
		Salt:   [16]byte([]byte("somesaltsomesalt")),
		Tag:    [32]byte(bytes.Repeat([]byte{0xab}, 32)),
	}.Encode()
}

// The stored form must never change: old rows are read for ever.
func TestStoredFormIsStable(t *testing.T) {
	t.Parallel()
	want := "01" + "00004c00" + "02" + "01" + "736f6d6573616c74736f6d6573616c74" +
		"abababababababababababababababababababababababababababababababab"
	if got := hex.EncodeToString(stored()); got != want {
		t.Errorf("stored form\n%s, want\n%s", got, want)
	}
}

func TestDecodeRefusesCorruptCredentials(t *testing.T) {
	t.Parallel()
	for name, corrupt := range map[string]func([]byte) []byte{
		"empty":              func([]byte) []byte { return nil },
		"cut":                func(b []byte) []byte { return b[:len(b)-1] },
		"scheme alone":       func(b []byte) []byte { return b[:1] },
		"longer":             func(b []byte) []byte { return append(b, 0) },
		"scheme 0":           func(b []byte) []byte { b[0] = 0; return b },
		"scheme 2":           func(b []byte) []byte { b[0] = 2; return b },
		"m over 1 GiB":       func(b []byte) []byte { copy(b[1:], []byte{0, 0x10, 0, 1}); return b },
		"m of 4 TiB":         func(b []byte) []byte { copy(b[1:], []byte{255, 255, 255, 255}); return b },
		"m 0":                func(b []byte) []byte { copy(b[1:], []byte{0, 0, 0, 0}); return b },
		"m under 8 a thread": func(b []byte) []byte { copy(b[1:], []byte{0, 0, 0, 31}); b[6] = 4; return b },
		"t 0":                func(b []byte) []byte { b[5] = 0; return b },
		"t 17":               func(b []byte) []byte { b[5] = 17; return b },
		"p 0":                func(b []byte) []byte { b[6] = 0; return b },
		"p 17":               func(b []byte) []byte { b[6] = 17; return b },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if c, err := password.Decode(corrupt(stored())); !errors.Is(err, password.ErrCredential) {
				t.Errorf("Decode = %v, %v, want ErrCredential", c, err)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(stored())
	f.Add(stored()[:30])
	f.Add([]byte{1})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := password.Decode(b)
		if err != nil {
			if !errors.Is(err, password.ErrCredential) {
				t.Fatalf("error %v is no ErrCredential", err)
			}
			return
		}
		p := c.Params
		if p.Memory > 1<<20 || p.Memory < 8*uint32(p.Threads) || p.Time < 1 || p.Time > 16 || p.Threads < 1 || p.Threads > 16 {
			t.Fatalf("accepted parameters %v", p)
		}
		if !bytes.Equal(c.Encode(), b) {
			t.Fatalf("%x became %x", b, c.Encode())
		}
	})
}
