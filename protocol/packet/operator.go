package packet

import "gatehouse/protocol"

// The packets of operators. They carry no token: whoever can open the socket
// that they are answered on may do what they ask for. On every other
// connection their types are unknown.

// MaxListed is the most accounts that one op_list_users returns, and
// MaxShown the most sessions of an op_show_user, so that a reply of the
// longest ones fits into a frame.
const (
	MaxListed = 200
	MaxShown  = 100
)

// OpAbout tells which backend answers, so that an operator does not change
// other accounts than were meant.
var OpAbout = protocol.Method[Empty, OpAboutReply]{Type: "op_about", ReadOnly: true}

// OpAboutReply is the body of the answer to op_about.
type OpAboutReply struct {
	Version string `json:"version"`
	// Database is where the accounts are kept, as the backend sees it: the
	// path of a file, or the name of a database on some server. It holds no
	// secret.
	Database string `json:"database"`
}

// OpAddUser makes an account, also where registration is closed. Refused with
// Invalid with fields, or Conflict "username_taken".
var OpAddUser = protocol.Method[OpAddUserRequest, OpUserReply]{Type: "op_add_user"}

// OpAddUserRequest is the body of an op_add_user packet.
type OpAddUserRequest struct {
	Named
	// Nickname is the username where it is empty.
	Nickname string `json:"nickname,omitempty"`
	Password Secret `json:"password"`
}

// OpUserReply answers the calls whose result is one account.
type OpUserReply struct {
	User Account `json:"user"`
}

// Account is a user's record as an operator sees it.
type Account struct {
	User
	Disabled bool `json:"disabled"`
}

// OpListUsers returns accounts in the order of their usernames' bytes.
var OpListUsers = protocol.Method[OpListUsersRequest, OpListUsersReply]{Type: "op_list_users", ReadOnly: true}

// OpListUsersRequest is the body of an op_list_users packet.
type OpListUsersRequest struct {
	// After is the username, which need not exist, that those returned come
	// after; empty for the first.
	After string `json:"after,omitempty"`
	// Limit is how many to return: MaxListed where it is 0 or more than that.
	Limit int `json:"limit,omitempty"`
}

// OpListUsersReply is the body of the answer to op_list_users.
type OpListUsersReply struct {
	Users []Account `json:"users"`
	// More tells that there are accounts after the last of Users.
	More bool `json:"more"`
}

// OpShowUser returns an account with its live sessions. Refused with
// NotFound, as every call below is.
var OpShowUser = protocol.Method[Named, OpShowUserReply]{Type: "op_show_user", ReadOnly: true}

// OpShowUserReply is the body of the answer to op_show_user.
type OpShowUserReply struct {
	User Account `json:"user"`
	// Sessions are the live ones, the one last seen first. Current is false
	// in all of them.
	Sessions []Session `json:"sessions"`
	// More tells that there are more sessions than were returned.
	More bool `json:"more"`
}

// OpDisableUser keeps a user from logging in and ends all their sessions.
// Doing it again changes nothing but that.
var OpDisableUser = protocol.Method[Named, OpUserReply]{Type: "op_disable_user"}

// OpEnableUser lets a user log in again.
var OpEnableUser = protocol.Method[Named, OpUserReply]{Type: "op_enable_user"}

// OpSetPassword sets a password and ends all sessions. Refused with Invalid
// with fields too.
var OpSetPassword = protocol.Method[OpSetPasswordRequest, OpUserReply]{Type: "op_set_password"}

// OpSetPasswordRequest is the body of an op_set_password packet.
type OpSetPasswordRequest struct {
	Named
	Password Secret `json:"password"`
}

// OpEndSessions ends all sessions of a user.
var OpEndSessions = protocol.Method[Named, OpUserReply]{Type: "op_end_sessions"}

// OpDeleteUser deletes an account with all that hangs on it.
var OpDeleteUser = protocol.Method[Named, DeleteAccountReply]{Type: "op_delete_user"}
