package stresstest_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
	"gatehouse/stresstest"
)

// backend plays tier 2 with generated accounts, as site plays tier 1.
type backend struct {
	before func(typ string) error
	ended  sync.Map // the tokens of sessions that were ended

	mu    sync.Mutex // guards users
	users map[int]*packet.User
}

func newBackend(users int) *backend {
	b := &backend{before: func(string) error { return nil }, users: map[int]*packet.User{}}
	for n := 1; n <= users; n++ {
		b.users[n] = &packet.User{ID: int64(n), Username: stresstest.Username(n), Nickname: stresstest.Nickname(n)}
	}
	return b
}

func (b *backend) handlers() []protocol.Handler {
	return []protocol.Handler{
		packet.Login.Handler(func(_ context.Context, _ protocol.Meta, req packet.LoginRequest) (packet.SessionReply, string, error) {
			n, _ := strconv.Atoi(strings.TrimPrefix(req.Username, "user"))
			if string(req.Password) != stresstest.Password(n) {
				return packet.SessionReply{}, "", protocol.Unauthenticated
			}
			u, _, err := b.user(packet.Login.Type, packet.Secret(tokenOf(n)), "")
			return packet.SessionReply{Token: packet.Secret(tokenOf(n)), User: u.User}, req.Username, err
		}),
		packet.GetProfile.Handler(func(_ context.Context, _ protocol.Meta, req packet.Authenticated) (packet.UserReply, string, error) {
			return b.user(packet.GetProfile.Type, req.Token, "")
		}),
		packet.Verify.Handler(func(_ context.Context, _ protocol.Meta, req packet.Authenticated) (packet.UserReply, string, error) {
			return b.user(packet.Verify.Type, req.Token, "")
		}),
		packet.ListSessions.Handler(func(_ context.Context, _ protocol.Meta, req packet.Authenticated) (packet.ListSessionsReply, string, error) {
			_, subject, err := b.user(packet.ListSessions.Type, req.Token, "")
			return packet.ListSessionsReply{Sessions: []packet.Session{{ID: stresstest.SessionID(string(req.Token)), Current: true}}}, subject, err
		}),
		packet.Logout.Handler(func(_ context.Context, _ protocol.Meta, req packet.Authenticated) (packet.Empty, string, error) {
			_, subject, err := b.user(packet.Logout.Type, req.Token, "")
			b.ended.Store(req.Token, true)
			return packet.Empty{}, subject, err
		}),
		packet.UpdateProfile.Handler(func(_ context.Context, _ protocol.Meta, req packet.UpdateProfileRequest) (packet.UserReply, string, error) {
			return b.user(packet.UpdateProfile.Type, req.Token, req.Nickname)
		}),
	}
}

// user returns whoever a token names, with a new nickname if there is one.
func (b *backend) user(typ string, token packet.Secret, nickname string) (packet.UserReply, string, error) {
	if err := b.before(typ); err != nil {
		return packet.UserReply{}, "", err
	}
	if _, ended := b.ended.Load(token); ended {
		return packet.UserReply{}, "", protocol.Unauthenticated
	}
	n, _ := strconv.Atoi(packet.TokenSubject(token))
	b.mu.Lock()
	defer b.mu.Unlock()
	if nickname != "" {
		b.users[n].Nickname = nickname
	}
	return packet.UserReply{User: *b.users[n]}, strconv.Itoa(n), nil
}

// listen answers packets on a port of this machine until the test ends.
func listen(t testing.TB, cfg protocol.ServerConfig) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := protocol.NewServer(cfg)
	var serving sync.WaitGroup
	serving.Go(func() { server.Serve(l) })
	t.Cleanup(func() {
		server.Close()
		serving.Wait()
	})
	return "tcp://" + l.Addr().String()
}

func packets(t *testing.T, target string) stresstest.Config {
	return stresstest.Config{Target: target, Rate: 400, Duration: 500 * time.Millisecond, Workers: 200, Users: 5,
		Mix: mix(t, "login=2,profile=4,update=4,verify=2,sessions=2,logout=2"), PoolSize: 2, InFlight: 8}
}

func TestBackendIsDrivenByPackets(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	target := listen(t, protocol.ServerConfig{Handler: protocol.NewMux(newBackend(5).handlers()...), Key: key})
	before := runtime.NumGoroutine()
	cfg := packets(t, target)
	if _, err := stresstest.Run(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "link key") {
		t.Errorf("without the link key: %v", err)
	}
	cfg.Link = protocol.Config{Key: key}
	r, err := stresstest.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	// This is the machine's clock, and a machine that stalls at the end of the
	// run leaves requests unsent.
	if r.Total.Succeeded+r.NotSent != 200 || r.Wrong != 0 || r.Accounts != 5 || len(r.Ops) != 6 || r.Ops["logout"].Succeeded == 0 ||
		r.Ops["update"].Succeeded == 0 || r.Ops["login"].Succeeded == 0 {
		t.Errorf("%+v, examples %v", r.Total, r.Examples)
	}
	if r.DriverCPU.Share <= 0 || r.DriverCPU.Share > 1 || r.DriverCPU.Processors != runtime.NumCPU() || r.DriverLag.P50 <= 0 {
		t.Errorf("the driver's own part is %+v, its lag %+v", r.DriverCPU, r.DriverLag)
	}
	// The server's goroutines of closed connections need a moment.
	for deadline := time.Now().Add(10 * time.Second); runtime.NumGoroutine() > before; {
		if time.Now().After(deadline) {
			t.Fatalf("%d goroutines are left, %d were there before", runtime.NumGoroutine(), before)
		}
		runtime.Gosched()
	}
}

func TestRefusalsOfABackendAreCountedByReason(t *testing.T) {
	t.Parallel()
	b := newBackend(5)
	var asked atomic.Int64
	refusals := []error{
		protocol.Unauthenticated,
		&protocol.Error{Code: protocol.Unauthenticated, Reason: "invalid_credentials"},
		&protocol.Error{Code: protocol.Overloaded, RetryAfter: time.Second},
		protocol.UnknownOutcome,
		errors.New("a defect"),
	}
	b.before = func(string) error { return refusals[asked.Add(1)%int64(len(refusals))] }
	cfg := packets(t, listen(t, protocol.ServerConfig{Handler: protocol.NewMux(b.handlers()...)}))
	cfg.SessionKey, cfg.Users = []byte("k"), 5000 // so that no update waits for another
	r, err := stresstest.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	each := r.Total.Count / 5
	for _, code := range []string{"unauthenticated", "invalid_credentials", "overloaded", "unknown_outcome", "internal"} {
		if n := r.Total.Errors[code]; n == 0 || n < each || n > each+1 {
			t.Errorf("%d of %d failed with %s", n, r.Total.Count, code)
		}
	}
	if len(r.Total.Errors) != 5 || r.Total.Count+r.NotSent != 200 || r.Total.Succeeded != 0 || r.Checked != 0 {
		t.Errorf("errors %v, %d succeeded, %d checked", r.Total.Errors, r.Total.Succeeded, r.Checked)
	}
}

func TestLoginsAreTriedAgainWhereABackendSaysSo(t *testing.T) {
	t.Parallel()
	b := newBackend(5)
	var asked atomic.Int64
	b.before = func(typ string) error {
		if typ == packet.Login.Type && asked.Add(1) <= 3 {
			return &protocol.Error{Code: protocol.Overloaded, RetryAfter: time.Millisecond}
		}
		return nil
	}
	cfg := packets(t, listen(t, protocol.ServerConfig{Handler: protocol.NewMux(b.handlers()...)}))
	cfg.Mix = mix(t, "profile=1")
	r, err := stresstest.Run(t.Context(), cfg)
	if err != nil || r.Accounts != 5 || r.Total.Succeeded == 0 || r.Total.Succeeded+r.NotSent != 200 || asked.Load() != 8 {
		t.Errorf("%d logins, error %v, report %+v", asked.Load(), err, r)
	}
}

func TestAnswerFromAnotherRecordIsWrong(t *testing.T) {
	t.Parallel()
	b := newBackend(5)
	crossed := protocol.CallerFunc(func(_ context.Context, req protocol.Request) (protocol.Reply, error) {
		return protocol.Reply{Subject: "77", Body: []byte(`{"user":{"id":"77","username":"user00000077","nickname":"","picture_url":null,"version":1,"created_at":"2026-01-01T00:00:00Z"}}`)}, nil
	})
	handlers := slices.DeleteFunc(b.handlers(), func(h protocol.Handler) bool { return h.Type == packet.GetProfile.Type })
	handlers = append(handlers, protocol.Handler{Type: packet.GetProfile.Type, ReadOnly: true, Caller: crossed})
	cfg := packets(t, listen(t, protocol.ServerConfig{Handler: protocol.NewMux(handlers...)}))
	cfg.SessionKey, cfg.Rate, cfg.Mix = []byte("k"), 50, mix(t, "profile=1")
	r, err := stresstest.Run(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.Wrong == 0 || r.Wrong != r.Total.Errors["crosstalk"] || r.Total.Succeeded != 0 || r.Checked != r.Wrong {
		t.Errorf("%d wrong of %d checked, errors %v", r.Wrong, r.Checked, r.Total.Errors)
	}
}
