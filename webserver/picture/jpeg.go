package picture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// JPEG markers that matter here (ITU-T T.81, table B.1).
const (
	markerSOF0 = 0xc0
	markerSOF2 = 0xc2
	markerRST0 = 0xd0
	markerRST7 = 0xd7
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerAPP0 = 0xe0
	markerAPP1 = 0xe1
	markerAPPE = 0xee
	markerAPPF = 0xef
	markerCOM  = 0xfe
)

// maxScans bounds the passes over a progressive image. Encoders make about ten.
// A pass over 16 megapixels can be written in thirty bytes and costs tens of
// milliseconds, so two megabytes of them would keep a processor busy for an hour.
const maxScans = 32

// inspectJPEG reads the segments of a JPEG file up to its end marker. The
// stream it hands on lacks the metadata, stray bytes between segments, and
// whatever follows the end.
func inspectJPEG(upload []byte) (header, error) {
	var (
		h     = header{orientation: 1, stream: append(make([]byte, 0, len(upload)), upload[:2]...)}
		rest  = upload[2:]
		frame *jpegFrame
	)
	for {
		s, err := nextSegment(rest)
		if err != nil {
			return header{}, err
		}
		rest = s.rest
		switch {
		case markerSOF0 <= s.marker && s.marker <= markerSOF2 && frame == nil:
			frame, err = parseJPEGFrame(s)
		case s.marker == markerSOS && frame == nil:
			err = errors.New("no frame header before the first scan")
		case s.marker == markerAPP1:
			h.orientation = exifOrientation(s.payload(), h.orientation)
		}
		if err != nil {
			return header{}, err
		}
		if !s.isMetadata() {
			h.stream = append(h.stream, s.raw...)
		}
		if s.marker == markerEOI {
			break
		}
	}
	return finishJPEG(h, frame)
}

// finishJPEG fills in what is known once all segments have been seen. It looks
// for patterns in the whole stream and not at the segments: if the decoder
// should ever lose step with nextSegment, the numbers still hold.
func finishJPEG(h header, frame *jpegFrame) (header, error) {
	if frame == nil {
		return header{}, errors.New("no frame header")
	}
	if scans := bytes.Count(h.stream, []byte{0xff, markerSOS}); scans > maxScans {
		return header{}, fmt.Errorf("%d scans, at most %d", scans, maxScans)
	}
	h.width, h.height = frame.width, frame.height
	h.memory = frame.memory(adobeRGB(h.stream))
	return h, nil
}

// A segment is a marker and what belongs to it.
type segment struct {
	marker byte
	// raw is the segment with its marker, and with the entropy-coded data that
	// follows the header of a scan.
	raw []byte
	// rest is what follows.
	rest []byte
}

// payload returns what follows the length field of the segment.
func (s segment) payload() []byte { return s.raw[4:] }

// isMetadata tells whether the decoder can do without the segment. APP0 (JFIF)
// and APP14 (Adobe) look like metadata but decide how colours are read.
func (s segment) isMetadata() bool {
	switch {
	case s.marker == markerAPP0, s.marker == markerAPPE:
		return false
	case markerAPP0 <= s.marker && s.marker <= markerAPPF, s.marker == markerCOM:
		return true
	}
	return false
}

// nextSegment finds the next marker in data, past stray bytes as decoders do.
func nextSegment(data []byte) (segment, error) {
	start := nextMarker(data)
	if start < 0 {
		return segment{}, errTruncated
	}
	data = data[start:]
	marker := data[1]
	if marker == markerEOI {
		return segment{marker, data[:2], nil}, nil
	}
	if len(data) < 4 {
		return segment{}, errTruncated
	}
	end := 2 + int(binary.BigEndian.Uint16(data[2:]))
	if end < 4 {
		return segment{}, fmt.Errorf("segment %#x of %d bytes", marker, end-2)
	}
	if end > len(data) {
		return segment{}, errTruncated
	}
	if marker == markerSOS {
		next := nextMarker(data[end:])
		if next < 0 {
			return segment{}, errTruncated
		}
		end += next
	}
	return segment{marker, data[:end], data[end:]}, nil
}

// nextMarker returns where the next marker in data begins, -1 if there is none.
// Stuffed bytes (FF 00), fill bytes (FF FF) and restart markers are none.
func nextMarker(data []byte) int {
	for i := 0; i+1 < len(data); i++ {
		skip := bytes.IndexByte(data[i:], 0xff)
		if skip < 0 || i+skip+1 >= len(data) {
			return -1
		}
		i += skip
		switch m := data[i+1]; {
		case m == 0x00, m == 0xff, markerRST0 <= m && m <= markerRST7:
		default:
			return i
		}
	}
	return -1
}

// A jpegFrame is a frame header (ITU-T T.81, B.2.2).
type jpegFrame struct {
	width, height int
	progressive   bool
	components    []jpegComponent
}

// A jpegComponent is one of the planes of an image, with its sampling factors.
type jpegComponent struct {
	id   byte
	h, v int
}

func parseJPEGFrame(s segment) (*jpegFrame, error) {
	p := s.payload()
	if len(p) < 6 || len(p) != 6+3*int(p[5]) || p[5] == 0 {
		return nil, fmt.Errorf("frame header of %d bytes", len(p))
	}
	f := &jpegFrame{
		height:      int(binary.BigEndian.Uint16(p[1:])),
		width:       int(binary.BigEndian.Uint16(p[3:])),
		progressive: s.marker == markerSOF2,
	}
	for c := p[6:]; len(c) > 0; c = c[3:] {
		f.components = append(f.components, jpegComponent{id: c[0], h: int(c[1] >> 4), v: int(c[1] & 0x0f)})
	}
	if first := f.components[0]; first.h == 0 || first.v == 0 {
		return nil, errors.New("sampling factor 0")
	}
	if len(f.components) == 1 {
		// The factors of a single component have no meaning (A.2.2).
		f.components[0].h, f.components[0].v = 1, 1
	}
	return f, nil
}

// memory returns what decoding the frame allocates: a byte for each sample,
// padded to whole blocks; four more for its coefficient if it is progressive;
// four for each pixel if the colours are converted.
func (f *jpegFrame) memory(rgb bool) int64 {
	first := f.components[0]
	blocks := int64(0)
	for _, c := range f.components {
		blocks += int64(c.h * c.v)
	}
	blocks *= int64((f.width+8*first.h-1)/(8*first.h)) * int64((f.height+8*first.v-1)/(8*first.v))
	n := 64 * blocks
	if f.progressive {
		n += 256 * blocks
	}
	if len(f.components) == 4 || rgb || f.namedRGB() {
		n += 4 * int64(f.width) * int64(f.height)
	}
	return n
}

// namedRGB tells whether the components are called R, G and B, which some
// encoders do for images that are not YCbCr.
func (f *jpegFrame) namedRGB() bool {
	c := f.components
	return len(c) == 3 && c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B'
}

// adobeRGB tells whether an Adobe segment in the stream says that colours are
// not YCbCr: its transform byte, the last of twelve, is 0.
func adobeRGB(stream []byte) bool {
	name := []byte("Adobe")
	for {
		i := bytes.Index(stream, name)
		if i < 0 || i+11 >= len(stream) {
			return false
		}
		if stream[i+11] == 0 {
			return true
		}
		stream = stream[i+len(name):]
	}
}
