package webserver

import "net/http"

// home sends a browser to what it most likely came for.
func (s *Server) home(w http.ResponseWriter, r *http.Request) error {
	target := "/login"
	if s.browserToken(r) != "" {
		target = "/profile"
	}
	s.redirect(w, target, flashNone)
	return nil
}
