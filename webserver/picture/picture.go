// Package picture checks uploaded profile pictures and keeps the result: it
// turns hostile bytes into a small, clean JPEG or PNG and stores it by key.
//
// It knows nothing of HTTP, accounts or the other tier: which user a picture
// belongs to is a number here, and whether a key is still in use is for others
// to say.
//
// A picture is made by [Processor.Process] and kept in a [Store]. Nothing of an
// upload survives but its pixels: the stored bytes are always our own encoding,
// so neither metadata (a GPS position, a colour profile) nor a second file
// hidden in the first can come through.
package picture

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
)

// Errors of this package. They are wrapped with the reason: test with errors.Is.
var (
	// ErrTooLarge means that the upload has too many bytes.
	ErrTooLarge = errors.New("picture too large")
	// ErrUnsupported means that the upload is of a kind that is not taken.
	ErrUnsupported = errors.New("picture kind not supported")
	// ErrInvalid means that the upload is of a kind that is taken, but broken,
	// empty, or costlier to decode than the limits allow.
	ErrInvalid = errors.New("picture invalid")
	// ErrNotFound means that a store holds no picture under the key.
	ErrNotFound = errors.New("picture not found")
)

// The two kinds that are stored and served.
const (
	typeJPEG = "image/jpeg"
	typePNG  = "image/png"
)

// A Picture is ready to be stored and served.
type Picture struct {
	// Key names the picture: see [Key].
	Key string
	// ContentType is image/jpeg or image/png.
	ContentType string
	// Bytes is the whole file.
	Bytes []byte
}

// Key returns the name under which a user's picture is stored: the SHA-256 of
// the user's id (8 bytes, big-endian) and the stored bytes, as 64 lower-case
// hexadecimal digits. The id is part of it so that deleting one user's picture
// never takes away another's that happens to look the same.
func Key(userID int64, stored []byte) string {
	digest := sha256.New()
	var id [8]byte
	binary.BigEndian.PutUint64(id[:], uint64(userID))
	digest.Write(id[:])
	digest.Write(stored)
	return hex.EncodeToString(digest.Sum(nil))
}

// validKey tells whether key could have come from Key. Everything that becomes
// a file name or an object name has passed it.
func validKey(key string) bool {
	if len(key) != 2*sha256.Size {
		return false
	}
	for _, c := range []byte(key) {
		if (c < '0' || '9' < c) && (c < 'a' || 'f' < c) {
			return false
		}
	}
	return true
}

// storedType tells the content type of a stored picture from its first bytes,
// or "" if it is none. What is served depends on the bytes alone, never on a
// name or a label that came with them.
func storedType(head []byte) string {
	switch {
	case bytes.HasPrefix(head, []byte(magicJPEG)):
		return typeJPEG
	case bytes.HasPrefix(head, []byte(magicPNG)):
		return typePNG
	}
	return ""
}
