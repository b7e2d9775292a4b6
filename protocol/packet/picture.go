package packet

import "gatehouse/protocol"

// SetPicture points the person's record at a picture that tier 1 has
// stored, or at none.
var SetPicture = protocol.Method[SetPictureRequest, SetPictureReply]{Type: "set_picture"}

// SetPictureRequest is the body of a set_picture packet.
type SetPictureRequest struct {
	Authenticated
	// Picture is the key of the stored picture, 64 small hexadecimal
	// digits; empty removes the picture.
	Picture string `json:"picture"`
}

// SetPictureReply is the body of the answer to set_picture.
type SetPictureReply struct {
	User User `json:"user"`
	// Previous is the key of the picture that the record pointed at before
	// and that nothing points at now, so that tier 1 may delete it. Empty
	// where there is none.
	Previous string `json:"previous,omitempty"`
}

// PicturesInUse tells which pictures some record points at. Tier 1 sweeps
// away the others once they are old enough.
var PicturesInUse = protocol.Method[PictureKeys, PictureKeys]{Type: "pictures_in_use", ReadOnly: true}

// PictureKeys is a list of picture keys, at most MaxPictureKeys.
type PictureKeys struct {
	Keys []string `json:"keys"`
}

// MaxPictureKeys bounds the keys of one pictures_in_use packet.
const MaxPictureKeys = 500
