package backend

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"gatehouse/backend/session"
	"gatehouse/backend/throttle"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// confirmation is that the person behind a session has shown the password
// once more. It is kept over the attempts of one write, so that the work is
// done again only if the credential was changed meanwhile.
type confirmation struct {
	credential []byte
}

// confirm verifies the password of the user of s and returns the user as
// read with the credential that was verified. Failures count against the
// session, as against a known device, so that nobody elsewhere can keep the
// person from changing their password.
func (b *Backend) confirm(ctx context.Context, client protocol.Client, s session.Session, password packet.Secret, c *confirmation) (user.User, error) {
	u, credential, err := b.cfg.Users.CredentialByID(ctx, s.UserID)
	if errors.Is(err, user.ErrNotFound) {
		return u, unauthenticated()
	}
	if err != nil {
		return u, fmt.Errorf("read credential of user %d: %w", s.UserID, err)
	}
	if c.credential != nil && bytes.Equal(c.credential, credential) {
		return u, nil
	}
	device := throttle.Device{ID: [16]byte(s.Digest[:16]), UserID: u.ID}
	attempt, err := b.cfg.Throttle.Login(address(client), u.Username, device)
	if err != nil {
		return u, err
	}
	ok, _, err := b.cfg.Hasher.Verify(ctx, credential, string(password))
	if err != nil {
		return u, err
	}
	if !ok {
		if err := attempt.Fail(); err != nil {
			return u, err
		}
		return u, &protocol.Error{Code: protocol.Forbidden, Reason: "wrong_password"}
	}
	c.credential = credential
	return u, attempt.Succeed()
}

func (b *Backend) changePassword(ctx context.Context, meta protocol.Meta, req packet.ChangePasswordRequest) (packet.Empty, string, error) {
	var confirmed confirmation
	var credential []byte
	return once(ctx, b, write[packet.Empty]{typ: packet.ChangePassword.Type, meta: meta, token: req.Token,
		do: func(ctx context.Context, _ user.User, s session.Session, idem func(packet.Empty) (*user.Idempotency, error)) (packet.Empty, error) {
			u, err := b.confirm(ctx, meta.Client, s, req.CurrentPassword, &confirmed)
			if err != nil {
				return packet.Empty{}, err
			}
			if credential == nil {
				if credential, err = b.newCredential(ctx, "new_password", req.NewPassword, u.Username); err != nil {
					return packet.Empty{}, err
				}
			}
			done, err := idem(packet.Empty{})
			if err != nil {
				return packet.Empty{}, err
			}
			return packet.Empty{}, b.records.update(ctx, user.Change{ID: u.ID, Version: u.Version, Credential: credential,
				EndSessions: true, KeepSession: s.Digest, Idempotency: done})
		}})
}

// newCredential hashes the password in a field that is good enough to be set.
func (b *Backend) newCredential(ctx context.Context, name string, password packet.Secret, username string) ([]byte, error) {
	var fields []protocol.Field
	for _, p := range b.cfg.Policy.Check(string(password), username) {
		fields = append(fields, passwordField(name, p))
	}
	if len(fields) > 0 {
		return nil, invalid(fields...)
	}
	return b.cfg.Hasher.Hash(ctx, string(password))
}

func (b *Backend) deleteAccount(ctx context.Context, meta protocol.Meta, req packet.DeleteAccountRequest) (packet.DeleteAccountReply, string, error) {
	var confirmed confirmation
	return once(ctx, b, write[packet.DeleteAccountReply]{typ: packet.DeleteAccount.Type, meta: meta, token: req.Token,
		do: func(ctx context.Context, _ user.User, s session.Session, idem func(packet.DeleteAccountReply) (*user.Idempotency, error)) (packet.DeleteAccountReply, error) {
			u, err := b.confirm(ctx, meta.Client, s, req.Password, &confirmed)
			if err != nil {
				return packet.DeleteAccountReply{}, err
			}
			done, err := idem(packet.DeleteAccountReply{})
			if err != nil {
				return packet.DeleteAccountReply{}, err
			}
			return packet.DeleteAccountReply{Previous: u.Picture}, b.records.remove(ctx, u, done)
		}})
}
