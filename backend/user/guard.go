package user

import (
	"context"
	"errors"
)

// Guard is what a change expects of the state of the cache, which is kept
// beside the users so that one transaction can look at both: that this is
// its epoch, and that it is used, or that it is not and nobody uses an older
// one any more. See package backend/cache.
type Guard struct {
	Epoch int64
	Used  bool
}

// ErrGuarded means that the state of the cache is not what the change
// expected; nothing was changed.
var ErrGuarded = errors.New("the state of the cache changed meanwhile")

type guardKey struct{}

// WithGuard returns a context under which a Store commits a change only if
// the guard holds in the same transaction.
func WithGuard(ctx context.Context, g Guard) context.Context {
	return context.WithValue(ctx, guardKey{}, g)
}

// GuardOf returns the guard of a context, if it has one.
func GuardOf(ctx context.Context) (Guard, bool) {
	g, ok := ctx.Value(guardKey{}).(Guard)
	return g, ok
}
