package stresstest

import (
	"context"
	"errors"
	"time"
)

// requestTimeout bounds a request, from when it is sent to the end of its
// answer.
const requestTimeout = 10 * time.Second

// person is a user as an answer shows them.
type person struct{ id, username, nickname string }

// target is what is tested.
type target interface {
	// client returns what a worker sends its requests with, one at a time.
	client(worker int) client
	// close ends the connections.
	close()
}

// client is a target as the operations of one worker see it. Its errors are
// failures.
type client interface {
	// login returns the token of a new session with the person it is of.
	login(ctx context.Context, username, password string) (token string, p person, err error)
	// profile returns the person whom a token is of, and so does verify.
	profile(ctx context.Context, token string) (person, error)
	verify(ctx context.Context, token string) (person, error)
	// update sets the nickname and returns the person as they are then.
	update(ctx context.Context, token, nickname string) (person, error)
	// sessions returns the sessions of the person whom a token is of.
	sessions(ctx context.Context, token string) ([]listed, error)
	// logout ends the session of a token.
	logout(ctx context.Context, token string) error
}

// pageReader is a client that has pages too. A mix with page is refused for
// any other.
type pageReader interface {
	// page returns the page, in HTML, that shows the person of a token.
	page(ctx context.Context, token string) (string, error)
}

// listed is a session in the list of a person's sessions.
type listed struct {
	ID      string `json:"id"`
	Current bool   `json:"current"`
}

// holders are the accounts that have a session, by their place from 1 to
// count.
type holders struct {
	count   int
	account func(place int) int
	token   func(place int) string
}

// derived returns the holders of sessions that were generated under key:
// accounts 1 to count.
func derived(key []byte, count int) holders {
	return holders{
		count:   count,
		account: func(place int) int { return place },
		token:   func(place int) string { return Token(key, place) },
	}
}

// loggedIn returns those holders of tokens, of accounts 1 to len(tokens),
// that are not empty.
func loggedIn(tokens []string) holders {
	var accounts []int
	for i, token := range tokens {
		if token != "" {
			accounts = append(accounts, i+1)
		}
	}
	return holders{
		count:   len(accounts),
		account: func(place int) int { return accounts[place-1] },
		token:   func(place int) string { return tokens[accounts[place-1]-1] },
	}
}

// scenario does what requests ask for and checks every answer.
type scenario struct {
	target  target
	holders holders
	written *sequences
	spare   *spares
}

func newScenario(t target, m Mix) *scenario {
	s := &scenario{target: t, written: newSequences(time.Now())}
	if m.has(logout) {
		s.spare = new(spares)
	}
	return s
}

// worker returns what does and checks the requests of one worker.
func (s *scenario) worker(number int) *actor {
	return &actor{scenario: s, client: s.target.client(number)}
}

// actor is the scenario in the hands of one worker.
type actor struct {
	*scenario
	client client
}

// errNotSent means that the driver could not send a request, which says
// nothing about the target.
var errNotSent = errors.New("not sent")

// times are when a request was really sent and when its answer was there.
type times struct{ sent, done time.Time }

// do sends a request and checks the answer. It tells when the request was
// really sent, which for an update may be after others of the same account and
// for a logout after the login whose session it ends. An update that waits for
// others is given up at giveUp, with errNotSent.
func (s *actor) do(ctx context.Context, r request, giveUp time.Time) (t times, err error) {
	switch r.op {
	case update:
		place, written, ok := s.take(ctx, r.whose, giveUp)
		if !ok {
			return t, errNotSent
		}
		defer written.release()
		t.sent = time.Now()
		err = s.update(ctx, place, written)
	case logout:
		return s.logout(ctx, r.whose)
	default:
		t.sent = time.Now()
		err = s.read(ctx, r)
	}
	t.done = time.Now()
	return t, err
}

// read does the operations that only look, and login.
func (s *actor) read(ctx context.Context, r request) error {
	switch r.op {
	case login:
		token, err := s.login(ctx, r.whose)
		if err == nil {
			s.spare.put(spare{r.whose, token})
		}
		return err
	case page:
		return s.page(ctx, r.whose)
	case sessions:
		return s.sessions(ctx, r.whose)
	case verify:
		return s.shown(ctx, r.whose, s.client.verify)
	}
	return s.shown(ctx, r.whose, s.client.profile)
}

// probes is how many accounts an update looks at for one that no other
// update is changing.
const probes = 16

// take begins an update: of the holder at a place or, while that is being
// updated, of one of those after it. Where all of these are being updated it
// waits for the first until giveUp, and reports false if that was in vain.
func (s *scenario) take(ctx context.Context, place int, giveUp time.Time) (int, *sequence, bool) {
	for k := range min(probes, s.holders.count) {
		other := (place-1+k)%s.holders.count + 1
		if q := s.written.of(s.holders.account(other)); q.tryTake() {
			return other, q, true
		}
	}
	q := s.written.of(s.holders.account(place))
	return place, q, q.take(ctx, giveUp)
}

// login logs an account in and returns the token of its new session.
func (s *actor) login(ctx context.Context, account int) (token string, err error) {
	floor := s.written.find(account).acknowledged()
	token, p, err := s.client.login(ctx, Username(account), Password(account))
	if err != nil {
		return "", err
	}
	return token, s.check(account, token, p, floor)
}

// shown asks for the person of the holder at a place.
func (s *actor) shown(ctx context.Context, place int, ask func(context.Context, string) (person, error)) error {
	account, token := s.holders.account(place), s.holders.token(place)
	floor := s.written.find(account).acknowledged()
	p, err := ask(ctx, token)
	if err != nil {
		return err
	}
	return s.check(account, token, p, floor)
}

// update writes the next number into the nickname of the holder at a place.
func (s *actor) update(ctx context.Context, place int, written *sequence) error {
	account, token, number := s.holders.account(place), s.holders.token(place), written.next()
	nickname := nicknameWith(account, number)
	p, err := s.client.update(ctx, token, nickname)
	if err == nil {
		err = s.checkPerson(account, token, p)
	}
	if err == nil && p.nickname != nickname {
		err = wrongAnswer("%s set the nickname %q and was answered %q", Username(account), nickname, p.nickname)
	}
	written.settle(number, outcomeOf(err))
	return err
}

// outcomeOf tells what became of an update that ended in err.
func outcomeOf(err error) outcome {
	if err == nil {
		return applied
	}
	return asFailure(err).outcome
}

// check tells what is wrong with an answer that shows the person of an
// account, when floor was acknowledged before it was asked for.
func (s *scenario) check(account int, token string, p person, floor int64) error {
	if err := s.checkPerson(account, token, p); err != nil {
		return err
	}
	return s.checkNickname(account, p.nickname, floor)
}

// checkNickname tells what is wrong with the nickname that an account is
// shown with.
func (s *scenario) checkNickname(account int, nickname string, floor int64) error {
	number, own := numberIn(nickname, account)
	if !own {
		return wrongAnswer("%s was shown with the nickname %q, which is another's", Username(account), nickname)
	}
	// Looked up again, because the first update may have come since.
	if !s.written.find(account).allows(number, floor) {
		return wrongAnswer("%s was shown with the nickname %q, after update %d had been acknowledged", Username(account), nickname, floor)
	}
	return nil
}

// checkPerson tells whether an answer shows another person than the account's.
func (s *scenario) checkPerson(account int, token string, p person) error {
	if want := Username(account); p.username != want {
		return wrongAnswer("asked for %s, the answer shows %q", want, p.username)
	}
	if want := subject(token); p.id != want || want == "" {
		return wrongAnswer("%s has a token of user id %q, the answer shows id %q", p.username, want, p.id)
	}
	return nil
}
