package backend

import (
	"context"
	"errors"
	"slices"
	"time"

	"gatehouse/backend/cache"
)

// lookup is one record to be found, in the cache or in the store.
type lookup struct {
	record string // what kind of record, for the numbers
	key    func(keys) string
	// decode takes a value of the cache. It returns false for one that is not
	// what was asked for, which is then read from the store.
	decode func(value []byte) bool
	// read takes the record from the store and returns what to remember of it.
	read func(ctx context.Context) (value []byte, err error)
	// absent, where not nil, is the error of read which says that there is no
	// such record, and which may be remembered.
	absent error

	entry  cache.Entry
	flight *flight // this reader's own, where it has a lease
}

// look finds the records. The cache is asked for all of them at once; what it
// does not know is read from the store one after the other.
func (r *records) look(ctx context.Context, lookups ...*lookup) error {
	start := time.Now()
	view := r.cache.View()
	defer func() {
		r.seal(view, lookups)
		r.land(lookups)
	}()
	missing, err := r.ask(ctx, view, lookups)
	if err == nil && len(missing) == 0 {
		r.observe.stage(ctx, stageCacheHit, start)
		return nil
	}
	if err != nil {
		return err
	}
	err = r.readAll(ctx, view, missing)
	if view.Mode == cache.On {
		r.observe.stage(ctx, stageCacheMiss, start)
	}
	return err
}

// ask asks the cache and returns the lookups that it did not answer, some of
// them with a lease. The error is a lookup's absent one.
func (r *records) ask(ctx context.Context, view cache.View, lookups []*lookup) (missing []*lookup, err error) {
	if view.Mode != cache.On || !r.breaker.allows() {
		r.count(lookups, "bypass")
		return lookups, nil
	}
	missing, ok, err := r.lease(ctx, view, lookups)
	for _, wait := range busyWaits {
		busy := slices.DeleteFunc(slices.Clone(missing), func(l *lookup) bool { return l.entry.State != cache.Busy })
		if err != nil || !ok || len(busy) == 0 || ctx.Err() != nil {
			break
		}
		open, absent := r.join(ctx, view, busy, wait)
		if err = absent; err == nil && len(open) > 0 {
			open, ok, err = r.lease(ctx, view, open)
		}
		missing = slices.DeleteFunc(missing, func(l *lookup) bool { return slices.Contains(busy, l) && !slices.Contains(open, l) })
	}
	// What was found is as good as the epoch that it was found in.
	if now := r.cache.View(); (err != nil || len(missing) < len(lookups)) && (now.Mode != cache.On || now.Epoch != view.Epoch) {
		return lookups, nil
	}
	if err != nil || !ok {
		return missing, err
	}
	for _, l := range missing {
		if l.entry.State == cache.Marked {
			r.repairs.found(view.Epoch, l.key(keys(view.Epoch)), l.entry)
		}
		r.count([]*lookup{l}, "miss")
	}
	return missing, nil
}

// lease asks the cache once and returns the lookups that its answer leaves
// open. ok is false where there was no answer.
func (r *records) lease(ctx context.Context, view cache.View, lookups []*lookup) (open []*lookup, ok bool, err error) {
	names := make([]string, len(lookups))
	for i, l := range lookups {
		names[i] = l.key(keys(view.Epoch))
	}
	ctx, cancel := context.WithTimeout(ctx, cacheReadTimeout)
	defer cancel()
	entries, err := view.Cache.Lease(ctx, names...)
	r.breaker.note(err)
	if err != nil {
		r.count(lookups, "error")
		return lookups, false, nil
	}
	for i, l := range lookups {
		switch l.entry = entries[i]; {
		case l.entry.State == cache.Hit && l.decode(l.entry.Value):
			r.count(lookups[i:i+1], "hit")
		case l.entry.State == cache.Negative && l.absent != nil:
			r.count(lookups[i:i+1], "negative")
			return nil, true, l.absent
		default:
			open = append(open, l)
		}
	}
	r.board(view, open)
	return open, true, nil
}

// readAll reads records from the store and keeps those for which there is a
// lease. A reader with a lease goes on when its caller leaves: others may be
// waiting for what it brings.
func (r *records) readAll(ctx context.Context, view cache.View, lookups []*lookup) (err error) {
	if slices.ContainsFunc(lookups, func(l *lookup) bool { return l.flight != nil }) {
		ctx = context.WithoutCancel(ctx) // the store has a deadline of its own
	}
	var fills []cache.Fill
	var filled []*lookup
	for _, l := range lookups {
		var value []byte
		value, err = l.read(ctx)
		absent := err != nil && l.absent != nil && errors.Is(err, l.absent)
		if l.entry.State == cache.Leased && (err == nil || absent) {
			f := cache.Fill{Key: l.key(keys(view.Epoch)), Token: l.entry.Token, Value: value, TTL: recordTTL}
			if absent {
				f.Value, f.TTL = nil, absentTTL
			}
			fills, filled = append(fills, f), append(filled, l)
		}
		if err != nil {
			break
		}
	}
	r.seal(view, lookups)
	for i, kept := range r.fill(ctx, view, fills) {
		if f := filled[i].flight; f != nil {
			f.certified, f.value = kept, fills[i].Value
		}
	}
	r.land(lookups)
	return err
}

// fill keeps what was read and tells which was kept. That it could not costs
// the next reader a trip to the store.
func (r *records) fill(ctx context.Context, view cache.View, fills []cache.Fill) (kept []bool) {
	if len(fills) == 0 {
		return nil
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cacheReadTimeout)
	defer cancel()
	kept, err := view.Cache.Fill(ctx, fills...)
	r.breaker.note(err)
	r.observe.stage(ctx, stageCacheFill, start)
	return kept
}

func (r *records) count(lookups []*lookup, result string) {
	for _, l := range lookups {
		r.observe.lookup(l.record, result)
	}
}
