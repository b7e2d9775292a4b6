package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"math"
)

// webpAnimation is the flag of an animation in a VP8X chunk (RFC 9649, section
// 2.7.1).
const webpAnimation = 1 << 1

// webpPadding is put behind lossless streams. Codes of a single symbol take no
// bits, so that a stream may end before its pixels do; the decoder then asks for
// more with every pixel, which takes longer than all the rest.
var webpPadding = make([]byte, 8)

// inspectWebP reads the chunks of a WebP file: the canvas, the alpha plane and
// the bitstream, all of which have sizes of their own, and the orientation. The
// stream it hands on has nothing else.
//
// An animation is refused: its frames are in chunks that the decoder does not
// read.
func inspectWebP(upload []byte) (header, error) {
	w := webpReader{header: header{orientation: 1}}
	w.stream = append(make([]byte, 0, len(upload)+64), upload[:12]...)
	rest := upload[12:]
	// The length in the RIFF header counts from the form type on.
	end := int64(binary.LittleEndian.Uint32(upload[4:])) - 4
	if end < 0 {
		return header{}, errTruncated
	}
	rest = rest[:min(end, int64(len(rest)))]
	for len(rest) >= 8 {
		n := int64(binary.LittleEndian.Uint32(rest[4:]))
		if n > int64(len(rest)-8) {
			break
		}
		if err := w.chunk(string(rest[:4]), rest[8:8+n]); err != nil {
			return header{}, err
		}
		// Chunks of odd length are padded; the pad may be missing at the end.
		rest = rest[min(8+n+n&1, int64(len(rest))):]
	}
	if !w.bitstream {
		return header{}, errTruncated
	}
	binary.LittleEndian.PutUint32(w.stream[4:], uint32(len(w.stream)-8))
	return w.header, nil
}

// A webpReader collects what the chunks of a file say.
type webpReader struct {
	header
	// plane and bitstream tell whether the alpha plane and the image itself
	// have been seen.
	plane, bitstream bool
}

// chunk reads one chunk. The bitstream is the last that the decoder needs; only
// the orientation may come later.
func (w *webpReader) chunk(id string, data []byte) error {
	switch {
	case id == "EXIF":
		w.orientation = exifOrientation(data, tiffOrientation(data))
		return nil
	case w.bitstream:
		return nil
	case id == "VP8X":
		return w.extended(data)
	case id == "ALPH":
		return w.alpha(data)
	case id == "VP8 ":
		return w.lossy(data)
	case id == "VP8L":
		return w.losslessImage(data)
	}
	return nil
}

// keep adds a chunk to the stream.
func (w *webpReader) keep(id string, data, padding []byte) {
	n := len(data) + len(padding)
	w.stream = append(w.stream, id...)
	w.stream = binary.LittleEndian.AppendUint32(w.stream, uint32(n))
	w.stream = append(append(w.stream, data...), padding...)
	if n%2 != 0 {
		w.stream = append(w.stream, 0)
	}
}

// extended reads the canvas, which must be the size of the bitstream.
func (w *webpReader) extended(data []byte) error {
	if len(data) != 10 || w.canvas != (image.Point{}) {
		return errors.New("bad VP8X chunk")
	}
	if data[0]&webpAnimation != 0 {
		return fmt.Errorf("%w: animated WebP", ErrUnsupported)
	}
	w.canvas.X = 1 + int(data[4]) + int(data[5])<<8 + int(data[6])<<16
	w.canvas.Y = 1 + int(data[7]) + int(data[8])<<8 + int(data[9])<<16
	w.keep("VP8X", data, nil)
	return nil
}

// alpha reads the alpha plane of a lossy image. It has the size of the canvas,
// and is plain or a lossless stream whose green channel is the alpha. There is
// only one: reading a thousand of them would take long.
func (w *webpReader) alpha(data []byte) error {
	if w.canvas == (image.Point{}) || len(data) == 0 || w.plane {
		return errors.New("bad ALPH chunk")
	}
	w.plane = true
	w.memory += int64(w.canvas.X) * int64(w.canvas.Y)
	if compression := data[0] & 0x03; compression == 0 {
		w.keep("ALPH", data, nil)
		return nil
	}
	w.header.lossless = append(w.header.lossless, losslessStream{data[1:], w.canvas.X, w.canvas.Y})
	w.keep("ALPH", data, webpPadding)
	return nil
}

// lossy reads the frame header of a VP8 key frame (RFC 6386, section 9.1).
func (w *webpReader) lossy(data []byte) error {
	if len(data) < 10 || data[0]&1 != 0 || string(data[3:6]) != "\x9d\x01\x2a" {
		return errors.New("no VP8 key frame")
	}
	width := int(binary.LittleEndian.Uint16(data[6:]) & 0x3fff)
	height := int(binary.LittleEndian.Uint16(data[8:]) & 0x3fff)
	// Macroblocks are 16 pixels a side: 256 samples of light, 128 of colour and
	// some notes. The data is read into memory once, in parts.
	macroblocks := int64((width+15)/16) * int64((height+15)/16)
	w.memory += macroblocks*(256+128+16) + int64(len(data))
	w.keep("VP8 ", data, nil)
	return w.setSize(width, height)
}

// losslessImage reads the header of a VP8L image (RFC 9649, section 3.4).
func (w *webpReader) losslessImage(data []byte) error {
	if len(data) < 5 || data[0] != 0x2f {
		return errors.New("no VP8L image")
	}
	bits := binary.LittleEndian.Uint32(data[1:])
	width, height := 1+int(bits&0x3fff), 1+int(bits>>14&0x3fff)
	w.header.lossless = append(w.header.lossless, losslessStream{data[5:], width, height})
	w.keep("VP8L", data, webpPadding)
	return w.setSize(width, height)
}

// setSize sets the size of the image, which the canvas must agree with.
func (w *webpReader) setSize(width, height int) error {
	if size := image.Pt(width, height); w.canvas != (image.Point{}) && w.canvas != size {
		return fmt.Errorf("canvas of %d x %d pixels around an image of %d x %d", w.canvas.X, w.canvas.Y, width, height)
	}
	w.width, w.height, w.bitstream = width, height, true
	return nil
}

// fullRange makes the colours of a lossy image those that package image means.
// By ITU-R BT.601, which WebP goes by (RFC 9649, section 2.5), black is 16 and
// white 235; in an image.YCbCr they are 0 and 255. The decoder hands on the
// numbers as they are, so that white would come out gray.
func fullRange(img image.Image) {
	var ycc *image.YCbCr
	switch img := img.(type) {
	case *image.YCbCr:
		ycc = img
	case *image.NYCbCrA:
		ycc = &img.YCbCr
	default:
		return // lossless images are RGB
	}
	var light, colour [256]byte
	for i := range 256 {
		light[i] = stretch(i-16, 219, 0)
		colour[i] = stretch(i-128, 224, 128)
	}
	replace(ycc.Y, &light)
	replace(ycc.Cb, &colour)
	replace(ycc.Cr, &colour)
}

// stretch returns centre + n x 255 / span, rounded, within a byte.
func stretch(n, span, centre int) byte {
	return byte(min(max(centre+int(math.Round(float64(n)*255/float64(span))), 0), 255))
}

// replace replaces each sample by its entry in the table.
func replace(samples []byte, table *[256]byte) {
	for i, sample := range samples {
		samples[i] = table[sample]
	}
}
