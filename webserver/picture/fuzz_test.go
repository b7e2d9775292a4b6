package picture_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"runtime"
	"testing"

	"gatehouse/webserver/picture"
)

// FuzzProcess feeds anything at all. Whatever comes, there is no panic, the
// memory promised is kept, and a result is a small, clean picture.
func FuzzProcess(f *testing.F) {
	for _, file := range samples(f) {
		f.Add(file)
	}
	for _, u := range corpus() {
		if file := u.make(f); len(file) < 4<<10 {
			f.Add(file)
		}
	}
	const maxMemory, overhead = 8 << 20, 16 << 20
	processor := picture.NewProcessor(picture.Config{
		MaxBytes: 64 << 10, MaxPixels: 1 << 20, MaxMemory: maxMemory,
	})
	f.Fuzz(func(t *testing.T, file []byte) {
		file = withChecksums(file)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := processor.Process(t.Context(), 1, file)
		runtime.ReadMemStats(&after)
		if allocated := after.TotalAlloc - before.TotalAlloc; allocated > maxMemory+overhead {
			t.Errorf("allocated %d bytes, at most %d", allocated, maxMemory+overhead)
		}
		switch {
		case err == nil:
			checkPicture(t, p)
		case !errors.Is(err, picture.ErrInvalid) && !errors.Is(err, picture.ErrUnsupported) && !errors.Is(err, picture.ErrTooLarge):
			t.Errorf("Process = %v, want a picture or a refusal", err)
		}
	})
}

// FuzzDecodingCostsNoMoreThanToldBefore holds the estimate from the headers
// against what the decoder really allocates.
func FuzzDecodingCostsNoMoreThanToldBefore(f *testing.F) {
	for _, file := range samples(f) {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		file = withChecksums(file)
		estimate, err := picture.EstimatedMemory(file)
		if err != nil || len(file) > 64<<10 || estimate > 32<<20 {
			return
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = picture.DecodeUnchecked(file)
		runtime.ReadMemStats(&after)
		const slack = 1 << 20 // copies of the file, buffers, tables
		if allocated := int64(after.TotalAlloc - before.TotalAlloc); allocated > estimate+slack {
			t.Errorf("decoding allocated %d bytes (%v), the estimate was %d", allocated, err, estimate)
		}
	})
}

// withChecksums returns a copy of a file in which, if it is PNG, chunks have
// right checksums, which chance never would give them: what lies behind a wrong
// one is never reached.
func withChecksums(file []byte) []byte {
	file = bytes.Clone(file)
	magic := []byte("\x89PNG\r\n\x1a\n")
	if !bytes.HasPrefix(file, magic) {
		return file
	}
	for rest := file[len(magic):]; len(rest) >= 12; {
		n := int64(binary.BigEndian.Uint32(rest))
		if n > int64(len(rest)-12) {
			break
		}
		binary.BigEndian.PutUint32(rest[8+n:], crc32.ChecksumIEEE(rest[4:8+n]))
		rest = rest[12+n:]
	}
	return file
}
