package stresstest_test

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/stresstest"
)

func TestUnknownOutcomesAllowWhatMayHaveHappened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := newSite(3)
		var updates atomic.Int64
		var late sync.WaitGroup
		s.before = func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method != http.MethodPatch {
				return false
			}
			n, nth := number(r), updates.Add(1)
			nickname, _ := nicknameOf(r)
			switch {
			case nth%50 == 10: // applied, though nobody knows
				s.apply(n, nickname)
				refuse(w, 503, "unknown_outcome")
			case nth%50 == 20: // not applied
				refuse(w, 503, "unknown_outcome")
			case nth%50 == 30: // applied later, over what came after it
				late.Go(func() { time.Sleep(300 * time.Millisecond); s.apply(n, nickname) })
				refuse(w, 504, "")
			case nth%50 == 40: // applied, and the answer lost
				s.apply(n, nickname)
				panic(http.ErrAbortHandler)
			default:
				answer(w, 200, s.apply(n, nickname))
			}
			return true
		}
		r := run(t, s, edits(t, 3))
		late.Wait()
		e := r.Total.Errors
		if r.Wrong != 0 || e["unknown_outcome"] < 6 || e["http_504"] < 3 || e["connection"] < 3 {
			t.Errorf("%d wrong, errors %v, %s", r.Wrong, e, r.Examples["wrong_answer"])
		}
	})
}

func TestUpdateThatWasRefusedAndAppliedIsFound(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		status int
		code   string
		found  bool
	}{
		"overloaded":      {503, "overloaded", true},
		"unavailable":     {503, "unavailable", true},
		"invalid":         {422, "invalid", true},
		"unknown outcome": {503, "unknown_outcome", false},
		"internal":        {500, "internal", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSite(3)
				var updates atomic.Int64
				s.before = func(w http.ResponseWriter, r *http.Request) bool {
					if r.Method != http.MethodPatch || updates.Add(1)%50 != 0 {
						return false
					}
					nickname, _ := nicknameOf(r)
					s.apply(number(r), nickname)
					refuse(w, c.status, c.code)
					return true
				}
				r := run(t, s, edits(t, 3))
				if r.Total.Errors[c.code] < 3 || c.found != (r.Wrong > 0) {
					t.Errorf("%d wrong, errors %v, %s", r.Wrong, r.Total.Errors, r.Examples["wrong_answer"])
				}
			})
		})
	}
}

func TestWhatAReadMayShow(t *testing.T) {
	t.Parallel()
	w := stresstest.NewWritten()
	old := w.Next() - 1000 // of a run before
	if !w.Allows(0, w.Floor()) || !w.Allows(old, w.Floor()) || !w.Allows(old+1000, w.Floor()) {
		t.Error("before the first acknowledgement anything may be shown")
	}
	first := w.Next()
	w.Acknowledge(first)
	floor := w.Floor()
	second, third := w.Next(), w.Next()
	w.Refuse(second)
	w.Acknowledge(third)
	fourth := w.Next() // under way
	if w.Allows(second, 0) {
		t.Error("one that was refused may be shown to nobody")
	}
	for _, c := range []struct {
		what          string
		number, floor int64
		want          bool
	}{
		{"the last one acknowledged", third, w.Floor(), true},
		{"one under way", fourth, w.Floor(), true},
		{"one acknowledged while the read was under way", third, floor, true},
		{"the one acknowledged before it", first, floor, true},
		{"one that was refused", second, floor, false},
		{"an older one", first, w.Floor(), false},
		{"that of a run before", old, floor, false},
		{"none", 0, floor, false},
		{"one never written", fourth + 1, w.Floor(), false},
	} {
		if got := w.Allows(c.number, c.floor); got != c.want {
			t.Errorf("%s: allowed %v, want %v", c.what, got, c.want)
		}
	}
	w.Doubt(fourth)
	w.Acknowledge(w.Next())
	if !w.Allows(fourth, w.Floor()) || w.Allows(third, w.Floor()) {
		t.Error("of older ones only that of unknown outcome may be shown")
	}
	for range 40 { // more than are remembered
		w.Doubt(w.Next())
	}
	w.Acknowledge(w.Next())
	last := w.Floor()
	if !w.Allows(last-2, last) || w.Allows(fourth-1, last) || w.Allows(last+1, last) {
		t.Error("beyond what is remembered anything since the first doubt may be shown, and nothing else")
	}
}
