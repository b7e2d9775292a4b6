package backend

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"gatehouse/backend/session"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// authenticate returns the user and the live session that a token stands
// for, and notes that the session was seen.
func (b *Backend) authenticate(ctx context.Context, token packet.Secret) (user.User, session.Session, error) {
	userID, digest, ok := session.ParseToken(string(token))
	if !ok {
		return user.User{}, session.Session{}, unauthenticated()
	}
	return b.live(ctx, userID, digest)
}

func (b *Backend) live(ctx context.Context, userID int64, digest session.Digest) (user.User, session.Session, error) {
	u, s, err := b.records.session(ctx, userID, digest)
	if errors.Is(err, errNoSession) {
		return u, s, unauthenticated()
	}
	if err != nil {
		return u, s, err
	}
	now := b.now()
	if !b.limits.Live(s, u.AuthEpoch, now) {
		s.LastSeenAt = b.seen.latest(s) // which may not be written yet
	}
	if u.Disabled || !b.limits.Live(s, u.AuthEpoch, now) {
		return u, s, unauthenticated()
	}
	b.seen.note(s, now)
	return u, s, nil
}

// openSession makes a session of u for the client and returns its token.
func (b *Backend) openSession(ctx context.Context, u user.User, client protocol.Client) (packet.SessionReply, error) {
	token, digest, err := session.NewToken(u.ID, b.random)
	if err != nil {
		return packet.SessionReply{}, err
	}
	now := b.now()
	s := session.Session{UserID: u.ID, Digest: digest, AuthEpoch: u.AuthEpoch,
		CreatedAt: now, LastSeenAt: now, ExpiresAt: now.Add(b.limits.Lifetime), UserAgent: cutText(client.UserAgent, session.MaxUserAgent)}
	if ip, err := netip.ParseAddr(client.IP); err == nil {
		s.IP = ip.WithZone("").String()
	}
	err = b.records.putSession(ctx, s, b.limits.PerUser)
	if errors.Is(err, user.ErrNotFound) { // deleted since the password was verified
		return packet.SessionReply{}, wrongCredentials()
	}
	if err != nil {
		return packet.SessionReply{}, fmt.Errorf("open session of user %d: %w", u.ID, err)
	}
	device := b.cfg.Devices.Issue(u.ID, u.Username)
	return packet.SessionReply{Token: packet.Secret(token), ExpiresAt: stamp(s.ExpiresAt), User: view(u), Device: packet.Secret(device)}, nil
}

// cutText makes text valid UTF-8 of at most limit bytes.
func cutText(text string, limit int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) > limit {
		text = strings.ToValidUTF8(text[:limit], "")
	}
	return text
}

func (b *Backend) listSessions(ctx context.Context, _ protocol.Meta, req packet.Authenticated) (packet.ListSessionsReply, string, error) {
	u, current, err := b.authenticate(ctx, req.Token)
	if err != nil {
		return packet.ListSessionsReply{}, "", err
	}
	all, err := b.sessionsOf(ctx, u)
	if err != nil {
		return packet.ListSessionsReply{}, "", err
	}
	return packet.ListSessionsReply{Sessions: b.viewSessions(all, current.Digest)}, subject(u), nil
}

// viewSessions are sessions as they are shown to the holder of the current
// one, that last seen first. It sorts all.
func (b *Backend) viewSessions(all []session.Session, current session.Digest) []packet.Session {
	slices.SortFunc(all, func(x, y session.Session) int { return y.LastSeenAt.Compare(x.LastSeenAt) })
	shown := make([]packet.Session, 0, len(all))
	for _, s := range all {
		shown = append(shown, packet.Session{ID: s.ID(), Current: s.Digest == current,
			CreatedAt: stamp(s.CreatedAt), LastSeenAt: stamp(s.LastSeenAt), ExpiresAt: stamp(b.limits.End(s)),
			IP: s.IP, UserAgent: s.UserAgent})
	}
	return shown
}

// sessionsOf returns the live sessions of u, as last seen as this process
// knows.
func (b *Backend) sessionsOf(ctx context.Context, u user.User) ([]session.Session, error) {
	all, err := b.cfg.Sessions.Sessions(ctx, u.ID, 2*b.limits.PerUser)
	if err != nil {
		return nil, fmt.Errorf("list sessions of user %d: %w", u.ID, err)
	}
	now := b.now()
	live := all[:0]
	for _, s := range all {
		s.LastSeenAt = b.seen.latest(s)
		if b.limits.Live(s, u.AuthEpoch, now) {
			live = append(live, s)
		}
	}
	return live, nil
}

func (b *Backend) endSession(ctx context.Context, meta protocol.Meta, req packet.EndSessionRequest) (packet.Empty, string, error) {
	return once(ctx, b, write[packet.Empty]{typ: packet.EndSession.Type, meta: meta, token: req.Token, body: req.ID,
		do: func(ctx context.Context, u user.User, _ session.Session, idem func(packet.Empty) (*user.Idempotency, error)) (packet.Empty, error) {
			all, err := b.sessionsOf(ctx, u)
			if err != nil {
				return packet.Empty{}, err
			}
			i := slices.IndexFunc(all, func(s session.Session) bool { return s.ID() == req.ID })
			if i < 0 {
				return packet.Empty{}, &protocol.Error{Code: protocol.NotFound}
			}
			return packet.Empty{}, b.end(ctx, all[i], idem)
		}})
}

func (b *Backend) logout(ctx context.Context, meta protocol.Meta, req packet.Authenticated) (packet.Empty, string, error) {
	return once(ctx, b, write[packet.Empty]{typ: packet.Logout.Type, meta: meta, token: req.Token, body: digestOf(req.Token),
		do: func(ctx context.Context, _ user.User, s session.Session, idem func(packet.Empty) (*user.Idempotency, error)) (packet.Empty, error) {
			return packet.Empty{}, b.end(ctx, s, idem)
		}})
}

// digestOf is what tells one session's request from that of another, where
// which session it is of is all that it says.
func digestOf(token packet.Secret) session.Digest {
	_, digest, _ := session.ParseToken(string(token))
	return digest
}

// end removes s. That it is gone already is as good.
func (b *Backend) end(ctx context.Context, s session.Session, idem func(packet.Empty) (*user.Idempotency, error)) error {
	done, err := idem(packet.Empty{})
	if err != nil {
		return err
	}
	err = b.records.endSession(ctx, s.UserID, s.Digest, done)
	if errors.Is(err, session.ErrNotFound) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("end session of user %d: %w", s.UserID, err)
	}
	return nil
}

func (b *Backend) endOtherSessions(ctx context.Context, meta protocol.Meta, req packet.Authenticated) (packet.Empty, string, error) {
	return once(ctx, b, write[packet.Empty]{typ: packet.EndOtherSessions.Type, meta: meta, token: req.Token, body: digestOf(req.Token),
		do: func(ctx context.Context, u user.User, s session.Session, idem func(packet.Empty) (*user.Idempotency, error)) (packet.Empty, error) {
			done, err := idem(packet.Empty{})
			if err != nil {
				return packet.Empty{}, err
			}
			return packet.Empty{}, b.records.update(ctx, user.Change{ID: u.ID, Version: u.Version,
				EndSessions: true, KeepSession: s.Digest, Idempotency: done})
		}})
}
