package packet

import "gatehouse/protocol"

// GetProfile returns the record of the person who asks.
var GetProfile = protocol.Method[Authenticated, UserReply]{Type: "get_profile", ReadOnly: true}

// UpdateProfile changes the nickname. Refused with Invalid and fields.
var UpdateProfile = protocol.Method[UpdateProfileRequest, UserReply]{Type: "update_profile"}

// UpdateProfileRequest is the body of an update_profile packet.
type UpdateProfileRequest struct {
	Authenticated
	Nickname string `json:"nickname"`
}

// GetUser returns the public view of a user by username. Refused with
// NotFound.
var GetUser = protocol.Method[Named, GetUserReply]{Type: "get_user", ReadOnly: true}

// GetUserReply is what everybody may know of a user.
type GetUserReply struct {
	Username   string  `json:"username"`
	Nickname   string  `json:"nickname"`
	PictureURL *string `json:"picture_url"`
}
