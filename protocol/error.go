package protocol

import (
	"context"
	"errors"
	"strings"
	"time"
)

// A Code is the kind of a failure. It is itself an error, so that
// errors.Is(err, protocol.NotFound) works on both sides of the wire.
type Code string

// The codes. No other crosses the wire; one that a newer peer sends is kept
// as it is, and whoever does not know it treats it as Internal.
const (
	Invalid         Code = "invalid"         // the request cannot be served as it is; Fields say why
	Unauthenticated Code = "unauthenticated" // no live session, or wrong credentials
	Forbidden       Code = "forbidden"       // known, and not allowed
	NotFound        Code = "not_found"       // no such record, or no such packet type
	Conflict        Code = "conflict"        // the record's state refuses it
	Exhausted       Code = "exhausted"       // the caller used up an allowance; wait RetryAfter
	Overloaded      Code = "overloaded"      // the server has no capacity; certainly not applied
	Unavailable     Code = "unavailable"     // something needed is away; certainly not applied
	UnknownOutcome  Code = "unknown_outcome" // a write may or may not have been applied
	Timeout         Code = "timeout"         // the deadline passed; certainly not applied
	Internal        Code = "internal"        // a defect; details stay in the log of the server
)

// Error returns the code as text.
func (c Code) Error() string { return string(c) }

// Field is one field of a request that was refused.
type Field struct {
	Field string `json:"field"`
	// Reason is a stable word that tier 1 finds its text by.
	Reason string `json:"reason,omitempty"`
	// Detail says in English, for a developer, what is wrong and what would be right.
	Detail string `json:"detail,omitempty"`
}

// Error is a failure that survives the wire: all of it but the cause, which
// stays on the side where it happened.
type Error struct {
	Code Code
	// Reason is the finer code that the API shows, such as
	// "username_taken". Empty means that Code says it all.
	Reason string
	Fields []Field
	// RetryAfter tells how long to wait before trying again, where waiting
	// helps. It travels in whole milliseconds.
	RetryAfter time.Duration
	// Cause never travels.
	Cause error

	notSent bool
	link    bool
}

// Error describes the failure for a log.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Code))
	if e.Reason != "" {
		b.WriteString(" (" + e.Reason + ")")
	}
	for i, f := range e.Fields {
		sep := "; "
		if i == 0 {
			sep = ": "
		}
		b.WriteString(sep + f.Field + " " + f.Detail)
	}
	if e.Cause != nil {
		b.WriteString(": " + e.Cause.Error())
	}
	return b.String()
}

// Is tells whether target is the code of e.
func (e *Error) Is(target error) bool {
	code, ok := target.(Code)
	return ok && code == e.Code
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// NotSent tells that err is of a call of which the far end certainly
// executed nothing because it never had the whole frame, or said in its
// goaway that it would not: the call may be made again elsewhere, whatever
// it does.
func NotSent(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.notSent
}

// LinkFailed tells that err is of the connection or of a far end that did
// not answer in time, and not an answer. A caller who gave up early does not
// count: that says nothing of the far end.
func LinkFailed(err error) bool {
	var e *Error
	return errors.As(err, &e) && e.link && !errors.Is(err, context.Canceled)
}

// AsError returns err as an *Error; one that is none becomes Internal, with
// err as its cause. It returns nil for nil.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	var code Code
	if errors.As(err, &code) {
		return &Error{Code: code, Cause: err}
	}
	return &Error{Code: Internal, Cause: err}
}
