package picture

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"sync"
	"time"
)

// Files hold what users chose to show, but only the service has business with
// them.
const (
	fileMode = 0o600
	dirMode  = 0o700
)

// tempPrefix begins the names of files that are being written. No key begins
// like it.
const tempPrefix = ".put-"

// A Disk is a [Store] in a folder of a file system. A picture is the file
// K1/KEY, K1 being the first two digits of its key, so that no folder grows
// large. Several processes may share the folder.
//
// DeleteOlder looks at the time of a file and then removes it. Within one
// process no Put comes between the two; of another process a Put may, within
// some microseconds.
type Disk struct {
	// root confines every name to the folder, symbolic links included.
	root *os.Root
	// mu guards the moment in which a file is replaced or, once its age is
	// known, removed.
	mu sync.Mutex
}

var _ Store = (*Disk)(nil)

// OpenDisk opens the store in the folder dir, which is made if it is not there,
// readable by its owner alone. Close it after use.
func OpenDisk(dir string) (*Disk, error) {
	if err := os.MkdirAll(dir, dirMode); err != nil {
		return nil, fmt.Errorf("open picture store: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open picture store: %w", err)
	}
	d := &Disk{root: root}
	if err := d.makeShards(); err != nil {
		return nil, errors.Join(fmt.Errorf("open picture store: %w", err), root.Close())
	}
	return d, nil
}

// makeShards makes all folders at once, so that one sync serves them all and no
// Put depends on a folder that another process has made but not yet synced.
func (d *Disk) makeShards() error {
	for shard := range shards {
		if err := d.makeShard(shardName(shard)); err != nil {
			return err
		}
	}
	return d.syncDir(".")
}

// makeShard makes a shard's folder if it is not there.
func (d *Disk) makeShard(shard string) error {
	err := d.root.Mkdir(shard, dirMode)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// shards is how many folders there are.
const shards = 256

// shardName returns the name of a folder: the first two digits of its keys.
func shardName(shard int) string { return fmt.Sprintf("%02x", shard) }

// Close releases the folder. Objects that are open stay readable.
func (d *Disk) Close() error {
	if err := d.root.Close(); err != nil {
		return fmt.Errorf("close picture store: %w", err)
	}
	return nil
}

// filename returns where the picture of a valid key lies.
func filename(key string) string { return path.Join(key[:2], key) }

// Put implements [Store].
func (d *Disk) Put(ctx context.Context, picture Picture) error {
	if !validKey(picture.Key) {
		return fmt.Errorf("put picture: %w: key %q", ErrInvalid, picture.Key)
	}
	if t := storedType(picture.Bytes); t == "" || t != picture.ContentType {
		return fmt.Errorf("put picture %s: %w: bytes are not %q", picture.Key, ErrInvalid, picture.ContentType)
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("put picture %s: %w", picture.Key, err)
	}
	if err := d.put(picture); err != nil {
		return fmt.Errorf("put picture %s: %w", picture.Key, err)
	}
	return nil
}

// put writes a file beside its final place, then moves it there. The file is
// synced before, its folder after the move: a crash leaves the old state or the
// new one.
func (d *Disk) put(picture Picture) error {
	shard := picture.Key[:2]
	temp, err := d.writeTemp(shard, picture.Bytes)
	if err != nil {
		return err
	}
	d.mu.Lock()
	err = d.root.Rename(temp, filename(picture.Key))
	d.mu.Unlock()
	if err != nil {
		return errors.Join(err, d.root.Remove(temp))
	}
	return d.syncDir(shard)
}

// writeTemp writes content to a new file in a shard's folder and returns its
// name. Should someone have emptied the store meanwhile, the folder is made anew.
func (d *Disk) writeTemp(shard string, content []byte) (name string, err error) {
	if err := d.makeShard(shard); err != nil {
		return "", err
	}
	name = path.Join(shard, tempPrefix+rand.Text())
	f, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, d.root.Remove(name))
	}
	return name, nil
}

// syncDir makes the names in a folder survive a crash.
func (d *Disk) syncDir(name string) error {
	dir, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Open implements [Store].
func (d *Disk) Open(ctx context.Context, key string) (Object, error) {
	if !validKey(key) {
		return Object{}, fmt.Errorf("open picture %q: %w", key, ErrNotFound)
	}
	if err := ctx.Err(); err != nil {
		return Object{}, fmt.Errorf("open picture %s: %w", key, err)
	}
	f, err := d.root.Open(filename(key))
	if errors.Is(err, fs.ErrNotExist) {
		return Object{}, fmt.Errorf("open picture %s: %w", key, ErrNotFound)
	}
	if err != nil {
		return Object{}, fmt.Errorf("open picture %s: %w", key, err)
	}
	object, err := describe(f)
	if err != nil {
		return Object{}, errors.Join(fmt.Errorf("open picture %s: %w", key, err), f.Close())
	}
	return object, nil
}

// describe makes an Object of an open file.
func describe(f *os.File) (Object, error) {
	info, err := f.Stat()
	if err != nil {
		return Object{}, err
	}
	head := make([]byte, len(magicPNG))
	if _, err := f.ReadAt(head, 0); err != nil && !errors.Is(err, io.EOF) {
		return Object{}, err
	}
	contentType := storedType(head)
	if contentType == "" {
		return Object{}, fmt.Errorf("stored file of %d bytes is neither JPEG nor PNG", info.Size())
	}
	return Object{Body: f, ContentType: contentType, Size: info.Size(), ModTime: info.ModTime()}, nil
}

// Delete implements [Store]. It does not wait for the disk: a picture that a
// crash brings back is an unused one, which the next sweep removes.
func (d *Disk) Delete(ctx context.Context, key string) error {
	if !validKey(key) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete picture %s: %w", key, err)
	}
	if err := d.root.Remove(filename(key)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete picture %s: %w", key, err)
	}
	return nil
}

// DeleteOlder implements [Store].
func (d *Disk) DeleteOlder(ctx context.Context, key string, olderThan time.Time) error {
	if !validKey(key) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("delete picture %s: %w", key, err)
	}
	if err := d.removeOlder(filename(key), olderThan); err != nil {
		return fmt.Errorf("delete picture %s: %w", key, err)
	}
	return nil
}

// removeOlder removes a file last written before olderThan.
func (d *Disk) removeOlder(name string, olderThan time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	info, err := d.root.Lstat(name)
	if err == nil && info.ModTime().Before(olderThan) {
		err = d.root.Remove(name)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// Check implements [Store].
func (d *Disk) Check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("check picture store: %w", err)
	}
	temp, err := d.writeTemp(shardName(0), nil)
	if err == nil {
		err = d.root.Remove(temp)
	}
	if err != nil {
		return fmt.Errorf("check picture store: %w", err)
	}
	return nil
}
