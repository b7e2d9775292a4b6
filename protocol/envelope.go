package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// The bounds of an envelope's strings, in bytes.
const (
	maxType  = 64
	maxTrace = 128
)

// envelope is one packet as it stands in a frame. body and the strings in it
// are parts of the frame.
type envelope struct {
	id      uint64
	hasID   bool
	typ     string
	meta    Meta
	trace   string
	subject string
	body    json.RawMessage
	err     *Error
	// deadline is the time left; negative where none was sent.
	deadline time.Duration
}

// decodeEnvelope reads a frame. What it refuses, no reader may try to
// understand: the connection ends. The envelope holds the id even then, if
// it stood before the fault, so that the answer can name it.
func decodeEnvelope(frame []byte) (envelope, error) {
	e := envelope{deadline: -1}
	s := scanner{data: frame}
	s.space()
	if s.peek() != '{' {
		return e, malformed(s.fail("a frame should be a JSON object"))
	}
	if err := s.object(1, e.member); err != nil {
		return e, malformed(err)
	}
	if err := s.end(); err != nil {
		return e, malformed(err)
	}
	return e, nil
}

func malformed(err error) *Error {
	return &Error{Code: Invalid, Reason: "malformed", Cause: err,
		Fields: []Field{{Field: "frame", Reason: "malformed", Detail: err.Error()}}}
}

// envelopeKeys are the members that mean something. Others are ignored, so
// that either side may be newer.
var envelopeKeys = []string{"id", "type", "deadline_ms", "trace", "client", "idempotency_key", "subject", "body", "error"}

func (e *envelope) member(key, value []byte) (err error) {
	switch string(key) {
	case "id":
		e.id, err = wholeNumber(value)
		e.hasID = err == nil
	case "type":
		e.typ, err = boundedString(value, maxType)
	case "deadline_ms":
		var ms uint64
		ms, err = wholeNumber(value)
		e.deadline = time.Duration(min(ms, uint64(MaxDeadline/time.Millisecond))) * time.Millisecond
	case "trace":
		e.trace, err = boundedString(value, maxTrace)
	case "idempotency_key":
		e.meta.IdempotencyKey, err = boundedString(value, MaxIdempotencyKey)
	case "subject":
		e.subject, err = boundedString(value, maxType)
	case "client":
		err = eachMember(value, e.clientMember)
	case "body":
		if value[0] != '{' {
			err = fmt.Errorf("must be a JSON object")
		}
		e.body = value
	case "error":
		e.err, err = decodeError(value)
	default:
		err = unlikeAny(key, envelopeKeys)
	}
	if err != nil {
		return fmt.Errorf("%s %w", key, err)
	}
	return nil
}

func (e *envelope) clientMember(key, value []byte) (err error) {
	c := &e.meta.Client
	switch string(key) {
	case "ip":
		c.IP, err = boundedString(value, 64)
	case "user_agent":
		c.UserAgent, err = boundedString(value, 1024)
	case "device":
		c.Device, err = boundedString(value, 512)
	default:
		err = unlikeAny(key, []string{"ip", "user_agent", "device"})
	}
	if err != nil {
		return fmt.Errorf("%s %w", key, err)
	}
	return nil
}

// unlikeAny refuses a key that is one of known but for its case: some reader
// would take it for that one.
func unlikeAny(key []byte, known []string) error {
	for _, k := range known {
		if bytes.EqualFold(key, []byte(k)) {
			return fmt.Errorf("must be written %q", k)
		}
	}
	return nil
}

// eachMember visits the members of an object that has been scanned as part
// of its frame.
func eachMember(value []byte, visit func(key, value []byte) error) error {
	if value[0] != '{' {
		return fmt.Errorf("must be a JSON object")
	}
	s := scanner{data: value}
	return s.object(1, visit)
}

func wholeNumber(value []byte) (uint64, error) {
	n, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("must be a whole number from 0 to %d", uint64(1<<64-1))
	}
	return n, nil
}

func boundedString(value []byte, limit int) (string, error) {
	if value[0] != '"' {
		return "", fmt.Errorf("must be a JSON string")
	}
	text, err := unquote(value)
	if err != nil {
		return "", err
	}
	if len(text) > limit {
		return "", fmt.Errorf("must be at most %d bytes", limit)
	}
	return string(text), nil
}

// wireError is an Error as it travels.
type wireError struct {
	Code         Code    `json:"code"`
	Reason       string  `json:"reason,omitempty"`
	Fields       []Field `json:"fields,omitempty"`
	RetryAfterMS int64   `json:"retry_after_ms,omitempty"`
}

func decodeError(value []byte) (*Error, error) {
	var w wireError
	if err := json.Unmarshal(value, &w); err != nil || value[0] != '{' {
		return nil, fmt.Errorf("must be an error object")
	}
	if w.Code == "" {
		return nil, fmt.Errorf("has no code")
	}
	wait := time.Duration(max(0, min(w.RetryAfterMS, int64(24*time.Hour/time.Millisecond)))) * time.Millisecond
	return &Error{Code: w.Code, Reason: w.Reason, Fields: w.Fields, RetryAfter: wait}, nil
}

// appendRequest appends all of a request's frame that follows the id, which
// is known only when the frame takes its place in the queue.
func appendRequest(dst []byte, req Request, trace string, left time.Duration) ([]byte, error) {
	dst = appendString(append(dst, `,"type":`...), req.Type)
	if left >= 0 {
		dst = strconv.AppendInt(append(dst, `,"deadline_ms":`...), left.Milliseconds(), 10)
	}
	if trace != "" {
		dst = appendString(append(dst, `,"trace":`...), trace)
	}
	if req.IdempotencyKey != "" {
		dst = appendString(append(dst, `,"idempotency_key":`...), req.IdempotencyKey)
	}
	if req.Client != (Client{}) {
		client, err := json.Marshal(req.Client)
		if err != nil {
			return nil, fmt.Errorf("encode client: %w", err)
		}
		dst = append(append(dst, `,"client":`...), client...)
	}
	return appendEnd(dst, req.Body)
}

// appendReply appends the frame of a reply.
func appendReply(dst []byte, id uint64, typ string, reply Reply) ([]byte, error) {
	dst = strconv.AppendUint(append(dst, `{"id":`...), id, 10)
	dst = appendString(append(dst, `,"type":`...), typ)
	if reply.Subject != "" {
		dst = appendString(append(dst, `,"subject":`...), reply.Subject)
	}
	return appendEnd(dst, reply.Body)
}

// appendFailure appends the frame of an error, without id or type where they
// are not known.
func appendFailure(dst []byte, id uint64, hasID bool, typ string, e *Error) []byte {
	dst = append(dst, '{')
	if hasID {
		dst = append(strconv.AppendUint(append(dst, `"id":`...), id, 10), ',')
	}
	if typ != "" {
		dst = append(appendString(append(dst, `"type":`...), typ), ',')
	}
	w := wireError{Code: e.Code, Reason: e.Reason, Fields: e.Fields, RetryAfterMS: e.RetryAfter.Milliseconds()}
	text, err := json.Marshal(w)
	if err != nil { // strings and numbers always encode
		text = []byte(`{"code":"internal"}`)
	}
	return append(append(append(dst, `"error":`...), text...), '}', '\n')
}

// appendEnd appends the body and the end of a frame. A newline within the
// body can only be space between its tokens, since strings hold none
// unescaped; left in, it would break the frame in two.
func appendEnd(dst []byte, body json.RawMessage) ([]byte, error) {
	dst = append(dst, `,"body":`...)
	if len(body) == 0 {
		return append(dst, "{}}\n"...), nil
	}
	if bytes.IndexByte(body, '\n') < 0 {
		return append(append(dst, body...), '}', '\n'), nil
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, body); err != nil {
		return nil, fmt.Errorf("encode body: %w", err)
	}
	return append(append(dst, compact.Bytes()...), '}', '\n'), nil
}

// appendString appends text as a JSON string.
func appendString(dst []byte, text string) []byte {
	plain := strings.IndexFunc(text, func(r rune) bool {
		return r < ' ' || r >= utf8.RuneSelf || r == '"' || r == '\\'
	}) < 0
	if plain {
		return append(append(append(dst, '"'), text...), '"')
	}
	quoted, err := json.Marshal(text)
	if err != nil { // a string always encodes
		return append(dst, `""`...)
	}
	return append(dst, quoted...)
}
