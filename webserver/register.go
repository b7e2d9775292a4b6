package webserver

import (
	"net/http"
	"strconv"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// registerView is what the registration page shows beside its form.
type registerView struct {
	// Invite tells that an invitation code is needed.
	Invite bool
	// PasswordHint says what a password should be like.
	PasswordHint string
}

// errClosed is the backend's own refusal, told before anything is typed.
var errClosed = &protocol.Error{Code: protocol.Forbidden, Reason: "registration_closed"}

func (s *Server) registerPage(w http.ResponseWriter, r *http.Request) error {
	if s.registration == RegistrationClosed {
		return errClosed
	}
	return s.showRegister(w, r, http.StatusOK, form{})
}

func (s *Server) showRegister(w http.ResponseWriter, r *http.Request, status int, f form) error {
	view := registerView{Invite: s.registration == RegistrationInvite, PasswordHint: s.passwordHint(r)}
	return s.pages.register.write(s, w, r, status, f, view)
}

// passwordHint says what a new password should be like.
func (s *Server) passwordHint(r *http.Request) string {
	l := eventOf(r.Context()).language
	if s.passwordMin > 0 {
		return l.Text("hint.password_min", "min", strconv.Itoa(s.passwordMin))
	}
	return l.Text("hint.password")
}

// register makes an account and logs it in. The form's key makes a double
// click, or a second try after a lost answer, the same registration.
func (s *Server) register(w http.ResponseWriter, r *http.Request) error {
	f, err := parseForm(r, "username", "password", "nickname", "invite")
	if err != nil {
		return err
	}
	req := packet.RegisterRequest{
		Named:    packet.Named{Username: f.text("username")},
		Password: packet.Secret(f.value("password")),
		Nickname: f.text("nickname"),
		Invite:   packet.Secret(f.text("invite")),
	}
	key := f.idempotencyKey("register", req.Username, req.Nickname, string(req.Invite), string(req.Password))
	reply, err := packet.Register.Call(r.Context(), s.backend, s.meta(r, key), req)
	if err != nil {
		status, ok := s.reform(w, r, &f, err)
		if !ok {
			return err
		}
		return s.showRegister(w, r, status, f)
	}
	s.endReplaced(r, reply.Token)
	s.setSession(w, r, reply)
	s.redirect(w, "/profile", flashWelcome)
	return nil
}
