package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Sizes in a PNG file: a chunk is its length, its kind, the data and a checksum.
const (
	pngChunkHead = 8
	pngChunkTail = 4
	pngHeaderLen = 13
)

// inspectPNG reads the chunks of a PNG file up to its end. The stream it hands
// on has only those that make the pixels, and the pixels in one piece: the
// decoder reads past the others, but takes four kilobytes for each to do so, and
// a hundred thousand of them fit in an upload.
func inspectPNG(upload []byte) (header, error) {
	p := pngReader{header: header{orientation: 1}}
	p.stream = append(make([]byte, 0, len(upload)), magicPNG...)
	for rest, kind := upload[len(magicPNG):], ""; kind != "IEND"; {
		var (
			data []byte
			err  error
		)
		if kind, data, rest, err = nextChunk(rest); err != nil {
			return header{}, err
		}
		if err := p.chunk(kind, data); err != nil {
			return header{}, err
		}
	}
	p.endPixels()
	p.stream = appendChunk(p.stream, "IEND", nil)
	return p.header, nil
}

// nextChunk takes the first chunk from data.
func nextChunk(data []byte) (kind string, body, rest []byte, err error) {
	if len(data) < pngChunkHead+pngChunkTail {
		return "", nil, nil, errTruncated
	}
	n := int64(binary.BigEndian.Uint32(data))
	kind = string(data[4:pngChunkHead])
	if n > int64(len(data)-pngChunkHead-pngChunkTail) {
		return "", nil, nil, fmt.Errorf("chunk %q of %d bytes: %w", kind, n, errTruncated)
	}
	end := pngChunkHead + n
	if crc32.ChecksumIEEE(data[4:end]) != binary.BigEndian.Uint32(data[end:]) {
		return "", nil, nil, fmt.Errorf("chunk %q has a wrong checksum", kind)
	}
	return kind, data[pngChunkHead:end], data[end+pngChunkTail:], nil
}

// appendChunk writes a chunk.
func appendChunk(stream []byte, kind string, data []byte) []byte {
	start := len(stream)
	stream = append(append(append(stream, 0, 0, 0, 0), kind...), data...)
	return finishChunk(stream, start)
}

// finishChunk writes the length and the checksum of the chunk that begins at
// start and ends with the stream.
func finishChunk(stream []byte, start int) []byte {
	body := stream[start+pngChunkHead:]
	binary.BigEndian.PutUint32(stream[start:], uint32(len(body)))
	return binary.BigEndian.AppendUint32(stream, crc32.ChecksumIEEE(stream[start+4:]))
}

// A pngReader collects what the chunks of a file say.
type pngReader struct {
	header
	// pixels is where in the stream the chunk of the pixels begins, 0 if it has
	// not begun.
	pixels int
}

// chunk reads one chunk. The header must be the first, and the decoder sees to
// it that there is no other.
func (p *pngReader) chunk(kind string, data []byte) error {
	if first := len(p.stream) == len(magicPNG); first {
		if kind != "IHDR" || len(data) != pngHeaderLen {
			return errors.New("no header chunk")
		}
		return p.imageHeader(data)
	}
	switch kind {
	case "IHDR", "PLTE", "tRNS":
		if p.pixels != 0 {
			return fmt.Errorf("chunk %q behind the pixels", kind)
		}
		p.stream = appendChunk(p.stream, kind, data)
	case "IDAT":
		p.addPixels(data)
	case "eXIf":
		p.orientation = tiffOrientation(data)
	}
	return nil
}

// addPixels adds to the one chunk of pixels.
func (p *pngReader) addPixels(data []byte) {
	if p.pixels == 0 {
		p.pixels = len(p.stream)
		p.stream = append(p.stream, "\x00\x00\x00\x00IDAT"...)
	}
	p.stream = append(p.stream, data...)
}

// endPixels ends the chunk of pixels; if there are none, the decoder will say so.
func (p *pngReader) endPixels() {
	if p.pixels != 0 {
		p.stream = finishChunk(p.stream, p.pixels)
	}
}

// imageHeader reads the size and the form of the image.
func (p *pngReader) imageHeader(data []byte) error {
	width, height := binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])
	if width > 1<<31-1 || height > 1<<31-1 {
		return errors.New("size beyond 31 bits")
	}
	p.width, p.height = int(width), int(height)
	// This may overflow, but then the size is refused before the memory is asked.
	p.memory = int64(p.width) * int64(p.height) * pngPixelBytes(data[8], data[9], data[12])
	p.stream = appendChunk(p.stream, "IHDR", data)
	return nil
}

// pngPixelBytes returns how many bytes the decoder allocates for a pixel: one
// if it is an index into a palette, otherwise up to four, or eight with 16 bits
// a channel. An interlaced image is put together from images that are as large
// as it is.
func pngPixelBytes(depth, colour, interlace byte) int64 {
	n := int64(4)
	switch {
	case depth == 16:
		n = 8
	case colour == 3:
		n = 1
	}
	if interlace != 0 {
		n *= 2
	}
	return n
}
