package throttle_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/backend/throttle"
)

func TestDeviceIsKnownUnderItsName(t *testing.T) {
	t.Parallel()
	d := throttle.NewDevices(throttle.DeviceConfig{})
	token := d.Issue(1<<62+5, "ada")
	device, ok := d.Known(token, "ada")
	if !ok || device.UserID != 1<<62+5 || device.ID == ([16]byte{}) {
		t.Errorf("Known = %v, %t", device, ok)
	}
	if again, ok := d.Known(token, "ada"); !ok || again != device {
		t.Errorf("the second time: %v, %t, want %v", again, ok, device)
	}
	other, ok := d.Known(d.Issue(1<<62+5, "ada"), "ada")
	if !ok || other.ID == device.ID {
		t.Errorf("another device: %v, %t, want another ID than %v", other, ok, device)
	}
}

func TestForgedDeviceTokensAreNotKnown(t *testing.T) {
	t.Parallel()
	key := [32]byte{1, 2, 3}
	d := throttle.NewDevices(throttle.DeviceConfig{Key: key})
	token := d.Issue(7, "ada")
	if _, ok := throttle.NewDevices(throttle.DeviceConfig{Key: key}).Known(token, "ada"); !ok {
		t.Error("another process with the same key does not know the device")
	}
	for name, other := range map[string]throttle.DeviceConfig{"another key": {Key: [32]byte{1, 2, 4}}, "a random key": {}} {
		if device, ok := throttle.NewDevices(other).Known(token, "ada"); ok || device != (throttle.Device{}) {
			t.Errorf("%s: %v, %t, want nothing", name, device, ok)
		}
	}
	for name, c := range map[string]struct{ token, folded string }{
		"another name":   {token, "grace"},
		"longer name":    {token, "adaa"},
		"no name":        {token, ""},
		"empty":          {"", "ada"},
		"cut":            {token[:len(token)-1], "ada"},
		"longer":         {token + "A", "ada"},
		"padded":         {token + "=", "ada"},
		"very long":      {strings.Repeat(token, 1000), "ada"},
		"not base64":     {strings.Repeat("!", len(token)), "ada"},
		"line feeds":     {token[:len(token)-1] + "\n", "ada"},
		"zero signature": {token[:44] + strings.Repeat("A", len(token)-44), "ada"},
	} {
		if device, ok := d.Known(c.token, c.folded); ok || device != (throttle.Device{}) {
			t.Errorf("%s: %v, %t, want nothing", name, device, ok)
		}
	}
}

func TestEveryByteOfADeviceTokenIsAuthenticated(t *testing.T) {
	t.Parallel()
	d := throttle.NewDevices(throttle.DeviceConfig{})
	raw, err := base64.RawURLEncoding.DecodeString(d.Issue(7, "ada"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		raw[i] ^= 1
		if _, ok := d.Known(base64.RawURLEncoding.EncodeToString(raw), "ada"); ok {
			t.Errorf("known with byte %d changed", i)
		}
		raw[i] ^= 1
	}
	if _, ok := d.Known(base64.RawURLEncoding.EncodeToString(raw), "ada"); !ok {
		t.Error("not known unchanged")
	}
}

// forge makes a token as the format says, with any version.
func forge(version byte, key [32]byte, expires time.Time, userID int64, id [16]byte, folded string) string {
	b := []byte{version}
	b = binary.BigEndian.AppendUint64(b, uint64(expires.Unix()))
	b = binary.BigEndian.AppendUint64(b, uint64(userID))
	b = append(b, id[:]...)
	mac := hmac.New(sha256.New, key[:])
	mac.Write(append(b, folded...))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(b))
}

// Browsers keep tokens for a year: those of an older release must stay known, those of a newer one are not guessed at.
func TestDeviceTokenFormatIsStable(t *testing.T) {
	t.Parallel()
	key, id := [32]byte{1}, [16]byte{9, 8, 7}
	d := throttle.NewDevices(throttle.DeviceConfig{Key: key})
	want := throttle.Device{ID: id, UserID: 7}
	if got, ok := d.Known(forge(1, key, time.Now().Add(time.Hour), 7, id, "ada"), "ada"); !ok || got != want {
		t.Errorf("version 1: %v, %t, want %v", got, ok, want)
	}
	if got, ok := d.Known(forge(2, key, time.Now().Add(time.Hour), 7, id, "ada"), "ada"); ok {
		t.Errorf("version 2: %v, want it unknown", got)
	}
}

// The unused bits of the last character must not give a token two spellings.
func TestDeviceTokenHasOneSpelling(t *testing.T) {
	t.Parallel()
	d := throttle.NewDevices(throttle.DeviceConfig{})
	token := d.Issue(7, "ada")
	known := 0
	for _, last := range "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" {
		if _, ok := d.Known(token[:len(token)-1]+string(last), "ada"); ok {
			known++
		}
	}
	if known != 1 {
		t.Errorf("%d spellings known, want 1", known)
	}
}

func TestDeviceIsKnownForItsLifetime(t *testing.T) {
	t.Parallel()
	for lifetime, want := range map[time.Duration]time.Duration{0: 365 * 24 * time.Hour, time.Hour: time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			d := throttle.NewDevices(throttle.DeviceConfig{Lifetime: lifetime})
			token := d.Issue(7, "ada")
			time.Sleep(want - time.Second)
			if _, ok := d.Known(token, "ada"); !ok {
				t.Errorf("lifetime %v: not known a second before its end", lifetime)
			}
			time.Sleep(time.Second)
			if _, ok := d.Known(token, "ada"); ok {
				t.Errorf("lifetime %v: known at its end", lifetime)
			}
		})
	}
}

func TestDevicesUseTheClockGiven(t *testing.T) {
	t.Parallel()
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	d := throttle.NewDevices(throttle.DeviceConfig{Lifetime: time.Hour, Now: func() time.Time { return now }})
	token := d.Issue(7, "ada")
	if _, ok := d.Known(token, "ada"); !ok {
		t.Error("not known at once")
	}
	now = now.Add(2 * time.Hour)
	if _, ok := d.Known(token, "ada"); ok {
		t.Error("known after its lifetime")
	}
}

// A name can be given to somebody else. The caller sees it by the user id and goes on as for an unknown device.
func TestDeviceOfTheFormerOwnerIsTreatedAsUnknown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		th, d := throttle.New(throttle.Config{}), throttle.NewDevices(throttle.DeviceConfig{})
		const newOwner = 8
		answered := 0
		for i := range 100 {
			device, ok := d.Known(d.Issue(7, "ada"), "ada") // collected while the name was his
			if !ok {
				t.Fatal("not known")
			}
			a, err := th.Login(attacker(i), "ada", device)
			if err == nil && device.UserID != newOwner {
				a, err = th.Login(attacker(i), "ada", throttle.Device{})
			}
			if err == nil && a.Fail() == nil {
				answered++
			}
		}
		if answered != 20 {
			t.Errorf("%d guesses answered, want 20", answered)
		}
	})
}

func FuzzKnown(f *testing.F) {
	d := throttle.NewDevices(throttle.DeviceConfig{Key: [32]byte{1}})
	f.Add(throttle.NewDevices(throttle.DeviceConfig{Key: [32]byte{2}}).Issue(7, "ada"), "ada")
	f.Add(strings.Repeat("_", 87), "")
	f.Fuzz(func(t *testing.T, token, folded string) {
		if device, ok := d.Known(token, folded); ok {
			t.Errorf("%q is known for %q: %v", token, folded, device)
		}
	})
}
