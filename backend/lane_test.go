package backend_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// loginLane is how many calls that hash may be under way at once.
const loginLane = 512

// TestFloodOfLoginsLeavesRoomForReadsAndWrites fills the lane of the calls
// that hash while no hash gets anywhere.
func TestFloodOfLoginsLeavesRoomForReadsAndWrites(t *testing.T) {
	t.Parallel()
	release := make(chan bool)
	var stuck atomic.Bool
	s := start(t, unlimited, func(cfg *setup) {
		cfg.hash.Trace.Waited = func(context.Context, time.Duration) {
			if stuck.Load() {
				<-release
			}
		}
	})
	ada := s.join(t, "ada")
	stuck.Store(true)

	entered := make(chan bool)
	s.store.always("CredentialByName", func(func() error) error {
		entered <- true
		return user.ErrNotFound
	})
	var group sync.WaitGroup
	for i := range loginLane {
		group.Go(func() {
			_, err := login(t, s, s.client(), fmt.Sprintf("nobody-%d", i), goodPassword)
			wantOutcome(t, err, "unauthenticated/invalid_credentials")
		})
	}
	for range loginLane {
		<-entered
	}

	for _, typ := range []string{packet.Login.Type, packet.Register.Type, packet.ChangePassword.Type, packet.DeleteAccount.Type} {
		wantOverloaded(t, s, typ, ada)
	}
	if !s.alive(t, ada) {
		t.Error("a read was refused")
	}
	must(t, s, packet.GetUser, protocol.Meta{}, packet.Named{Username: "ada"})
	must(t, s, packet.UpdateProfile, ada.meta(""), packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "Countess"})

	close(release)
	group.Wait()
	s.store.always("CredentialByName", nil)
	if _, err := login(t, s, s.client(), "ada", goodPassword); err != nil {
		t.Errorf("login after the flood: %v", err)
	}
}

// crowd makes running calls that stay inside a method of the store, and one
// more than may wait behind them. It returns when that one was refused; the
// others go on when the returned function is called, which waits for them:
// with this result of the method, so that they find nothing.
func crowd(t *testing.T, s *service, running, waiting int, method string, result error, call func() error) (disperse func()) {
	t.Helper()
	entered, release := make(chan bool), make(chan bool)
	s.store.always(method, func(func() error) error {
		select {
		case entered <- true:
		case <-release:
		}
		<-release
		return result
	})
	outcomes := make(chan string, running+waiting+1)
	var group sync.WaitGroup
	for i := range running + waiting + 1 {
		group.Go(func() { outcomes <- outcome(call()) })
		if i < running {
			<-entered
		}
	}
	if got := <-outcomes; got != "overloaded" {
		t.Errorf("the first call to be answered was answered %s, want overloaded", got)
	}
	return func() {
		close(release)
		group.Wait()
		s.store.always(method, nil)
		close(outcomes)
		for got := range outcomes {
			if got != "not_found" {
				t.Errorf("a call that had a place was answered %s", got)
			}
		}
	}
}

// wantOverloaded makes a call that is refused whatever its body is.
func wantOverloaded(t *testing.T, s *service, typ string, p *person) {
	t.Helper()
	_, err := raw(t, s, typ, p.meta(""), p.auth())
	if got := outcome(err); got != "overloaded" {
		t.Errorf("%s was answered %s, want overloaded", typ, got)
	}
	retryAfter(t, err)
}

func TestReadsThatPileUpLeaveRoomForWritesAndLogins(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	disperse := crowd(t, s, 256, 1024, "ByName", user.ErrNotFound, func() error {
		_, err := ask(t, s, packet.GetUser, protocol.Meta{}, packet.Named{Username: "ada"})
		return err
	})
	must(t, s, packet.UpdateProfile, ada.meta(""), packet.UpdateProfileRequest{Authenticated: ada.auth(), Nickname: "Countess"})
	s.again(t, ada)
	for _, typ := range []string{packet.GetProfile.Type, packet.Verify.Type, packet.GetUser.Type, packet.ListSessions.Type, packet.PicturesInUse.Type} {
		wantOverloaded(t, s, typ, ada)
	}
	disperse()
	if !s.alive(t, ada) {
		t.Error("a read was refused after the crowd")
	}
}

func TestWritesThatPileUpLeaveRoomForReadsAndLogins(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	disperse := crowd(t, s, 64, 256, "Sessions", nil, func() error {
		_, err := ask(t, s, packet.EndSession, ada.meta(""), packet.EndSessionRequest{Authenticated: ada.auth(), ID: "1"})
		return err
	})
	if !s.alive(t, ada) {
		t.Error("a read was refused")
	}
	other := s.again(t, ada)
	for _, typ := range []string{packet.UpdateProfile.Type, packet.SetPicture.Type, packet.Logout.Type, packet.EndSession.Type, packet.EndOtherSessions.Type} {
		wantOverloaded(t, s, typ, other)
	}
	disperse()
	must(t, s, packet.UpdateProfile, other.meta(""), packet.UpdateProfileRequest{Authenticated: other.auth(), Nickname: "Countess"})
}

func TestPlaceInALaneIsWaitedForNoLongerThanTheCallerWaits(t *testing.T) {
	t.Parallel()
	s := start(t)
	ada := s.join(t, "ada")
	entered, release := make(chan bool), make(chan bool)
	s.store.always("ByName", func(func() error) error {
		entered <- true
		<-release
		return user.ErrNotFound
	})
	var group sync.WaitGroup
	for range 256 {
		group.Go(func() { ask(t, s, packet.GetUser, protocol.Meta{}, packet.Named{Username: "ada"}) })
	}
	for range 256 {
		<-entered
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := packet.GetProfile.Call(ctx, s, ada.meta(""), ada.auth())
	wantOutcome(t, err, "overloaded") // and not timeout: nothing of it was begun
	close(release)
	group.Wait()
}
