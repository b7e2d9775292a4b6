// Package picturetest checks that an implementation of picture.Store keeps the
// promises of that interface. It knows nothing of any implementation.
package picturetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gatehouse/webserver/picture"
)

// patience is how long a test waits for something that happens at once unless
// the store is broken.
const patience = 30 * time.Second

// Run runs the suite. Each of its tests asks open for a store of its own, which
// must be empty; open cleans up after the test with t.Cleanup.
func Run(t *testing.T, open func(t *testing.T) picture.Store) {
	tests := []struct {
		name string
		run  func(t *testing.T, s picture.Store)
	}{
		{"a picture put is opened whole", opensWhatWasPut},
		{"an unknown key is not found", unknownIsNotFound},
		{"a malformed key names no picture", malformedKeysNameNothing},
		{"bytes that are not the picture they are said to be are refused", refusesOtherBytes},
		{"putting again refreshes the modification time", putRefreshes},
		{"a deleted picture is gone, and deleting again is no error", deletes},
		{"an open picture stays readable when it is deleted", openSurvivesDelete},
		{"only pictures put before the given time are deleted by age", deletesOlder},
		{"a walk visits every older picture once, in bounded batches", walksAll},
		{"a walk visits nothing newer", walkSkipsNewer},
		{"a walk may delete as it goes", walkMayDelete},
		{"a walk ends with the visitor's error", walkEndsWithError},
		{"a check succeeds and leaves nothing behind", checks},
		{"an ended context ends every call", endedContext},
		{"concurrent calls never show a part of a picture", concurrentCallsAreAtomic},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

// testContext returns a context that ends a test which hangs.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// newPicture returns a picture that depends on n: a JPEG if n is even, else a
// PNG. It is padded to several pages, so that half of it would be noticed.
func newPicture(t *testing.T, n int) picture.Picture {
	t.Helper()
	img := image.NewGray(image.Rect(0, 0, 8, 8))
	img.SetGray(n%8, n/8%8, color.Gray{Y: byte(n)})
	p := picture.Picture{ContentType: "image/jpeg"}
	var b bytes.Buffer
	err := jpeg.Encode(&b, img, nil)
	if n%2 != 0 {
		b.Reset()
		p.ContentType, err = "image/png", png.Encode(&b, img)
	}
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(&b, "%020000d", n)
	p.Bytes = b.Bytes()
	p.Key = picture.Key(int64(n), p.Bytes)
	return p
}

// put stores picture n and returns it.
func put(t *testing.T, s picture.Store, n int) picture.Picture {
	t.Helper()
	p := newPicture(t, n)
	if err := s.Put(testContext(t), p); err != nil {
		t.Fatalf("Put: %v", err)
	}
	return p
}

// mustOpen opens a picture that must be there, and reads it.
func mustOpen(t *testing.T, s picture.Store, key string) (picture.Object, []byte) {
	t.Helper()
	object, err := s.Open(testContext(t), key)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	content, err := io.ReadAll(object.Body)
	if err := errors.Join(err, object.Body.Close()); err != nil {
		t.Fatalf("read body: %v", err)
	}
	return object, content
}

// exists tells whether a picture is there.
func exists(t *testing.T, s picture.Store, key string) bool {
	t.Helper()
	object, err := s.Open(testContext(t), key)
	if errors.Is(err, picture.ErrNotFound) {
		return false
	}
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	if err := object.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return true
}

// walk returns all keys older than olderThan.
func walk(t *testing.T, s picture.Store, olderThan time.Time) []string {
	t.Helper()
	var keys []string
	err := s.Walk(testContext(t), olderThan, func(batch []string) error {
		if len(batch) == 0 || len(batch) > picture.WalkBatch {
			t.Errorf("batch of %d keys, want 1 to %d", len(batch), picture.WalkBatch)
		}
		keys = append(keys, batch...)
		return nil
	})
	if err != nil {
		t.Fatalf("Walk: %v", err)
	}
	return keys
}

// future returns a time before which everything has been put, whatever the
// clock of the store.
func future() time.Time { return time.Now().Add(24 * time.Hour) }

// past returns a time before which nothing has been put.
func past() time.Time { return time.Now().Add(-24 * time.Hour) }

func opensWhatWasPut(t *testing.T, s picture.Store) {
	before := past()
	for n := range 2 {
		want := put(t, s, n)
		object, content := mustOpen(t, s, want.Key)
		if !bytes.Equal(content, want.Bytes) {
			t.Errorf("picture %d: %d bytes differ from the %d put", n, len(content), len(want.Bytes))
		}
		if object.ContentType != want.ContentType || object.Size != int64(len(want.Bytes)) {
			t.Errorf("picture %d is %s, %d bytes; want %s, %d", n, object.ContentType, object.Size, want.ContentType, len(want.Bytes))
		}
		if object.ModTime.Before(before) || object.ModTime.After(future()) {
			t.Errorf("picture %d was modified at %v", n, object.ModTime)
		}
	}
	opensAtTheBeginning(t, s)
}

// opensAtTheBeginning reads parts of a picture out of order, as a server does
// that answers range requests.
func opensAtTheBeginning(t *testing.T, s picture.Store) {
	want := put(t, s, 0)
	object, err := s.Open(testContext(t), want.Key)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	for _, offset := range []int64{1000, 0} {
		if _, err := object.Body.Seek(offset, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		part := make([]byte, 100)
		if _, err := io.ReadFull(object.Body, part); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(part, want.Bytes[offset:offset+100]) {
			t.Errorf("the bytes at %d differ from those put", offset)
		}
	}
}

func unknownIsNotFound(t *testing.T, s picture.Store) {
	put(t, s, 0)
	if key := newPicture(t, 1).Key; exists(t, s, key) {
		t.Error("a picture that was never put is there")
	}
}

// malformedKeys are names that no picture may have, above all those that would
// lead somewhere else.
func malformedKeys(valid string) []string {
	return []string{
		"", ".", "..", "/", "00", valid[:63], valid + "0", strings.ToUpper(valid[:63]) + "A",
		"../" + valid[3:], "../../../../../../etc/passwd", "/" + valid[1:], valid[:2] + "/" + valid[2:],
		valid[:63] + "\x00", valid[:63] + "g", valid[:63] + "/", " " + valid[1:], valid[:32] + "\n" + valid[33:],
		strings.Repeat(".", 64), strings.Repeat("../", 21) + "a", valid[:62] + "é", `..\` + valid[3:],
	}
}

func malformedKeysNameNothing(t *testing.T, s picture.Store) {
	ctx := testContext(t)
	valid := put(t, s, 0)
	for _, key := range malformedKeys(valid.Key) {
		if _, err := s.Open(ctx, key); !errors.Is(err, picture.ErrNotFound) {
			t.Errorf("Open(%q) = %v, want ErrNotFound", key, err)
		}
		if err := s.Put(ctx, picture.Picture{Key: key, ContentType: valid.ContentType, Bytes: valid.Bytes}); !errors.Is(err, picture.ErrInvalid) {
			t.Errorf("Put(%q) = %v, want ErrInvalid", key, err)
		}
		if err := s.Delete(ctx, key); err != nil {
			t.Errorf("Delete(%q) = %v, want nil", key, err)
		}
		if err := s.DeleteOlder(ctx, key, future()); err != nil {
			t.Errorf("DeleteOlder(%q) = %v, want nil", key, err)
		}
	}
	if keys := walk(t, s, future()); !slices.Equal(keys, []string{valid.Key}) {
		t.Errorf("store holds %q, want %q alone", keys, valid.Key)
	}
}

func refusesOtherBytes(t *testing.T, s picture.Store) {
	jpeg, png := newPicture(t, 0), newPicture(t, 1)
	for name, p := range map[string]picture.Picture{
		"nothing":           {Key: jpeg.Key, ContentType: "image/jpeg"},
		"a page":            {Key: jpeg.Key, ContentType: "text/html", Bytes: []byte("<!DOCTYPE html><script>alert(1)</script>")},
		"a page as JPEG":    {Key: jpeg.Key, ContentType: "image/jpeg", Bytes: []byte("<!DOCTYPE html><script>alert(1)</script>")},
		"an SVG":            {Key: jpeg.Key, ContentType: "image/svg+xml", Bytes: []byte("<svg xmlns='http://www.w3.org/2000/svg'/>")},
		"a GIF":             {Key: jpeg.Key, ContentType: "image/gif", Bytes: []byte("GIF89a")},
		"a PNG as JPEG":     {Key: jpeg.Key, ContentType: "image/jpeg", Bytes: png.Bytes},
		"a JPEG as PNG":     {Key: jpeg.Key, ContentType: "image/png", Bytes: jpeg.Bytes},
		"a JPEG as nothing": {Key: jpeg.Key, Bytes: jpeg.Bytes},
	} {
		if err := s.Put(testContext(t), p); !errors.Is(err, picture.ErrInvalid) {
			t.Errorf("Put of %s = %v, want ErrInvalid", name, err)
		}
	}
	if keys := walk(t, s, future()); len(keys) != 0 {
		t.Errorf("store holds %q, want nothing", keys)
	}
}

// putRefreshes puts until the time has moved on: how fine the clock of a store
// is, is its own business.
func putRefreshes(t *testing.T, s picture.Store) {
	p := put(t, s, 0)
	first, _ := mustOpen(t, s, p.Key)
	for give := time.Now().Add(patience / 2); time.Now().Before(give); {
		put(t, s, 0)
		again, content := mustOpen(t, s, p.Key)
		if !bytes.Equal(content, p.Bytes) {
			t.Fatal("putting again changed the picture")
		}
		if again.ModTime.After(first.ModTime) {
			return
		}
	}
	t.Errorf("modification time stays %v however often the picture is put", first.ModTime)
}

func deletes(t *testing.T, s picture.Store) {
	gone, kept := put(t, s, 0), put(t, s, 1)
	for range 2 {
		if err := s.Delete(testContext(t), gone.Key); err != nil {
			t.Errorf("Delete: %v", err)
		}
		if exists(t, s, gone.Key) {
			t.Error("picture is there after Delete")
		}
	}
	if !exists(t, s, kept.Key) {
		t.Error("Delete took another picture")
	}
	put(t, s, 0)
	if !exists(t, s, gone.Key) {
		t.Error("picture put again after Delete is not there")
	}
}

func openSurvivesDelete(t *testing.T, s picture.Store) {
	p := put(t, s, 0)
	object, err := s.Open(testContext(t), p.Key)
	if err != nil {
		t.Fatal(err)
	}
	defer object.Body.Close()
	if err := s.Delete(testContext(t), p.Key); err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(object.Body); err != nil || !bytes.Equal(content, p.Bytes) {
		t.Errorf("read %d bytes, %v; want the %d put", len(content), err, len(p.Bytes))
	}
}

func deletesOlder(t *testing.T, s picture.Store) {
	ctx := testContext(t)
	p := put(t, s, 0)
	if err := s.DeleteOlder(ctx, p.Key, past()); err != nil {
		t.Fatal(err)
	}
	if !exists(t, s, p.Key) {
		t.Error("a picture put since was deleted")
	}
	for range 2 {
		if err := s.DeleteOlder(ctx, p.Key, future()); err != nil {
			t.Fatal(err)
		}
		if exists(t, s, p.Key) {
			t.Error("a picture put before was not deleted")
		}
	}
}

func walksAll(t *testing.T, s picture.Store) {
	var want []string
	for n := range picture.WalkBatch + 5 {
		want = append(want, put(t, s, n).Key)
	}
	got := walk(t, s, future())
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("Walk found %d keys, want the %d put", len(got), len(want))
	}
}

func walkSkipsNewer(t *testing.T, s picture.Store) {
	put(t, s, 0)
	if keys := walk(t, s, past()); len(keys) != 0 {
		t.Errorf("Walk found %q, put since", keys)
	}
}

func walkMayDelete(t *testing.T, s picture.Store) {
	ctx := testContext(t)
	for n := range 20 {
		put(t, s, n)
	}
	visited := 0
	err := s.Walk(ctx, future(), func(keys []string) error {
		for _, key := range keys {
			visited++
			if err := s.DeleteOlder(ctx, key, future()); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || visited != 20 {
		t.Errorf("Walk visited %d keys, %v; want 20", visited, err)
	}
	if keys := walk(t, s, future()); len(keys) != 0 {
		t.Errorf("%d pictures are left", len(keys))
	}
}

func walkEndsWithError(t *testing.T, s picture.Store) {
	for n := range picture.WalkBatch + 5 {
		put(t, s, n)
	}
	stop := errors.New("stop")
	calls := 0
	err := s.Walk(testContext(t), future(), func([]string) error {
		calls++
		return stop
	})
	if !errors.Is(err, stop) || calls != 1 {
		t.Errorf("Walk = %v after %d calls, want the visitor's error after 1", err, calls)
	}
}

func checks(t *testing.T, s picture.Store) {
	if err := s.Check(testContext(t)); err != nil {
		t.Errorf("Check: %v", err)
	}
	if keys := walk(t, s, future()); len(keys) != 0 {
		t.Errorf("Check left %q", keys)
	}
}

func endedContext(t *testing.T, s picture.Store) {
	p := put(t, s, 0)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, openErr := s.Open(ctx, p.Key)
	for call, err := range map[string]error{
		"Put":         s.Put(ctx, newPicture(t, 1)),
		"Open":        openErr,
		"Delete":      s.Delete(ctx, p.Key),
		"DeleteOlder": s.DeleteOlder(ctx, p.Key, future()),
		"Walk":        s.Walk(ctx, future(), func([]string) error { return nil }),
		"Check":       s.Check(ctx),
	} {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%s = %v, want context.Canceled", call, err)
		}
	}
	if keys := walk(t, s, future()); !slices.Equal(keys, []string{p.Key}) {
		t.Errorf("store holds %q, want %q alone", keys, p.Key)
	}
}

// concurrentCallsAreAtomic lets several goroutines put, open and delete the
// same picture. Whoever opens it sees all of it or nothing.
func concurrentCallsAreAtomic(t *testing.T, s picture.Store) {
	const rounds = 40
	ctx := testContext(t)
	p := newPicture(t, 0)
	work := []func() error{
		func() error { return s.Put(ctx, p) },
		func() error { return s.Put(ctx, p) },
		func() error { return openWhole(ctx, s, p) },
		func() error { return openWhole(ctx, s, p) },
		func() error { return openWhole(ctx, s, p) },
		func() error { return s.Delete(ctx, p.Key) },
		func() error { return s.DeleteOlder(ctx, p.Key, past()) },
		func() error { return s.Walk(ctx, future(), func([]string) error { return nil }) },
	}
	var wg sync.WaitGroup
	for i, do := range work {
		wg.Go(func() {
			for range rounds {
				if err := do(); err != nil {
					t.Errorf("worker %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// openWhole opens a picture that may be missing but must not be cut short.
func openWhole(ctx context.Context, s picture.Store, p picture.Picture) error {
	object, err := s.Open(ctx, p.Key)
	if errors.Is(err, picture.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	content, err := io.ReadAll(object.Body)
	if err := errors.Join(err, object.Body.Close()); err != nil {
		return err
	}
	if !bytes.Equal(content, p.Bytes) || object.Size != int64(len(p.Bytes)) {
		return fmt.Errorf("opened %d bytes said to be %d, want the %d put", len(content), object.Size, len(p.Bytes))
	}
	return nil
}
