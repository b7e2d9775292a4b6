package webserver

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"gatehouse/protocol/packet"
)

// Ages of the cookies that do not end with a session.
const (
	deviceAge = 365 * 24 * time.Hour
	flashAge  = time.Minute
)

// The cookies' names. The prefix __Host- makes browsers refuse a cookie that
// another host of the same domain tries to plant; it needs HTTPS.
func (s *Server) cookieName(name string) string {
	if s.secure {
		return "__Host-" + name
	}
	return name
}

func (s *Server) sessionCookie() string { return s.cookieName("gatehouse") }
func (s *Server) deviceCookie() string  { return s.cookieName("gatehouse-device") }
func (s *Server) flashCookie() string   { return s.cookieName("gatehouse-flash") }

// setCookie sets a cookie for a time, or removes it where the time is not
// positive. Everything but name, value and age is the same for all of them.
func (s *Server) setCookie(w http.ResponseWriter, name, value string, age time.Duration) {
	c := &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: int(age.Seconds()),
		HttpOnly: true, Secure: s.secure, SameSite: http.SameSiteLaxMode,
	}
	if c.MaxAge <= 0 {
		c.Value, c.MaxAge = "", -1
	}
	http.SetCookie(w, c)
}

func (s *Server) readCookie(r *http.Request, name string) string {
	c, err := r.Cookie(name)
	if err != nil {
		return ""
	}
	return c.Value
}

// setSession gives the browser a new session, and the device token with
// which its later logins are known.
func (s *Server) setSession(w http.ResponseWriter, r *http.Request, reply packet.SessionReply) {
	eventOf(r.Context()).user = packet.TokenSubject(reply.Token)
	s.setCookie(w, s.sessionCookie(), string(reply.Token), time.Until(reply.ExpiresAt))
	if reply.Device != "" {
		s.setCookie(w, s.deviceCookie(), string(reply.Device), deviceAge)
	}
}

func (s *Server) clearSession(w http.ResponseWriter) { s.setCookie(w, s.sessionCookie(), "", 0) }

// browserToken returns the token in the session cookie, or "" where there is
// none that could be one.
func (s *Server) browserToken(r *http.Request) packet.Secret {
	token := packet.Secret(s.readCookie(r, s.sessionCookie()))
	if packet.TokenSubject(token) == "" {
		return ""
	}
	return token
}

// session returns who asks: for a page the session cookie decides; for the
// API a bearer token does, and the cookie only where there is none, so that
// a program with a stale token never acts as whoever uses the browser.
func (s *Server) session(r *http.Request) (packet.Authenticated, error) {
	token := s.browserToken(r)
	if isAPI(r) {
		if bearer, ok := bearerToken(r); ok {
			token = bearer
		}
	}
	subject := packet.TokenSubject(token)
	if subject == "" {
		return packet.Authenticated{}, errSignedOut
	}
	eventOf(r.Context()).user = subject
	return packet.Authenticated{Token: token}, nil
}

// bearerToken returns the token of an Authorization header. It tells false
// where there is no such header of that scheme.
func bearerToken(r *http.Request) (packet.Secret, bool) {
	for _, value := range r.Header.Values("Authorization") {
		scheme, token, _ := strings.Cut(value, " ")
		if strings.EqualFold(scheme, "Bearer") {
			return packet.Secret(strings.TrimSpace(token)), true
		}
	}
	return "", false
}

// flash is a message that the next page shows once: the name of a text, so
// that whoever can plant a cookie cannot plant words.
type flash string

const (
	flashNone          flash = ""
	flashWelcome       flash = "welcome"
	flashSaved         flash = "saved"
	flashPictureSaved  flash = "picture_saved"
	flashPictureGone   flash = "picture_removed"
	flashPassword      flash = "password_changed"
	flashSessionEnded  flash = "session_ended"
	flashSessionsEnded flash = "sessions_ended"
	flashSignedOut     flash = "signed_out"
	flashDeleted       flash = "account_deleted"
)

// flashKeys are the words of the flash messages.
var flashKeys = map[flash]string{
	flashWelcome:       "flash.welcome",
	flashSaved:         "flash.saved",
	flashPictureSaved:  "flash.picture_saved",
	flashPictureGone:   "flash.picture_removed",
	flashPassword:      "flash.password_changed",
	flashSessionEnded:  "flash.session_ended",
	flashSessionsEnded: "flash.sessions_ended",
	flashSignedOut:     "flash.signed_out",
	flashDeleted:       "flash.account_deleted",
}

// takeFlash returns the key of the message that an earlier request left, and
// removes it.
func (s *Server) takeFlash(w http.ResponseWriter, r *http.Request) string {
	name := s.readCookie(r, s.flashCookie())
	if name == "" {
		return ""
	}
	s.setCookie(w, s.flashCookie(), "", 0)
	return flashKeys[flash(name)]
}

// redirect sends the browser on to a page of ours with a GET, so that
// reloading it submits nothing again.
func (s *Server) redirect(w http.ResponseWriter, path string, message flash) {
	if message != flashNone {
		s.setCookie(w, s.flashCookie(), string(message), flashAge)
	}
	w.Header().Set("Location", path)
	w.WriteHeader(http.StatusSeeOther)
}

// toLogin sends a browser without a live session to the login page, and back
// afterwards. Its cookie is of no more use.
func (s *Server) toLogin(w http.ResponseWriter, r *http.Request) {
	if s.readCookie(r, s.sessionCookie()) != "" {
		s.clearSession(w)
	}
	back := r.URL.RequestURI()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		// What was submitted is gone; the page that has the form is not.
		back = "/profile"
		if strings.HasPrefix(r.URL.Path, "/security") {
			back = "/security"
		}
	}
	target := "/login"
	if next := safeNext(back); next != "" {
		target += "?next=" + url.QueryEscape(next)
	}
	s.redirect(w, target, flashNone)
}

// maxNext bounds the address to return to after a login, in bytes.
const maxNext = 1024

// safeNext returns next if it is a path on this host, and "" for everything
// that some browser could take for an address elsewhere.
func safeNext(next string) string {
	if len(next) > maxNext || !strings.HasPrefix(next, "/") || strings.HasPrefix(next, "//") {
		return ""
	}
	for i := range len(next) {
		// Browsers drop tabs and newlines and read a backslash as a slash.
		if c := next[i]; c <= ' ' || c == '\\' || c >= 0x7f {
			return ""
		}
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil {
		return ""
	}
	return next
}
