package backend

import (
	"context"
	"errors"
	"fmt"

	"gatehouse/backend/session"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// maxIDAttempts bounds how many ids are tried for one new user.
const maxIDAttempts = 3

func (b *Backend) register(ctx context.Context, meta protocol.Meta, req packet.RegisterRequest) (packet.SessionReply, string, error) {
	name := user.Fold(req.Username)
	if req.Nickname == "" {
		req.Nickname = name
	}
	idem, err := b.newIdempotency(meta, "register "+name, packet.Register.Type, []string{name, req.Nickname})
	if err != nil {
		return packet.SessionReply{}, "", err
	}
	u, err := b.registered(ctx, meta, req, name, idem)
	if errors.Is(err, user.ErrReplayed) { // the same request, made twice at the same time
		u, err = b.registered(ctx, meta, req, name, idem)
	}
	if err != nil {
		return packet.SessionReply{}, "", err
	}
	rep, err := b.openSession(ctx, u, meta.Client)
	if err != nil {
		// The account is there: to say that nothing was applied would be wrong.
		return rep, "", &protocol.Error{Code: protocol.UnknownOutcome, Reason: "session_missing", Cause: err}
	}
	return rep, u.Username, nil
}

// checkRegistration tells everything that is wrong with the fields at once.
func (b *Backend) checkRegistration(name string, req packet.RegisterRequest) error {
	var fields []protocol.Field
	if p := user.CheckUsername(name); p != "" {
		fields = append(fields, field("username", p))
	}
	if p := user.CheckNickname(req.Nickname); p != "" && req.Nickname != name {
		fields = append(fields, field("nickname", p))
	}
	for _, p := range b.cfg.Policy.Check(string(req.Password), name) {
		fields = append(fields, passwordField("password", p))
	}
	if len(fields) > 0 {
		return invalid(fields...)
	}
	return nil
}

// registered returns the user that this request makes, or made when it was
// sent before.
func (b *Backend) registered(ctx context.Context, meta protocol.Meta, req packet.RegisterRequest, name string, idem *idempotency) (user.User, error) {
	if idem != nil {
		done, err := b.cfg.Users.Replay(ctx, idem.Key)
		if err == nil {
			return b.registeredBefore(ctx, meta, req, name, idem, done)
		}
		if !errors.Is(err, user.ErrNotFound) {
			return user.User{}, fmt.Errorf("read idempotency record of a registration: %w", err)
		}
	}
	if b.cfg.Closed {
		return user.User{}, &protocol.Error{Code: protocol.Forbidden, Reason: "registration_closed"}
	}
	return b.newUser(ctx, meta, req, name, idem)
}

// registeredBefore answers a repetition: to whoever knows the password, as
// at a login.
func (b *Backend) registeredBefore(ctx context.Context, meta protocol.Meta, req packet.RegisterRequest, name string, idem *idempotency, done user.Idempotency) (user.User, error) {
	if done.Request != idem.Request {
		return user.User{}, errMismatch()
	}
	return b.verified(ctx, meta.Client, name, req.Password)
}

func (b *Backend) newUser(ctx context.Context, meta protocol.Meta, req packet.RegisterRequest, name string, idem *idempotency) (user.User, error) {
	giveBack, err := b.cfg.Throttle.Register(address(meta.Client))
	if err != nil {
		return user.User{}, err
	}
	// Judging a password takes up to 20 ms, so that what is refused counts too.
	if err := b.checkRegistration(name, req); err != nil {
		return user.User{}, err
	}
	switch _, err := b.records.byName(ctx, name); {
	case err == nil:
		return user.User{}, b.takenBefore(ctx, idem)
	case !errors.Is(err, user.ErrNotFound):
		giveBack()
		return user.User{}, fmt.Errorf("look up username %q: %w", name, err)
	}
	credential, err := b.cfg.Hasher.Hash(ctx, string(req.Password))
	if err != nil {
		giveBack()
		return user.User{}, err
	}
	u := user.User{Username: name, Nickname: req.Nickname, Version: 1, AuthEpoch: 1, CreatedAt: b.now()}
	err = b.insert(ctx, &u, credential, idem)
	if errors.Is(err, user.ErrTaken) {
		return user.User{}, taken()
	}
	if err != nil {
		return user.User{}, fmt.Errorf("create user: %w", err)
	}
	return u, nil
}

// insert gives u an id that nobody has and creates it.
func (b *Backend) insert(ctx context.Context, u *user.User, credential []byte, idem *idempotency) error {
	for attempt := 1; ; attempt++ {
		var err error
		if u.ID, err = user.NewID(b.now(), b.random); err != nil {
			return err
		}
		done, err := idem.with(u.ID, session.Digest{}, view(*u))
		if err != nil {
			return err
		}
		err = b.records.create(ctx, *u, credential, done)
		if !errors.Is(err, user.ErrConflict) || attempt == maxIDAttempts {
			return err
		}
	}
}

// takenBefore refuses a name that somebody has, unless the same request, made
// twice at the same time, took it a moment ago.
func (b *Backend) takenBefore(ctx context.Context, idem *idempotency) error {
	if idem == nil {
		return taken()
	}
	switch _, err := b.cfg.Users.Replay(ctx, idem.Key); {
	case err == nil:
		return user.ErrReplayed
	case !errors.Is(err, user.ErrNotFound):
		return fmt.Errorf("read idempotency record of a registration: %w", err)
	}
	return taken()
}

func taken() error { return &protocol.Error{Code: protocol.Conflict, Reason: "username_taken"} }
