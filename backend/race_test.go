package backend_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// persist makes a call again, as clients do, where it was certainly not done:
// on a machine that is busy with other things, the store may have no time.
func persist(call func() error) error {
	for attempt := 1; ; attempt++ {
		err := call()
		notDone := errors.Is(err, protocol.Timeout) || errors.Is(err, protocol.Unavailable)
		if !notDone || attempt == 10 {
			return err
		}
	}
}

// TestSameRequestAtTheSameMomentIsDoneOnce makes one request twenty times at
// once, as impatient clients and retrying proxies do.
func TestSameRequestAtTheSameMomentIsDoneOnce(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited)
	eachKeyed(t, s, func(t *testing.T, w keyed, p, other *person) {
		body := w.body(t, s, p, other)
		version := s.profile(t, p).Version
		replies := make([]protocol.Reply, 20)
		var group sync.WaitGroup
		for i := range replies {
			group.Go(func() {
				err := persist(func() (err error) {
					replies[i], err = raw(t, s, w.typ, p.meta("k1"), body)
					return err
				})
				if err != nil {
					t.Errorf("request %d: %v", i, err)
				}
			})
		}
		group.Wait()
		if t.Failed() {
			return
		}
		leftOver := 0
		for _, reply := range replies {
			if lasting(t, reply.Body) != lasting(t, replies[0].Body) {
				t.Errorf("answered %s and %s", reply.Body, replies[0].Body)
			}
			if strings.Contains(string(reply.Body), "previous") {
				leftOver++
			}
		}
		if leftOver > 1 {
			t.Errorf("%d of the answers say that a picture is left over", leftOver)
		}
		if s.alive(t, p) == w.ends {
			t.Errorf("the session is live: %v", !w.ends)
		}
		if !w.ends {
			if raised := s.profile(t, p).Version - version; raised > 1 {
				t.Errorf("the write was done %d times", raised)
			}
		}
	})
}

// TestSameRequestInBetweenIsAnsweredAlike lets the same request be done at
// each moment at which another one of it reads or writes something.
func TestSameRequestInBetweenIsAnsweredAlike(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"Session", "Sessions", "CredentialByID", "Update", "Delete", "EndSession"} {
		t.Run(method, func(t *testing.T) {
			t.Parallel()
			s := start(t, unlimited)
			used := 0
			eachKeyed(t, s, func(t *testing.T, w keyed, p, other *person) {
				defer s.store.always(method, nil) // not every write uses it
				body := w.body(t, s, p, other)
				var first protocol.Reply
				var after string
				s.store.before(method, func() {
					var err error
					if first, err = raw(t, s, w.typ, p.meta("k1"), body); err != nil {
						t.Errorf("the first: %v", err)
					}
					after = s.state(t, p.id)
				})
				second, err := raw(t, s, w.typ, p.meta("k1"), body)
				if err != nil {
					t.Fatalf("the second: %v", err)
				}
				if after == "" {
					return
				}
				used++
				if lasting(t, second.Body) != lasting(t, first.Body) {
					t.Errorf("the second was answered %s, the first %s", second.Body, first.Body)
				}
				if strings.Contains(string(second.Body), "previous") {
					t.Errorf("the second says that a picture is left over: %s", second.Body)
				}
				if s.state(t, p.id) != after {
					t.Error("the write was done twice")
				}
			})
			if used == 0 {
				t.Error("no write uses this method")
			}
		})
	}
}

func TestSameRegistrationAtTheSameMomentMakesOneAccount(t *testing.T) {
	t.Parallel()
	s := start(t, unlimited)
	replies := make([]packet.SessionReply, 20)
	meta := protocol.Meta{IdempotencyKey: "k1", Client: s.client()}
	var group sync.WaitGroup
	for i := range replies {
		group.Go(func() {
			err := persist(func() (err error) {
				replies[i], err = ask(t, s, packet.Register, meta, registration("ada"))
				return err
			})
			if err != nil {
				t.Errorf("registration %d: %v", i, err)
			}
		})
	}
	group.Wait()
	tokens := map[packet.Secret]bool{}
	for _, reply := range replies {
		tokens[reply.Token] = true
		if reply.User.ID != replies[0].User.ID {
			t.Errorf("users %d and %d were made", reply.User.ID, replies[0].User.ID)
		}
		if !s.alive(t, &person{token: reply.Token}) {
			t.Error("a session that was answered is not live")
		}
	}
	if len(tokens) != len(replies) {
		t.Errorf("%d tokens for %d answers", len(tokens), len(replies))
	}
}

func TestSameRegistrationInBetweenIsAnsweredAlike(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"ByName", "Create"} {
		for _, test := range []struct {
			name     string
			key      string
			password packet.Secret
			want     string
		}{
			{"the same", "k1", goodPassword, "ok"},
			{"with another password", "k1", wrongPassword, "unauthenticated/invalid_credentials"},
			{"with another key", "k2", goodPassword, "conflict/username_taken"},
		} {
			t.Run(method+", "+test.name, func(t *testing.T) {
				t.Parallel()
				s := start(t)
				var first packet.SessionReply
				s.store.before(method, func() {
					first = must(t, s, packet.Register, protocol.Meta{IdempotencyKey: "k1", Client: s.client()}, registration("ada"))
				})
				req := registration("ada")
				req.Password = test.password
				second, err := ask(t, s, packet.Register, protocol.Meta{IdempotencyKey: test.key, Client: s.client()}, req)
				wantOutcome(t, err, test.want)
				if err == nil && (second.User.ID != first.User.ID || second.Token == first.Token) {
					t.Errorf("answered user %d, want %d with a token of its own", second.User.ID, first.User.ID)
				}
			})
		}
	}
}

func TestOneNameIsGivenToOneOfManyAtTheSameMoment(t *testing.T) {
	t.Parallel()
	s := start(t)
	var made, taken atomic.Int64
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			err := persist(func() error {
				_, err := ask(t, s, packet.Register, protocol.Meta{Client: s.client()}, registration([]string{"ada", "ADA"}[i%2]))
				return err
			})
			switch outcome(err) {
			case "ok":
				made.Add(1)
			case "conflict/username_taken":
				taken.Add(1)
			default:
				t.Errorf("registration: %v", err)
			}
		})
	}
	group.Wait()
	if made.Load() != 1 || taken.Load() != 19 {
		t.Errorf("%d made the account and %d found it taken, want 1 and 19", made.Load(), taken.Load())
	}
}

// TestConcurrentUpdatesAreEachDoneOrRefused makes fifty changes of one record
// at once: each is applied exactly once, or certainly not.
func TestConcurrentUpdatesAreEachDoneOrRefused(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	var done, refused atomic.Int64
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			_, err := ask(t, s, packet.UpdateProfile, ada.meta(""), packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "Countess"})
			switch outcome(err) {
			case "ok":
				done.Add(1)
			case "unavailable/contended", "unavailable", "timeout": // the latter two on a machine that is busy with other things
				refused.Add(1)
				retryAfter(t, err)
			default:
				t.Errorf("update: %v", err)
			}
		})
	}
	group.Wait()
	if done.Load() == 0 {
		t.Error("nobody got through")
	}
	if got := s.profile(t, ada).Version; got != 1+done.Load() {
		t.Errorf("the record is at version %d after %d changes that were done and %d that were not", got, done.Load(), refused.Load())
	}
}

// TestUpdateThatMeetsOthersIsTriedAgain lets the record change, so many
// times, between being read and being written.
func TestUpdateThatMeetsOthersIsTriedAgain(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, test := range []struct {
		others int
		want   string
	}{
		{1, "ok"},
		{3, "ok"},
		{4, "unavailable/contended"},
	} {
		t.Run(fmt.Sprintf("%d others", test.others), func(t *testing.T) {
			p := s.join(t, fmt.Sprintf("user-%d", test.others))
			update := func(nickname string) error {
				_, err := ask(t, s, packet.UpdateProfile, p.meta(""), packet.UpdateProfileRequest{Authenticated: p.auth(), Nickname: nickname})
				return err
			}
			others := 0
			var other func()
			other = func() {
				others++
				wantOutcome(t, update("other"), "ok")
				if others < test.others {
					s.store.before("Update", other)
				}
			}
			s.store.before("Update", other)
			wantOutcome(t, update("mine"), test.want)
			want := packet.User{Nickname: "mine", Version: int64(test.others) + 2}
			if test.want != "ok" {
				want = packet.User{Nickname: "other", Version: int64(test.others) + 1}
			}
			if got := s.profile(t, p); got.Nickname != want.Nickname || got.Version != want.Version {
				t.Errorf("the record is %q at version %d, want %q at %d", got.Nickname, got.Version, want.Nickname, want.Version)
			}
		})
	}
}

func TestLoginsAndLogoutsAtTheSameMomentNeverMixUsers(t *testing.T) {
	t.Parallel()
	s := start(t)
	people := []*person{s.join(t, "ada"), s.join(t, "bob"), s.join(t, "cyd")}
	var group sync.WaitGroup
	for _, p := range people {
		for range 3 {
			group.Go(func() {
				for range 5 {
					s.visit(t, p)
				}
			})
		}
	}
	group.Wait()
	for _, p := range people {
		if got := s.sessions(t, p); len(got) != 1 {
			t.Errorf("%s has %d sessions, want 1", p.name, len(got))
		}
	}
}

// visit logs p in, looks at their profile and logs them out.
func (s *service) visit(t *testing.T, p *person) {
	var session packet.SessionReply
	var profile packet.UserReply
	for _, step := range []func() error{
		func() (err error) {
			session, err = ask(t, s, packet.Login, p.meta(""), p.credentials())
			return err
		},
		func() (err error) {
			profile, err = ask(t, s, packet.GetProfile, p.meta(""), packet.Authenticated{Token: session.Token})
			return err
		},
		func() error {
			_, err := ask(t, s, packet.Logout, p.meta(""), packet.Authenticated{Token: session.Token})
			return err
		},
	} {
		if err := persist(step); err != nil {
			t.Errorf("visit of %s: %v", p.name, err)
			return
		}
	}
	if session.User.ID != p.id || profile.User.ID != p.id || profile.User.Username != p.name {
		t.Errorf("%s logged in as %+v and saw the profile %+v", p.name, session.User, profile.User)
	}
}
