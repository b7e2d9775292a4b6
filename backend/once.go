package backend

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	"gatehouse/backend/session"
	"gatehouse/backend/user"
	"gatehouse/protocol"
	"gatehouse/protocol/packet"
)

// maxAttempts bounds how often a write is tried whose record was changed by
// another one between being read and being written.
const maxAttempts = 4

// write is one write on behalf of a session: what it needs to know to be
// done at most once for each idempotency key.
type write[Rep any] struct {
	typ   string
	meta  protocol.Meta
	token packet.Secret
	// body is what of the request two of the same key must agree on:
	// everything but the token and passwords.
	body any
	// do tries the write on the user as just read. It records idem, which
	// holds the encoded reply, in the same transaction.
	do func(ctx context.Context, u user.User, s session.Session, idem func(Rep) (*user.Idempotency, error)) (Rep, error)
}

// once runs w: it authenticates, answers a repetition with what the first
// was answered, and tries again when the record was changed meanwhile.
func once[Rep any](ctx context.Context, b *Backend, w write[Rep]) (Rep, string, error) {
	var none Rep
	userID, digest, ok := session.ParseToken(string(w.token))
	if !ok {
		return none, "", unauthenticated()
	}
	first, err := b.newIdempotency(w.meta, fmt.Sprint("user ", userID), w.typ, w.body)
	if err != nil {
		return none, "", err
	}
	for attempt := 1; ; attempt++ {
		rep, replayed, err := replay[Rep](ctx, b, first, userID, digest)
		if err != nil || replayed {
			return rep, fmt.Sprint(userID), err
		}
		rep, subject, err := w.try(ctx, b, first)
		if overtaken(err) && attempt < maxAttempts {
			continue
		}
		if refused(err) {
			// The same request, made twice at the same time, may be what ended
			// the session or changed the password.
			if rep, replayed, err := replay[Rep](ctx, b, first, userID, digest); err == nil && replayed {
				return rep, fmt.Sprint(userID), nil
			}
		}
		return rep, subject, err
	}
}

// try runs w on the records as they are now.
func (w write[Rep]) try(ctx context.Context, b *Backend, first *idempotency) (Rep, string, error) {
	u, s, err := b.authenticate(ctx, w.token)
	if err != nil {
		return *new(Rep), "", err
	}
	rep, err := w.do(ctx, u, s, func(rep Rep) (*user.Idempotency, error) { return first.with(u.ID, s.Digest, rep) })
	return rep, subject(u), err
}

// overtaken tells that the record was changed or deleted, or the write done,
// between being read and being written.
func overtaken(err error) bool {
	return errors.Is(err, user.ErrConflict) || errors.Is(err, user.ErrReplayed) || errors.Is(err, user.ErrNotFound)
}

// idempotency is a user.Idempotency of which the outcome is not known yet.
type idempotency struct{ user.Idempotency }

// newIdempotency returns what is known of a write before it is done, or nil
// where the client sent no key.
func (b *Backend) newIdempotency(meta protocol.Meta, scope, typ string, body any) (*idempotency, error) {
	if meta.IdempotencyKey == "" {
		return nil, nil
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, fmt.Errorf("encode the body of %s: %w", typ, err)
	}
	return &idempotency{user.Idempotency{
		Key:       sha256.Sum256([]byte(scope + "\x00" + meta.IdempotencyKey)),
		Request:   sha256.Sum256([]byte(typ + "\x00" + string(text))),
		CreatedAt: b.now(),
	}}, nil
}

// with completes i with whom the write concerned and what was answered. A
// nil i stays nil.
func (i *idempotency) with(userID int64, digest session.Digest, rep any) (*user.Idempotency, error) {
	if i == nil {
		return nil, nil
	}
	text, err := json.Marshal(rep)
	if err != nil {
		return nil, fmt.Errorf("encode a reply to keep: %w", err)
	}
	done := i.Idempotency
	done.UserID, done.Session, done.Reply = userID, digest, text
	return &done, nil
}

// replay returns what the write of this key was answered before, if there was
// one. It may be told to the session that made the write, which the write
// itself may have ended, and to any live session of the user.
func replay[Rep any](ctx context.Context, b *Backend, i *idempotency, userID int64, digest session.Digest) (rep Rep, replayed bool, err error) {
	if i == nil {
		return rep, false, nil
	}
	done, err := b.cfg.Users.Replay(ctx, i.Key)
	if errors.Is(err, user.ErrNotFound) {
		return rep, false, nil
	}
	if err != nil {
		return rep, false, fmt.Errorf("read idempotency record of user %d: %w", userID, err)
	}
	if done.UserID != userID || done.Session != digest {
		if _, _, err := b.live(ctx, userID, digest); err != nil {
			return rep, false, err
		}
	}
	if done.Request != i.Request {
		return rep, false, errMismatch()
	}
	if err := json.Unmarshal(done.Reply, &rep); err != nil {
		return rep, false, fmt.Errorf("decode a kept reply: %w", err)
	}
	return rep, true, nil
}

func errMismatch() error {
	return &protocol.Error{Code: protocol.Conflict, Reason: "idempotency_mismatch"}
}
