package stresstest

import (
	"context"
	"sync"
	"time"
)

// maxSpares bounds the sessions that are kept for logouts. Were they all of
// one account, it still had fewer than the backend lets it have by default, so
// that none is ended for being the oldest.
const maxSpares = 64

// spare is a session that a login of the run has made and nothing else uses.
type spare struct {
	account int
	token   string
}

// spares are sessions for logouts to end, the newest first. A nil spares
// keeps none.
type spares struct {
	mu   sync.Mutex // guards list
	list []spare
}

func (s *spares) put(one spare) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) < maxSpares {
		s.list = append(s.list, one)
	}
}

func (s *spares) take() (one spare, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.list) - 1
	if last < 0 {
		return spare{}, false
	}
	one, s.list = s.list[last], s.list[:last]
	return one, true
}

// logout ends a session that a login of the run has made or, where none is
// left, one that it makes for account. It succeeds when the session is dead
// afterwards; how long it takes to look is not part of its time.
func (s *actor) logout(ctx context.Context, account int) (t times, err error) {
	own, ok := s.spare.take()
	if !ok {
		t.sent = time.Now()
		own.account = account
		if own.token, err = s.login(ctx, account); err != nil {
			t.done = time.Now()
			return t, err
		}
	}
	t.sent = time.Now()
	err = s.client.logout(ctx, own.token)
	t.done = time.Now()
	if err != nil {
		return t, err
	}
	switch _, err = s.client.profile(ctx, own.token); {
	case err == nil:
		return t, wrongAnswer("a session of %s still lived after its logout was acknowledged", Username(own.account))
	case asFailure(err).code == codeSignedOut:
		return t, nil
	}
	return t, err // nobody knows whether it is dead
}
