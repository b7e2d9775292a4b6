package backend

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"gatehouse/backend/session"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// view is u as its owner sees it.
func view(u user.User) packet.User {
	return packet.User{ID: u.ID, Username: u.Username, Nickname: u.Nickname, PictureURL: pictureURL(u.Picture),
		Version: u.Version, CreatedAt: stamp(u.CreatedAt)}
}

// stamp is a time as it is shown: UTC, in the microseconds that are kept of it.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// subject names the record that a reply was made from.
func subject(u user.User) string { return strconv.FormatInt(u.ID, 10) }

// profile answers get_profile and verify.
func (b *Backend) profile(ctx context.Context, _ protocol.Meta, req packet.Authenticated) (packet.UserReply, string, error) {
	u, _, err := b.authenticate(ctx, req.Token)
	if err != nil {
		return packet.UserReply{}, "", err
	}
	return packet.UserReply{User: view(u)}, subject(u), nil
}

func (b *Backend) updateProfile(ctx context.Context, meta protocol.Meta, req packet.UpdateProfileRequest) (packet.UserReply, string, error) {
	if p := user.CheckNickname(req.Nickname); p != "" {
		return packet.UserReply{}, "", invalid(field("nickname", p))
	}
	return once(ctx, b, write[packet.UserReply]{typ: packet.UpdateProfile.Type, meta: meta, token: req.Token, body: req.Nickname,
		do: func(ctx context.Context, u user.User, _ session.Session, idem func(packet.UserReply) (*user.Idempotency, error)) (packet.UserReply, error) {
			after := u
			after.Nickname = req.Nickname
			after.Version++
			rep := packet.UserReply{User: view(after)}
			done, err := idem(rep)
			if err != nil {
				return rep, err
			}
			return rep, b.records.update(ctx, user.Change{ID: u.ID, Version: u.Version, Nickname: &req.Nickname, Idempotency: done})
		}})
}

func (b *Backend) getUser(ctx context.Context, _ protocol.Meta, req packet.Named) (packet.GetUserReply, string, error) {
	name := user.Fold(req.Username)
	if user.CheckUsername(name) != "" {
		return packet.GetUserReply{}, "", &protocol.Error{Code: protocol.NotFound}
	}
	u, err := b.records.byName(ctx, name)
	if errors.Is(err, user.ErrNotFound) || err == nil && u.Disabled {
		return packet.GetUserReply{}, "", &protocol.Error{Code: protocol.NotFound}
	}
	if err != nil {
		return packet.GetUserReply{}, "", fmt.Errorf("read user %q: %w", name, err)
	}
	return packet.GetUserReply{Username: u.Username, Nickname: u.Nickname, PictureURL: pictureURL(u.Picture)}, u.Username, nil
}
