package packet

import "gatehouse/protocol"

// ChangePassword sets a new password and ends all other sessions. Refused
// with Forbidden "wrong_password", Invalid with fields, Exhausted
// "too_many_attempts", or Overloaded.
var ChangePassword = protocol.Method[ChangePasswordRequest, Empty]{Type: "change_password"}

// ChangePasswordRequest is the body of a change_password packet.
type ChangePasswordRequest struct {
	Authenticated
	CurrentPassword Secret `json:"current_password"`
	NewPassword     Secret `json:"new_password"`
}

// DeleteAccount deletes the person's record with all that hangs on it.
// Refused with Forbidden "wrong_password", Exhausted "too_many_attempts", or
// Overloaded.
var DeleteAccount = protocol.Method[DeleteAccountRequest, DeleteAccountReply]{Type: "delete_account"}

// DeleteAccountRequest is the body of a delete_account packet.
type DeleteAccountRequest struct {
	Authenticated
	Password Secret `json:"password"`
}

// DeleteAccountReply is the body of the answer to delete_account.
type DeleteAccountReply struct {
	// Previous is the key of the picture that nothing points at now.
	Previous string `json:"previous,omitempty"`
}
