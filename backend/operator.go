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

// operatorPrefix begins the types of the packets of operators, and of no others.
const operatorPrefix = "op_"

// Operator returns a Caller that answers the packets of operators beside
// those of everybody. Whoever can reach it may do anything to any account, so
// that it belongs behind a socket which only operators can open.
func (b *Backend) Operator() protocol.Caller {
	return protocol.CallerFunc(func(ctx context.Context, req protocol.Request) (protocol.Reply, error) {
		return b.answer(ctx, b.operators, req)
	})
}

// operatorHandlers are the packet types of operators and what answers each.
func (b *Backend) operatorHandlers() []protocol.Handler {
	return []protocol.Handler{
		packet.OpAbout.Handler(b.opAbout),
		packet.OpAddUser.Handler(b.opAddUser),
		packet.OpListUsers.Handler(b.opListUsers),
		packet.OpShowUser.Handler(b.opShowUser),
		packet.OpDisableUser.Handler(b.opDisableUser),
		packet.OpEnableUser.Handler(b.opEnableUser),
		packet.OpSetPassword.Handler(b.opSetPassword),
		packet.OpEndSessions.Handler(b.opEndSessions),
		packet.OpDeleteUser.Handler(b.opDeleteUser),
	}
}

// OperatorTypes returns the packet types that operators have beside those of
// Types.
func OperatorTypes() []string {
	return protocol.NewMux((*Backend)(nil).operatorHandlers()...).Types()
}

// account is u as an operator sees it.
func account(u user.User) packet.Account {
	return packet.Account{User: view(u), Disabled: u.Disabled}
}

func (b *Backend) opAbout(context.Context, protocol.Meta, packet.Empty) (packet.OpAboutReply, string, error) {
	return b.cfg.About, "", nil
}

func (b *Backend) opAddUser(ctx context.Context, _ protocol.Meta, req packet.OpAddUserRequest) (packet.OpUserReply, string, error) {
	name := user.Fold(req.Username)
	if req.Nickname == "" {
		req.Nickname = name
	}
	err := b.checkRegistration(name, packet.RegisterRequest{Nickname: req.Nickname, Password: req.Password})
	if err != nil {
		return packet.OpUserReply{}, "", err
	}
	credential, err := b.cfg.Hasher.Hash(ctx, string(req.Password))
	if err != nil {
		return packet.OpUserReply{}, "", err
	}
	u := user.User{Username: name, Nickname: req.Nickname, Version: 1, AuthEpoch: 1, CreatedAt: b.now()}
	err = b.insert(ctx, &u, credential, nil)
	if errors.Is(err, user.ErrTaken) {
		return packet.OpUserReply{}, "", taken()
	}
	if err != nil {
		return packet.OpUserReply{}, "", fmt.Errorf("create user: %w", err)
	}
	return packet.OpUserReply{User: account(u)}, u.Username, nil
}

func (b *Backend) opListUsers(ctx context.Context, _ protocol.Meta, req packet.OpListUsersRequest) (packet.OpListUsersReply, string, error) {
	limit := req.Limit
	if limit <= 0 || limit > packet.MaxListed {
		limit = packet.MaxListed
	}
	page, err := b.cfg.Users.Page(ctx, user.Fold(req.After), limit+1)
	if err != nil {
		return packet.OpListUsersReply{}, "", err
	}
	rep := packet.OpListUsersReply{Users: make([]packet.Account, 0, limit), More: len(page) > limit}
	for _, u := range page[:min(limit, len(page))] {
		rep.Users = append(rep.Users, account(u))
	}
	return rep, "", nil
}

func (b *Backend) opShowUser(ctx context.Context, _ protocol.Meta, req packet.Named) (packet.OpShowUserReply, string, error) {
	u, err := b.named(ctx, req)
	if err != nil {
		return packet.OpShowUserReply{}, "", err
	}
	live, err := b.sessionsOf(ctx, u)
	if err != nil {
		return packet.OpShowUserReply{}, "", err
	}
	if u.Disabled {
		live = nil // whatever is left of them is answered no more
	}
	shown := b.viewSessions(live, session.Digest{})
	return packet.OpShowUserReply{User: account(u), Sessions: shown[:min(len(shown), packet.MaxShown)],
		More: len(shown) > packet.MaxShown}, u.Username, nil
}

// named returns the user of a name as the store has them now.
func (b *Backend) named(ctx context.Context, name packet.Named) (user.User, error) {
	u, err := b.cfg.Users.ByName(ctx, user.Fold(name.Username))
	if errors.Is(err, user.ErrNotFound) {
		return u, &protocol.Error{Code: protocol.NotFound, Reason: "no_such_user"}
	}
	return u, err
}

// opChange tries change on the user of a name, and again where the record was
// changed by somebody else in between. It returns the user as read last.
func (b *Backend) opChange(ctx context.Context, name packet.Named, change func(user.User) error) (user.User, error) {
	for attempt := 1; ; attempt++ {
		u, err := b.named(ctx, name)
		if err != nil {
			return u, err
		}
		err = change(u)
		if !overtaken(err) || attempt == maxAttempts {
			return u, err
		}
	}
}

// opUpdate applies what change asks for and answers with the record that it
// made.
func (b *Backend) opUpdate(ctx context.Context, name packet.Named, change user.Change) (packet.OpUserReply, string, error) {
	u, err := b.opChange(ctx, name, func(u user.User) error {
		c := change
		c.ID, c.Version = u.ID, u.Version
		return b.records.update(ctx, c)
	})
	if err != nil {
		return packet.OpUserReply{}, "", err
	}
	u.Version++
	if change.Disabled != nil {
		u.Disabled = *change.Disabled
	}
	return packet.OpUserReply{User: account(u)}, u.Username, nil
}

func (b *Backend) opDisableUser(ctx context.Context, _ protocol.Meta, req packet.Named) (packet.OpUserReply, string, error) {
	disabled := true
	return b.opUpdate(ctx, req, user.Change{Disabled: &disabled, EndSessions: true})
}

func (b *Backend) opEnableUser(ctx context.Context, _ protocol.Meta, req packet.Named) (packet.OpUserReply, string, error) {
	disabled := false
	return b.opUpdate(ctx, req, user.Change{Disabled: &disabled})
}

func (b *Backend) opEndSessions(ctx context.Context, _ protocol.Meta, req packet.Named) (packet.OpUserReply, string, error) {
	return b.opUpdate(ctx, req, user.Change{EndSessions: true})
}

func (b *Backend) opSetPassword(ctx context.Context, _ protocol.Meta, req packet.OpSetPasswordRequest) (packet.OpUserReply, string, error) {
	u, err := b.named(ctx, req.Named)
	if err != nil {
		return packet.OpUserReply{}, "", err
	}
	credential, err := b.newCredential(ctx, "password", req.Password, u.Username)
	if err != nil {
		return packet.OpUserReply{}, "", err
	}
	return b.opUpdate(ctx, req.Named, user.Change{Credential: credential, EndSessions: true})
}

func (b *Backend) opDeleteUser(ctx context.Context, _ protocol.Meta, req packet.Named) (packet.DeleteAccountReply, string, error) {
	u, err := b.opChange(ctx, req, func(u user.User) error { return b.records.remove(ctx, u, nil) })
	if err != nil {
		return packet.DeleteAccountReply{}, "", err
	}
	return packet.DeleteAccountReply{Previous: u.Picture}, u.Username, nil
}
