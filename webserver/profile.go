package webserver

import (
	"context"
	"net/http"

	"gatehouse/protocol/packet"
)

// profileView is a person's own view of their record.
type profileView struct {
	User packet.User
	// Pictures tells whether pictures can be uploaded here.
	Pictures bool
}

func (s *Server) profilePage(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	return s.showProfile(w, r, http.StatusOK, form{}, who)
}

// showProfile shows the profile as it is kept, with what was typed into its
// form where that was refused.
func (s *Server) showProfile(w http.ResponseWriter, r *http.Request, status int, f form, who packet.Authenticated) error {
	reply, err := packet.GetProfile.Call(r.Context(), s.backend, s.meta(r, ""), who)
	if err != nil {
		return err
	}
	if f.values == nil {
		f.values = map[string]string{"nickname": reply.User.Nickname}
	}
	return s.pages.profile.write(s, w, r, status, f, profileView{User: reply.User, Pictures: s.pictures != nil})
}

// updateProfile changes the nickname.
func (s *Server) updateProfile(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	f, err := parseForm(r, "nickname")
	if err != nil {
		return err
	}
	req := packet.UpdateProfileRequest{Authenticated: who, Nickname: f.text("nickname")}
	key := f.idempotencyKey("update_profile", req.Nickname)
	if _, err := packet.UpdateProfile.Call(r.Context(), s.backend, s.meta(r, key), req); err != nil {
		return s.reprofile(w, r, f, who, err)
	}
	s.redirect(w, "/profile", flashSaved)
	return nil
}

// reprofile shows the profile page again with what is wrong. Where the page
// cannot be filled either, err is the one to tell.
func (s *Server) reprofile(w http.ResponseWriter, r *http.Request, f form, who packet.Authenticated, err error) error {
	status, ok := s.reform(w, r, &f, err)
	if !ok {
		return err
	}
	ctx, cancel := afterFailure(r.Context())
	defer cancel()
	if s.showProfile(w, r.WithContext(ctx), status, f, who) != nil {
		return err
	}
	return nil
}

// afterFailure returns a context for reading what a page shows beside a
// failure: the write may have used up all of its own time.
func afterFailure(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), classRead.deadline)
}

// userView is what everybody may know of a user.
type userView struct {
	User packet.GetUserReply
}

func (v userView) title() string { return v.User.Nickname }

// userPage shows a public profile.
func (s *Server) userPage(w http.ResponseWriter, r *http.Request) error {
	name := packet.Named{Username: r.PathValue("username")}
	reply, err := packet.GetUser.Call(r.Context(), s.backend, s.meta(r, ""), name)
	if err != nil {
		return err
	}
	return s.pages.user.write(s, w, r, http.StatusOK, form{}, userView{User: reply})
}
