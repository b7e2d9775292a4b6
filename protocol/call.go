package protocol

import (
	"context"
	"encoding/json"
	"time"
)

// A Caller answers calls. A connection to a server is a Caller, and so is the
// set of handlers inside the server: whoever holds one cannot tell which.
//
// Call returns an *Error for every failure that has a meaning on the wire;
// any other error means Internal. The context carries the deadline and the
// trace.
type Caller interface {
	Call(ctx context.Context, req Request) (Reply, error)
}

// CallerFunc makes a Caller of a function.
type CallerFunc func(ctx context.Context, req Request) (Reply, error)

// Call calls f.
func (f CallerFunc) Call(ctx context.Context, req Request) (Reply, error) { return f(ctx, req) }

// Request is one call: a packet type, its body, and what travels beside it.
type Request struct {
	Type string
	Meta
	Body json.RawMessage

	// Subject is whose record the caller expects the answer to be taken
	// from. It never travels: the reply's subject is compared with it, and a
	// difference ends the connection.
	Subject string
	// AnySubject takes a reply whatever its subject is, for a caller who
	// shows it to a person as it came.
	AnySubject bool
	// ReadOnly tells that the call changes nothing, so that a lost reply
	// leaves nothing unknown and the call may be repeated. It never travels.
	ReadOnly bool
}

// Meta is what travels beside the body of any call.
type Meta struct {
	// IdempotencyKey makes a repetition of a write answer as the first did.
	// Empty means none; at most MaxIdempotencyKey bytes.
	IdempotencyKey string
	// Client is the person's end of the request, as tier 1 saw it.
	Client Client
}

// Client describes the browser or program that a call is made for. Tier 2
// bounds each field on its own; none is to be trusted beyond what tier 1 is.
type Client struct {
	IP        string `json:"ip,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	// Device is the known-device token of an earlier login, if any.
	Device string `json:"device,omitempty"`
}

// Reply is the answer to a call that succeeded.
type Reply struct {
	// Subject names the record the body was made from, taken from that
	// record and never from the request. Empty where a call has no record.
	Subject string
	Body    json.RawMessage
}

// MaxIdempotencyKey bounds Meta.IdempotencyKey, in bytes.
const MaxIdempotencyKey = 255

type traceKey struct{}

// WithTrace returns a context that carries trace, a W3C traceparent value
// (https://www.w3.org/TR/trace-context/), across the wire.
func WithTrace(ctx context.Context, trace string) context.Context {
	return context.WithValue(ctx, traceKey{}, trace)
}

// Trace returns the trace that ctx carries, or "".
func Trace(ctx context.Context) string {
	trace, _ := ctx.Value(traceKey{}).(string)
	return trace
}

type receivedKey struct{}

// Received returns when the server that calls with ctx had read the request,
// or the zero time where the call came over no connection.
func Received(ctx context.Context) time.Time {
	at, _ := ctx.Value(receivedKey{}).(time.Time)
	return at
}
