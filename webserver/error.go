package webserver

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gatehouse/protocol"
	"gatehouse/webserver/catalogue"
)

// The failures that only tier 1 knows. They have the form of the backend's,
// so that one table answers all.
var (
	errNoRoute    = &protocol.Error{Code: protocol.NotFound}
	errMethod     = &protocol.Error{Code: protocol.Invalid, Reason: "method_not_allowed"}
	errHost       = &protocol.Error{Code: protocol.Invalid, Reason: "misdirected"}
	errOrigin     = &protocol.Error{Code: protocol.Forbidden, Reason: "cross_origin"}
	errType       = &protocol.Error{Code: protocol.Invalid, Reason: "unsupported_media_type"}
	errPicture    = &protocol.Error{Code: protocol.Invalid, Reason: "unsupported_image"}
	errBadPicture = &protocol.Error{Code: protocol.Invalid, Reason: "invalid_image"}
	errNoPicture  = &protocol.Error{Code: protocol.Invalid, Fields: []protocol.Field{
		{Field: "picture", Reason: "required", Detail: "is required"}}}
	errTooLarge  = &protocol.Error{Code: protocol.Invalid, Reason: "too_large"}
	errSignedOut = &protocol.Error{Code: protocol.Unauthenticated}
	errBusy      = &protocol.Error{Code: protocol.Overloaded, RetryAfter: time.Second}
)

// malformed returns the failure of a request that cannot be understood, with
// the field at fault.
func malformed(field, detail string) error {
	return &protocol.Error{Code: protocol.Invalid, Reason: "malformed",
		Fields: []protocol.Field{{Field: field, Reason: "malformed", Detail: detail}}}
}

// answer is what the client is told about a kind of failure.
type answer struct {
	status int
	// code is what the API shows.
	code string
	// title and detail are keys of the catalogue.
	title, detail string
}

// kind is a failure's code with its reason. Without a reason it stands for
// all reasons that the table does not name.
type kind struct {
	code   protocol.Code
	reason string
}

// answers is the one table from failures to status and words. A failure that
// is not in it, such as a code that a newer backend made up, is internal.
var answers = map[kind]answer{
	{protocol.Invalid, ""}:                       {422, "invalid", "error.invalid.title", "error.invalid"},
	{protocol.Invalid, "malformed"}:              {400, "malformed", "error.malformed.title", "error.malformed"},
	{protocol.Invalid, "method_not_allowed"}:     {405, "method_not_allowed", "error.method_not_allowed.title", "error.method_not_allowed"},
	{protocol.Invalid, "too_large"}:              {413, "too_large", "error.too_large.title", "error.too_large"},
	{protocol.Invalid, "unsupported_media_type"}: {415, "unsupported_media_type", "error.unsupported_media_type.title", "error.unsupported_media_type"},
	{protocol.Invalid, "unsupported_image"}:      {415, "unsupported_image", "error.unsupported_image.title", "error.unsupported_image"},
	{protocol.Invalid, "invalid_image"}:          {422, "invalid", "error.invalid_image.title", "error.invalid_image"},
	{protocol.Invalid, "misdirected"}:            {421, "misdirected", "error.misdirected.title", "error.misdirected"},

	{protocol.Unauthenticated, ""}:                       {401, "unauthenticated", "error.unauthenticated.title", "error.unauthenticated"},
	{protocol.Unauthenticated, "invalid_credentials"}:    {401, "invalid_credentials", "error.invalid_credentials.title", "error.invalid_credentials"},
	{protocol.Unauthenticated, "second_factor_required"}: {401, "second_factor_required", "error.second_factor_required.title", "error.second_factor_required"},

	{protocol.Forbidden, ""}:                    {403, "forbidden", "error.forbidden.title", "error.forbidden"},
	{protocol.Forbidden, "cross_origin"}:        {403, "cross_origin", "error.cross_origin.title", "error.cross_origin"},
	{protocol.Forbidden, "registration_closed"}: {403, "registration_closed", "error.registration_closed.title", "error.registration_closed"},
	{protocol.Forbidden, "wrong_password"}:      {403, "wrong_password", "error.wrong_password.title", "error.wrong_password"},

	{protocol.NotFound, ""}: {404, "not_found", "error.not_found.title", "error.not_found"},

	{protocol.Conflict, ""}:                     {409, "conflict", "error.conflict.title", "error.conflict"},
	{protocol.Conflict, "username_taken"}:       {409, "username_taken", "error.username_taken.title", "error.username_taken"},
	{protocol.Conflict, "idempotency_mismatch"}: {422, "idempotency_mismatch", "error.idempotency_mismatch.title", "error.idempotency_mismatch"},

	{protocol.Exhausted, "too_many_in_flight"}: {503, "overloaded", "error.overloaded.title", "error.overloaded"}, // of the link, not of a person
	{protocol.Exhausted, ""}:                   {429, "exhausted", "error.exhausted.title", "error.exhausted"},
	{protocol.Overloaded, ""}:                  {503, "overloaded", "error.overloaded.title", "error.overloaded"},
	{protocol.Unavailable, ""}:                 {503, "unavailable", "error.unavailable.title", "error.unavailable"},
	{protocol.Timeout, ""}:                     {503, "unavailable", "error.unavailable.title", "error.unavailable"},
	{protocol.UnknownOutcome, ""}:              {503, "unknown_outcome", "error.unknown_outcome.title", "error.unknown_outcome"},
	{protocol.Internal, ""}:                    {500, "internal", "error.internal.title", "error.internal"},
}

// linkReasons are about the link between the tiers. Whatever their code says,
// it says it of a tier and not of a person: least of all may a wrong link
// key look like an ended session.
var linkReasons = map[string]bool{
	"unknown_type": true, "bad_reply": true, "crosstalk": true, "unsupported_version": true,
	"wrong_link_key": true, "hello_expected": true, "auth_expected": true,
}

// answerTo returns what the client is told about a failure.
func answerTo(e *protocol.Error) answer {
	if linkReasons[e.Reason] {
		return answers[kind{protocol.Internal, ""}]
	}
	if a, ok := answers[kind{e.Code, e.Reason}]; ok {
		return a
	}
	a, ok := answers[kind{e.Code, ""}]
	if !ok {
		return answers[kind{protocol.Internal, ""}]
	}
	// A finer code that this version has no words for is still shown to
	// programs. Of a server's own troubles the kind is enough, and where
	// fields are refused each field has its own reason.
	if a.status < http.StatusInternalServerError && len(e.Fields) == 0 && isWord(e.Reason) {
		a.code = e.Reason
	}
	return a
}

// maxWord bounds a code or a field's name from the backend, in bytes.
const maxWord = 64

// isWord tells whether a reason may stand in an answer as it is.
func isWord(reason string) bool {
	if reason == "" || len(reason) > maxWord {
		return false
	}
	return strings.Trim(reason, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

// asError returns err as a *protocol.Error. A deadline that passed without
// the backend's saying so leaves the outcome of a write unknown.
func asError(r *http.Request, err error) *protocol.Error {
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return errTooLarge
	}
	e := protocol.AsError(err)
	if e.Code != protocol.Internal || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, context.Canceled) {
		return e
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return &protocol.Error{Code: protocol.Timeout, Cause: err}
	}
	return &protocol.Error{Code: protocol.UnknownOutcome, Cause: err}
}

// fail answers a request with a failure: a problem document under /api/, a
// page or a way to the login page elsewhere.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := asError(r, err)
	a := answerTo(e)
	ev := eventOf(r.Context())
	ev.code = a.code
	if a.status >= http.StatusInternalServerError || a.code == "cross_origin" {
		ev.err = err
	}
	if a.status == http.StatusUnauthorized {
		ev.user = ""
	}
	h := w.Header()
	// A handler may have come as far as saying that its answer may be kept.
	s.setHeaders(h)
	h.Del("Etag")
	h.Del("Content-Disposition")
	setRetryAfter(h, e, a)
	title, detail := a.words(ev.language, e)
	switch {
	case isAPI(r):
		s.writeProblem(w, ev, e, problem{
			Type: "urn:gatehouse:problem:" + a.code, Title: title, Detail: detail, Status: a.status, Code: a.code, RequestID: ev.id,
		})
	case a.code == "unauthenticated":
		s.toLogin(w, r)
	default:
		s.errorPage(w, r, a.status, title, detail)
	}
}

// words returns what a person is told about a failure.
func (a answer) words(l catalogue.Language, e *protocol.Error) (title, detail string) {
	return l.Text(a.title), l.Text(a.detail, "wait", waitSeconds(e))
}

// waitSeconds tells when trying again may help, in whole seconds, rounded up
// and at least one.
func waitSeconds(e *protocol.Error) string {
	return strconv.Itoa(max(1, int(math.Ceil(e.RetryAfter.Seconds()))))
}

func setRetryAfter(h http.Header, e *protocol.Error, a answer) {
	if a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable {
		h.Set("Retry-After", waitSeconds(e))
	}
}

// isAPI tells whether a request is of a program and not of a browser.
func isAPI(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/") }

// problem is the body of every failure of the API (RFC 9457).
type problem struct {
	Type      string         `json:"type"`
	Title     string         `json:"title"`
	Status    int            `json:"status"`
	Detail    string         `json:"detail"`
	Code      string         `json:"code"`
	RequestID string         `json:"request_id"`
	Errors    []problemField `json:"errors,omitempty"`
}

// problemField is one field that was refused.
type problemField struct {
	Field  string `json:"field"`
	Reason string `json:"reason,omitempty"`
	Detail string `json:"detail"`
}

// writeProblem sends a problem document, with the fields that were refused.
func (s *Server) writeProblem(w http.ResponseWriter, ev *event, e *protocol.Error, p problem) {
	if p.Status < http.StatusInternalServerError {
		for _, f := range e.Fields {
			p.Errors = append(p.Errors, problemField{Field: f.Field, Reason: f.Reason, Detail: fieldDetail(ev.language, f)})
		}
	}
	if p.Status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="gatehouse"`)
	}
	// The document is of strings and numbers only, which always encode.
	data, _ := json.Marshal(p)
	s.send(w, p.Status, "application/problem+json", data)
}

// fieldDetail says to a developer what is wrong with a field.
func fieldDetail(l catalogue.Language, f protocol.Field) string {
	if f.Detail != "" {
		return f.Detail
	}
	return fieldText(l, f)
}

// fieldKeys are the words for what can be wrong with a field, by the
// backend's reason.
var fieldKeys = map[string]string{
	"required":                   "field.required",
	"malformed":                  "field.malformed",
	"wrong_type":                 "field.malformed",
	"username_length":            "field.username_length",
	"username_characters":        "field.username_characters",
	"username_reserved":          "field.username_reserved",
	"username_taken":             "field.username_taken",
	"nickname_empty":             "field.nickname_empty",
	"nickname_too_long":          "field.nickname_too_long",
	"nickname_characters":        "field.nickname_characters",
	"password_too_short":         "field.password_too_short",
	"password_too_long":          "field.password_too_long",
	"password_common":            "field.password_common",
	"password_too_guessable":     "field.password_too_guessable",
	"password_contains_username": "field.password_contains_username",
	"password_contains_product":  "field.password_contains_product",
	"password_invalid":           "field.password_invalid",
}

// fieldText says to a person what is wrong with a field. For a reason of a
// newer backend only the backend's own English is left.
func fieldText(l catalogue.Language, f protocol.Field) string {
	if key, ok := fieldKeys[f.Reason]; ok {
		return l.Text(key)
	}
	if f.Detail != "" {
		return l.Text("field.other", "detail", f.Detail)
	}
	return l.Text("field.malformed")
}
