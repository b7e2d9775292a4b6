package stresstest_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/stresstest"
)

// people is a run whose accounts are logged in before it.
func people(t *testing.T, users, workers int) stresstest.Config {
	cfg := load(t, 100, time.Second, workers)
	cfg.SessionKey, cfg.Users, cfg.Mix = nil, users, mix(t, "profile=90,update=10")
	return cfg
}

func TestAccountsAreLoggedInBeforeTheClockStarts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		users, workers int
		dist, mix      string
		want           int
	}{
		"as many as workers":        {1000, 30, "uniform", "profile=1", 30},
		"as many as users":          {20, 30, "zipf:1.1", "update=1", 20},
		"as many as are ever drawn": {1000, 30, "fixed:10", "profile=1", 10},
		"none for logins":           {1000, 30, "uniform", "login=1", 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(c.users)
				var before, after atomic.Int64 // logins before and after the first of the other requests
				var begun atomic.Bool
				start := time.Now()
				s.before = func(_ http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path != "/api/v1/sessions" || time.Since(start) < time.Second && c.want == 0 {
						begun.Store(true)
					}
					if begun.Load() {
						after.Add(1)
					} else {
						before.Add(1)
						time.Sleep(100 * time.Millisecond)
					}
					return false
				}
				cfg := people(t, c.users, c.workers)
				cfg.Dist, cfg.Mix = dist(t, c.dist), mix(t, c.mix)
				r := run(t, s, cfg)
				if before.Load() != int64(c.want) || r.Accounts != c.want || after.Load() != 100 || r.Total.Count != 100 || r.Total.Succeeded != 100 {
					t.Errorf("%d logins, %d accounts, then %d requests, %d of them counted, %d right", before.Load(), r.Accounts, after.Load(), r.Total.Count, r.Total.Succeeded)
				}
				if r.Total.Latency.Max > 1 {
					t.Errorf("the slowest took %v ms, as a login does", r.Total.Latency.Max)
				}
			})
		})
	}
}

func TestLoginsBeforeTheClockObeyRetryAfter(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{"seconds": "7", "a date": "date"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(50)
				var mu sync.Mutex
				var closed, closedUntil time.Time
				var logins, refused, early int
				s.before = func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path != "/api/v1/sessions" {
						return false
					}
					arrived := time.Now()
					time.Sleep(50 * time.Millisecond)
					mu.Lock()
					defer mu.Unlock()
					if arrived.After(closed) && arrived.Before(closedUntil) {
						early++
					}
					if logins++; logins%20 != 0 {
						return false
					}
					refused++
					closed, closedUntil = time.Now(), time.Now().Add(7*time.Second)
					w.Header().Set("Retry-After", header)
					if header == "date" { // which has no fractions of a second
						closedUntil = closedUntil.Truncate(time.Second)
						w.Header().Set("Retry-After", closedUntil.UTC().Format(http.TimeFormat))
					}
					refuse(w, 429, "too_many_attempts")
					return true
				}
				r := run(t, s, people(t, 50, 50))
				if r.Accounts != 50 || refused < 2 || early > 0 || r.Total.Succeeded != 100 || len(r.Notes) != 1 {
					t.Errorf("%d accounts after %d refusals, %d logins came too early, notes %q", r.Accounts, refused, early, r.Notes)
				}
			})
		})
	}
}

func TestRunGoesOnWithTheAccountsThatCouldBeLoggedIn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		start := time.Now()
		var logins atomic.Int64
		var last atomic.Int64
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path != "/api/v1/sessions" {
				return false
			}
			last.Store(int64(time.Since(start)))
			if n := logins.Add(1); n == 2 || n > 10 { // one early account is never lucky
				refuse(w, 503, "overloaded") // without Retry-After
				return true
			}
			return false
		}
		var lines []stresstest.LiveLine
		cfg := people(t, 50, 50)
		cfg.Live = func(l stresstest.LiveLine) { lines = append(lines, l) }
		r := run(t, s, cfg)
		if r.Accounts != 9 || r.Total.Succeeded != 100 || len(r.Notes) != 2 || !strings.Contains(r.Notes[1], "only 9 of 50 accounts could be logged in within 2m0s") {
			t.Errorf("%d accounts, %d right answers, notes %q", r.Accounts, r.Total.Succeeded, r.Notes)
		}
		if d := time.Duration(last.Load()); d > stresstest.LoginPatience || d < stresstest.LoginPatience-2*time.Second {
			t.Errorf("the last login was tried after %v", d)
		}
		if n := logins.Load(); n > 2000 { // eight at once that wait a second each
			t.Errorf("%d logins were tried, without a pause", n)
		}
		if len(lines) < 118 || lines[50].Phase != stresstest.PhaseLogin || lines[50].Done != 9 || lines[50].Of != 50 {
			t.Errorf("%d lines, one of them %+v", len(lines), lines[50])
		}
	})
}

func TestRunNeedsAtLeastOneAccount(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		code   string
		after  time.Duration
		want   string
	}{
		"for lack of capacity":   {503, "overloaded", stresstest.LoginPatience, "no account of 50 within 2m0s: user000000"},
		"that exists":            {401, "invalid_credentials", 0, "user000000"},
		"of a site that is one":  {404, "", 0, "http_404"},
		"that is not broken":     {500, "internal", 0, "internal"},
		"that the site can name": {201, "", 0, "wrong_answer"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				s := newSite(50)
				s.before = func(w http.ResponseWriter, _ *http.Request) bool { refuse(w, c.status, c.code); return true }
				r, err := try(t, t.Context(), s, people(t, 50, 50))
				if r != nil || err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "log in") {
					t.Errorf("report %v, error %v", r, err)
				}
				if took := time.Since(start); took.Truncate(time.Second) != c.after {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestSessionsAreKeptAndUsedAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions")
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		cfg := people(t, 50, 30)
		cfg.SessionsFile = path
		run(t, s, cfg)
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != 0o600 || s.logins != 30 {
			t.Fatalf("%d logins, file %v: %v", s.logins, info, err)
		}
		if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
			t.Errorf("files left: %v", entries)
		}
		run(t, s, cfg)
		if s.logins != 30 {
			t.Errorf("%d logins with 30 sessions kept", s.logins-30)
		}
		for token := range s.tokens { // one has ended since
			delete(s.tokens, token)
			break
		}
		cfg.Workers = 40
		if r := run(t, s, cfg); s.logins != 30+11 || r.Accounts != 40 || r.Total.Succeeded != 100 {
			t.Errorf("%d logins for 10 more accounts and one whose session had ended; %d accounts, %d right", s.logins-30, r.Accounts, r.Total.Succeeded)
		}
		cfg.Workers = 10
		run(t, s, cfg)
		cfg.Workers = 40
		run(t, s, cfg)
		if s.logins != 41 {
			t.Errorf("%d logins of accounts that a smaller run had no use for", s.logins-41)
		}
		cfg.Target = "http://site.test/" // which is the same
		if r := run(t, s, cfg); s.logins != 41 || r.Target != "http://site.test" {
			t.Errorf("%d logins at %s", s.logins-41, r.Target)
		}
		cfg.Target = "http://another.test"
		if run(t, s, cfg); s.logins != 81 {
			t.Errorf("%d logins at another target, want 40", s.logins-41)
		}
		cfg.Target = "http://site.test"
		if run(t, s, cfg); s.logins != 81 {
			t.Errorf("%d logins again at the first", s.logins-81)
		}
	})
}

func TestInterruptedLoginsKeepTheSessionsOfBefore(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "sessions")
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		var slow atomic.Bool
		s.before = func(http.ResponseWriter, *http.Request) bool {
			if slow.Load() {
				time.Sleep(time.Second)
			}
			return false
		}
		cfg := people(t, 50, 30)
		cfg.SessionsFile = path
		run(t, s, cfg)
		slow.Store(true)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, context.Canceled)
		defer cancel()
		if r, err := try(t, ctx, s, cfg); r != nil || err == nil {
			t.Errorf("report %v, error %v", r, err)
		}
		time.Sleep(time.Second) // for the requests that were broken off
		slow.Store(false)
		if run(t, s, cfg); s.logins != 30 {
			t.Errorf("%d logins again", s.logins-30)
		}
	})
}

func TestFileThatIsNoneOfKeptSessionsIsLeftAlone(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ content, want string }{
		"another file":     {"secret-token-in-the-wrong-place\n", "line 1 is not a session"},
		"a broken line":    {`{"target":"http://site.test","account":1,"token":"` + tokenOf(1)[:20] + `\r\nX-Header: ` + tokenOf(1)[20:] + `"}`, "line 1 is not a session"},
		"a token of lines": {`{"target":"http://site.test","account":1,"token":"` + tokenOf(1)[:20] + `\r\n` + tokenOf(1)[20:] + `"}`, "line 1 is not a session"},
		"a long line":      {strings.Repeat("x", 1<<20), "token too long"},
		"a large file":     {strings.Repeat("{}\n", 4<<20), "more than the"},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			cfg := people(t, 50, 30)
			cfg.SessionsFile = path
			_, err := try(t, t.Context(), newSite(50), cfg)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s: error %v", name, err)
			}
		})
		if content, err := os.ReadFile(path); err != nil || string(content) != c.content {
			t.Errorf("%s: it was changed (%v)", name, err)
		}
	}
}

func TestTargetThatCannotBeReachedIsToldAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		nowhere := newPipes()
		nowhere.Close()
		start := time.Now()
		cfg := people(t, 50, 30)
		cfg.Target = "http://site.test"
		if _, err := stresstest.Run(t.Context(), cfg.Bubbled(nowhere.dial)); err == nil || !strings.Contains(err.Error(), "target http://site.test: dial: connection refused") || time.Since(start) > 0 {
			t.Errorf("error %v after %v", err, time.Since(start))
		}
	})
}
