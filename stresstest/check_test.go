package stresstest_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/stresstest"
)

// spoilt runs rate requests a second for three seconds, every one of which is
// right but each nth.
func spoilt(t *testing.T, rate, nth int64, spoil func(w http.ResponseWriter, right *user)) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(50)
		var asked, wrong atomic.Int64
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			if asked.Add(1)%nth != 0 {
				return false
			}
			wrong.Add(1)
			spoil(w, s.user(r))
			return true
		}
		r := run(t, s, load(t, float64(rate), 3*time.Second, 20))
		if all, n := 3*rate, wrong.Load(); n != all/nth || r.Wrong != n || r.Checked != all || r.Total.Count != all ||
			r.Total.Succeeded != all-n || r.Total.Errors["wrong_answer"] != n || len(r.Total.Errors) != 1 {
			t.Errorf("%d answers were wrong, the report has %d wrong of %d checked, errors %v", n, r.Wrong, r.Checked, r.Total.Errors)
		}
		if r.Examples["wrong_answer"] == "" {
			t.Error("the report quotes no wrong answer")
		}
	})
}

func TestOneWrongAnswerInAThousandIsFoundEachTime(t *testing.T) {
	t.Parallel()
	spoilt(t, 1000, 1000, func(w http.ResponseWriter, _ *user) { answer(w, 200, other) })
}

func TestEveryKindOfWrongAnswerIsFound(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(w http.ResponseWriter, right *user){
		"another's id":       func(w http.ResponseWriter, u *user) { u.ID = other.ID; answer(w, 200, u) },
		"another's username": func(w http.ResponseWriter, u *user) { u.Username = other.Username; answer(w, 200, u) },
		"another's nickname": func(w http.ResponseWriter, u *user) { u.Nickname = other.Nickname; answer(w, 200, u) },
		"nobody":             func(w http.ResponseWriter, _ *user) { answer(w, 200, struct{}{}) },
		"no JSON":            func(w http.ResponseWriter, _ *user) { fmt.Fprint(w, "<html>") },
		"half of it":         func(w http.ResponseWriter, u *user) { fmt.Fprintf(w, `{"id":"%s","username":"`, u.ID) },
		"too much":           func(w http.ResponseWriter, u *user) { u.Nickname += strings.Repeat(" ", 65<<10); answer(w, 200, u) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			spoilt(t, 60, 10, spoil)
		})
	}
}

// other is a person whom nobody in these tests has a token of.
var other = &user{ID: "77", Username: stresstest.Username(77), Nickname: stresstest.Nickname(77)}

func TestWrongLoginIsFound(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]map[string]any{
		"another's session": {"token": tokenOf(77), "user": other},
		"another's token":   {"token": tokenOf(77), "user": user{ID: "1", Username: stresstest.Username(1), Nickname: stresstest.Nickname(1)}},
		"no token":          {"user": user{ID: "1", Username: stresstest.Username(1), Nickname: stresstest.Nickname(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(1)
				s.before = func(w http.ResponseWriter, _ *http.Request) bool { answer(w, 201, body); return true }
				cfg := load(t, 10, time.Second, 2)
				cfg.Users, cfg.Mix = 1, mix(t, "login=1")
				if r := run(t, s, cfg); r.Wrong != 10 || r.Total.Succeeded != 0 {
					t.Errorf("%d of %d were found wrong", r.Wrong, r.Total.Count)
				}
			})
		})
	}
}

// edits is a run of updates and reads of few accounts.
func edits(t *testing.T, accounts int) stresstest.Config {
	cfg := load(t, 100, 5*time.Second, 50)
	cfg.Mix, cfg.Users = mix(t, "login=10,profile=45,update=45"), accounts
	return cfg
}

func TestUpdatesAndReadsOfThemAreRight(t *testing.T) {
	t.Parallel()
	for _, accounts := range []int{1, 3, 1000} {
		t.Run(strconv.Itoa(accounts), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(accounts)
				var mu sync.Mutex
				under, highest := map[int]bool{}, map[int]int64{}
				s.before = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method != http.MethodPatch {
						time.Sleep(7 * time.Millisecond)
						return false
					}
					n := number(r)
					nickname, _ := nicknameOf(r)
					seq := sequenceIn(t, nickname, n)
					mu.Lock()
					if under[n] || seq <= highest[n] {
						t.Errorf("update %d of account %d after %d, with another under way: %v", seq, n, highest[n], under[n])
					}
					under[n], highest[n] = true, seq
					mu.Unlock()
					time.Sleep(5 * time.Millisecond)
					u := s.apply(n, nickname)
					time.Sleep(5 * time.Millisecond)
					mu.Lock()
					under[n] = false
					mu.Unlock()
					answer(w, 200, u)
					return true
				}
				r := run(t, s, edits(t, accounts))
				if r.Wrong != 0 || r.Total.Succeeded != 500 || r.NotSent != 0 || int64(s.edits) != r.Ops["update"].Count {
					t.Errorf("%d wrong, %d succeeded, %d not sent, errors %v, %s", r.Wrong, r.Total.Succeeded, r.NotSent, r.Total.Errors, r.Examples["wrong_answer"])
				}
				for op, least := range map[string]int64{"login": 25, "profile": 175, "update": 175} {
					if r.Ops[op].Count < least {
						t.Errorf("%d requests were %s", r.Ops[op].Count, op)
					}
				}
			})
		})
	}
}

// sequenceIn returns the SEQ of a nickname, which must have the form that an
// update gives it.
func sequenceIn(t *testing.T, nickname string, n int) int64 {
	t.Helper()
	digits, ok := strings.CutPrefix(nickname, stresstest.Nickname(n)+" ")
	seq, err := strconv.ParseInt(digits, 10, 64)
	if !ok || err != nil || seq <= 0 {
		t.Errorf("account %d is given the nickname %q", n, nickname)
	}
	return seq
}

func TestStaleReadIsFoundEachTime(t *testing.T) {
	t.Parallel()
	for name, old := range map[string]func(u *user, previous string){
		"the nickname before": func(u *user, previous string) { u.Nickname = previous },
		"the first nickname":  func(u *user, _ string) { u.Nickname = "User 0000000" + u.ID },
		"a nickname by hand":  func(u *user, _ string) { u.Nickname = "Ada" },
		"a later one":         func(u *user, _ string) { u.Nickname = "User 0000000" + u.ID + " 9999999999999" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(3)
				var reads, stale atomic.Int64
				var mu sync.Mutex
				previous := map[int]string{}
				s.before = func(w http.ResponseWriter, r *http.Request) bool {
					n := number(r)
					mu.Lock()
					defer mu.Unlock()
					switch {
					case r.Method == http.MethodPatch:
						previous[n] = s.user(r).Nickname
					case r.Method == http.MethodGet && previous[n] != "" && reads.Add(1)%10 == 0:
						stale.Add(1)
						u := s.user(r)
						old(u, previous[n])
						answer(w, 200, u)
						return true
					}
					return false
				}
				r := run(t, s, edits(t, 3))
				if stale.Load() < 15 || r.Wrong != stale.Load() || r.Ops["profile"].Errors["wrong_answer"] != r.Wrong {
					t.Errorf("%d reads were stale, %d were found", stale.Load(), r.Wrong)
				}
			})
		})
	}
}

func TestUpdateThatIsAnsweredWithAnotherNicknameIsWrong(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(3)
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPatch {
				answer(w, 200, s.user(r)) // as it was
				return true
			}
			return false
		}
		r := run(t, s, edits(t, 3))
		if u := r.Ops["update"]; u.Count == 0 || u.Errors["wrong_answer"] != u.Count || r.Wrong != u.Count {
			t.Errorf("updates: %+v, wrong %d", u, r.Wrong)
		}
	})
}
