package webserver

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"strconv"
	"strings"

	"gatehouse/protocol"
)

// decodeJSON reads the body of an API request into a struct of named fields.
// It is stricter than encoding/json: no key that the struct has not, spelled
// exactly so, none twice, nothing after the object, nothing but UTF-8, and
// nothing missing but what the struct marks omitempty.
func decodeJSON(r *http.Request, into any) error {
	if !isJSON(r.Header.Get("Content-Type")) {
		return errType
	}
	data, err := io.ReadAll(r.Body)
	if err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return errTooLarge
		}
		return malformed("body", "ended early")
	}
	if err := protocol.CheckJSON(data); err != nil {
		return malformed("body", "is not sound JSON: "+err.Error())
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(data, &members); err != nil || members == nil {
		return malformed("body", "must be a JSON object")
	}
	if err := checkMembers(members, reflect.TypeOf(into).Elem()); err != nil {
		return err
	}
	return wrongType(json.Unmarshal(data, into))
}

// checkMembers compares the members of an object with the fields of a struct.
func checkMembers(members map[string]json.RawMessage, t reflect.Type) error {
	known := make(map[string]bool, t.NumField())
	var missing []protocol.Field
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		known[name] = true
		if value, ok := members[name]; (!ok || string(value) == "null") && options != "omitempty" {
			missing = append(missing, protocol.Field{Field: name, Reason: "required", Detail: "is required"})
		}
	}
	for name := range members {
		if !known[name] {
			return malformed(shortName(name), "is not a field of this request")
		}
	}
	if missing != nil {
		return &protocol.Error{Code: protocol.Invalid, Fields: missing}
	}
	return nil
}

// shortName returns the name of a field as it may be repeated in an answer.
func shortName(name string) string {
	if name == "" {
		return `""`
	}
	return cutText(name, maxWord)
}

// wrongType names the field whose value has the wrong type.
func wrongType(err error) error {
	if err == nil {
		return nil
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return malformed(wrong.Field, "must be a JSON "+wrong.Type.Kind().String()+", not a "+wrong.Value)
	}
	return malformed("body", "must be a JSON object")
}

// isJSON tells whether a content type is JSON in UTF-8, which JSON on the
// network always is.
func isJSON(contentType string) bool {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != "application/json" {
		return false
	}
	charset, given := params["charset"]
	return !given || strings.EqualFold(charset, "utf-8")
}

// checkNoForm refuses a request without a body of ours that yet comes with a
// form's: only a page of somebody else would send that.
func checkNoForm(r *http.Request) error {
	if kind := r.Header.Get("Content-Type"); kind != "" && !isJSON(kind) {
		return errType
	}
	return nil
}

// writeKey returns the Idempotency-Key of an API request, if it has one.
func writeKey(r *http.Request) (string, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return "", nil
	}
	if key := values[0]; len(values) == 1 && key != "" && len(key) <= protocol.MaxIdempotencyKey && visible(key) {
		return key, nil
	}
	return "", malformed("Idempotency-Key", fmt.Sprintf("must be one value of 1 to %d visible ASCII characters", protocol.MaxIdempotencyKey))
}

// reply answers an API request that succeeded.
func (s *Server) reply(w http.ResponseWriter, status int, body any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	s.send(w, status, "application/json", data)
	return nil
}

// send writes a JSON body with its line end, which terminals like.
func (s *Server) send(w http.ResponseWriter, status int, contentType string, data []byte) {
	data = append(data, '\n')
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	// A client that has gone away is no failure of ours.
	_, _ = w.Write(data)
}
