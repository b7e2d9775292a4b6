package webserver

import (
	"net/http"
	"net/url"

	"gatehouse/protocol/packet"
)

// loginView is what the login page shows beside its form.
type loginView struct {
	// Action is where the form is sent: /login, with where to go afterwards.
	Action string
}

// loginPage shows the login form, or sends on who has logged in before.
func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) error {
	next := safeNext(r.URL.Query().Get("next"))
	if token := s.browserToken(r); token != "" {
		// Whatever stands in the way of an answer, the form can be shown.
		_, err := packet.Verify.Call(r.Context(), s.backend, s.meta(r, ""), packet.Authenticated{Token: token})
		if err == nil {
			s.redirect(w, after(next), flashNone)
			return nil
		}
	}
	return s.showLogin(w, r, http.StatusOK, form{}, next)
}

func (s *Server) showLogin(w http.ResponseWriter, r *http.Request, status int, f form, next string) error {
	view := loginView{Action: "/login"}
	if next != "" {
		view.Action += "?next=" + url.QueryEscape(next)
	}
	return s.pages.login.write(s, w, r, status, f, view)
}

// after returns where to go after a login.
func after(next string) string {
	if next == "" {
		return "/profile"
	}
	return next
}

// login verifies a password and gives the browser a session.
func (s *Server) login(w http.ResponseWriter, r *http.Request) error {
	next := safeNext(r.URL.Query().Get("next"))
	f, err := parseForm(r, "username", "password")
	if err != nil {
		return err
	}
	reply, err := packet.Login.Call(r.Context(), s.backend, s.meta(r, ""), packet.LoginRequest{
		Named:    packet.Named{Username: f.text("username")},
		Password: packet.Secret(f.value("password")),
	})
	if err != nil {
		status, ok := s.reform(w, r, &f, err)
		if !ok {
			return err
		}
		return s.showLogin(w, r, status, f, next)
	}
	s.endReplaced(r, reply.Token)
	s.setSession(w, r, reply)
	s.redirect(w, after(next), flashNone)
	return nil
}

// endReplaced ends the session that a browser had before it got another,
// because nobody will use it again. The new one is valid whether or not this
// succeeds.
func (s *Server) endReplaced(r *http.Request, with packet.Secret) {
	old := s.browserToken(r)
	if old == "" || old == with {
		return
	}
	if _, err := packet.Logout.Call(r.Context(), s.backend, s.meta(r, ""), packet.Authenticated{Token: old}); err != nil {
		eventOf(r.Context()).err = err
	}
}

// logout ends the browser's session. The cookie goes only once the session
// has: while the backend is away, saying "logged out" would be untrue.
func (s *Server) logout(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err == nil {
		_, err = packet.Logout.Call(r.Context(), s.backend, s.meta(r, ""), who)
	}
	if err != nil && !isSignedOut(r, err) {
		return err
	}
	s.clearSession(w)
	// The cookies stay: the device's is what spares its owner from being
	// taken for a stranger at the next login.
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	s.redirect(w, "/login", flashSignedOut)
	return nil
}

// isSignedOut tells whether err says that there is no live session.
func isSignedOut(r *http.Request, err error) bool {
	return answerTo(asError(r, err)).code == "unauthenticated"
}
