package webserver

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"sync"
	"time"

	"gatehouse/protocol/packet"
	"gatehouse/webserver/picture"
)

// maxPicture is the largest upload that is taken, in bytes.
const maxPicture = 2 << 20

// pictureDeadline bounds what is done with an upload once it has arrived.
const pictureDeadline = 10 * time.Second

// Processor makes a stored picture of an upload. It is *picture.Processor.
type Processor interface {
	Process(ctx context.Context, userID int64, upload []byte) (picture.Picture, error)
}

// maxUploads bounds the uploads held in memory at once.
const maxUploads = 32

// uploads is who is uploading a picture just now. One person uploads one at
// a time, so that nobody takes all the room.
type uploads struct {
	mu   sync.Mutex // guards busy
	busy map[int64]bool
}

// enter lets a person in, or refuses while there is no room. The caller
// leaves when it is done.
func (u *uploads) enter(userID int64) (leave func(), err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.busy[userID] || len(u.busy) >= maxUploads {
		return nil, errBusy
	}
	if u.busy == nil {
		u.busy = make(map[int64]bool)
	}
	u.busy[userID] = true
	return func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.busy, userID)
	}, nil
}

// changePicture makes an upload the person's picture: process, store, point
// the record at it, and only then delete the one before. Nothing is read or
// decoded for somebody without a live session.
func (s *Server) changePicture(r *http.Request, who packet.Authenticated, key string, upload func() ([]byte, error)) (packet.User, error) {
	if s.pictures == nil {
		return packet.User{}, errNoRoute
	}
	userID, err := s.verified(r, who)
	if err != nil {
		return packet.User{}, err
	}
	leave, err := s.uploads.enter(userID)
	if err != nil {
		return packet.User{}, err
	}
	defer leave()
	data, err := upload()
	if err != nil {
		return packet.User{}, err
	}
	if len(data) == 0 {
		return packet.User{}, errNoPicture
	}
	// The deadline starts here, because only the client knows how long the
	// upload itself takes.
	ctx, cancel := context.WithTimeout(r.Context(), pictureDeadline)
	defer cancel()
	start := time.Now()
	stored, err := s.storePicture(ctx, userID, data)
	if err != nil {
		return packet.User{}, err
	}
	reply, err := packet.SetPicture.Call(ctx, s.backend, s.meta(r, key), packet.SetPictureRequest{Authenticated: who, Picture: stored})
	if err != nil {
		// What was stored may be the picture in use, now or before. If it is
		// not, the next sweep finds it.
		return packet.User{}, err
	}
	s.dropOlder(ctx, reply.Previous, start)
	return reply.User, nil
}

// verified returns the id of the person whose live session it is.
func (s *Server) verified(r *http.Request, who packet.Authenticated) (int64, error) {
	ctx, cancel := context.WithTimeout(r.Context(), classRead.deadline)
	defer cancel()
	reply, err := packet.Verify.Call(ctx, s.backend, s.meta(r, ""), who)
	return reply.User.ID, err
}

// storePicture processes an upload, stores the result and returns its key.
func (s *Server) storePicture(ctx context.Context, userID int64, upload []byte) (string, error) {
	start := time.Now()
	made, err := s.processor.Process(ctx, userID, upload)
	s.hooks.Stage("picture", "process", time.Since(start))
	switch {
	case errors.Is(err, picture.ErrTooLarge):
		return "", errTooLarge
	case errors.Is(err, picture.ErrUnsupported):
		return "", errPicture
	case errors.Is(err, picture.ErrInvalid):
		return "", errBadPicture
	case errors.Is(err, context.DeadlineExceeded):
		return "", errBusy
	case err != nil:
		return "", fmt.Errorf("process picture: %w", err)
	}
	start = time.Now()
	err = s.pictures.Put(ctx, made)
	s.hooks.Stage("picture", "store", time.Since(start))
	if err != nil {
		return "", storeAway("store picture", err)
	}
	return made.Key, nil
}

// formPicture reads the field "picture" of a multipart form. The name and
// type that came with it are what the sender says, and are not looked at.
func formPicture(r *http.Request) ([]byte, error) {
	reader, err := r.MultipartReader()
	if err != nil {
		return nil, errType
	}
	for {
		part, err := reader.NextPart()
		if err != nil {
			return nil, uploadError(err)
		}
		if part.FormName() == "picture" {
			return readUpload(part)
		}
	}
}

// pictureTypes are the content types of a body that is a picture. Which of
// them it is, its first bytes tell.
var pictureTypes = []string{"image/jpeg", "image/png", "image/webp", "image/gif", "application/octet-stream"}

// bodyPicture reads the picture that is the whole body of an API request.
func bodyPicture(r *http.Request) ([]byte, error) {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || !slices.Contains(pictureTypes, kind) {
		return nil, errPicture
	}
	return readUpload(r.Body)
}

// readUpload reads an upload. What is too large is read to its end, as far
// as the request's own bound allows, because a browser that is still sending
// does not look at the answer.
func readUpload(from io.Reader) ([]byte, error) {
	var b bytes.Buffer
	if _, err := io.Copy(&b, io.LimitReader(from, maxPicture+1)); err != nil {
		return nil, uploadError(err)
	}
	if b.Len() > maxPicture {
		b = bytes.Buffer{} // nothing to hold while the rest arrives
		_, _ = io.Copy(io.Discard, from)
		return nil, errTooLarge
	}
	return b.Bytes(), nil
}

// uploadError tells an upload that is too large from one that cannot be read.
func uploadError(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return errTooLarge
	case errors.Is(err, io.EOF):
		return malformed("picture", "must be a file field of the form")
	default:
		return malformed("body", "ended early or is not multipart/form-data")
	}
}
