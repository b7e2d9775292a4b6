package webserver

import (
	"net/http"
	"time"
)

// handler answers a request or returns why it does not; the error is
// rendered, and logged, in one place.
type handler func(w http.ResponseWriter, r *http.Request) error

// class is what a route may cost.
type class struct {
	// deadline bounds the whole answer. Zero leaves it to the handler.
	deadline time.Duration
	// body bounds the request's body, in bytes.
	body int64
	// slow gives the client time to send a large body.
	slow bool
	// quiet keeps successful requests out of the log at its usual level.
	quiet bool
}

// Bounds of request bodies, in bytes. An upload may be longer than a picture
// may be: what is too long is read and thrown away, up to here, because a
// browser shows the answer only once it has sent all.
const (
	smallBody = 64 << 10
	largeBody = 16 << 20
)

// The classes. Whatever hashes a password may have to wait for a worker.
var (
	classAsset  = class{body: smallBody, quiet: true}
	classPage   = class{body: smallBody, deadline: 3 * time.Second}
	classRead   = class{body: smallBody, deadline: 1500 * time.Millisecond}
	classWrite  = class{body: smallBody, deadline: 2500 * time.Millisecond}
	classHash   = class{body: smallBody, deadline: 5 * time.Second}
	classUpload = class{body: largeBody, slow: true}
)

// route is one URL of the service.
type route struct {
	pattern string
	class   class
	handle  handler
}

// routes is every URL that the service answers. GET answers HEAD as well.
func (s *Server) routes() []route {
	return []route{
		// Signing in and out.
		{"GET /{$}", classPage, s.home},
		{"GET /register", classPage, s.registerPage},
		{"POST /register", classHash, s.register},
		{"GET /login", classPage, s.loginPage},
		{"POST /login", classHash, s.login},
		{"POST /logout", classWrite, s.logout},

		// A person's own account.
		{"GET /profile", classPage, s.profilePage},
		{"POST /profile", classWrite, s.updateProfile},
		{"POST /profile/picture", classUpload, s.uploadPicture},
		{"POST /profile/picture/remove", classWrite, s.removePicture},
		{"GET /security", classPage, s.securityPage},
		{"POST /security/password", classHash, s.changePassword},
		{"POST /security/sessions/end", classWrite, s.endSession},
		{"POST /security/sessions/end-others", classWrite, s.endOtherSessions},
		{"POST /security/delete", classHash, s.deleteAccount},

		// What everybody may see.
		{"GET /u/{username}", classPage, s.userPage},
		{"GET /pictures/{key}", classPage, s.servePicture},
		{"GET /static/{file}", classAsset, s.serveAsset},
		{"GET /favicon.ico", classAsset, s.serveFavicon},

		// The JSON API.
		{"GET /api/openapi.yaml", classAsset, s.serveDescription},
		{"POST /api/v1/users", classHash, s.apiRegister},
		{"GET /api/v1/users/{username}", classRead, s.apiUser},
		{"POST /api/v1/sessions", classHash, s.apiLogin},
		{"GET /api/v1/sessions", classRead, s.apiSessions},
		{"DELETE /api/v1/sessions", classWrite, s.apiEndOtherSessions},
		{"DELETE /api/v1/sessions/current", classWrite, s.apiLogout},
		{"DELETE /api/v1/sessions/{id}", classWrite, s.apiEndSession},
		{"GET /api/v1/profile", classRead, s.apiProfile},
		{"GET /api/v1/profile/export", classRead, s.apiExport},
		{"PATCH /api/v1/profile", classWrite, s.apiUpdateProfile},
		{"DELETE /api/v1/profile", classHash, s.apiDeleteAccount},
		{"PUT /api/v1/profile/picture", classUpload, s.apiUploadPicture},
		{"DELETE /api/v1/profile/picture", classWrite, s.apiRemovePicture},
		{"PUT /api/v1/password", classHash, s.apiChangePassword},
		{"GET /api/v1/auth/verify", classRead, s.apiVerify},
	}
}

// install puts the routes into a mux, which finds them by pattern, and
// returns the class of each.
func (s *Server) install() (*http.ServeMux, map[string]class) {
	mux, classes := http.NewServeMux(), make(map[string]class)
	for _, rt := range s.routes() {
		mux.Handle(rt.pattern, s.limit(rt.class, s.answer(rt.handle)))
		classes[rt.pattern] = rt.class
	}
	return mux, classes
}

// answer makes an http.Handler of a handler: its error becomes the answer.
func (s *Server) answer(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			s.fail(w, r, err)
		}
	})
}

// dispatch finds the route of a request, or answers as nothing is there.
func (s *Server) dispatch(w http.ResponseWriter, r *http.Request) {
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		e := eventOf(r.Context())
		e.pattern, e.quiet = pattern, s.classes[pattern].quiet
		s.mux.ServeHTTP(w, r)
		return
	}
	// The mux alone knows which other methods the path has; it tells them in
	// the Allow header of the answer it would give.
	probe := probe{header: make(http.Header)}
	h.ServeHTTP(probe, r)
	if allow := probe.header.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
		s.fail(w, r, errMethod)
		return
	}
	s.fail(w, r, errNoRoute)
}

// probe is a ResponseWriter that keeps nothing but the header.
type probe struct{ header http.Header }

func (p probe) Header() http.Header         { return p.header }
func (p probe) Write(b []byte) (int, error) { return len(b), nil }
func (p probe) WriteHeader(int)             {}
