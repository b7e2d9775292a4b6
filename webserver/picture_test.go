package webserver_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color"
	stdpng "image/png"
	"io"
	"mime/multipart"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
	"gatehouse/webserver"
	"gatehouse/webserver/picture"
)

// memory is a picture.Store in memory.
type memory struct {
	mu    sync.Mutex // guards everything below
	files map[string]stored
	err   error // of every operation
}

type stored struct {
	picture.Picture
	put time.Time
}

func newMemory() *memory { return &memory{files: make(map[string]stored)} }

func (m *memory) Put(_ context.Context, p picture.Picture) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil {
		m.files[p.Key] = stored{p, time.Now()}
	}
	return m.err
}

type body struct{ *bytes.Reader }

func (body) Close() error { return nil }

func (m *memory) Open(_ context.Context, key string) (picture.Object, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f, ok := m.files[key]
	switch {
	case m.err != nil:
		return picture.Object{}, m.err
	case !ok:
		return picture.Object{}, picture.ErrNotFound
	}
	return picture.Object{Body: body{bytes.NewReader(f.Bytes)}, ContentType: f.ContentType, Size: int64(len(f.Bytes)), ModTime: f.put}, nil
}

func (m *memory) Delete(ctx context.Context, key string) error {
	return m.DeleteOlder(ctx, key, time.Now().Add(time.Hour))
}

func (m *memory) DeleteOlder(_ context.Context, key string, olderThan time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err == nil && m.files[key].put.Before(olderThan) {
		delete(m.files, key)
	}
	return m.err
}

func (m *memory) Walk(_ context.Context, olderThan time.Time, fn func(keys []string) error) error {
	m.mu.Lock()
	var keys []string
	for key, f := range m.files {
		if f.put.Before(olderThan) {
			keys = append(keys, key)
		}
	}
	m.mu.Unlock()
	if len(keys) == 0 {
		return nil
	}
	return fn(keys)
}

func (m *memory) Check(context.Context) error { return m.err }

func (m *memory) has(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	_, ok := m.files[key]
	return ok
}

func (m *memory) broken(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = err
}

func withPictures(store picture.Store) func(*webserver.Config) {
	return func(c *webserver.Config) {
		c.Pictures, c.Processor = store, picture.NewProcessor(picture.Config{})
	}
}

// png returns a picture; different sizes are different pictures.
func png(t *testing.T, width, height int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	img.Set(0, 0, color.RGBA{200, 10, 10, 255})
	var b bytes.Buffer
	if err := stdpng.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// multi returns a multipart form with one file, and its content type.
func multi(t *testing.T, field, filename string, data []byte) (string, string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile(field, filename)
	if err == nil {
		_, err = part.Write(data)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), w.FormDataContentType()
}

// upload submits the profile page's form with a picture, as ada.
func (s *site) upload(data []byte) answer {
	s.t.Helper()
	body, kind := multi(s.t, "picture", "../../etc/<passwd>.php", data)
	return s.do("POST", "/profile/picture", body, "Content-Type", kind, "Cookie", s.cookie())
}

// pictureKey returns the key of ada's picture, or "".
func (s *site) pictureKey() string {
	s.fake.mu.Lock()
	defer s.fake.mu.Unlock()
	return s.fake.byName("ada").picture
}

func TestPictureIsUploadedServedReplacedAndRemoved(t *testing.T) {
	t.Parallel()
	store := newMemory()
	s := newSite(t, withPictures(store))
	s.upload(png(t, 8, 8)).to(t, "/profile")
	first := s.pictureKey()
	if !store.has(first) {
		t.Fatal("the picture is not stored")
	}
	s.get("/profile").has(t, `src="/pictures/`+first+`"`, "Remove the picture")
	s.do("GET", "/u/ada", "").has(t, `src="/pictures/`+first+`"`)

	s.upload(png(t, 9, 9)).to(t, "/profile")
	second := s.pictureKey()
	if second == first || !store.has(second) || store.has(first) {
		t.Errorf("first %v, second %v", store.has(first), store.has(second))
	}
	s.post("/profile/picture/remove").to(t, "/profile")
	if s.pictureKey() != "" || store.has(second) {
		t.Error("the picture is still there")
	}
	s.do("GET", "/pictures/"+second, "").want(t, 404)
}

func TestPictureUploadedAgainIsNotDeleted(t *testing.T) {
	t.Parallel()
	store := newMemory()
	s := newSite(t, withPictures(store))
	s.upload(png(t, 8, 8)).to(t, "/profile")
	s.upload(png(t, 8, 8)).to(t, "/profile")
	if !store.has(s.pictureKey()) {
		t.Error("the picture in use is gone")
	}
}

func TestPictureIsServedForEverAndHarmlessly(t *testing.T) {
	t.Parallel()
	s := newSite(t, withPictures(newMemory()))
	s.upload(png(t, 8, 8)).to(t, "/profile")
	key := s.pictureKey()
	a := s.do("GET", "/pictures/"+key, "").want(t, 200)
	want := map[string]string{
		"Cache-Control": "public, max-age=31536000, immutable", "X-Content-Type-Options": "nosniff", "Etag": `"` + key + `"`,
		"Cross-Origin-Resource-Policy": "same-site",
		"Content-Security-Policy":      "default-src 'none'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'; sandbox",
	}
	for name, value := range want {
		if got := a.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
	kind := a.Header.Get("Content-Type")
	if disposition := a.Header.Get("Content-Disposition"); kind == "image/png" && disposition != `inline; filename="picture.png"` ||
		kind == "image/jpeg" && disposition != `inline; filename="picture.jpg"` || !strings.HasPrefix(kind, "image/") {
		t.Errorf("type %q, disposition %q", kind, disposition)
	}
	if a.Header.Get("Last-Modified") != "" {
		t.Error("tells when it was uploaded")
	}
	again := s.do("GET", "/pictures/"+key, "", "If-None-Match", `"`+key+`"`).want(t, 304)
	if again.body != "" {
		t.Error("304 with a body")
	}
	s.do("GET", "/pictures/"+key, "", "If-None-Match", `"other"`).want(t, 200)
	head := s.do("HEAD", "/pictures/"+key, "").want(t, 200)
	if head.body != "" || head.Header.Get("Content-Length") != a.Header.Get("Content-Length") {
		t.Error("HEAD differs from GET")
	}
	for _, bad := range []string{strings.Repeat("0", 64), "x", "..%2f..%2fetc%2fpasswd", strings.ToUpper(key)} {
		missing := s.do("GET", "/pictures/"+bad, "").want(t, 404)
		if missing.Header.Get("Cache-Control") != "no-store" || missing.Header.Get("Etag") != "" {
			t.Errorf("%s: a missing picture is cached: %v", bad, missing.Header)
		}
	}
}

func TestUploadThatIsRefusedSaysWhyAndChangesNothing(t *testing.T) {
	t.Parallel()
	store := newMemory()
	s := newSite(t, withPictures(store))
	s.upload(png(t, 8, 8)).to(t, "/profile")
	before := s.pictureKey()
	other, otherKind := multi(t, "avatar", "a.png", png(t, 4, 4))
	truncated, truncatedKind := multi(t, "picture", "a.png", png(t, 4, 4))
	large, largeKind := multi(t, "picture", "a.png", make([]byte, 2<<20+1))
	huge, hugeKind := multi(t, "picture", "a.png", make([]byte, 17<<20))
	text, textKind := multi(t, "picture", "a.png", []byte("<svg onload=alert(1)>"))
	broken, brokenKind := multi(t, "picture", "a.png", png(t, 8, 8)[:40])
	empty, emptyKind := multi(t, "picture", "", nil)
	tests := []struct {
		name, body, kind string
		status           int
		code             string
	}{
		{"another field", other, otherKind, 400, "malformed"},
		{"truncated", truncated[:len(truncated)/2], truncatedKind, 400, "malformed"},
		{"too large", large, largeKind, 413, "too_large"},
		{"far too large", huge, hugeKind, 413, "too_large"},
		{"no picture", text, textKind, 415, "unsupported_image"},
		{"no file", empty, emptyKind, 422, "invalid"},
		{"broken picture", broken, brokenKind, 422, "invalid"},
		{"no multipart", "picture=x", formType, 415, "unsupported_media_type"},
		{"no boundary", truncated, "multipart/form-data", 415, "unsupported_media_type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			a := s.do("POST", "/profile/picture", tt.body, "Content-Type", tt.kind, "Cookie", s.cookie()).want(t, tt.status)
			parse(t, a)
			if tt.code != "malformed" {
				a.has(t, `role="alert"`, `id="picture-error"`)
			}
			if got := s.logged(); got["code"] != tt.code {
				t.Errorf("logged %v, want code %q", got, tt.code)
			}
			if s.pictureKey() != before || !store.has(before) || len(store.files) != 1 {
				t.Error("something changed")
			}
		})
	}
}

func TestUploadOfTheAPITakesOnlyPictures(t *testing.T) {
	t.Parallel()
	s := newSite(t, withPictures(newMemory()))
	put := func(kind string, data []byte) answer {
		return s.do("PUT", "/api/v1/profile/picture", string(data), "Content-Type", kind, "Authorization", s.bearer())
	}
	user := decode[packet.User](t, put("image/png", png(t, 5, 5)).want(t, 200))
	if user.PictureURL == nil || *user.PictureURL != "/pictures/"+s.pictureKey() {
		t.Errorf("picture_url %v", user.PictureURL)
	}
	tests := []struct {
		kind   string
		data   []byte
		status int
		code   string
	}{
		{"image/svg+xml", []byte("<svg/>"), 415, "unsupported_image"},
		{"", png(t, 4, 4), 415, "unsupported_image"},
		{formType, png(t, 4, 4), 415, "unsupported_image"},
		{jsonType, []byte("{}"), 415, "unsupported_image"},
		{"image/png", []byte("BM no such format"), 415, "unsupported_image"},
		{"image/png", make([]byte, 3<<20), 413, "too_large"},
		{"image/gif", []byte("GIF89a"), 422, "invalid"},
	}
	for _, tt := range tests {
		if p := put(tt.kind, tt.data).want(t, tt.status).problem(t); p.Code != tt.code {
			t.Errorf("%q: code %q, want %q", tt.kind, p.Code, tt.code)
		}
	}
	// The bytes decide, not the label.
	put("application/octet-stream", png(t, 6, 6)).want(t, 200)
	put("image/gif", png(t, 7, 7)).want(t, 200)
	if user := decode[packet.User](t, s.api("DELETE", "/profile/picture", "").want(t, 200)); user.PictureURL != nil {
		t.Error("picture still there")
	}
}

// counter counts how often a picture is processed.
type counter struct{ n int }

func (c *counter) Process(context.Context, int64, []byte) (picture.Picture, error) {
	c.n++
	return picture.Picture{}, errors.New("must not be called")
}

func TestUploadOfAStrangerIsNeitherReadNorProcessed(t *testing.T) {
	t.Parallel()
	var processor counter
	s := newSite(t, func(c *webserver.Config) { c.Pictures, c.Processor = newMemory(), &processor })
	// A token that looks right and belongs to no session.
	token := strings.Repeat("A", 54)
	body, kind := multi(t, "picture", "a.png", png(t, 4, 4))
	read := &countingReader{r: strings.NewReader(body)}
	r := httptest.NewRequest("POST", "/profile/picture", read)
	r.Header.Set("Content-Type", kind)
	r.Header.Set("Cookie", "gatehouse="+token)
	s.serve(r).to(t, "/login?next=%2Fprofile")
	s.do("PUT", "/api/v1/profile/picture", "x", "Content-Type", "image/png", "Authorization", "Bearer "+token).want(t, 401)
	s.do("PUT", "/api/v1/profile/picture", "x", "Content-Type", "image/png").want(t, 401)
	if processor.n != 0 || read.n != 0 {
		t.Errorf("processed %d, read %d bytes", processor.n, read.n)
	}
}

type countingReader struct {
	r io.Reader
	n int
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += n
	return n, err
}

func TestUploadThatTheBackendRefusesDeletesNothing(t *testing.T) {
	t.Parallel()
	for _, code := range []protocol.Code{protocol.UnknownOutcome, protocol.Unavailable, protocol.Conflict, protocol.Internal} {
		store := newMemory()
		s := newSite(t, withPictures(store))
		s.upload(png(t, 8, 8)).to(t, "/profile")
		before := s.pictureKey()
		s.fake.fail("set_picture", &protocol.Error{Code: code})
		if a := s.upload(png(t, 9, 9)); a.StatusCode < 400 {
			t.Errorf("%s: status %d", code, a.StatusCode)
		}
		if !store.has(before) || len(store.files) != 2 {
			t.Errorf("%s: %d pictures stored", code, len(store.files))
		}
	}
}

func TestStoreThatIsAwayIsUnavailableAndOnlyForPictures(t *testing.T) {
	t.Parallel()
	store := newMemory()
	s := newSite(t, withPictures(store))
	s.upload(png(t, 8, 8)).to(t, "/profile")
	key := s.pictureKey()
	store.broken(errors.New("disk /secret/path is full"))
	s.upload(png(t, 9, 9)).want(t, 503).has(t, "cannot be reached").hasNot(t, "/secret/path")
	s.do("GET", "/pictures/"+key, "").want(t, 503).hasNot(t, "/secret/path")
	s.get("/profile").want(t, 200)
	if !strings.Contains(s.log.String(), "/secret/path is full") {
		t.Error("the cause is not logged")
	}
	// The record changes although the old picture cannot be deleted just now.
	s.post("/profile/picture/remove").to(t, "/profile")
	if s.pictureKey() != "" || !strings.Contains(s.log.String(), "delete previous picture") {
		t.Error("not removed, or not logged")
	}
}

func TestPersonUploadsOneAtATime(t *testing.T) {
	t.Parallel()
	store := newMemory()
	s := newSite(t, withPictures(store))
	inside, leave := make(chan struct{}), make(chan struct{})
	var once sync.Once
	s.fake.wait = func(_ context.Context, packetType string) error {
		if packetType == "set_picture" {
			once.Do(func() { close(inside); <-leave })
		}
		return nil
	}
	done := make(chan answer)
	go func() { done <- s.upload(png(t, 8, 8)) }()
	<-inside
	a := s.upload(png(t, 9, 9)).want(t, 503)
	if a.Header.Get("Retry-After") != "1" {
		t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	close(leave)
	(<-done).to(t, "/profile")
	s.upload(png(t, 9, 9)).to(t, "/profile")
}

func TestPicturesAreOffWithoutAStore(t *testing.T) {
	t.Parallel()
	s := newSite(t)
	s.get("/profile").want(t, 200).hasNot(t, `type="file"`)
	s.upload(png(t, 8, 8)).want(t, 404)
	s.do("GET", "/pictures/"+strings.Repeat("0", 64), "").want(t, 404)
	if n, err := s.SweepPictures(context.Background(), 0); n != 0 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
}

func TestDeletedAccountTakesItsPictureAlong(t *testing.T) {
	t.Parallel()
	store := newMemory()
	s := newSite(t, withPictures(store))
	s.upload(png(t, 8, 8)).to(t, "/profile")
	s.api("DELETE", "/profile", `{"password":"`+adaPassword+`"}`).want(t, 204)
	if len(store.files) != 0 {
		t.Error("the picture stays")
	}
}

func TestSweepDeletesOnlyWhatIsOldAndUnused(t *testing.T) {
	t.Parallel()
	store := newMemory()
	s := newSite(t, withPictures(store))
	s.upload(png(t, 8, 8)).to(t, "/profile")
	used := s.pictureKey()
	old := time.Now().Add(-2 * time.Hour)
	store.files[used] = stored{store.files[used].Picture, old}
	for i := range 1200 {
		key := picture.Key(int64(i), []byte("x"))
		store.files[key] = stored{picture.Picture{Key: key}, old}
	}
	fresh := picture.Key(1, []byte("fresh"))
	store.files[fresh] = stored{picture.Picture{Key: fresh}, time.Now().Add(-59 * time.Minute)}

	// Less than an hour is an hour.
	n, err := s.SweepPictures(context.Background(), time.Minute)
	if n != 1200 || err != nil {
		t.Errorf("swept %d, %v; want 1200", n, err)
	}
	if !store.has(used) || !store.has(fresh) || len(store.files) != 2 {
		t.Errorf("%d pictures left", len(store.files))
	}
	for _, call := range s.fake.called("pictures_in_use") {
		if n := strings.Count(string(call.Body), `"`)/2 - 1; n > packet.MaxPictureKeys {
			t.Errorf("%d keys in one packet", n)
		}
	}
}

func TestSweepStopsWhereItCannotTellWhatIsInUse(t *testing.T) {
	t.Parallel()
	store := newMemory()
	s := newSite(t, withPictures(store))
	key := picture.Key(1, nil)
	store.files[key] = stored{picture.Picture{Key: key}, time.Now().Add(-2 * time.Hour)}
	s.fake.fail("pictures_in_use", &protocol.Error{Code: protocol.Unavailable})
	if n, err := s.SweepPictures(context.Background(), time.Hour); n != 0 || !errors.Is(err, protocol.Unavailable) {
		t.Errorf("swept %d, %v", n, err)
	}
	if !store.has(key) {
		t.Error("deleted without knowing")
	}
}
