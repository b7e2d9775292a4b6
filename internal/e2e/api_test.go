package e2e_test

import (
	"bytes"
	"encoding/json"
	"image"
	"strings"
	"testing"
	"time"
)

func TestAPIRegistersAndAnswersWithTheRecord(t *testing.T) {
	t.Parallel()
	s := service(t)
	name := newName()
	var o opened
	client{base: s.url}.do(t, "POST", "/api/v1/users", map[string]string{
		"username": strings.ToUpper(name), "password": password, "nickname": "Zoë 🦊"}).want(t, 201).into(t, &o)
	if o.User.Username != name || o.User.Nickname != "Zoë 🦊" || o.User.PictureURL != nil || o.User.Version != 1 || o.User.ID == "" {
		t.Errorf("registered %+v", o.User)
	}
	if left := time.Until(o.ExpiresAt); left < 29*24*time.Hour || left > 30*24*time.Hour {
		t.Errorf("the session ends in %v, want 30 days", left)
	}
	if got := (client{base: s.url, token: o.Token}).profile(t); got != o.User {
		t.Errorf("the profile is %+v, want the one registered, %+v", got, o.User)
	}
}

func TestAPIRefusesRegistrations(t *testing.T) {
	t.Parallel()
	s := service(t)
	taken := newName()
	register(t, s.url, taken)
	for _, c := range []struct {
		about, name, password, nickname string
		status                          int
		code, field                     string
	}{
		{"a taken name", taken, password, "", 409, "username_taken", ""},
		{"a taken name in capitals", strings.ToUpper(taken), password, "", 409, "username_taken", ""},
		{"a name that is too short", "ab", password, "", 422, "invalid", "username"},
		{"a reserved name", "admin", password, "", 422, "invalid", "username"},
		{"a name with letters of others", "pérson", password, "", 422, "invalid", "username"},
		{"a common password", newName(), "password1", "", 422, "invalid", "password"},
		{"a short password", newName(), "x7#kQ", "", 422, "invalid", "password"},
		{"a nickname with a bidi override", newName(), password, "a\u202eb", 422, "invalid", "nickname"},
		{"a nickname that is too long", newName(), password, strings.Repeat("n", 65), 422, "invalid", "nickname"},
	} {
		t.Run(c.about, func(t *testing.T) {
			p := client{base: s.url}.do(t, "POST", "/api/v1/users", map[string]string{
				"username": c.name, "password": c.password, "nickname": c.nickname}).refused(t, c.status, c.code)
			if c.field != "" && (len(p.Errors) != 1 || p.Errors[0].Field != c.field || p.Errors[0].Detail == "") {
				t.Errorf("errors are %+v, want one about %s", p.Errors, c.field)
			}
		})
	}
}

func TestAPILoginTellsNobodyWhoHasAnAccount(t *testing.T) {
	t.Parallel()
	s := service(t)
	name := newName()
	_, first := register(t, s.url, name)
	_, second := login(t, s.url, name, password)
	if second.Token == first.Token || second.User != first.User || second.Device == "" {
		t.Errorf("the login answered %+v after %+v", second.User, first.User)
	}
	wrong := func(name string) problem {
		return client{base: s.url}.do(t, "POST", "/api/v1/sessions", map[string]string{"username": name, "password": "not " + password}).
			refused(t, 401, "invalid_credentials")
	}
	a, b := wrong(name), wrong(newName())
	a.RequestID, b.RequestID = "", ""
	if a.Detail != b.Detail || a.Title != b.Title {
		t.Errorf("a wrong password is answered %+v, an unknown name %+v", a, b)
	}
}

func TestAPIListsAndEndsSessions(t *testing.T) {
	t.Parallel()
	s := service(t)
	name := newName()
	one, _ := register(t, s.url, name)
	two, _ := login(t, s.url, name, password)
	three, _ := login(t, s.url, name, password)
	four, _ := login(t, s.url, name, password)

	type list struct {
		Sessions []struct {
			ID        string
			Current   bool
			IP        string
			UserAgent string `json:"user_agent"`
		}
	}
	sessions := func(c client) (l list) {
		c.do(t, "GET", "/api/v1/sessions", nil).want(t, 200).into(t, &l)
		return l
	}
	if l := sessions(one); len(l.Sessions) != 4 {
		t.Fatalf("there are %d sessions, want 4", len(l.Sessions))
	}
	var id string
	for _, e := range sessions(two).Sessions {
		if e.IP != "127.0.0.1" || e.UserAgent == "" {
			t.Errorf("a session without its origin: %+v", e)
		}
		if e.Current {
			id = e.ID
		}
	}
	one.do(t, "DELETE", "/api/v1/sessions/"+id, nil).want(t, 204)
	one.do(t, "DELETE", "/api/v1/sessions/"+id, nil).refused(t, 404, "not_found")
	two.do(t, "GET", "/api/v1/profile", nil).refused(t, 401, "unauthenticated")
	three.do(t, "DELETE", "/api/v1/sessions/current", nil).want(t, 204)
	three.do(t, "GET", "/api/v1/profile", nil).refused(t, 401, "unauthenticated")
	one.do(t, "DELETE", "/api/v1/sessions", nil).want(t, 204)
	four.do(t, "GET", "/api/v1/profile", nil).refused(t, 401, "unauthenticated")
	if l := sessions(one); len(l.Sessions) != 1 || !l.Sessions[0].Current {
		t.Errorf("left are %+v, want the one that asked", l.Sessions)
	}
}

func TestAPISessionsOfOthersCannotBeEnded(t *testing.T) {
	t.Parallel()
	s := service(t)
	victim, _ := register(t, s.url, newName())
	other, _ := register(t, s.url, newName())
	var l struct{ Sessions []struct{ ID string } }
	victim.do(t, "GET", "/api/v1/sessions", nil).want(t, 200).into(t, &l)
	other.do(t, "DELETE", "/api/v1/sessions/"+l.Sessions[0].ID, nil).refused(t, 404, "not_found")
	victim.profile(t)
}

func TestAPIChangesTheNickname(t *testing.T) {
	t.Parallel()
	s := service(t)
	name := newName()
	c, o := register(t, s.url, name)
	var u user
	c.do(t, "PATCH", "/api/v1/profile", map[string]string{"nickname": "Ada 🚀"}).want(t, 200).into(t, &u)
	if u.Nickname != "Ada 🚀" || u.Version <= o.User.Version || u.ID != o.User.ID {
		t.Errorf("answered %+v after %+v", u, o.User)
	}
	if got := c.profile(t); got != u {
		t.Errorf("the profile is %+v, want %+v", got, u)
	}
	var public map[string]any
	client{base: s.url}.do(t, "GET", "/api/v1/users/"+name, nil).want(t, 200).into(t, &public)
	if len(public) != 3 || public["username"] != name || public["nickname"] != "Ada 🚀" || public["picture_url"] != nil {
		t.Errorf("everybody sees %v", public)
	}
	p := c.do(t, "PATCH", "/api/v1/profile", map[string]string{"nickname": "a\x00b"}).refused(t, 422, "invalid")
	if len(p.Errors) != 1 || p.Errors[0].Field != "nickname" {
		t.Errorf("errors are %+v", p.Errors)
	}
}

func TestAPIPutsAndDeletesThePicture(t *testing.T) {
	t.Parallel()
	s := service(t)
	c, _ := register(t, s.url, newName())
	put := func(data []byte, kind string) answer {
		t.Helper()
		a, err := c.send(t.Context(), "PUT", "/api/v1/profile/picture", bytes.NewReader(data), "Content-Type", kind)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	var u user
	put(leaningJPEG(t), "image/jpeg").want(t, 200).into(t, &u)
	if u.PictureURL == nil {
		t.Fatal("the record has no picture")
	}
	a := client{base: s.url}.do(t, "GET", *u.PictureURL, nil).want(t, 200)
	shown, format, err := image.DecodeConfig(bytes.NewReader(a.body))
	if err != nil || format != "jpeg" || shown.Width != leaning.Dy() || shown.Height != leaning.Dx() {
		t.Errorf("the picture is %s of %d x %d, error %v; want it upright", format, shown.Width, shown.Height, err)
	}
	if bytes.Contains(a.body, []byte("Exif")) {
		t.Error("the picture still has its metadata")
	}
	if !strings.Contains(a.header.Get("Cache-Control"), "immutable") || a.header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("the picture is served with %v", a.header)
	}
	put([]byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), "image/svg+xml").refused(t, 415, "unsupported_image")
	put([]byte("GIF89a but not really"), "image/gif").refused(t, 422, "invalid")
	put(bytes.Repeat([]byte{0xff}, 3<<20), "image/jpeg").refused(t, 413, "too_large")
	if got := c.profile(t); got.PictureURL == nil || *got.PictureURL != *u.PictureURL {
		t.Errorf("the picture is %v after uploads that were refused, want %s", got.PictureURL, *u.PictureURL)
	}
	var without user
	c.do(t, "DELETE", "/api/v1/profile/picture", nil).want(t, 200).into(t, &without)
	if without.PictureURL != nil {
		t.Errorf("the picture is still %s", *without.PictureURL)
	}
	client{base: s.url}.do(t, "GET", *u.PictureURL, nil).want(t, 404)
}

func TestAPIChangesThePasswordAndEndsOtherSessions(t *testing.T) {
	t.Parallel()
	s := service(t)
	name := newName()
	c, _ := register(t, s.url, name)
	other, _ := login(t, s.url, name, password)
	const better = "nine violet harbours before noon"
	change := func(old string) answer {
		return c.do(t, "PUT", "/api/v1/password", map[string]string{"current_password": old, "new_password": better})
	}
	change("wrong "+password).refused(t, 403, "wrong_password")
	change(password).want(t, 204)
	c.profile(t)
	other.do(t, "GET", "/api/v1/profile", nil).refused(t, 401, "unauthenticated")
	client{base: s.url}.do(t, "POST", "/api/v1/sessions", map[string]string{"username": name, "password": password}).refused(t, 401, "invalid_credentials")
	login(t, s.url, name, better)
}

func TestAPIExportsAndDeletesTheAccount(t *testing.T) {
	t.Parallel()
	s := service(t)
	name := newName()
	c, o := register(t, s.url, name)
	a := c.do(t, "GET", "/api/v1/profile/export", nil).want(t, 200)
	var export struct {
		User     user
		Sessions []map[string]any
	}
	a.into(t, &export)
	if export.User != o.User || len(export.Sessions) != 1 || !strings.Contains(a.header.Get("Content-Disposition"), "attachment") {
		t.Errorf("the export is %s with %v", a.body, a.header)
	}
	if a.has(o.Token) || a.has(password) {
		t.Error("the export holds a secret")
	}
	c.do(t, "DELETE", "/api/v1/profile", map[string]string{"password": "wrong"}).refused(t, 403, "wrong_password")
	c.profile(t)
	c.do(t, "DELETE", "/api/v1/profile", map[string]string{"password": password}).want(t, 204)
	c.do(t, "GET", "/api/v1/profile", nil).refused(t, 401, "unauthenticated")
	client{base: s.url}.do(t, "GET", "/api/v1/users/"+name, nil).refused(t, 404, "not_found")
	client{base: s.url}.do(t, "POST", "/api/v1/sessions", map[string]string{"username": name, "password": password}).refused(t, 401, "invalid_credentials")
}

func TestAPIVerifyTellsAProxyWhoItIs(t *testing.T) {
	t.Parallel()
	s := service(t)
	name := newName()
	c, o := register(t, s.url, name)
	c.do(t, "PATCH", "/api/v1/profile", map[string]string{"nickname": "Ada Löw 🚀"}).want(t, 200)
	a := c.do(t, "GET", "/api/v1/auth/verify", nil).want(t, 200)
	if h := a.header; len(a.body) != 0 || h.Get("X-Gatehouse-User") != name || h.Get("X-Gatehouse-User-Id") != o.User.ID ||
		h.Get("X-Gatehouse-Nickname") != "Ada%20L%C3%B6w%20%F0%9F%9A%80" {
		t.Errorf("answered %q with %v", a.body, h)
	}
	nobody := client{base: s.url}
	nobody.do(t, "GET", "/api/v1/auth/verify", nil).refused(t, 401, "unauthenticated")
	if to := nobody.do(t, "GET", "/api/v1/auth/verify?redirect=1", nil).want(t, 302).header.Get("Location"); to != s.url+"/login" {
		t.Errorf("sent to %q, want %q", to, s.url+"/login")
	}
}

func TestAPIDescribesItself(t *testing.T) {
	t.Parallel()
	a := client{base: service(t).url}.do(t, "GET", "/api/openapi.yaml", nil).want(t, 200)
	if !a.has("openapi: 3.1.0", "/api/v1/sessions:") {
		t.Errorf("the description begins %.80q", a.body)
	}
}

func TestLogsHoldNoSecrets(t *testing.T) {
	t.Parallel()
	s := start(t, append([]string{"serve", "--log-level", "debug"}, cheap...)...)
	name := newName()
	c, o := register(t, s.url, name)
	c.profile(t)
	typo := password + "x"
	client{base: s.url}.do(t, "POST", "/api/v1/sessions", map[string]string{"username": name, "password": typo}).want(t, 401)
	client{base: s.url}.do(t, "GET", "/login?password=leakedbyquery", nil).want(t, 200)
	c.do(t, "PUT", "/api/v1/password", map[string]string{"current_password": typo, "new_password": typo}).want(t, 403)
	s.stop(t)
	log := s.out.String()
	for line := range strings.Lines(log) {
		if strings.HasPrefix(line, "{") && !json.Valid([]byte(line)) {
			t.Errorf("a line of the log is not JSON: %s", line)
		}
	}
	if !strings.Contains(log, `"op":"register"`) {
		t.Fatalf("the log tells nothing of the registration: %s", log)
	}
	for _, secret := range []string{password, o.Token, o.Device, "leakedbyquery"} {
		if strings.Contains(log, secret) {
			t.Errorf("the log holds %q", secret)
		}
	}
}
