package webserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
	"gatehouse/webserver/picture"
)

// servePicture serves a picture. Its key names its bytes, so that it may be
// kept for ever; who has it need not ask again.
func (s *Server) servePicture(w http.ResponseWriter, r *http.Request) error {
	if s.pictures == nil {
		return errNoRoute
	}
	key := r.PathValue("key")
	object, err := s.pictures.Open(r.Context(), key)
	if errors.Is(err, picture.ErrNotFound) {
		return errNoRoute
	}
	if err != nil {
		return storeAway("open picture", err)
	}
	defer object.Body.Close()
	h := w.Header()
	h.Set("Content-Type", object.ContentType)
	h.Set("Content-Disposition", `inline; filename="`+fileName(object.ContentType)+`"`)
	h.Set("Content-Security-Policy", picturePolicy)
	h.Set("Cross-Origin-Resource-Policy", "same-site")
	h.Set("Cache-Control", immutable)
	h.Set("Etag", `"`+key+`"`)
	// The time is left out: the ETag says all, and a modification time would
	// tell when the picture was uploaded.
	http.ServeContent(w, r, "", time.Time{}, object.Body)
	return nil
}

// picturePolicy makes a picture harmless even where a browser shows it as a
// page of its own.
const picturePolicy = "default-src 'none'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; sandbox"

// immutable lets everybody keep a file whose address changes with its content.
const immutable = "public, max-age=31536000, immutable"

// fileName is the name under which a browser saves a picture. The name it
// was uploaded with is not kept.
func fileName(contentType string) string {
	if contentType == "image/png" {
		return "picture.png"
	}
	return "picture.jpg"
}

// storeAway is the failure of a store that does not do its work: only what
// has to do with pictures suffers, and trying again may help.
func storeAway(doing string, err error) error {
	return &protocol.Error{Code: protocol.Unavailable, RetryAfter: 5 * time.Second, Cause: fmt.Errorf("%s: %w", doing, err)}
}

// uploadPicture takes the picture from the profile page's form.
func (s *Server) uploadPicture(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	_, err = s.changePicture(r, who, "", func() ([]byte, error) { return formPicture(r) })
	if err != nil {
		return s.repicture(w, r, who, err)
	}
	s.redirect(w, "/profile", flashPictureSaved)
	return nil
}

// repicture shows the profile page again with what is wrong with the
// picture, at the field it was chosen in.
func (s *Server) repicture(w http.ResponseWriter, r *http.Request, who packet.Authenticated, err error) error {
	var f form
	status, ok := s.reform(w, r, &f, err)
	if !ok {
		return err
	}
	if status < http.StatusInternalServerError && len(f.errors) == 0 {
		f.errors, f.problem = map[string]string{"picture": f.problem}, eventOf(r.Context()).language.Text("error.picture")
	}
	ctx, cancel := afterFailure(r.Context())
	defer cancel()
	if s.showProfile(w, r.WithContext(ctx), status, f, who) != nil {
		return err
	}
	return nil
}

// clearPicture removes the person's picture.
func (s *Server) clearPicture(r *http.Request, who packet.Authenticated, key string) (packet.User, error) {
	start := time.Now()
	reply, err := packet.SetPicture.Call(r.Context(), s.backend, s.meta(r, key), packet.SetPictureRequest{Authenticated: who})
	if err != nil {
		return packet.User{}, err
	}
	s.dropOlder(r.Context(), reply.Previous, start)
	return reply.User, nil
}

// removePicture removes the picture from the profile page's form.
func (s *Server) removePicture(w http.ResponseWriter, r *http.Request) error {
	who, err := s.session(r)
	if err != nil {
		return err
	}
	if _, err := s.clearPicture(r, who, ""); err != nil {
		return err
	}
	s.redirect(w, "/profile", flashPictureGone)
	return nil
}

// dropOlder deletes a picture that nothing points at any more, unless it was
// put again since a time: then another request is about to point at it.
func (s *Server) dropOlder(ctx context.Context, key string, since time.Time) {
	if key == "" || s.pictures == nil {
		return
	}
	// The client may be gone by now, and the picture must be all the same.
	ctx, cancel := afterFailure(ctx)
	defer cancel()
	if err := s.pictures.DeleteOlder(ctx, key, since); err != nil {
		// The change itself succeeded. The next sweep deletes the picture.
		s.log.WarnContext(ctx, "delete previous picture", "request_id", eventOf(ctx).id, "key", key, "error", err.Error())
	}
}
