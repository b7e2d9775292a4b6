package throttle

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// DeviceConfig configures Devices. The zero value works, for one process.
type DeviceConfig struct {
	// Key authenticates the tokens. It is used for nothing else. All backends of a service must have the same one, and
	// keep it: with another key, the devices of all users become unknown. Zero means a random one.
	Key      [32]byte
	Lifetime time.Duration    // of a token; zero means 365 days
	Now      func() time.Time // nil means time.Now
}

// Devices makes and recognises the tokens by which a device shows that somebody has logged in to an account on it before
// (OWASP device cookies). A token gives no access to anything: it only moves its holder to a budget of failures of its
// own, at that one account. It is checked without looking anything up.
//
// The tokens cannot be revoked one by one. Whoever once knew the password may have collected several, each good for
// DeviceFailures of guesses at the next password.
type Devices struct {
	key      [32]byte
	lifetime time.Duration
	now      func() time.Time
}

// Device is a known device. The zero Device is one that is not known. Callers may make one, with an ID, of what else
// proves an earlier login: whoever gives a password within a session is measured like a known device.
type Device struct {
	ID     [16]byte // random, of the token
	UserID int64    // who logged in, whatever the name's owner is now
}

// A token is the base64url form of: version, expiry in Unix seconds, user id, device id, HMAC-SHA-256 over these and
// the username.
const (
	deviceVersion = 1
	deviceSigned  = 1 + 8 + 8 + 16
	deviceBytes   = deviceSigned + sha256.Size
)

// NewDevices makes Devices.
func NewDevices(cfg DeviceConfig) *Devices {
	d := &Devices{key: cfg.Key, lifetime: cfg.Lifetime, now: cfg.Now}
	if d.key == ([32]byte{}) {
		rand.Read(d.key[:])
	}
	if d.lifetime == 0 {
		d.lifetime = 365 * 24 * time.Hour
	}
	if d.now == nil {
		d.now = time.Now
	}
	return d
}

// Issue makes a token for a new device of the user, 87 characters of base64url. It is for a device on which the user has
// just logged in and that showed no token Known accepts. folded is the username as folded.
func (d *Devices) Issue(userID int64, folded string) string {
	b := make([]byte, 0, deviceBytes)
	b = append(b, deviceVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(d.now().Add(d.lifetime).Unix()))
	b = binary.BigEndian.AppendUint64(b, uint64(userID))
	b = b[:deviceSigned]
	rand.Read(b[deviceSigned-16:])
	return base64.RawURLEncoding.EncodeToString(append(b, d.sign(b, folded)...))
}

// Known returns the device a token was issued to, and false for one that was issued under another name or key, has
// expired, or is none. Only the name is checked: whether it still belongs to Device.UserID is for the caller to see once
// the user is read, see Throttle.Login.
func (d *Devices) Known(token, folded string) (Device, bool) {
	if len(token) != base64.RawURLEncoding.EncodedLen(deviceBytes) {
		return Device{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || b[0] != deviceVersion || !hmac.Equal(b[deviceSigned:], d.sign(b[:deviceSigned], folded)) {
		return Device{}, false
	}
	if expiry := int64(binary.BigEndian.Uint64(b[1:])); d.now().Unix() >= expiry {
		return Device{}, false
	}
	return Device{ID: [16]byte(b[17:deviceSigned]), UserID: int64(binary.BigEndian.Uint64(b[9:]))}, true
}

// sign needs no separator: what comes before the name is of fixed length.
func (d *Devices) sign(signed []byte, folded string) []byte {
	mac := hmac.New(sha256.New, d.key[:])
	mac.Write(signed)
	mac.Write([]byte(folded))
	return mac.Sum(nil)
}
