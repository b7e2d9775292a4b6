package user_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"math"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"gatehouse/backend/user"
)

// constant is a source of randomness that gives the same byte for ever.
type constant byte

func (c constant) Read(p []byte) (int, error) {
	return copy(p, bytes.Repeat([]byte{byte(c)}, len(p))), nil
}

func TestIDsAreInTheOrderOfTheirMilliseconds(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	last := int64(0)
	for i := range 2000 { // the worst case: the most random bits before the fewest
		id, err := user.NewID(at.Add(time.Duration(i)*time.Millisecond), constant([]byte{0xff, 0}[i%2]))
		if err != nil {
			t.Fatal(err)
		}
		if id <= last {
			t.Fatalf("id %d came after %d", id, last)
		}
		last = id
	}
}

func TestIDsOfOneMillisecondDifferByTheirRandomBits(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	seen := map[int64]bool{}
	for high := range 256 {
		for low := range 256 {
			id, err := user.NewID(at, bytes.NewReader([]byte{byte(high), byte(low), 0, 0}))
			if err != nil {
				t.Fatal(err)
			}
			seen[id] = true
		}
	}
	if len(seen) != 1<<16 {
		t.Errorf("%d ids of %d different random bits", len(seen), 1<<16)
	}
}

func TestIDsArePositiveForAsLongAsTheyLast(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name string
		at   time.Time
		ok   bool
	}{
		{"a clock that was never set", time.Unix(0, 0), false},
		{"the last moment of 2019", time.Date(2019, 12, 31, 23, 59, 59, 999_000_000, time.UTC), false},
		{"the first of 2020, which would be 0", time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC), false},
		{"the second of 2020", time.Date(2020, 1, 1, 0, 0, 0, 1_000_000, time.UTC), true},
		{"today", time.Now(), true},
		{"the last that fits", time.UnixMilli(1_577_836_800_000 + 1<<42 - 1), true},
		{"the first that does not", time.UnixMilli(1_577_836_800_000 + 1<<42), false},
	} {
		for _, random := range []constant{0, 0xff} {
			id, err := user.NewID(test.at, random)
			if (err == nil) != test.ok || (err == nil) != (id > 0) {
				t.Errorf("%s: id %d, %v", test.name, id, err)
			}
			if err != nil && !strings.Contains(err.Error(), test.at.UTC().Format("2006-01-02")) {
				t.Errorf("%s: the error does not name the time: %v", test.name, err)
			}
		}
	}
	if id, err := user.NewID(time.UnixMilli(1_577_836_800_000+1<<42-1), constant(0xff)); id != math.MaxInt64 {
		t.Errorf("the last id is %d, %v", id, err)
	}
}

func TestIDNeedsRandomness(t *testing.T) {
	t.Parallel()
	dry := errors.New("dry")
	if _, err := user.NewID(time.Now(), iotest.ErrReader(dry)); !errors.Is(err, dry) {
		t.Errorf("error %v, want %v", err, dry)
	}
	if _, err := user.NewID(time.Now(), strings.NewReader("abc")); err == nil {
		t.Error("three random bytes were enough")
	}
	if id, err := user.NewID(time.Now(), rand.Reader); err != nil || id <= 0 {
		t.Errorf("id %d, %v", id, err)
	}
}
