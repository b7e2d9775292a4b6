package backend_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"

	"gatehouse/backend"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// journal is a log that a test can read.
type journal struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.String()
}

func (j *journal) logger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(j, &slog.HandlerOptions{Level: level}))
}

// events are what was logged since the journal was last read.
func (j *journal) events(t *testing.T) (events []map[string]any) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	for decoder := json.NewDecoder(&j.text); decoder.More(); {
		var event map[string]any
		if err := decoder.Decode(&event); err != nil {
			t.Fatal(err)
		}
		events = append(events, event)
	}
	return events
}

// errCheese is a failure that can be recognised in a log.
var errCheese = errors.New("the database is made of cheese")

func TestEachCallIsOneEvent(t *testing.T) {
	t.Parallel()
	var log journal
	s := start(t, func(cfg *setup) { cfg.backend.Log = log.logger(slog.LevelDebug) })
	ada := s.join(t, "ada")
	id := strconv.FormatInt(ada.id, 10)
	log.events(t)
	for _, test := range []struct {
		name string
		typ  string
		body any
		fail error // of the store
		want map[string]any
	}{
		{name: "read", typ: packet.GetProfile.Type, body: ada.auth(),
			want: map[string]any{"level": "DEBUG", "code": "ok", "subject": id}},
		{name: "write", typ: packet.UpdateProfile.Type, body: packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "n"},
			want: map[string]any{"level": "INFO", "code": "ok", "subject": id}},
		{name: "login", typ: packet.Login.Type, body: ada.credentials(),
			want: map[string]any{"level": "INFO", "code": "ok", "subject": "ada"}},
		{name: "refused login", typ: packet.Login.Type, body: packet.LoginRequest{Named: packet.Named{Username: "ada"}},
			want: map[string]any{"level": "INFO", "code": "unauthenticated", "reason": "invalid_credentials"}},
		{name: "refused read", typ: packet.GetProfile.Type, body: packet.Authenticated{},
			want: map[string]any{"level": "DEBUG", "code": "unauthenticated", "reason": ""}},
		{name: "outage", typ: packet.GetProfile.Type, body: ada.auth(), fail: errors.Join(errCheese, user.ErrUnavailable),
			want: map[string]any{"level": "WARN", "code": "unavailable", "reason": ""}},
		{name: "unknown outcome", typ: packet.GetProfile.Type, body: ada.auth(), fail: errors.Join(errCheese, user.ErrUnknownOutcome),
			want: map[string]any{"level": "WARN", "code": "unknown_outcome", "reason": ""}},
		{name: "timeout", typ: packet.GetProfile.Type, body: ada.auth(), fail: errors.Join(errCheese, context.DeadlineExceeded),
			want: map[string]any{"level": "WARN", "code": "timeout", "reason": ""}},
		{name: "defect", typ: packet.GetProfile.Type, body: ada.auth(), fail: errCheese,
			want: map[string]any{"level": "ERROR", "code": "internal", "reason": ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.fail != nil {
				s.store.next("Session", func(func() error) error { return test.fail })
			}
			raw(t, traced{s}, test.typ, protocol.Meta{Client: protocol.Client{IP: "192.0.2.7"}}, test.body)
			test.want["op"] = test.typ
			checkEvent(t, log.events(t), test.want, test.fail != nil)
		})
	}
}

// traced makes calls with a trace.
type traced struct{ protocol.Caller }

const trace = "00-0123-45-01"

func (c traced) Call(ctx context.Context, req protocol.Request) (protocol.Reply, error) {
	return c.Caller.Call(protocol.WithTrace(ctx, trace), req)
}

// checkEvent looks at the one event of a traced call from 192.0.2.7.
func checkEvent(t *testing.T, events []map[string]any, want map[string]any, failed bool) {
	t.Helper()
	if len(events) != 1 {
		t.Fatalf("%d events, want 1: %v", len(events), events)
	}
	got := events[0]
	want["msg"], want["trace"], want["client_ip"] = "call", trace, "192.0.2.7"
	for key, want := range want {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	if told := strings.Contains(toJSON(t, got), errCheese.Error()); told != failed {
		t.Errorf("the event is %v", got)
	}
	if _, timed := got["duration"]; !timed {
		t.Error("the event does not say how long the call took")
	}
}

func TestReadsAreNoNewsAtTheUsualLevel(t *testing.T) {
	t.Parallel()
	var log journal
	s := start(t, func(cfg *setup) { cfg.backend.Log = log.logger(slog.LevelInfo) })
	ada := s.join(t, "ada")
	log.events(t)
	s.profile(t, ada)
	if events := log.events(t); len(events) != 0 {
		t.Errorf("a read was logged: %v", events)
	}
}

// TestNoSecretIsLoggedOrKept goes through everything that has to do with
// secrets, as it should go and as it should not, and then looks for them in
// the log and in the files of the database.
func TestNoSecretIsLoggedOrKept(t *testing.T) {
	t.Parallel()
	var log journal
	s := start(t, unlimited, func(cfg *setup) { cfg.backend.Log = log.logger(slog.LevelDebug) })
	ada := s.join(t, "ada")
	ada.client.Device = string(ada.device)
	other := s.again(t, ada)
	secrets := []packet.Secret{goodPassword, otherPassword, wrongPassword, ada.token, ada.device, other.token, other.device}
	for range 2 {
		rep := must(t, s, packet.Register, protocol.Meta{IdempotencyKey: "k1", Client: ada.client}, registration("grace"))
		secrets = append(secrets, rep.Token, rep.Device)
	}
	for _, method := range []string{"", "CredentialByName", "CredentialByID", "Session", "PutSession", "Update", "Create", "Replay"} {
		if method != "" {
			s.store.always(method, func(func() error) error { return errors.New("out of order") })
		}
		for _, password := range []packet.Secret{wrongPassword, ""} {
			secrets = append(secrets, s.tryEverything(t, other, password)...)
			secrets = append(secrets, s.tryEverything(t, ada, password)...)
		}
		s.store.always(method, nil)
	}
	raw(t, s, packet.Login.Type, ada.meta(""), map[string]any{"username": "ada", "password": []packet.Secret{goodPassword}}) // malformed
	secrets = append(secrets, s.tryEverything(t, other, goodPassword)...)                                                    // which changes it
	must(t, s, packet.DeleteAccount, other.meta("k2"), packet.DeleteAccountRequest{Authenticated: other.auth(), Password: otherPassword})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	for _, op := range backend.Types() {
		if op != packet.Logout.Type && !strings.Contains(log.String(), `"op":"`+op+`"`) {
			t.Errorf("the log has nothing of %s", op)
		}
	}
	searchFor(t, secrets, "the log", log.String())
	searchFor(t, secrets, "the database", s.files(t))
}

// tryEverything makes every call that does not end the session of p, and
// returns the secrets that were answered.
func (s *service) tryEverything(t *testing.T, p *person, password packet.Secret) (secrets []packet.Secret) {
	t.Helper()
	for _, typ := range backend.Types() {
		if typ == packet.Logout.Type || typ == packet.DeleteAccount.Type {
			continue
		}
		reply, err := raw(t, s, typ, p.meta(""), map[string]any{"token": p.token, "username": p.name, "nickname": "n", "id": "1",
			"password": password, "current_password": password, "new_password": otherPassword})
		var told packet.SessionReply
		if err == nil && json.Unmarshal(reply.Body, &told) == nil && told.Token != "" {
			secrets = append(secrets, told.Token, told.Device)
		}
	}
	return secrets
}

// files returns what is in the files of the database.
func (s *service) files(t *testing.T) string {
	t.Helper()
	var all []byte
	for _, suffix := range []string{"", "-wal"} {
		file, err := os.ReadFile(s.path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, file...)
	}
	if !bytes.Contains(all, []byte("grace")) {
		t.Error("what is kept is not where the test looks")
	}
	return string(all)
}

func searchFor(t *testing.T, secrets []packet.Secret, place, text string) {
	t.Helper()
	for i, secret := range secrets {
		decoded, err := base64.RawURLEncoding.DecodeString(string(secret))
		if strings.Contains(text, string(secret)) || err == nil && strings.Contains(text, string(decoded)) {
			t.Errorf("secret %d is in %s", i, place)
		}
	}
}
