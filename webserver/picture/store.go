package picture

import (
	"context"
	"io"
	"time"
)

// WalkBatch is the most keys that [Store.Walk] hands over at a time. That many
// fit in one packet to the backend with room to spare.
const WalkBatch = 200

// A Store keeps pictures by key. Every implementation keeps the promises below;
// package picturetest checks them.
//
// Keys are those that [Key] makes. Under any other there is never a picture:
// Open returns [ErrNotFound], Delete and DeleteOlder do nothing, Put refuses
// it. So a key may come from a URL unchecked.
//
// All methods are safe for concurrent use, also by several processes that share
// what lies behind the store. They return an error that wraps the context's if
// that has ended before they began.
type Store interface {
	// Put stores a picture. When it has returned nil, the picture will survive
	// a crash; until then readers see nothing, never half a file. Putting what
	// is already there is no error and refreshes its modification time, so that
	// a sweep that is under way leaves it alone. It returns an error that wraps
	// ErrInvalid if the key is malformed or the bytes are not the JPEG or PNG
	// that they are said to be.
	Put(ctx context.Context, picture Picture) error

	// Open returns a stored picture, or an error that wraps ErrNotFound. The
	// caller closes its Body, which stays readable if the picture is deleted
	// meanwhile.
	Open(ctx context.Context, key string) (Object, error)

	// Delete removes a picture. Deleting what is not there is no error.
	Delete(ctx context.Context, key string) error

	// DeleteOlder is Delete for sweeps: it removes the picture only if it was
	// last put before olderThan. Whoever found a picture unused and then
	// deletes it by DeleteOlder, with the time that Walk was given, does not
	// take it from a user who has uploaded the same one again in between.
	DeleteOlder(ctx context.Context, key string, olderThan time.Time) error

	// Walk hands over the keys of all pictures that were last put before
	// olderThan, in batches of 1 to WalkBatch, in no particular order. Pictures
	// put or deleted meanwhile may be among them or not; fn may delete. Walk
	// ends with fn's error if it returns one. On its way it removes what
	// interrupted Puts have left behind.
	Walk(ctx context.Context, olderThan time.Time, fn func(keys []string) error) error

	// Check tells whether pictures can be stored, by storing and removing
	// something that is not a picture.
	Check(ctx context.Context) error
}

// An Object is a stored picture, opened.
type Object struct {
	// Body is the whole file, from its beginning.
	Body io.ReadSeekCloser
	// ContentType is image/jpeg or image/png, told from the bytes.
	ContentType string
	// Size is the length of Body in bytes.
	Size int64
	// ModTime is when the picture was last put.
	ModTime time.Time
}
