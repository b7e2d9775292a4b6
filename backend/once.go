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
	var rep Rep
	userID, digest, ok := session.ParseToken(string(w.token))
	if !ok {
		return rep, "", unauthenticated()
	}
	first, err := b.newIdempotency(w.meta, fmt.Sprint("user ", userID), w.typ, w.body)
	if err != nil {
		return rep, "", err
	}
	for attempt := 1; ; attempt++ {
		if first != nil {
			replayed, err := b.replay(ctx, *first, userID, digest, &rep)
			if err != nil || replayed {
				return rep, fmt.Sprint(userID), err
			}
		}
		u, s, err := b.authenticate(ctx, w.token)
		if err != nil {
			return rep, "", err
		}
		rep, err = w.do(ctx, u, s, func(rep Rep) (*user.Idempotency, error) { return first.with(u.ID, digest, rep) })
		again := errors.Is(err, user.ErrConflict) || errors.Is(err, user.ErrReplayed)
		if !again || attempt == maxAttempts {
			return rep, subject(u), err
		}
	}
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

// replay decodes into rep what the write of this key was answered before, if
// there was one. It may be told to the session that made the write, which
// the write itself may have ended, and to any live session of the user.
func (b *Backend) replay(ctx context.Context, i idempotency, userID int64, digest session.Digest, rep any) (bool, error) {
	done, err := b.cfg.Users.Replay(ctx, i.Key)
	if errors.Is(err, user.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read idempotency record of user %d: %w", userID, err)
	}
	if done.UserID != userID || done.Session != digest {
		if _, _, err := b.live(ctx, userID, digest); err != nil {
			return false, err
		}
	}
	if done.Request != i.Request {
		return false, errMismatch()
	}
	if err := json.Unmarshal(done.Reply, rep); err != nil {
		return false, fmt.Errorf("decode a kept reply: %w", err)
	}
	return true, nil
}

func errMismatch() error {
	return &protocol.Error{Code: protocol.Conflict, Reason: "idempotency_mismatch"}
}
