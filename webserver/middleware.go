package webserver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// policy is the Content-Security-Policy of every answer but pictures:
// nothing but our own files, no frames, no inline code or styles.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"form-action 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"

// noStore keeps answers that may name a person out of every cache.
const noStore = "no-store"

// setHeaders gives an answer the headers that every answer has. Handlers
// that serve public files relax them.
func (s *Server) setHeaders(h http.Header) {
	h.Set("Content-Security-Policy", policy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "browsing-topics=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Cache-Control", noStore)
	if s.secure {
		h.Set("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
	}
}

// methods are those that some route has.
var methods = []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete}

// guard refuses what no route may ever see: unknown methods, foreign hosts,
// and requests that another site made a browser send.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !slices.Contains(methods, r.Method):
			w.Header().Set("Allow", strings.Join(methods, ", "))
			s.fail(w, r, errMethod)
		case s.onlyHost != "" && !strings.EqualFold(hostname(r.Host), s.onlyHost):
			s.fail(w, r, errHost)
		default:
			if err := s.origins.Check(r); err != nil {
				s.fail(w, r, fmt.Errorf("%w: %w", errOrigin, err))
				return
			}
			next.ServeHTTP(w, r)
		}
	})
}

// hostname returns a Host header without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// rescue turns a panic into an answer, so that it ends one request and not
// the connection. Where the answer has already begun only the connection's
// end can tell the client that it is broken.
func (s *Server) rescue(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler {
				panic(p)
			}
			s.hooks.Panic()
			err := fmt.Errorf("panic: %v\n%s", p, debug.Stack())
			if rec, ok := w.(*recorder); ok && rec.status != 0 {
				eventOf(r.Context()).err = err
				panic(http.ErrAbortHandler)
			}
			s.fail(w, r, err)
		}()
		next.ServeHTTP(w, r)
	})
}

// limit holds a route to its class: how long it may take and how much it may
// be sent.
func (s *Server) limit(c class, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.slow {
			if err := allowSlowBody(w); err != nil {
				s.fail(w, r, err)
				return
			}
		}
		r.Body = http.MaxBytesReader(w, r.Body, c.body)
		if c.deadline > 0 {
			ctx, cancel := context.WithTimeout(r.Context(), c.deadline)
			defer cancel()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

// slowest is the slowest upload that is waited for, in bytes a second.
const slowest = 10 << 10

// allowSlowBody extends the connection's deadlines so that the largest
// picture can arrive at the slowest speed.
func allowSlowBody(w http.ResponseWriter) error {
	until := time.Now().Add(readTimeout + maxPicture/slowest*time.Second)
	rc := http.NewResponseController(w)
	for _, err := range []error{rc.SetReadDeadline(until), rc.SetWriteDeadline(until.Add(writeTimeout))} {
		// A recorder in a test has no connection to extend.
		if err != nil && !errors.Is(err, http.ErrNotSupported) {
			return fmt.Errorf("extend deadline of upload: %w", err)
		}
	}
	return nil
}
