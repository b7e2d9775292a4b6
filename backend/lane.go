package backend

import (
	"context"
	"strings"

	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// A lane is a class of work with a capacity of its own, so that a flood of
// one kind cannot take the places of another.
type lane struct {
	name    string
	running chan struct{} // capacity: calls at work
	waiting chan struct{} // capacity: calls that wait to be
}

// The capacities. Reads and writes end within milliseconds, so that what is
// bounded is what piles up when the store is slow. Logins wait for a hashing
// worker in a queue of their own, which is shorter than this lane.
const (
	readRunning, readWaiting   = 256, 1024
	writeRunning, writeWaiting = 64, 256
	loginRunning, loginWaiting = 512, 0
	// Operators have a lane of their own, so that a flood that they are about
	// to end cannot keep them out.
	operatorRunning, operatorWaiting = 8, 64
)

type lanes struct{ read, write, login, operator *lane }

func newLanes() lanes {
	return lanes{read: newLane("read", readRunning, readWaiting), write: newLane("write", writeRunning, writeWaiting),
		login: newLane("login", loginRunning, loginWaiting), operator: newLane("operator", operatorRunning, operatorWaiting)}
}

func newLane(name string, running, waiting int) *lane {
	return &lane{name: name, running: make(chan struct{}, running), waiting: make(chan struct{}, waiting)}
}

// of returns the lane of a packet type: login is every type that hashes.
func (l lanes) of(typ string) *lane {
	switch typ {
	case packet.Login.Type, packet.Register.Type, packet.ChangePassword.Type, packet.DeleteAccount.Type:
		return l.login
	case packet.Verify.Type, packet.GetProfile.Type, packet.GetUser.Type, packet.ListSessions.Type, packet.PicturesInUse.Type:
		return l.read
	}
	if strings.HasPrefix(typ, operatorPrefix) {
		return l.operator
	}
	return l.write
}

// enter takes a place, which leave gives back, or refuses.
func (l *lane) enter(ctx context.Context) error {
	select {
	case l.running <- struct{}{}:
		return nil
	default:
	}
	select {
	case l.waiting <- struct{}{}:
		defer func() { <-l.waiting }()
	default:
		return &protocol.Error{Code: protocol.Overloaded, RetryAfter: retrySoon}
	}
	select {
	case l.running <- struct{}{}:
		return nil
	case <-ctx.Done():
		return &protocol.Error{Code: protocol.Overloaded, RetryAfter: retrySoon, Cause: ctx.Err()}
	}
}

func (l *lane) leave() { <-l.running }
