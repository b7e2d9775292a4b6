package backend

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"gatehouse/backend/throttle"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

func (b *Backend) login(ctx context.Context, meta protocol.Meta, req packet.LoginRequest) (packet.SessionReply, string, error) {
	u, err := b.verified(ctx, meta.Client, user.Fold(req.Username), req.Password)
	if err != nil {
		return packet.SessionReply{}, "", err
	}
	rep, err := b.openSession(ctx, u, meta.Client)
	if err != nil {
		return packet.SessionReply{}, "", err
	}
	if device, known := b.cfg.Devices.Known(meta.Client.Device, u.Username); known && device.UserID == u.ID {
		rep.Device = packet.Secret(meta.Client.Device) // it keeps the one it has
	}
	return rep, u.Username, nil
}

// verified returns the user of this name if the password is right and they
// may log in. Whether there is no such user, the user is disabled or the
// password is wrong, the same work is done and the same answer given.
func (b *Backend) verified(ctx context.Context, client protocol.Client, name string, password packet.Secret) (user.User, error) {
	u, credential, err := b.cfg.Users.CredentialByName(ctx, name)
	if err != nil && !errors.Is(err, user.ErrNotFound) {
		return user.User{}, fmt.Errorf("read credential: %w", err)
	}
	known := err == nil && !u.Disabled
	if !known {
		credential = nil // costs what a real one costs, and no password is right
	}
	attempt, err := b.attempt(client, name, u.ID)
	if err != nil {
		return user.User{}, err
	}
	ok, rehash, err := b.cfg.Hasher.Verify(ctx, credential, string(password))
	if err != nil {
		return user.User{}, err
	}
	if !ok || !known {
		if err := attempt.Fail(); err != nil {
			return user.User{}, err
		}
		return user.User{}, wrongCredentials()
	}
	if err := attempt.Succeed(); err != nil {
		return user.User{}, err
	}
	if rehash {
		u = b.rehash(ctx, u, password)
	}
	return u, nil
}

// attempt asks whether the client may try a password of this name. A device
// is known only to the user whom it was known to, should the name have gone
// to somebody else since.
func (b *Backend) attempt(client protocol.Client, name string, userID int64) (throttle.Attempt, error) {
	device, known := b.cfg.Devices.Known(client.Device, name)
	if !known || device.UserID != userID {
		device = throttle.Device{}
	}
	return b.cfg.Throttle.Login(address(client), name, device)
}

// address is the client's, or the zero Addr, which all clients without one share.
func address(client protocol.Client) netip.Addr {
	addr, err := netip.ParseAddr(client.IP)
	if err != nil {
		return netip.Addr{}
	}
	return addr
}

// rehash replaces a credential that was made with other parameters than
// today's, and returns the user as they are then. That it does not work now
// does not concern the person: the next login tries again.
func (b *Backend) rehash(ctx context.Context, u user.User, password packet.Secret) user.User {
	credential, err := b.cfg.Hasher.Hash(ctx, string(password))
	if err == nil {
		err = b.records.update(ctx, user.Change{ID: u.ID, Version: u.Version, Credential: credential})
	}
	if err != nil {
		b.log.InfoContext(ctx, "credential not renewed", "user", u.ID, "error", err)
		return u
	}
	u.Version++
	return u
}
