package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestEnvelopeReadsEveryMember(t *testing.T) {
	e, err := decodeEnvelope([]byte(`{"id":18446744073709551615,"type":"lo\u0067in","deadline_ms":1480,"trace":"00-ab",` +
		`"client":{"ip":"192.0.2.7","user_agent":"Mozilla é","device":"d","later":1},"idempotency_key":"k","later":[{}],` +
		`"subject":"ada","body":{"username":"ada"}}` + "\r"))
	if err != nil {
		t.Fatal(err)
	}
	want := Meta{IdempotencyKey: "k", Client: Client{IP: "192.0.2.7", UserAgent: "Mozilla é", Device: "d"}}
	if e.id != 1<<64-1 || !e.hasID || e.typ != "login" || e.deadline != 1480*time.Millisecond || e.trace != "00-ab" ||
		e.meta != want || e.subject != "ada" || string(e.body) != `{"username":"ada"}` || e.err != nil {
		t.Errorf("read %+v", e)
	}
}

func TestEnvelopeRefusesWrongMembersAndNamesThem(t *testing.T) {
	for frame, part := range map[string]string{
		`[]`:                                   "JSON object",
		``:                                     "JSON object",
		`{"id":"7"}`:                           "id must be a whole number",
		`{"id":-1}`:                            "id must be",
		`{"id":1.5}`:                           "id must be",
		`{"id":1e3}`:                           "id must be",
		`{"id":18446744073709551616}`:          "id must be",
		`{"ID":7}`:                             `must be written "id"`,
		`{"Type":"x"}`:                         `must be written "type"`,
		`{"id":1,"id":2}`:                      "stands twice",
		`{"type":7}`:                           "type must be a JSON string",
		`{"type":"` + strings.Repeat("x", 65):  "string does not end",
		`{"type":"` + longText(65) + `"}`:      "type must be at most 64",
		`{"trace":"` + longText(129) + `"}`:    "trace must be at most 128",
		`{"idempotency_key":"` + longText(256): "string does not end",
		`{"idempotency_key":"` + longText(256) + `"}`: "idempotency_key must be at most 255",
		`{"client":"x"}`:         "client must be a JSON object",
		`{"client":{"IP":"x"}}`:  `must be written "ip"`,
		`{"client":{"ip":1}}`:    "ip must be a JSON string",
		`{"body":[]}`:            "body must be a JSON object",
		`{"body":null}`:          "body must be a JSON object",
		`{"error":{}}`:           "error has no code",
		`{"error":"x"}`:          "error must be",
		`{"deadline_ms":"soon"}`: "deadline_ms must be",
	} {
		_, err := decodeEnvelope([]byte(frame))
		var e *Error
		if !errors.As(err, &e) || e.Code != Invalid || e.Reason != "malformed" || !strings.Contains(err.Error(), part) {
			t.Errorf("%.60s: %v, want %q", frame, err, part)
		}
	}
}

func longText(n int) string { return strings.Repeat("x", n) }

func TestErrorsSurviveTheWire(t *testing.T) {
	sent := &Error{Code: Invalid, Reason: "nickname_too_long", RetryAfter: 1500 * time.Millisecond, Cause: errors.New("SELECT secret"),
		Fields: []Field{{Field: "nickname", Reason: "nickname_too_long", Detail: `must be "short" é`}}}
	frame := appendFailure(nil, 8, true, "update_profile", sent)
	if bytes.Contains(frame, []byte("secret")) {
		t.Errorf("the cause travels: %s", frame)
	}
	e, err := decodeEnvelope(bytes.TrimSuffix(frame, []byte("\n")))
	if err != nil {
		t.Fatal(err)
	}
	got := e.err
	if e.id != 8 || e.typ != "update_profile" || !errors.Is(got, Invalid) || got.Reason != sent.Reason ||
		got.RetryAfter != sent.RetryAfter || len(got.Fields) != 1 || got.Fields[0] != sent.Fields[0] {
		t.Errorf("got %+v of %s", got, frame)
	}
}

func TestABodyCannotBreakTheFrame(t *testing.T) {
	frame, err := appendReply(nil, 1, "x", Reply{Body: json.RawMessage("{\n\"a\": \"%d\\n\"\n}")})
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Count(frame, []byte("\n")) != 1 {
		t.Errorf("frame has a newline within: %q", frame)
	}
	if _, err := appendReply(nil, 1, "x", Reply{Body: json.RawMessage("{\n")}); err == nil {
		t.Error("a body that is no JSON was framed")
	}
}

// FuzzEnvelope holds the hand-written decoder against encoding/json, and what
// it read against itself after another trip over the wire.
func FuzzEnvelope(f *testing.F) {
	f.Add([]byte(`{"id":7,"type":"login","deadline_ms":1480,"trace":"00","client":{"ip":"::1"},"body":{"username":"ada"}}`))
	f.Add([]byte(`{"id":8,"type":"x","error":{"code":"invalid","fields":[{"field":"a","detail":"b"}],"retry_after_ms":5}}`))
	f.Add([]byte(`{"type":"goaway","body":{"last_id":8}}`))
	f.Add([]byte(`{"id":1,"subject":"\u0061d\ud83d\ude42","body":{"a":[1,2,{"b":"\\"}]}}`))
	f.Fuzz(func(t *testing.T, frame []byte) {
		e, err := decodeEnvelope(frame)
		if err != nil {
			return
		}
		var std struct {
			ID             *uint64         `json:"id"`
			Type           string          `json:"type"`
			Trace          string          `json:"trace"`
			IdempotencyKey string          `json:"idempotency_key"`
			Subject        string          `json:"subject"`
			Client         Client          `json:"client"`
			Body           json.RawMessage `json:"body"`
		}
		if err := json.Unmarshal(frame, &std); err != nil {
			t.Fatalf("accepted %q, which encoding/json refuses: %v", frame, err)
		}
		if (std.ID != nil) != e.hasID || e.hasID && *std.ID != e.id || std.Type != e.typ || std.Trace != e.trace ||
			std.IdempotencyKey != e.meta.IdempotencyKey || std.Subject != e.subject || std.Client != e.meta.Client ||
			!bytes.Equal(std.Body, e.body) {
			t.Fatalf("read %q as %+v, encoding/json as %+v", frame, e, std)
		}
		if bytes.ContainsRune(e.body, '\n') {
			return // a frame from a Reader holds none
		}
		again, err := appendReply(nil, e.id, e.typ, Reply{Subject: e.subject, Body: e.body})
		if err != nil {
			t.Fatal(err)
		}
		e2, err := decodeEnvelope(bytes.TrimSuffix(again, []byte("\n")))
		if err != nil || e2.id != e.id || e2.typ != e.typ || e2.subject != e.subject {
			t.Fatalf("%q became %q: %v", frame, again, err)
		}
	})
}
