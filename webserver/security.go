package webserver

import (
	"net/http"
	"time"

	"gatehouse/protocol/packet"
)

// securityView is what the security page shows beside its forms.
type securityView struct {
	Username     string
	Sessions     []sessionView
	Others       bool // there are sessions beside this one
	PasswordHint string
	// Deleting tells that the deletion was tried, so that its part is open.
	Deleting bool
}

// sessionView is one session with a name for its device.
type sessionView struct {
	packet.Session
	Device string
}

func (s *Server) securityPage(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	return s.showSecurity(w, r, http.StatusOK, form{}, who, false)
}

func (s *Server) showSecurity(w http.ResponseWriter, r *http.Request, status int, f form, who packet.Authenticated, deleting bool) error {
	profile, err := packet.GetProfile.Call(r.Context(), s.backend, s.meta(r, ""), who)
	if err != nil {
		return err
	}
	list, err := packet.ListSessions.Call(r.Context(), s.backend, s.meta(r, ""), who)
	if err != nil {
		return err
	}
	view := securityView{
		Username: profile.User.Username, PasswordHint: s.passwordHint(r),
		Others: len(list.Sessions) > 1, Deleting: deleting,
	}
	l := eventOf(r.Context()).language
	for _, session := range list.Sessions {
		view.Sessions = append(view.Sessions, sessionView{session, describeDevice(l, session.UserAgent)})
	}
	return s.pages.security.write(s, w, r, status, f, view)
}

// resecurity shows the security page again with what is wrong. A password
// that was not right is marked at the field it was typed into.
func (s *Server) resecurity(w http.ResponseWriter, r *http.Request, f form, who packet.Authenticated, passwordField string, err error) error {
	status, ok := s.reform(w, r, &f, err)
	if !ok {
		return err
	}
	ev := eventOf(r.Context())
	if ev.code == "wrong_password" {
		f.errors[passwordField] = ev.language.Text("field.wrong_password")
	}
	ctx, cancel := afterFailure(r.Context())
	defer cancel()
	if s.showSecurity(w, r.WithContext(ctx), status, f, who, passwordField == "password") != nil {
		return err
	}
	return nil
}

// changePassword sets a new password, which ends all other sessions.
func (s *Server) changePassword(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	f, err := parseForm(r, "current_password", "new_password")
	if err != nil {
		return err
	}
	old, password := f.value("current_password"), f.value("new_password")
	key := f.idempotencyKey("change_password", old, password)
	_, err = packet.ChangePassword.Call(r.Context(), s.backend, s.meta(r, key), packet.ChangePasswordRequest{
		Authenticated: who, CurrentPassword: packet.Secret(old), NewPassword: packet.Secret(password),
	})
	if err != nil {
		return s.resecurity(w, r, f, who, "current_password", err)
	}
	s.redirect(w, "/security", flashPassword)
	return nil
}

// endSession ends one session of the person who asks. That it is gone
// already is what was asked for.
func (s *Server) endSession(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	f, err := parseForm(r, "id")
	if err != nil {
		return err
	}
	req := packet.EndSessionRequest{Authenticated: who, ID: f.text("id")}
	if _, err := packet.EndSession.Call(r.Context(), s.backend, s.meta(r, ""), req); err != nil && !isNotFound(r, err) {
		return err
	}
	s.redirect(w, "/security", flashSessionEnded)
	return nil
}

// isNotFound tells whether err says that there is no such record.
func isNotFound(r *http.Request, err error) bool {
	return answerTo(asError(r, err)).status == http.StatusNotFound
}

// endOtherSessions ends all sessions of the person but the one that asks.
func (s *Server) endOtherSessions(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	if _, err := packet.EndOtherSessions.Call(r.Context(), s.backend, s.meta(r, ""), who); err != nil {
		return err
	}
	s.redirect(w, "/security", flashSessionsEnded)
	return nil
}

// deleteAccount deletes the person's record with all that hangs on it.
func (s *Server) deleteAccount(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	f, err := parseForm(r, "password")
	if err != nil {
		return err
	}
	start := time.Now()
	reply, err := packet.DeleteAccount.Call(r.Context(), s.backend, s.meta(r, ""), packet.DeleteAccountRequest{
		Authenticated: who, Password: packet.Secret(f.value("password")),
	})
	if err != nil {
		return s.resecurity(w, r, f, who, "password", err)
	}
	s.dropOlder(r.Context(), reply.Previous, start)
	s.clearSession(w)
	w.Header().Set("Clear-Site-Data", `"cache", "storage"`)
	s.redirect(w, "/login", flashDeleted)
	return nil
}
