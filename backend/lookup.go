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
	key    string
	// decode takes a value of the cache. It returns false for one that is not
	// what was asked for, which is then read from the store.
	decode func(value []byte) bool
	// read takes the record from the store and returns what to remember of it.
	read func(ctx context.Context) (value []byte, err error)
	// absent, where not nil, is the error of read which says that there is no
	// such record, and which may be remembered.
	absent error

	entry cache.Entry
}

// look finds the records. The cache is asked for all of them at once; what it
// does not know is read from the store one after the other.
func (r *records) look(ctx context.Context, lookups ...*lookup) error {
	start := time.Now()
	missing, err := r.ask(ctx, lookups)
	if err == nil && len(missing) == 0 {
		r.observe.stage(ctx, stageCacheHit, start)
		return nil
	}
	if err != nil {
		return err
	}
	err = r.readAll(ctx, missing)
	if r.cache != nil {
		r.observe.stage(ctx, stageCacheMiss, start)
	}
	return err
}

// ask asks the cache and returns the lookups that it did not answer, some of
// them with a lease. The error is a lookup's absent one.
func (r *records) ask(ctx context.Context, lookups []*lookup) (missing []*lookup, err error) {
	if r.cache == nil || !r.breaker.allows() {
		r.count(lookups, "bypass")
		return lookups, nil
	}
	missing, ok, err := r.lease(ctx, lookups)
	if err != nil || !ok {
		return missing, err
	}
	for _, wait := range busyWaits {
		busy := slices.DeleteFunc(slices.Clone(missing), func(l *lookup) bool { return l.entry.State != cache.Busy })
		if len(busy) == 0 || !pause(ctx, wait) {
			break
		}
		open, ok, err := r.lease(ctx, busy)
		if err != nil || !ok {
			return missing, err
		}
		missing = slices.DeleteFunc(missing, func(l *lookup) bool {
			return slices.Contains(busy, l) && !slices.Contains(open, l)
		})
	}
	for _, l := range missing {
		if l.entry.State == cache.Marked {
			r.repairs.found(l.key, l.entry)
		}
		r.count([]*lookup{l}, "miss")
	}
	return missing, nil
}

// lease asks the cache once and returns the lookups that its answer leaves
// open. ok is false where there was no answer.
func (r *records) lease(ctx context.Context, lookups []*lookup) (open []*lookup, ok bool, err error) {
	keys := make([]string, len(lookups))
	for i, l := range lookups {
		keys[i] = l.key
	}
	ctx, cancel := context.WithTimeout(ctx, cacheReadTimeout)
	defer cancel()
	entries, err := r.cache.Lease(ctx, keys...)
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
	return open, true, nil
}

// pause waits, and returns false where ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// readAll reads records from the store and keeps those for which there is a
// lease.
func (r *records) readAll(ctx context.Context, lookups []*lookup) error {
	var fills []cache.Fill
	defer func() { r.fill(ctx, fills) }()
	for _, l := range lookups {
		value, err := l.read(ctx)
		switch {
		case err == nil && l.entry.State == cache.Leased:
			fills = append(fills, cache.Fill{Key: l.key, Token: l.entry.Token, Value: value, TTL: recordTTL})
		case l.absent != nil && errors.Is(err, l.absent) && l.entry.State == cache.Leased:
			fills = append(fills, cache.Fill{Key: l.key, Token: l.entry.Token, TTL: absentTTL})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// fill keeps what was read. That it could not costs the next reader a trip
// to the store.
func (r *records) fill(ctx context.Context, fills []cache.Fill) {
	if len(fills) == 0 {
		return
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cacheReadTimeout)
	defer cancel()
	_, err := r.cache.Fill(ctx, fills...)
	r.breaker.note(err)
	r.observe.stage(ctx, stageCacheFill, start)
}

func (r *records) count(lookups []*lookup, result string) {
	for _, l := range lookups {
		r.observe.lookup(l.record, result)
	}
}
