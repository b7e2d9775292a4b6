package picture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"
	"time"
)

// leftoverAge is when a file that was never moved to its place must be from a
// Put that has died: writing a picture takes milliseconds.
const leftoverAge = time.Hour

// Walk implements [Store].
func (d *Disk) Walk(ctx context.Context, olderThan time.Time, fn func(keys []string) error) error {
	w := diskWalk{disk: d, olderThan: olderThan, fn: fn}
	for shard := range shards {
		if err := w.shard(ctx, shardName(shard)); err != nil {
			return fmt.Errorf("walk picture store: %w", err)
		}
	}
	if err := w.flush(); err != nil {
		return fmt.Errorf("walk picture store: %w", err)
	}
	return nil
}

// A diskWalk is one Walk under way.
type diskWalk struct {
	disk      *Disk
	olderThan time.Time
	fn        func(keys []string) error
	// batch holds the keys found and not yet handed over, fewer than WalkBatch.
	batch []string
}

// shard walks one folder, reading a few names at a time.
func (w *diskWalk) shard(ctx context.Context, shard string) error {
	dir, err := w.disk.root.Open(shard)
	if errors.Is(err, fs.ErrNotExist) {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	for {
		if err := ctx.Err(); err != nil {
			return errors.Join(err, dir.Close())
		}
		entries, err := dir.ReadDir(WalkBatch)
		for _, entry := range entries {
			if err := w.entry(shard, entry.Name()); err != nil {
				return errors.Join(err, dir.Close())
			}
		}
		if errors.Is(err, io.EOF) {
			return dir.Close()
		}
		if err != nil {
			return errors.Join(err, dir.Close())
		}
	}
}

// entry looks at one name in a folder. Those that are neither a picture in its
// place nor a leftover are left alone: they are not ours.
func (w *diskWalk) entry(shard, name string) error {
	full := path.Join(shard, name)
	if strings.HasPrefix(name, tempPrefix) {
		return w.disk.removeOlder(full, time.Now().Add(-leftoverAge))
	}
	if !validKey(name) || name[:2] != shard {
		return nil
	}
	info, err := w.disk.root.Lstat(full)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !info.ModTime().Before(w.olderThan) {
		return nil
	}
	w.batch = append(w.batch, name)
	if len(w.batch) < WalkBatch {
		return nil
	}
	return w.flush()
}

// flush hands over the keys found so far.
func (w *diskWalk) flush() error {
	if len(w.batch) == 0 {
		return nil
	}
	batch := w.batch
	w.batch = nil
	return w.fn(batch)
}
