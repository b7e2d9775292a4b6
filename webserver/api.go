package webserver

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"gatehouse/protocol/packet"
)

func (s *Server) apiRegister(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Username string        `json:"username"`
		Password packet.Secret `json:"password"`
		Nickname string        `json:"nickname,omitempty"`
		Invite   packet.Secret `json:"invite,omitempty"`
	}
	key, err := decodeWrite(r, &body)
	if err != nil {
		return err
	}
	reply, err := packet.Register.Call(r.Context(), s.backend, s.meta(r, key), packet.RegisterRequest{
		Named: packet.Named{Username: body.Username}, Password: body.Password, Nickname: body.Nickname, Invite: body.Invite,
	})
	if err != nil {
		return err
	}
	eventOf(r.Context()).user = packet.TokenSubject(reply.Token)
	return s.reply(w, http.StatusCreated, reply)
}

// apiLogin ignores the idempotency key: a login's answer holds a token, and
// tokens are kept nowhere.
func (s *Server) apiLogin(w http.ResponseWriter, r *http.Request) error {
	var body struct {
		Username string        `json:"username"`
		Password packet.Secret `json:"password"`
		Code     packet.Secret `json:"code,omitempty"`
	}
	if err := decodeJSON(r, &body); err != nil {
		return err
	}
	reply, err := packet.Login.Call(r.Context(), s.backend, s.meta(r, ""), packet.LoginRequest{
		Named: packet.Named{Username: body.Username}, Password: body.Password, Code: body.Code,
	})
	if err != nil {
		return err
	}
	eventOf(r.Context()).user = packet.TokenSubject(reply.Token)
	return s.reply(w, http.StatusCreated, reply)
}

// decodeWrite reads what every write with a JSON body begins with.
func decodeWrite(r *http.Request, body any) (key string, err error) {
	if key, err = writeKey(r); err != nil {
		return "", err
	}
	return key, decodeJSON(r, body)
}

// asker reads what every write of a session begins with: who asks, and under
// which idempotency key.
func (s *Server) asker(r *http.Request) (who packet.Authenticated, key string, err error) {
	if who, err = s.session(r); err != nil {
		return who, "", err
	}
	key, err = writeKey(r)
	return who, key, err
}

func (s *Server) apiSessions(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	list, err := packet.ListSessions.Call(r.Context(), s.backend, s.meta(r, ""), who)
	if err != nil {
		return err
	}
	return s.reply(w, http.StatusOK, withSessions(list))
}

// withSessions makes an empty list an empty list, and not null.
func withSessions(list packet.ListSessionsReply) packet.ListSessionsReply {
	if list.Sessions == nil {
		list.Sessions = []packet.Session{}
	}
	return list
}

func (s *Server) apiLogout(w http.ResponseWriter, r *http.Request) error {
	return s.apiEnd(w, r, func(who packet.Authenticated, key string) error {
		_, err := packet.Logout.Call(r.Context(), s.backend, s.meta(r, key), who)
		return err
	})
}

func (s *Server) apiEndOtherSessions(w http.ResponseWriter, r *http.Request) error {
	return s.apiEnd(w, r, func(who packet.Authenticated, key string) error {
		_, err := packet.EndOtherSessions.Call(r.Context(), s.backend, s.meta(r, key), who)
		return err
	})
}

func (s *Server) apiEndSession(w http.ResponseWriter, r *http.Request) error {
	return s.apiEnd(w, r, func(who packet.Authenticated, key string) error {
		req := packet.EndSessionRequest{Authenticated: who, ID: r.PathValue("id")}
		_, err := packet.EndSession.Call(r.Context(), s.backend, s.meta(r, key), req)
		return err
	})
}

// apiEnd answers a write without a body and without an answer's.
func (s *Server) apiEnd(w http.ResponseWriter, r *http.Request, end func(who packet.Authenticated, key string) error) error {
	who, key, err := s.asker(r)
	if err != nil {
		return err
	}
	if err := checkNoForm(r); err != nil {
		return err
	}
	if err := end(who, key); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) apiProfile(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	reply, err := packet.GetProfile.Call(r.Context(), s.backend, s.meta(r, ""), who)
	if err != nil {
		return err
	}
	return s.reply(w, http.StatusOK, reply.User)
}

// apiExport answers with all that is kept about the person. The picture is
// in it by its address.
func (s *Server) apiExport(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	profile, err := packet.GetProfile.Call(r.Context(), s.backend, s.meta(r, ""), who)
	if err != nil {
		return err
	}
	list, err := packet.ListSessions.Call(r.Context(), s.backend, s.meta(r, ""), who)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Disposition", `attachment; filename="gatehouse-export.json"`)
	return s.reply(w, http.StatusOK, struct {
		ExportedAt time.Time   `json:"exported_at"`
		User       packet.User `json:"user"`
		packet.ListSessionsReply
	}{time.Now().UTC(), profile.User, withSessions(list)})
}

func (s *Server) apiUpdateProfile(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	var body struct {
		Nickname string `json:"nickname"`
	}
	key, err := decodeWrite(r, &body)
	if err != nil {
		return err
	}
	req := packet.UpdateProfileRequest{Authenticated: who, Nickname: body.Nickname}
	reply, err := packet.UpdateProfile.Call(r.Context(), s.backend, s.meta(r, key), req)
	if err != nil {
		return err
	}
	return s.reply(w, http.StatusOK, reply.User)
}

func (s *Server) apiUploadPicture(w http.ResponseWriter, r *http.Request) error {
	who, key, err := s.asker(r)
	if err != nil {
		return err
	}
	user, err := s.changePicture(r, who, key, func() ([]byte, error) { return bodyPicture(r) })
	if err != nil {
		return err
	}
	return s.reply(w, http.StatusOK, user)
}

func (s *Server) apiRemovePicture(w http.ResponseWriter, r *http.Request) error {
	who, key, err := s.asker(r)
	if err != nil {
		return err
	}
	if err := checkNoForm(r); err != nil {
		return err
	}
	user, err := s.clearPicture(r, who, key)
	if err != nil {
		return err
	}
	return s.reply(w, http.StatusOK, user)
}

func (s *Server) apiChangePassword(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	var body struct {
		CurrentPassword packet.Secret `json:"current_password"`
		NewPassword     packet.Secret `json:"new_password"`
	}
	key, err := decodeWrite(r, &body)
	if err != nil {
		return err
	}
	_, err = packet.ChangePassword.Call(r.Context(), s.backend, s.meta(r, key), packet.ChangePasswordRequest{
		Authenticated: who, CurrentPassword: body.CurrentPassword, NewPassword: body.NewPassword,
	})
	if err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) apiDeleteAccount(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	var body struct {
		Password packet.Secret `json:"password"`
	}
	key, err := decodeWrite(r, &body)
	if err != nil {
		return err
	}
	start := time.Now()
	reply, err := packet.DeleteAccount.Call(r.Context(), s.backend, s.meta(r, key), packet.DeleteAccountRequest{
		Authenticated: who, Password: body.Password,
	})
	if err != nil {
		return err
	}
	s.dropOlder(r.Context(), reply.Previous, start)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *Server) apiUser(w http.ResponseWriter, r *http.Request) error {
	name := packet.Named{Username: r.PathValue("username")}
	reply, err := packet.GetUser.Call(r.Context(), s.backend, s.meta(r, ""), name)
	if err != nil {
		return err
	}
	return s.reply(w, http.StatusOK, reply)
}

// apiVerify answers a reverse proxy that asks whether to let somebody
// through, and who it is. With redirect=1 it sends browsers to the login page,
// under the public URL, because the proxy may ask for another host.
func (s *Server) apiVerify(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err == nil {
		var reply packet.UserReply
		reply, err = packet.Verify.Call(r.Context(), s.backend, s.meta(r, ""), who)
		if err == nil {
			h := w.Header()
			h.Set("X-Gatehouse-User", reply.User.Username)
			h.Set("X-Gatehouse-User-Id", strconv.FormatInt(reply.User.ID, 10))
			h.Set("X-Gatehouse-Nickname", url.PathEscape(reply.User.Nickname))
			w.WriteHeader(http.StatusOK)
			return nil
		}
	}
	if r.URL.Query().Get("redirect") != "1" || !isSignedOut(r, err) {
		return err
	}
	target := "/login"
	if s.public != nil {
		target = s.public.Scheme + "://" + s.public.Host + target
	}
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusFound)
	return nil
}
