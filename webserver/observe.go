package webserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"gatehouse/protocol"
	"gatehouse/webserver/catalogue"
)

// Observation is one request that was answered.
type Observation struct {
	// Route is the path of the pattern that matched, such as
	// "/u/{username}", or "unmatched".
	Route string
	// Method is the request's, or "OTHER" for one that no route has.
	Method   string
	Status   int
	Duration time.Duration
}

// Hooks are told what the server does, while it does it: they must be quick
// and may be called by many goroutines at once. Any may be nil.
type Hooks struct {
	// Request is told of every request, after its answer was written.
	Request func(Observation)
	// Stage is told how long a stage of a request took: "render" with the
	// page's name, "picture" with "process" or "store".
	Stage func(stage, op string, took time.Duration)
	// Panic is told of every panic that a request ended in.
	Panic func()
}

// filled returns h with functions in place of nil.
func (h Hooks) filled() Hooks {
	if h.Request == nil {
		h.Request = func(Observation) {}
	}
	if h.Stage == nil {
		h.Stage = func(string, string, time.Duration) {}
	}
	if h.Panic == nil {
		h.Panic = func() {}
	}
	return h
}

// event is what is known of one request. It is filled while the request is
// answered, by that one goroutine, and emitted once.
type event struct {
	id       string // of the request
	trace    string // W3C traceparent
	pattern  string // of the route; empty where none matched
	client   string // IP address
	user     string // id; set once a token has been read, cleared when it is refused
	code     string // of the failure, as the API tells it
	err      error  // the failure itself, never shown to the client
	quiet    bool
	language catalogue.Language
}

type eventKey struct{}

// eventOf returns the event of the request that ctx belongs to.
func eventOf(ctx context.Context) *event {
	e, _ := ctx.Value(eventKey{}).(*event)
	return e
}

// recorder remembers the status of an answer.
type recorder struct {
	http.ResponseWriter
	status int // 0 until the answer has begun
}

func (r *recorder) WriteHeader(status int) {
	if r.status == 0 && status >= 200 {
		r.status = status
	}
	r.ResponseWriter.WriteHeader(status)
}

func (r *recorder) Write(b []byte) (int, error) {
	if r.status == 0 {
		r.status = http.StatusOK
	}
	return r.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (r *recorder) Unwrap() http.ResponseWriter { return r.ResponseWriter }

// observe gives a request its event, its id and trace, and the headers of
// every answer; afterwards it tells the hooks and the log.
func (s *Server) observe(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start := time.Now()
		e := s.newEvent(r)
		rec := &recorder{ResponseWriter: w}
		s.setHeaders(w.Header())
		w.Header().Set("X-Request-Id", e.id)
		ctx := context.WithValue(protocol.WithTrace(r.Context(), e.trace), eventKey{}, e)
		r = r.WithContext(ctx)
		// Deferred, because an aborted answer leaves by a panic.
		defer func() { s.emit(ctx, r, e, rec.status, time.Since(start)) }()
		next.ServeHTTP(rec, r)
	})
}

func (s *Server) newEvent(r *http.Request) *event {
	client, trusted := s.clientIP(r)
	e := &event{client: client, trace: traceOf(r.Header.Get("Traceparent"))}
	e.language = s.texts.Match(r.Header.Get("Accept-Language"))
	if id := r.Header.Get("X-Request-Id"); trusted && wellFormedID(id) {
		e.id = id
	} else {
		e.id = randomHex(16)
	}
	return e
}

func (s *Server) emit(ctx context.Context, r *http.Request, e *event, status int, took time.Duration) {
	if status == 0 {
		// A handler that writes nothing is answered 200 by net/http.
		status = http.StatusOK
	}
	if status >= http.StatusInternalServerError && errors.Is(ctx.Err(), context.Canceled) {
		status = statusHungUp
	}
	o := Observation{Route: "unmatched", Method: r.Method, Status: status, Duration: took}
	if _, path, ok := strings.Cut(e.pattern, " "); ok {
		o.Route = strings.TrimSuffix(path, "{$}")
	}
	if !slices.Contains(methods, o.Method) {
		o.Method = "OTHER"
	}
	s.hooks.Request(o)

	attrs := []slog.Attr{
		slog.String("request_id", e.id), slog.String("trace", e.trace),
		slog.String("route", o.Route), slog.String("method", o.Method),
		slog.Int("status", status), slog.Duration("duration", took), slog.String("client_ip", e.client),
	}
	for _, a := range []slog.Attr{slog.String("user_id", e.user), slog.String("code", e.code)} {
		if a.Value.String() != "" {
			attrs = append(attrs, a)
		}
	}
	if e.err != nil {
		attrs = append(attrs, slog.String("error", e.err.Error()))
	}
	s.log.LogAttrs(ctx, levelOf(status, e.quiet), "request", attrs...)
}

// statusHungUp is what is noted, and never sent, for a request whose client
// went away before it could be answered. The number is nginx's.
const statusHungUp = 499

// levelOf returns the level at which a request is logged.
func levelOf(status int, quiet bool) slog.Level {
	switch {
	case status >= http.StatusInternalServerError:
		return slog.LevelError
	case quiet && status < http.StatusBadRequest:
		return slog.LevelDebug
	default:
		return slog.LevelInfo
	}
}

// maxID bounds a request id from outside, in bytes.
const maxID = 64

// wellFormedID tells whether a request id from outside may be repeated in
// headers and logs.
func wellFormedID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !alphanumeric(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// traceOf returns the traceparent to pass on: the trace of the caller's with
// a span of our own, or a new one (https://www.w3.org/TR/trace-context/).
func traceOf(parent string) string {
	if trace, flags, ok := parseTrace(parent); ok {
		return "00-" + trace + "-" + randomHex(8) + "-" + flags
	}
	return "00-" + randomHex(16) + "-" + randomHex(8) + "-00"
}

// parseTrace reads a traceparent of version 00. Zero ids are invalid.
func parseTrace(parent string) (trace, flags string, ok bool) {
	parts := strings.Split(parent, "-")
	if len(parts) != 4 || parts[0] != "00" || len(parts[1]) != 32 || len(parts[2]) != 16 || len(parts[3]) != 2 {
		return "", "", false
	}
	for _, p := range parts[1:] {
		if _, err := hex.DecodeString(p); err != nil || strings.ToLower(p) != p {
			return "", "", false
		}
	}
	if strings.Trim(parts[1], "0") == "" || strings.Trim(parts[2], "0") == "" {
		return "", "", false
	}
	return parts[1], parts[3], true
}

// randomHex returns n random bytes as hexadecimal digits.
func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails, see crypto/rand
	return hex.EncodeToString(b)
}
