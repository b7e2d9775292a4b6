package packet_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// golden is one packet type with bodies of which every field is filled.
type golden struct {
	typ            string
	readOnly       bool
	request, reply any
}

// of takes the bodies as the method declares them.
func of[Req, Rep any](m protocol.Method[Req, Rep], request Req, reply Rep) golden {
	return golden{typ: m.Type, readOnly: m.ReadOnly, request: request, reply: reply}
}

var (
	madeAt    = time.Date(2026, 3, 1, 12, 0, 0, 500_000_000, time.UTC)
	seenAt    = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	expiresAt = time.Date(2026, 3, 31, 12, 0, 0, 123_456_000, time.UTC)
	pictureAt = "/pictures/0a0a"
	named     = packet.Named{Username: "Ada"}
	auth      = packet.Authenticated{Token: "tok-1"}
	ada       = packet.User{ID: 407958139958203785, Username: "ada", Nickname: "Countess", PictureURL: &pictureAt, Version: 7, CreatedAt: madeAt}
	account   = packet.Account{User: ada, Disabled: true}
	browser   = packet.Session{ID: "42", Current: true, CreatedAt: madeAt, LastSeenAt: seenAt, ExpiresAt: expiresAt, IP: "192.0.2.1", UserAgent: "browser"}
	opened    = packet.SessionReply{Token: "tok-1", ExpiresAt: expiresAt, User: ada, Device: "dev-1"}
)

func goldens() []golden {
	return []golden{
		of(packet.Register, packet.RegisterRequest{Named: named, Password: "violet kettle", Nickname: "Countess", Invite: "inv-1"}, opened),
		of(packet.Login, packet.LoginRequest{Named: named, Password: "violet kettle", Code: "123456"}, opened),
		of(packet.Logout, auth, packet.Empty{}),
		of(packet.Verify, auth, packet.UserReply{User: ada}),
		of(packet.GetProfile, auth, packet.UserReply{User: ada}),
		of(packet.UpdateProfile, packet.UpdateProfileRequest{Authenticated: auth, Nickname: "Countess"}, packet.UserReply{User: ada}),
		of(packet.GetUser, named, packet.GetUserReply{Username: "ada", Nickname: "Countess", PictureURL: &pictureAt}),
		of(packet.SetPicture, packet.SetPictureRequest{Authenticated: auth, Picture: "0a0a"}, packet.SetPictureReply{User: ada, Previous: "f9f9"}),
		of(packet.PicturesInUse, packet.PictureKeys{Keys: []string{"0a0a", "f9f9"}}, packet.PictureKeys{Keys: []string{"0a0a"}}),
		of(packet.ListSessions, auth, packet.ListSessionsReply{Sessions: []packet.Session{browser}}),
		of(packet.EndSession, packet.EndSessionRequest{Authenticated: auth, ID: "42"}, packet.Empty{}),
		of(packet.EndOtherSessions, auth, packet.Empty{}),
		of(packet.ChangePassword, packet.ChangePasswordRequest{Authenticated: auth, CurrentPassword: "violet kettle", NewPassword: "amber ladder"}, packet.Empty{}),
		of(packet.DeleteAccount, packet.DeleteAccountRequest{Authenticated: auth, Password: "violet kettle"}, packet.DeleteAccountReply{Previous: "f9f9"}),
		of(packet.OpAbout, packet.Empty{}, packet.OpAboutReply{Version: "1.2.3", Database: "sqlite:/data/gatehouse.db"}),
		of(packet.OpAddUser, packet.OpAddUserRequest{Named: named, Nickname: "Countess", Password: "violet kettle"}, packet.OpUserReply{User: account}),
		of(packet.OpListUsers, packet.OpListUsersRequest{After: "ada", Limit: 100}, packet.OpListUsersReply{Users: []packet.Account{account}, More: true}),
		of(packet.OpShowUser, named, packet.OpShowUserReply{User: account, Sessions: []packet.Session{browser}, More: true}),
		of(packet.OpDisableUser, named, packet.OpUserReply{User: account}),
		of(packet.OpEnableUser, named, packet.OpUserReply{User: account}),
		of(packet.OpSetPassword, packet.OpSetPasswordRequest{Named: named, Password: "violet kettle"}, packet.OpUserReply{User: account}),
		of(packet.OpEndSessions, named, packet.OpUserReply{User: account}),
		of(packet.OpDeleteUser, named, packet.DeleteAccountReply{Previous: "f9f9"}),
	}
}

// TestShapeOfEveryBodyIsAsPromised compares with what peers of all versions
// send and expect: a field that is renamed, or that changes its kind, breaks
// them.
func TestShapeOfEveryBodyIsAsPromised(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/packets.json")
	if err != nil {
		t.Fatal(err)
	}
	var promised map[string]struct{ Request, Reply json.RawMessage }
	if err := json.Unmarshal(text, &promised); err != nil {
		t.Fatal(err)
	}
	for _, g := range goldens() {
		t.Run(g.typ, func(t *testing.T) {
			if _, ok := promised[g.typ]; !ok {
				t.Fatal("nothing is promised")
			}
			checkBody(t, "request", g.request, promised[g.typ].Request)
			checkBody(t, "reply", g.reply, promised[g.typ].Reply)
		})
		delete(promised, g.typ)
	}
	for typ := range promised {
		t.Errorf("%s is promised and not declared", typ)
	}
}

// checkBody compares in both directions: what is written, and what is read.
func checkBody(t *testing.T, what string, body any, promised json.RawMessage) {
	t.Helper()
	if empty := emptyField(reflect.ValueOf(body), what); empty != "" {
		t.Errorf("%s is not filled, so that it is not compared", empty)
	}
	written, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := members(t, written), members(t, promised); !reflect.DeepEqual(got, want) {
		t.Errorf("%s is written\n%s, promised is\n%s", what, written, promised)
	}
	read := reflect.New(reflect.TypeOf(body))
	decoder := json.NewDecoder(bytes.NewReader(promised))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(read.Interface()); err != nil {
		t.Errorf("%s as promised is not read: %v", what, err)
	}
	if got := read.Elem().Interface(); !reflect.DeepEqual(got, body) {
		t.Errorf("%s as promised is read as %#v, want %#v", what, got, body)
	}
}

// members decodes without losing digits.
func members(t *testing.T, text []byte) any {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	var v any
	if err := decoder.Decode(&v); err != nil && err != io.EOF {
		t.Fatal(err)
	}
	return v
}

// emptyField returns the path of a field that holds nothing, or "".
func emptyField(v reflect.Value, path string) string {
	switch {
	case v.Type() == reflect.TypeFor[time.Time](), v.Kind() != reflect.Struct && v.Kind() != reflect.Slice:
		if v.IsZero() {
			return path
		}
	case v.Kind() == reflect.Slice:
		if v.Len() == 0 {
			return path
		}
		return emptyField(v.Index(0), path+"[0]")
	default:
		for i := range v.NumField() {
			if empty := emptyField(v.Field(i), path+"."+v.Type().Field(i).Name); empty != "" {
				return empty
			}
		}
	}
	return ""
}

// TestFieldsThatAreNotThere pins which of them are left out and which are
// there all the same.
func TestFieldsThatAreNotThere(t *testing.T) {
	t.Parallel()
	const user = `{"id":"0","username":"","nickname":"","picture_url":null,"version":0,"created_at":"0001-01-01T00:00:00Z"}`
	for _, test := range []struct {
		body any
		want string
	}{
		{packet.RegisterRequest{}, `{"username":"","password":""}`},
		{packet.LoginRequest{}, `{"username":"","password":""}`},
		{packet.SessionReply{}, `{"token":"","expires_at":"0001-01-01T00:00:00Z","user":` + user + `}`},
		{packet.UserReply{}, `{"user":` + user + `}`},
		{packet.SetPictureRequest{}, `{"token":"","picture":""}`},
		{packet.SetPictureReply{}, `{"user":` + user + `}`},
		{packet.GetUserReply{}, `{"username":"","nickname":"","picture_url":null}`},
		{packet.ListSessionsReply{Sessions: []packet.Session{}}, `{"sessions":[]}`},
		{packet.DeleteAccountReply{}, `{}`},
		{packet.OpAddUserRequest{}, `{"username":"","password":""}`},
		{packet.OpListUsersRequest{}, `{}`},
		{packet.OpListUsersReply{Users: []packet.Account{}}, `{"users":[],"more":false}`},
		{packet.Empty{}, `{}`},
	} {
		if got, err := json.Marshal(test.body); err != nil || string(got) != test.want {
			t.Errorf("%T is written %s, %v, want %s", test.body, got, err, test.want)
		}
	}
}

func TestIDKeepsAllItsDigits(t *testing.T) {
	t.Parallel()
	for _, id := range []int64{1, 1<<53 + 1, math.MaxInt64} {
		text, err := json.Marshal(packet.User{ID: id})
		if err != nil || !strings.Contains(string(text), fmt.Sprintf(`"id":"%d"`, id)) {
			t.Errorf("id %d is written %s, %v", id, text, err)
		}
		var back packet.User
		if err := json.Unmarshal(text, &back); err != nil || back.ID != id {
			t.Errorf("id %d is read %d, %v", id, back.ID, err)
		}
	}
}

func TestSecretIsPrintedNowhere(t *testing.T) {
	t.Parallel()
	const secret = packet.Secret("hunter2")
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
		slog.New(handler).With("a", secret).Info("x", "b", secret, slog.Group("g", "c", secret))
	}
	request := packet.ChangePasswordRequest{Authenticated: packet.Authenticated{Token: secret}, CurrentPassword: secret, NewPassword: secret}
	printed := map[string]string{
		"String":  secret.String(),
		"Sprint":  fmt.Sprint(secret, &request, []packet.Secret{secret}, map[packet.Secret]packet.Secret{secret: secret}),
		"Errorf":  fmt.Errorf("%w: %s", io.EOF, secret).Error(),
		"the log": log.String(),
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%10.3s"} {
		printed[verb] = fmt.Sprintf(verb, secret)
		printed[verb+" of a request"] = fmt.Sprintf(verb, request)
	}
	for how, text := range printed {
		if strings.Contains(text, "hunter2") || strings.Contains(strings.ToLower(text), "68756e74657232") {
			t.Errorf("%s prints %s", how, text)
		}
	}
	for _, how := range []string{"String", "Sprint", "%v", "%+v", "%#v", "the log", "%+v of a request", "%#v of a request"} {
		if !strings.Contains(printed[how], "REDACTED") {
			t.Errorf("%s prints %s, which does not say that something was left out", how, printed[how])
		}
	}
	if n := strings.Count(printed["the log"], "REDACTED"); n != 6 {
		t.Errorf("%d of 6 secrets are REDACTED in the log: %s", n, printed["the log"])
	}
}

func TestSecretTravelsAsItIs(t *testing.T) {
	t.Parallel()
	const secret = packet.Secret("käse \"<&>\" \u2028 \U0001f98a")
	text, err := json.Marshal(packet.DeleteAccountRequest{Password: secret})
	if err != nil {
		t.Fatal(err)
	}
	var back packet.DeleteAccountRequest
	if err := json.Unmarshal(text, &back); err != nil || back.Password != secret {
		t.Errorf("%q came back as %q, %v", string(secret), string(back.Password), err)
	}
	if plain, _ := json.Marshal(string(secret)); !bytes.Contains(text, plain) {
		t.Errorf("the secret is written %s, want %s", text, plain)
	}
}

func TestSubjectOfATokenIsTheUserItNames(t *testing.T) {
	t.Parallel()
	token := func(id uint64, random int) packet.Secret {
		return packet.Secret(base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint64(nil, id), make([]byte, random)...)))
	}
	for _, test := range []struct {
		token packet.Secret
		want  string
	}{
		{token(1, 32), "1"},
		{token(407958139958203785, 32), "407958139958203785"},
		{token(math.MaxInt64, 32), "9223372036854775807"},
		{token(1, 31), ""},
		{token(1, 33), ""},
		{token(1, 32) + "==", ""},
		{"", ""},
		{"not a token", ""},
	} {
		for _, got := range []string{packet.TokenSubject(test.token), packet.Authenticated{Token: test.token}.Subject()} {
			if got != test.want {
				t.Errorf("the subject of %q is %q, want %q", string(test.token), got, test.want)
			}
		}
	}
}

func TestSubjectOfANameIsFolded(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{"Ada": "ada", "A.B-c_9": "a.b-c_9", "\u212aATE": "\u212aate", "ÅSA": "Åsa", "": ""} {
		for _, got := range []string{packet.FoldUsername(name), packet.Named{Username: name}.Subject()} {
			if got != want {
				t.Errorf("the subject of %q is %q, want %q", name, got, want)
			}
		}
	}
}

// TestOnlyReadsMayBeRepeatedUnasked pins what a caller may send twice.
func TestOnlyReadsMayBeRepeatedUnasked(t *testing.T) {
	t.Parallel()
	reads := map[string]bool{"verify": true, "get_profile": true, "get_user": true, "list_sessions": true, "pictures_in_use": true,
		"op_about": true, "op_list_users": true, "op_show_user": true}
	for _, g := range goldens() {
		if g.readOnly != reads[g.typ] {
			t.Errorf("%s only reads: %v, want %v", g.typ, g.readOnly, reads[g.typ])
		}
	}
}

// TestEveryRequestForARecordSaysWhose because a reply about somebody else is
// recognised by nothing else.
func TestEveryRequestForARecordSaysWhose(t *testing.T) {
	t.Parallel()
	others := map[string]bool{packet.PicturesInUse.Type: true, packet.OpListUsers.Type: true, packet.OpAbout.Type: true} // many, or none
	for _, g := range goldens() {
		_, says := g.request.(interface{ Subject() string })
		if want := !others[g.typ]; says != want {
			t.Errorf("%s says whose record it is about: %v, want %v", g.typ, says, want)
		}
	}
}
