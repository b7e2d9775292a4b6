package protocol_test

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"gatehouse/protocol"
)

func frames(t *testing.T, r *protocol.Reader) (got []string, end error) {
	t.Helper()
	for {
		frame, err := r.Next()
		if err != nil {
			return got, err
		}
		got = append(got, string(frame))
	}
}

func TestReaderSplitsTheStreamAlikeHoweverItArrives(t *testing.T) {
	want := []string{`{"id":1}`, ``, strings.Repeat("x", 5000), "%s\r", `{"z":"é🙂"}`}
	stream := []byte(strings.Join(want, "\n") + "\n")
	check := func(name string, r io.Reader) {
		got, err := frames(t, protocol.NewReader(r, 8192))
		if err != io.EOF {
			t.Fatalf("%s: stream ended with %v", name, err)
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Fatalf("%s: got %q", name, got)
		}
	}
	check("whole", bytes.NewReader(stream))
	check("byte by byte", iotest.OneByteReader(bytes.NewReader(stream)))
	check("data with EOF", iotest.DataErrReader(bytes.NewReader(stream)))
	for i := range stream {
		check("in two parts", io.MultiReader(bytes.NewReader(stream[:i]), bytes.NewReader(stream[i:])))
	}
}

func TestReaderRefusesALongFrameWithoutReadingOn(t *testing.T) {
	for _, size := range []int{99, 100, 101, 5000} {
		endless := strings.NewReader(strings.Repeat("x", size) + "\n" + strings.Repeat("y", 1<<20))
		_, err := protocol.NewReader(endless, 100).Next()
		if tooLong := size+1 > 100; errors.Is(err, protocol.ErrFrameTooLong) != tooLong {
			t.Errorf("frame of %d bytes and a newline, limit 100: %v", size, err)
		}
		if endless.Len() < 1<<19 {
			t.Errorf("frame of %d bytes: reader took %d bytes more than it may return", size, 1<<20-endless.Len())
		}
	}
}

func TestReaderTellsACutFrameFromTheEnd(t *testing.T) {
	r := protocol.NewReader(strings.NewReader("{}\n{\"id\""), 100)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != io.ErrUnexpectedEOF {
		t.Errorf("cut frame: %v", err)
	}
}

func TestReaderDoesNotSpinOnAReaderThatReturnsNothing(t *testing.T) {
	if _, err := protocol.NewReader(nothing{}, 100).Next(); err != io.ErrNoProgress {
		t.Errorf("got %v", err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

func FuzzReader(f *testing.F) {
	f.Add([]byte("a\nb\n\nccc"), 3)
	f.Add([]byte(strings.Repeat("x", 9000)+"\n"), 8)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		const limit = 4096
		cut = max(0, min(cut, len(stream)))
		r := protocol.NewReader(io.MultiReader(bytes.NewReader(stream[:cut]), bytes.NewReader(stream[cut:])), limit)
		rest := stream
		for {
			frame, err := r.Next()
			i := bytes.IndexByte(rest, '\n')
			if err != nil {
				if i >= 0 && i+1 <= limit {
					t.Fatalf("error %v before a whole frame of %d bytes", err, i)
				}
				return
			}
			if i < 0 || !bytes.Equal(frame, rest[:i]) || i+1 > limit {
				t.Fatalf("frame %q is not the next line of %q", frame, rest)
			}
			rest = rest[i+1:]
		}
	})
}
