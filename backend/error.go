package backend

import (
	"context"
	"errors"
	"time"

	"gatehouse/backend/password"
	"gatehouse/backend/throttle"
	"gatehouse/backend/user"
	"gatehouse/protocol"
)

// retrySoon is after how long trying again may help where nothing better is
// known.
const retrySoon = time.Second

// toCode is the one place where what went wrong in tier 2 becomes what the
// wire says of it. What is not known here is a defect, Internal, and its
// details stay in the log.
func toCode(err error) *protocol.Error {
	var known *protocol.Error
	var limited *throttle.LimitedError
	var overloaded *password.OverloadedError
	switch {
	case errors.As(err, &known):
		return known
	case errors.As(err, &limited):
		return &protocol.Error{Code: protocol.Exhausted, Reason: "too_many_attempts", RetryAfter: limited.RetryAfter, Cause: err}
	case errors.As(err, &overloaded):
		return &protocol.Error{Code: protocol.Overloaded, RetryAfter: overloaded.RetryAfter, Cause: err}
	case errors.Is(err, user.ErrUnknownOutcome):
		return &protocol.Error{Code: protocol.UnknownOutcome, Cause: err}
	case errors.Is(err, user.ErrConflict):
		return &protocol.Error{Code: protocol.Unavailable, Reason: "contended", RetryAfter: retrySoon, Cause: err}
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &protocol.Error{Code: protocol.Timeout, RetryAfter: retrySoon, Cause: err}
	case errors.Is(err, user.ErrUnavailable), errors.Is(err, user.ErrGuarded), errors.Is(err, password.ErrClosed):
		return &protocol.Error{Code: protocol.Unavailable, RetryAfter: retrySoon, Cause: err}
	}
	return &protocol.Error{Code: protocol.Internal, Cause: err}
}

func unauthenticated() error { return &protocol.Error{Code: protocol.Unauthenticated} }

func wrongCredentials() error {
	return &protocol.Error{Code: protocol.Unauthenticated, Reason: "invalid_credentials"}
}

// refused tells an answer about the request from a failure to work on it.
func refused(err error) bool {
	if err == nil {
		return false
	}
	switch toCode(err).Code {
	case protocol.Unauthenticated, protocol.Forbidden, protocol.NotFound, protocol.Exhausted:
		return true
	}
	return false
}

// invalid refuses fields. The first gives the whole its reason.
func invalid(fields ...protocol.Field) error {
	return &protocol.Error{Code: protocol.Invalid, Reason: fields[0].Reason, Fields: fields}
}

func field(name string, p user.Problem) protocol.Field {
	return protocol.Field{Field: name, Reason: string(p), Detail: p.Detail()}
}

func passwordField(name string, p password.Problem) protocol.Field {
	return protocol.Field{Field: name, Reason: string(p), Detail: passwordDetail(p)}
}

func passwordDetail(p password.Problem) string {
	switch p {
	case password.TooShort:
		return "is too short"
	case password.TooLong:
		return "must be at most 256 code points and 1024 bytes"
	case password.Common:
		return "is one of the most used ones"
	case password.TooGuessable:
		return "is too easily guessed"
	case password.ContainsUsername:
		return "is too easily guessed beside the username in it"
	case password.ContainsProduct:
		return "is too easily guessed beside the name of this service in it"
	case password.Invalid:
		return "must be valid UTF-8 without NUL"
	}
	return "is refused"
}
