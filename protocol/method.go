package protocol

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

// Method is a packet type with the Go types of its two bodies. The same
// value is used by the caller and by the handler, so that the compiler
// checks that both ends agree.
type Method[Req, Rep any] struct {
	Type string
	// ReadOnly tells that a call changes nothing.
	ReadOnly bool
}

// subjecter is a request body that knows whose record its answer must be
// taken from.
type subjecter interface{ Subject() string }

// Call makes the call to c and returns its decoded reply.
func (m Method[Req, Rep]) Call(ctx context.Context, c Caller, meta Meta, req Req) (Rep, error) {
	var rep Rep
	body, err := json.Marshal(req)
	if err != nil {
		return rep, fmt.Errorf("encode %s: %w", m.Type, err)
	}
	r := Request{Type: m.Type, Meta: meta, Body: body, ReadOnly: m.ReadOnly}
	if s, ok := any(req).(subjecter); ok {
		r.Subject = s.Subject()
	}
	reply, err := c.Call(ctx, r)
	if err != nil {
		return rep, err
	}
	if err := json.Unmarshal(reply.Body, &rep); err != nil {
		return rep, &Error{Code: Internal, Reason: "bad_reply", Cause: fmt.Errorf("decode reply to %s: %w", m.Type, err)}
	}
	return rep, nil
}

// Handler returns a Handler that decodes the body, calls f and encodes what
// it returns. The string that f returns is the reply's subject: the name of
// the record that was really used.
func (m Method[Req, Rep]) Handler(f func(ctx context.Context, meta Meta, req Req) (Rep, string, error)) Handler {
	return Handler{Type: m.Type, ReadOnly: m.ReadOnly, Caller: CallerFunc(func(ctx context.Context, r Request) (Reply, error) {
		var req Req
		if err := decodeBody(r.Body, &req); err != nil {
			return Reply{}, err
		}
		rep, subject, err := f(ctx, r.Meta, req)
		if err != nil {
			return Reply{}, err
		}
		body, err := json.Marshal(rep)
		if err != nil {
			return Reply{}, fmt.Errorf("encode reply to %s: %w", m.Type, err)
		}
		return Reply{Subject: subject, Body: body}, nil
	})}
}

// decodeBody decodes a request's body, which the frame's scanner has found
// to be sound JSON without ambiguous keys; only types can still be wrong.
func decodeBody(body json.RawMessage, req any) error {
	if len(body) == 0 {
		body = json.RawMessage("{}")
	}
	err := json.Unmarshal(body, req)
	if err == nil {
		return nil
	}
	field, detail := "body", "must be a JSON object of the form this packet type asks for"
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && wrongType.Field != "" {
		field, detail = wrongType.Field, "must not be a JSON "+wrongType.Value
	}
	return &Error{Code: Invalid, Reason: "malformed", Cause: err,
		Fields: []Field{{Field: field, Reason: "wrong_type", Detail: detail}}}
}
