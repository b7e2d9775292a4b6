package picture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
)

// What a GIF file is made of (GIF89a specification, appendix A).
const (
	gifExtension = 0x21
	gifImage     = 0x2c
	gifTrailer   = 0x3b
)

// inspectGIF finds the first frame of a GIF file. The picture is that frame
// alone, without the part of the screen that it leaves empty.
//
// What the decoder allocates is told from the screen: it takes no frame that
// reaches beyond it. So it does not matter that a crafted extension may lead it
// to another frame than this one.
func inspectGIF(upload []byte) (header, error) {
	if len(upload) < 13 {
		return header{}, errTruncated
	}
	h := header{stream: upload, orientation: 1}
	h.canvas = image.Pt(int(binary.LittleEndian.Uint16(upload[6:])), int(binary.LittleEndian.Uint16(upload[8:])))
	// A byte for each pixel, and as much again to sort interlaced rows.
	h.memory = 2 * int64(h.canvas.X) * int64(h.canvas.Y)
	rest := upload[13:]
	if flags := upload[10]; flags&0x80 != 0 {
		table := 3 << (1 + flags&7)
		if len(rest) < table {
			return header{}, errTruncated
		}
		rest = rest[table:]
	}
	frame, err := firstFrame(rest)
	if err != nil {
		return header{}, err
	}
	h.width, h.height = int(binary.LittleEndian.Uint16(frame[5:])), int(binary.LittleEndian.Uint16(frame[7:]))
	return h, nil
}

// firstFrame returns data from the first image descriptor on, which is ten
// bytes long, having skipped the extensions before it.
func firstFrame(data []byte) ([]byte, error) {
	for len(data) >= 10 {
		switch data[0] {
		case gifImage:
			return data, nil
		case gifTrailer:
			return nil, errors.New("no frame")
		case gifExtension:
			data = skipBlocks(data[2:])
		default:
			return nil, fmt.Errorf("unknown block %#x", data[0])
		}
	}
	return nil, errTruncated
}

// skipBlocks returns what follows a sequence of data sub-blocks, each led by
// its length and the last of length 0.
func skipBlocks(data []byte) []byte {
	for len(data) > 0 {
		n := int(data[0])
		if n >= len(data) {
			return nil
		}
		data = data[1+n:]
		if n == 0 {
			break
		}
	}
	return data
}
