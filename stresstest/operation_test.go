package stresstest_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/stresstest"
)

const everything = "login=1,profile=1,update=1,page=1,sessions=1,logout=1,verify=1"

func TestEveryOperationIsSentAndRight(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		s.before = func(http.ResponseWriter, *http.Request) bool { time.Sleep(3 * time.Millisecond); return false }
		cfg := load(t, 200, 5*time.Second, 50)
		cfg.Mix = mix(t, everything)
		r := run(t, s, cfg)
		if r.Wrong != 0 || r.Total.Succeeded != 1000 || r.NotSent != 0 || len(r.Ops) != 7 {
			t.Errorf("%d wrong, %d succeeded, errors %v, %v", r.Wrong, r.Total.Succeeded, r.Total.Errors, r.Examples)
		}
		for name, op := range r.Ops {
			// Whatever is looked at after a logout is not part of its time.
			if op.Count < 90 || op.Service.Max > 3.01 {
				t.Errorf("%s: %d requests, up to %v ms", name, op.Count, op.Service.Max)
			}
		}
		if int64(s.logouts) != r.Ops["logout"].Count {
			t.Errorf("%d sessions were ended by %d logouts", s.logouts, r.Ops["logout"].Count)
		}
	})
}

func TestLogoutMakesTheSessionThatItEndsWhereNoneIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		s.before = func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPost {
				time.Sleep(50 * time.Millisecond)
			}
			time.Sleep(3 * time.Millisecond)
			return false
		}
		cfg := load(t, 20, 2*time.Second, 20)
		cfg.Mix, cfg.SessionKey = mix(t, "logout=1"), nil
		r := run(t, s, cfg)
		if o := r.Ops["logout"]; o.Succeeded != 40 || s.logins != 40 || s.logouts != 40 || o.Service.Max > 3.01 || o.Latency.P50 < 56 || o.Latency.Max > 56.1 {
			t.Errorf("%+v of %d logins and %d logouts", o, s.logins, s.logouts)
		}
	})
}

func TestLogoutOnlyEndsSessionsOfTheRunItself(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(3)
		cfg := load(t, 100, 2*time.Second, 20)
		cfg.Users, cfg.SessionKey, cfg.Mix = 3, nil, mix(t, "profile=1,logout=1") // the holders are logged in
		r := run(t, s, cfg)
		if r.Total.Succeeded != 200 || s.logouts == 0 || r.Accounts != 3 {
			t.Errorf("%d succeeded, errors %v", r.Total.Succeeded, r.Total.Errors)
		}
	})
}

// TestEveryKindOfOperationFindsWrongAnswers spoils each tenth answer.
func TestEveryKindOfOperationFindsWrongAnswers(t *testing.T) {
	t.Parallel()
	page := func(text string) func(http.ResponseWriter, *user) {
		return func(w http.ResponseWriter, u *user) {
			w.Header().Set("Content-Type", "text/html")
			w.Write([]byte(strings.NewReplacer("NAME", u.Username, "NICK", u.Nickname).Replace(text)))
		}
	}
	list := func(list ...map[string]any) func(http.ResponseWriter, *user) {
		return func(w http.ResponseWriter, _ *user) { answer(w, 200, map[string]any{"sessions": list}) }
	}
	for name, c := range map[string]struct {
		op    string
		spoil func(http.ResponseWriter, *user)
	}{
		"a page of another":              {"page", page("<p>user00000077</p><p>User 00000077</p>")},
		"a page that names another too":  {"page", page("<p>NAME</p><p>NICK</p><p>user00000077</p>")},
		"a page with another's nickname": {"page", page("<p>NAME</p><p>User 00000077</p>")},
		"a page of nobody":               {"page", page("<h1>Log in</h1>")},
		"a page that is none":            {"page", func(w http.ResponseWriter, u *user) { answer(w, 200, u) }},
		"no sessions":                    {"sessions", list()},
		"another's sessions":             {"sessions", list(map[string]any{"id": "42", "current": true})},
		"no current session":             {"sessions", list(map[string]any{"id": "42", "current": false})},
		"a session twice":                {"sessions", list(map[string]any{"id": "42"}, map[string]any{"id": "42"})},
		"a session without id":           {"sessions", list(map[string]any{"current": false})},
		"verified as another": {"verify", func(w http.ResponseWriter, u *user) {
			w.Header().Set("X-Gatehouse-User", other.Username)
			w.Header().Set("X-Gatehouse-User-Id", other.ID)
		}},
		"verified as nobody": {"verify", func(w http.ResponseWriter, _ *user) { w.WriteHeader(200) }},
		"verified with a broken nickname": {"verify", func(w http.ResponseWriter, u *user) {
			w.Header().Set("X-Gatehouse-User", u.Username)
			w.Header().Set("X-Gatehouse-User-Id", u.ID)
			w.Header().Set("X-Gatehouse-Nickname", "%zz")
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(50)
				var asked atomic.Int64
				s.before = func(w http.ResponseWriter, r *http.Request) bool {
					if asked.Add(1)%10 != 0 {
						return false
					}
					c.spoil(w, s.user(r))
					return true
				}
				cfg := load(t, 60, 3*time.Second, 20)
				cfg.Mix = mix(t, c.op+"=1")
				if r := run(t, s, cfg); r.Wrong != 18 || r.Total.Succeeded != 162 || r.Total.Errors["wrong_answer"] != 18 {
					t.Errorf("%d wrong of %d, errors %v", r.Wrong, r.Total.Count, r.Total.Errors)
				}
			})
		})
	}
}

func TestSessionThatOutlivesItsLogoutIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		var asked, kept atomic.Int64
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodDelete || asked.Add(1)%5 != 0 {
				return false
			}
			kept.Add(1)
			w.WriteHeader(http.StatusNoContent) // and nothing else
			return true
		}
		cfg := load(t, 50, 2*time.Second, 20)
		cfg.Mix = mix(t, "logout=1,login=1")
		r := run(t, s, cfg)
		if kept.Load() < 5 || r.Wrong != kept.Load() || r.Ops["logout"].Errors["wrong_answer"] != r.Wrong {
			t.Errorf("%d sessions were kept, %d were found, errors %v", kept.Load(), r.Wrong, r.Total.Errors)
		}
	})
}

func TestLogoutWhoseSessionCannotBeLookedAtIsNoSuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodGet {
				refuse(w, 503, "overloaded")
			}
			return r.Method == http.MethodGet
		}
		cfg := load(t, 10, time.Second, 20)
		cfg.Mix = mix(t, "logout=1")
		if r := run(t, s, cfg); r.Total.Succeeded != 0 || r.Total.Errors["overloaded"] != 10 || r.Wrong != 0 {
			t.Errorf("%+v", r.Total)
		}
	})
}

func TestOneWrongPersonInTenThousandIsFoundEachTime(t *testing.T) {
	t.Parallel()
	spoilt(t, 7_000, 10_000, func(w http.ResponseWriter, _ *user) { answer(w, 200, other) })
}

func TestPageHasNoPacket(t *testing.T) {
	t.Parallel()
	cfg := stresstest.Config{Target: "tcp://127.0.0.1:7000", Users: 5, Mix: mix(t, "profile=1,page=1")}
	if err := cfg.Check(); err == nil || !strings.Contains(err.Error(), "mix profile=1,page=1: page has no packet") {
		t.Errorf("error %v", err)
	}
}
