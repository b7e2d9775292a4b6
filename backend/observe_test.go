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
	"time"

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

func TestEachCallIsOneEvent(t *testing.T) {
	t.Parallel()
	var log journal
	s := start(t, func(cfg *setup) { cfg.backend.Log = log.logger(slog.LevelDebug) })
	ada := s.join(t, "ada")
	id := strconv.FormatInt(ada.id, 10)
	log.events(t)
	away := errors.New("the database is made of cheese")
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
		{name: "outage", typ: packet.GetProfile.Type, body: ada.auth(), fail: errors.Join(away, user.ErrUnavailable),
			want: map[string]any{"level": "WARN", "code": "unavailable", "reason": ""}},
		{name: "unknown outcome", typ: packet.GetProfile.Type, body: ada.auth(), fail: errors.Join(away, user.ErrUnknownOutcome),
			want: map[string]any{"level": "WARN", "code": "unknown_outcome", "reason": ""}},
		{name: "timeout", typ: packet.GetProfile.Type, body: ada.auth(), fail: errors.Join(away, context.DeadlineExceeded),
			want: map[string]any{"level": "WARN", "code": "timeout", "reason": ""}},
		{name: "defect", typ: packet.GetProfile.Type, body: ada.auth(), fail: away,
			want: map[string]any{"level": "ERROR", "code": "internal", "reason": ""}},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.fail != nil {
				s.store.next("Session", func(func() error) error { return test.fail })
			}
			text, err := json.Marshal(test.body)
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(protocol.WithTrace(t.Context(), "00-0123-45-01"), time.Minute)
			defer cancel()
			s.Call(ctx, protocol.Request{Type: test.typ, Body: text, Meta: protocol.Meta{Client: protocol.Client{IP: "192.0.2.7"}}})
			events := log.events(t)
			if len(events) != 1 {
				t.Fatalf("%d events, want 1: %v", len(events), events)
			}
			got := events[0]
			test.want["msg"], test.want["op"], test.want["trace"], test.want["client_ip"] = "call", test.typ, "00-0123-45-01", "192.0.2.7"
			for key, want := range test.want {
				if got[key] != want {
					t.Errorf("%s is %v, want %v", key, got[key], want)
				}
			}
			if told := strings.Contains(toJSON(t, got), "cheese"); told != (test.fail != nil) {
				t.Errorf("the event is %v", got)
			}
			if _, timed := got["duration"]; !timed {
				t.Error("the event does not say how long the call took")
			}
		})
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
	secrets := []packet.Secret{goodPassword, otherPassword, wrongPassword}
	meta := protocol.Meta{IdempotencyKey: "k1", Client: s.client()}
	for range 2 {
		rep := must(t, s, packet.Register, meta, registration("ada"))
		secrets = append(secrets, rep.Token, rep.Device)
	}
	ada := &person{name: "ada", password: goodPassword, token: secrets[3], device: secrets[4], client: meta.Client}
	ada.client.Device = string(ada.device)
	other := s.again(t, ada)
	secrets = append(secrets, other.token, other.device)
	everything := func(password packet.Secret) {
		for _, token := range []packet.Secret{other.token, ada.token} {
			for _, typ := range backend.Types() {
				if typ == packet.Logout.Type || typ == packet.DeleteAccount.Type {
					continue
				}
				reply, err := raw(t, s, typ, ada.meta(""), map[string]any{"token": token, "username": "ada", "nickname": "n", "id": "1",
					"password": password, "current_password": password, "new_password": otherPassword})
				var told packet.SessionReply
				if err == nil && json.Unmarshal(reply.Body, &told) == nil && told.Token != "" {
					secrets = append(secrets, told.Token, told.Device)
				}
			}
		}
	}
	for _, method := range []string{"", "CredentialByName", "CredentialByID", "Session", "PutSession", "Update", "Create", "Replay"} {
		if method != "" {
			s.store.always(method, func(func() error) error { return errors.New("out of order") })
		}
		everything(wrongPassword)
		everything("")
		s.store.always(method, nil)
	}
	raw(t, s, packet.Login.Type, ada.meta(""), map[string]any{"username": "ada", "password": []packet.Secret{goodPassword}}) // malformed
	everything(goodPassword)                                                                                                 // which changes the password
	must(t, s, packet.DeleteAccount, ada.meta("k2"), packet.DeleteAccountRequest{Authenticated: other.auth(), Password: otherPassword})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	places := map[string]string{"the log": log.String()}
	for _, suffix := range []string{"", "-wal"} {
		file, err := os.ReadFile(s.path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		places["gatehouse.db"+suffix] = string(file)
	}
	for _, op := range backend.Types() {
		if op != packet.Logout.Type && !strings.Contains(places["the log"], `"op":"`+op+`"`) {
			t.Errorf("the log has nothing of %s", op)
		}
	}
	if !strings.Contains(places["gatehouse.db"]+places["gatehouse.db-wal"], "ada") {
		t.Error("what is kept is not where the test looks")
	}
	for place, text := range places {
		for i, secret := range secrets {
			decoded, err := base64.RawURLEncoding.DecodeString(string(secret))
			if strings.Contains(text, string(secret)) || err == nil && bytes.Contains([]byte(text), decoded) {
				t.Errorf("secret %d is in %s", i, place)
			}
		}
	}
}
