package webserver_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// fakeBackend is tier 2 in memory: it answers every packet that tier 1
// sends, with rules as simple as the tests allow. Passwords of fewer than
// eight bytes are too short, and nicknames of more than 64.
type fakeBackend struct {
	mux *protocol.Mux

	mu       sync.Mutex // guards everything below
	users    map[int64]*fakeUser
	sessions map[packet.Secret]*fakeSession
	fails    map[string]error // by packet type
	calls    []protocol.Request
	next     int64
	// wait is called before every call is answered, without the lock.
	wait func(ctx context.Context, packetType string) error
}

type fakeUser struct {
	packet.User
	password packet.Secret
	picture  string
}

type fakeSession struct {
	packet.Session
	user int64
}

// birth is when everything in the fake was made.
var birth = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func newFake() *fakeBackend {
	f := &fakeBackend{
		users: make(map[int64]*fakeUser), sessions: make(map[packet.Secret]*fakeSession),
		fails: make(map[string]error), next: 1000,
	}
	f.mux = protocol.NewMux(
		packet.Register.Handler(f.register),
		packet.Login.Handler(f.login),
		packet.Logout.Handler(f.logout),
		packet.Verify.Handler(f.profile),
		packet.GetProfile.Handler(f.profile),
		packet.UpdateProfile.Handler(f.updateProfile),
		packet.SetPicture.Handler(f.setPicture),
		packet.ChangePassword.Handler(f.changePassword),
		packet.ListSessions.Handler(f.listSessions),
		packet.EndSession.Handler(f.endSession),
		packet.EndOtherSessions.Handler(f.endOthers),
		packet.GetUser.Handler(f.user),
		packet.DeleteAccount.Handler(f.deleteAccount),
		packet.PicturesInUse.Handler(f.inUse),
	)
	return f
}

func (f *fakeBackend) Call(ctx context.Context, req protocol.Request) (protocol.Reply, error) {
	f.mu.Lock()
	f.calls = append(f.calls, req)
	err, wait := f.fails[req.Type], f.wait
	f.mu.Unlock()
	if wait != nil {
		if err := wait(ctx, req.Type); err != nil {
			return protocol.Reply{}, err
		}
	}
	if err != nil {
		return protocol.Reply{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mux.Call(ctx, req)
}

// fail makes every call of a packet type fail, or stop failing with nil.
func (f *fakeBackend) fail(packetType string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		delete(f.fails, packetType)
		return
	}
	f.fails[packetType] = err
}

// gone makes every call fail.
func (f *fakeBackend) gone(err error) {
	for _, t := range f.mux.Types() {
		f.fail(t, err)
	}
}

// called returns the calls of a packet type so far.
func (f *fakeBackend) called(packetType string) []protocol.Request {
	f.mu.Lock()
	defer f.mu.Unlock()
	var found []protocol.Request
	for _, c := range f.calls {
		if c.Type == packetType {
			found = append(found, c)
		}
	}
	return found
}

// account makes a user with a session and returns the session's token.
func (f *fakeBackend) account(username, password string) packet.Secret {
	f.mu.Lock()
	defer f.mu.Unlock()
	u := f.add(username, username, packet.Secret(password))
	return f.open(u, protocol.Meta{Client: protocol.Client{IP: "192.0.2.1", UserAgent: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"}})
}

func (f *fakeBackend) add(username, nickname string, password packet.Secret) *fakeUser {
	f.next++
	u := &fakeUser{password: password, User: packet.User{
		ID: f.next, Username: packet.FoldUsername(username), Nickname: cmp.Or(nickname, username), Version: 1, CreatedAt: birth,
	}}
	f.users[u.ID] = u
	return u
}

func (f *fakeBackend) open(u *fakeUser, meta protocol.Meta) packet.Secret {
	f.next++
	raw := make([]byte, 40)
	binary.BigEndian.PutUint64(raw, uint64(u.ID))
	copy(raw[8:], fmt.Sprintf("random-%025d", f.next))
	token := packet.Secret(base64.RawURLEncoding.EncodeToString(raw))
	f.sessions[token] = &fakeSession{user: u.ID, Session: packet.Session{
		ID: strconv.FormatInt(f.next, 10), CreatedAt: birth, LastSeenAt: birth.Add(time.Hour), ExpiresAt: birth.AddDate(0, 1, 0),
		IP: meta.Client.IP, UserAgent: meta.Client.UserAgent,
	}}
	return token
}

func (f *fakeBackend) byName(username string) *fakeUser {
	for _, u := range f.users {
		if u.Username == packet.FoldUsername(username) {
			return u
		}
	}
	return nil
}

func (f *fakeBackend) who(a packet.Authenticated) (*fakeUser, error) {
	session := f.sessions[a.Token]
	if session == nil {
		return nil, &protocol.Error{Code: protocol.Unauthenticated}
	}
	return f.users[session.user], nil
}

func (u *fakeUser) subject() string { return strconv.FormatInt(u.ID, 10) }

func invalid(field, reason, detail string) error {
	return &protocol.Error{Code: protocol.Invalid, Fields: []protocol.Field{{Field: field, Reason: reason, Detail: detail}}}
}

func (f *fakeBackend) register(_ context.Context, meta protocol.Meta, req packet.RegisterRequest) (packet.SessionReply, string, error) {
	if len(req.Username) < 3 {
		return packet.SessionReply{}, "", invalid("username", "username_length", "must be 3 to 32 characters long")
	}
	if len(req.Password) < 8 {
		return packet.SessionReply{}, "", invalid("password", "password_too_short", "must be at least 8 characters long")
	}
	if f.byName(req.Username) != nil {
		return packet.SessionReply{}, "", &protocol.Error{Code: protocol.Conflict, Reason: "username_taken"}
	}
	u := f.add(req.Username, req.Nickname, req.Password)
	return f.session(u, meta), u.Username, nil
}

func (f *fakeBackend) session(u *fakeUser, meta protocol.Meta) packet.SessionReply {
	return packet.SessionReply{
		Token: f.open(u, meta), ExpiresAt: time.Now().Add(720 * time.Hour).UTC(), User: u.User,
		Device: packet.Secret("device-of-" + u.Username),
	}
}

func (f *fakeBackend) login(_ context.Context, meta protocol.Meta, req packet.LoginRequest) (packet.SessionReply, string, error) {
	u := f.byName(req.Username)
	if u == nil || u.password != req.Password {
		return packet.SessionReply{}, "", &protocol.Error{Code: protocol.Unauthenticated, Reason: "invalid_credentials"}
	}
	return f.session(u, meta), u.Username, nil
}

func (f *fakeBackend) logout(_ context.Context, _ protocol.Meta, req packet.Authenticated) (packet.Empty, string, error) {
	u, err := f.who(req)
	if err != nil {
		return packet.Empty{}, "", err
	}
	delete(f.sessions, req.Token)
	return packet.Empty{}, u.subject(), nil
}

func (f *fakeBackend) profile(_ context.Context, _ protocol.Meta, req packet.Authenticated) (packet.UserReply, string, error) {
	u, err := f.who(req)
	if err != nil {
		return packet.UserReply{}, "", err
	}
	return packet.UserReply{User: u.User}, u.subject(), nil
}

func (f *fakeBackend) updateProfile(_ context.Context, _ protocol.Meta, req packet.UpdateProfileRequest) (packet.UserReply, string, error) {
	u, err := f.who(req.Authenticated)
	if err != nil {
		return packet.UserReply{}, "", err
	}
	switch {
	case strings.TrimSpace(req.Nickname) == "":
		return packet.UserReply{}, "", invalid("nickname", "nickname_empty", "must hold at least one visible character")
	case len([]rune(req.Nickname)) > 64:
		return packet.UserReply{}, "", invalid("nickname", "nickname_too_long", "must be at most 64 code points and 256 bytes")
	}
	u.Nickname = req.Nickname
	u.Version++
	return packet.UserReply{User: u.User}, u.subject(), nil
}

func (f *fakeBackend) setPicture(_ context.Context, _ protocol.Meta, req packet.SetPictureRequest) (packet.SetPictureReply, string, error) {
	u, err := f.who(req.Authenticated)
	if err != nil {
		return packet.SetPictureReply{}, "", err
	}
	var reply packet.SetPictureReply
	if u.picture != req.Picture {
		reply.Previous = u.picture
	}
	u.picture, u.PictureURL = req.Picture, nil
	if req.Picture != "" {
		address := "/pictures/" + req.Picture
		u.PictureURL = &address
	}
	u.Version++
	reply.User = u.User
	return reply, u.subject(), nil
}

func (f *fakeBackend) changePassword(_ context.Context, _ protocol.Meta, req packet.ChangePasswordRequest) (packet.Empty, string, error) {
	u, err := f.who(req.Authenticated)
	if err != nil {
		return packet.Empty{}, "", err
	}
	if u.password != req.CurrentPassword {
		return packet.Empty{}, "", &protocol.Error{Code: protocol.Forbidden, Reason: "wrong_password"}
	}
	if len(req.NewPassword) < 8 {
		return packet.Empty{}, "", invalid("new_password", "password_too_short", "must be at least 8 characters long")
	}
	u.password = req.NewPassword
	f.endAllBut(u.ID, req.Token)
	return packet.Empty{}, u.subject(), nil
}

func (f *fakeBackend) endAllBut(user int64, token packet.Secret) {
	for t, s := range f.sessions {
		if s.user == user && t != token {
			delete(f.sessions, t)
		}
	}
}

func (f *fakeBackend) listSessions(_ context.Context, _ protocol.Meta, req packet.Authenticated) (packet.ListSessionsReply, string, error) {
	u, err := f.who(req)
	if err != nil {
		return packet.ListSessionsReply{}, "", err
	}
	var reply packet.ListSessionsReply
	for token, s := range f.sessions {
		if s.user == u.ID {
			shown := s.Session
			shown.Current = token == req.Token
			reply.Sessions = append(reply.Sessions, shown)
		}
	}
	slices.SortFunc(reply.Sessions, func(a, b packet.Session) int { return cmp.Compare(a.ID, b.ID) })
	return reply, u.subject(), nil
}

func (f *fakeBackend) endSession(_ context.Context, _ protocol.Meta, req packet.EndSessionRequest) (packet.Empty, string, error) {
	u, err := f.who(req.Authenticated)
	if err != nil {
		return packet.Empty{}, "", err
	}
	for token, s := range f.sessions {
		if s.ID == req.ID && s.user == u.ID {
			delete(f.sessions, token)
			return packet.Empty{}, u.subject(), nil
		}
	}
	return packet.Empty{}, "", &protocol.Error{Code: protocol.NotFound}
}

func (f *fakeBackend) endOthers(_ context.Context, _ protocol.Meta, req packet.Authenticated) (packet.Empty, string, error) {
	u, err := f.who(req)
	if err != nil {
		return packet.Empty{}, "", err
	}
	f.endAllBut(u.ID, req.Token)
	return packet.Empty{}, u.subject(), nil
}

func (f *fakeBackend) user(_ context.Context, _ protocol.Meta, req packet.Named) (packet.GetUserReply, string, error) {
	u := f.byName(req.Username)
	if u == nil {
		return packet.GetUserReply{}, "", &protocol.Error{Code: protocol.NotFound}
	}
	return packet.GetUserReply{Username: u.Username, Nickname: u.Nickname, PictureURL: u.PictureURL}, u.Username, nil
}

func (f *fakeBackend) deleteAccount(_ context.Context, _ protocol.Meta, req packet.DeleteAccountRequest) (packet.DeleteAccountReply, string, error) {
	u, err := f.who(req.Authenticated)
	if err != nil {
		return packet.DeleteAccountReply{}, "", err
	}
	if u.password != req.Password {
		return packet.DeleteAccountReply{}, "", &protocol.Error{Code: protocol.Forbidden, Reason: "wrong_password"}
	}
	f.endAllBut(u.ID, "")
	delete(f.users, u.ID)
	return packet.DeleteAccountReply{Previous: u.picture}, u.subject(), nil
}

func (f *fakeBackend) inUse(_ context.Context, _ protocol.Meta, req packet.PictureKeys) (packet.PictureKeys, string, error) {
	reply := packet.PictureKeys{Keys: []string{}}
	for _, u := range f.users {
		if slices.Contains(req.Keys, u.picture) {
			reply.Keys = append(reply.Keys, u.picture)
		}
	}
	return reply, "", nil
}
