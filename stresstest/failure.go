package stresstest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"
)

// codeSignedOut is the target's word for a token without a session.
const codeSignedOut = "unauthenticated"

// Codes of failures that the driver itself gives a name. All others are
// codes of the target.
const (
	codeTimeout    = "timeout"      // no answer within requestTimeout
	codeConnection = "connection"   // none was to be had, or it broke
	codeWrong      = "wrong_answer" // a success that is not the right one
	codeOther      = "other"        // more different codes than are told apart
)

// maxCode bounds a code from the target, in bytes.
const maxCode = 64

// failure is why a request did not succeed.
type failure struct {
	code string
	// outcome tells what became of an update.
	outcome outcome
	// wrong: the target said that it succeeded, and it did not.
	wrong bool
	// again: waiting for retryAfter may help.
	again      bool
	retryAfter time.Duration
	cause      error
}

func (f *failure) Error() string { return fmt.Sprintf("%s: %v", f.code, f.cause) }

func (f *failure) Unwrap() error { return f.cause }

// wrongAnswer is the failure of an answer that is not the right one.
func wrongAnswer(format string, args ...any) error {
	return &failure{code: codeWrong, wrong: true, outcome: unknown, cause: fmt.Errorf(format, args...)}
}

// transportFailure says what became of a request that got no answer.
func transportFailure(err error) error {
	f := &failure{code: codeConnection, outcome: unknown, again: true, retryAfter: time.Second, cause: err}
	var op *net.OpError
	switch {
	case errors.As(err, &op) && op.Op == "dial":
		f.outcome = notApplied
	case isTimeout(err):
		f.code = codeTimeout
	}
	return f
}

func isTimeout(err error) bool {
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded)
}

// asFailure returns err as a failure. Every target returns failures; what is
// none is of the driver's own making.
func asFailure(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	return &failure{code: "driver", outcome: unknown, cause: err}
}

// isCode tells whether a word of the target may stand in a report as a code.
func isCode(word string) bool {
	return word != "" && len(word) <= maxCode && strings.Trim(word, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}
