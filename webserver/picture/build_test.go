package picture_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// This file makes the files that the tests upload, good ones and bad ones,
// piece by piece. Nothing here is large until it is made.

// Images.

// gradient returns an opaque image in which every pixel differs from its
// neighbours.
func gradient(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{byte(255 * x / w), byte(255 * y / h), byte(x ^ y), 255})
		}
	}
	return img
}

// quarters are the colours of an upright test picture: red, green above blue,
// white.
var quarters = [4]color.NRGBA{{255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}, {255, 255, 255, 255}}

// quarterPicture returns the upright test picture.
func quarterPicture(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, quarters[2*(2*y/h)+2*x/w])
		}
	}
	return img
}

func encodePNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeJPEG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeGIF(t testing.TB, frames ...*image.Paletted) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gif.EncodeAll(&b, &gif.GIF{Image: frames, Delay: make([]int, len(frames))}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// paletted returns a GIF frame of one colour.
func paletted(w, h int, c color.Color) *image.Paletted {
	return image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{c, color.Black})
}

// testdata reads a file that was made with cwebp 1.2.4.
func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func be16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
func be32(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }
func le16(n int) []byte { return binary.LittleEndian.AppendUint16(nil, uint16(n)) }
func le24(n int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(n))[:3] }
func le32(n int) []byte { return binary.LittleEndian.AppendUint32(nil, uint32(n)) }

// Exif.

// exif returns a TIFF structure with an orientation, a maker and a position.
func exif(orientation int) []byte {
	entry := func(tag, kind, count, value int) []byte {
		return slices.Concat(le16(tag), le16(kind), le32(count), le32(value))
	}
	const canaryAt, gpsAt = 8 + 2 + 3*12 + 4, 8 + 2 + 3*12 + 4 + len(canary)
	return slices.Concat(
		[]byte("II*\x00"), le32(8),
		le16(3),
		entry(0x010f, 2, len(canary), canaryAt), // maker
		entry(0x0112, 3, 1, orientation),        // orientation
		entry(0x8825, 4, 1, gpsAt),              // position
		le32(0),
		[]byte(canary),
		le16(1), entry(0x0001, 2, 2, 'N'), le32(0),
	)
}

// canary is hidden in metadata; it must not be found in any result.
const canary = "CANARY-CANARY-CANARY"

// JPEG.

// jpegSegment returns a marker with its payload.
func jpegSegment(marker byte, payload ...[]byte) []byte {
	body := slices.Concat(payload...)
	return slices.Concat([]byte{0xff, marker}, be16(len(body)+2), body)
}

// withSegments puts segments behind the first marker of a JPEG file.
func withSegments(file []byte, segments ...[]byte) []byte {
	return slices.Concat(file[:2], slices.Concat(segments...), file[2:])
}

func exifSegment(orientation int) []byte {
	return jpegSegment(0xe1, []byte("Exif\x00\x00"), exif(orientation))
}

func adobeSegment(transform byte) []byte {
	return jpegSegment(0xee, []byte("Adobe"), []byte{0, 100, 0, 0, 0, 0, transform})
}

// A rawJPEG is a JPEG file of one even colour, written without an encoder, so
// that it can be of forms that the standard library does not write.
type rawJPEG struct {
	marker        byte // of the frame: c0 baseline, c2 progressive
	width, height int
	sampling      []byte // of each component
	ids           []byte // of each component; 1, 2, 3, 4 if nil
	scans         int    // 1 if 0
	empty         bool   // no pixels, which must not be what it is refused for
	before        [][]byte
}

// bytes writes the file. All coefficients are zero and their code is the bit
// 0, so that the data of a scan is nothing but zeros.
func (r rawJPEG) bytes() []byte {
	ids := r.ids
	if ids == nil {
		ids = []byte{1, 2, 3, 4}[:len(r.sampling)]
	}
	frame := slices.Concat([]byte{8}, be16(r.height), be16(r.width), []byte{byte(len(ids))})
	scan := []byte{byte(len(ids))}
	for i, id := range ids {
		frame = append(frame, id, r.sampling[i], 0)
		scan = append(scan, id, 0)
	}
	last := byte(63)
	if r.marker == 0xc2 {
		last = 0
	}
	scan = append(scan, 0, last, 0)
	file := slices.Concat([]byte{0xff, 0xd8}, slices.Concat(r.before...),
		jpegSegment(0xdb, []byte{0}, bytes.Repeat([]byte{1}, 64)),
		jpegSegment(r.marker, frame),
		jpegSegment(0xc4, []byte{0x00, 1}, make([]byte, 15), []byte{0}),
		jpegSegment(0xc4, []byte{0x10, 1}, make([]byte, 15), []byte{0}))
	if r.empty {
		return slices.Concat(file, jpegSegment(0xda, scan), []byte{0xff, 0xd9})
	}
	one := slices.Concat(jpegSegment(0xda, scan), r.scanData())
	return slices.Concat(file, bytes.Repeat(one, max(1, r.scans)), []byte{0xff, 0xd9})
}

// scanData returns the data of one scan: a bit for each block, two if it has
// more than its first coefficient.
func (r rawJPEG) scanData() []byte {
	bits := 2 * r.blocks()
	if r.marker == 0xc2 {
		bits /= 2
	}
	return make([]byte, (bits+7)/8)
}

// blocks returns how many blocks of 8 x 8 samples a scan has.
func (r rawJPEG) blocks() int {
	if len(r.sampling) == 1 {
		return (r.width + 7) / 8 * ((r.height + 7) / 8)
	}
	across, down := 8*int(r.sampling[0]>>4), 8*int(r.sampling[0]&15)
	units := (r.width + across - 1) / across * ((r.height + down - 1) / down)
	n := 0
	for _, s := range r.sampling {
		n += units * int(s>>4) * int(s&15)
	}
	return n
}

// Sampling factors of the usual forms.
var (
	gray     = []byte{0x11}
	full     = []byte{0x11, 0x11, 0x11}
	half     = []byte{0x22, 0x11, 0x11}
	fourFull = []byte{0x11, 0x11, 0x11, 0x11}
)

// PNG.

func pngChunk(kind string, data ...[]byte) []byte {
	body := slices.Concat([]byte(kind), slices.Concat(data...))
	return slices.Concat(be32(len(body)-4), body, be32(int(crc32.ChecksumIEEE(body))))
}

func pngFile(chunks ...[]byte) []byte {
	return slices.Concat([]byte("\x89PNG\r\n\x1a\n"), slices.Concat(chunks...))
}

func pngHeader(w, h int, depth, colour, interlace byte) []byte {
	return pngChunk("IHDR", be32(w), be32(h), []byte{depth, colour, 0, 0, interlace})
}

// pngZeros returns a PNG file whose pixels are all zero.
func pngZeros(w, h int, depth, colour, interlace byte) []byte {
	samples := map[byte]int{0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[colour]
	row := func(w int) int { return 1 + (w*samples*int(depth)+7)/8 }
	size := h * row(w)
	if interlace != 0 {
		size = 0
		for _, p := range [7][4]int{{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}} {
			if pw, ph := (w-p[0]+p[2]-1)/p[2], (h-p[1]+p[3]-1)/p[3]; pw > 0 && ph > 0 {
				size += ph * row(pw)
			}
		}
	}
	palette := []byte{}
	if colour == 3 {
		palette = pngChunk("PLTE", []byte{255, 0, 0})
	}
	return pngFile(pngHeader(w, h, depth, colour, interlace), palette,
		pngChunk("IDAT", deflated(size)), pngChunk("IEND"))
}

// deflated returns n zeros, compressed about a thousandfold. What a few of them
// compress to is repeated, which takes no time however many there are.
func deflated(n int) []byte {
	const piece = 1 << 16
	var b bytes.Buffer
	z, err := flate.NewWriter(&b, flate.DefaultCompression)
	if err != nil {
		panic(err) // not reached: the level is a valid one
	}
	write := func(n int, end func() error) []byte {
		b.Reset()
		z.Reset(&b)
		z.Write(make([]byte, n))
		end()
		return bytes.Clone(b.Bytes())
	}
	return slices.Concat([]byte{0x78, 0x9c},
		bytes.Repeat(write(piece, z.Flush), n/piece), write(n%piece, z.Close),
		be16(n%65521), be16(1)) // Adler-32
}

// withChunks puts chunks behind the header of a PNG file.
func withChunks(file []byte, chunks ...[]byte) []byte {
	return slices.Concat(file[:33], slices.Concat(chunks...), file[33:])
}

// GIF.

// gifFile returns a GIF file with a screen of the given size, two colours, and
// what follows.
func gifFile(w, h int, blocks ...[]byte) []byte {
	return slices.Concat([]byte("GIF89a"), le16(w), le16(h), []byte{0x80, 0, 0}, []byte{255, 0, 0, 0, 0, 0},
		slices.Concat(blocks...))
}

// gifFrame returns an image descriptor with whatever data.
func gifFrame(x, y, w, h int, flags byte, data ...[]byte) []byte {
	return slices.Concat([]byte{0x2c}, le16(x), le16(y), le16(w), le16(h), []byte{flags}, slices.Concat(data...))
}

// onePixel is the data of a frame of one pixel.
var onePixel = []byte{2, 2, 0x44, 0x01, 0}

// WebP.

func webpChunk(id string, data ...[]byte) []byte {
	body := slices.Concat(data...)
	chunk := slices.Concat([]byte(id), le32(len(body)), body)
	if len(body)%2 != 0 {
		chunk = append(chunk, 0)
	}
	return chunk
}

func webpFile(chunks ...[]byte) []byte {
	body := slices.Concat(chunks...)
	return slices.Concat([]byte("RIFF"), le32(4+len(body)), []byte("WEBP"), body)
}

// vp8x returns the chunk of an extended file with a canvas of the given size.
func vp8x(flags byte, w, h int) []byte {
	return webpChunk("VP8X", []byte{flags, 0, 0, 0}, le24(w-1), le24(h-1))
}

// vp8Header returns the beginning of a lossy bitstream.
func vp8Header(w, h int) []byte {
	return slices.Concat([]byte{0x10, 0, 0, 0x9d, 0x01, 0x2a}, le16(w), le16(h))
}

// A bitWriter writes numbers into bytes, the lowest bit first.
type bitWriter struct {
	bytes []byte
	n     int
}

func (b *bitWriter) write(value, length int) {
	for i := range length {
		if b.n%8 == 0 {
			b.bytes = append(b.bytes, 0)
		}
		b.bytes[b.n/8] |= byte(value>>i&1) << (b.n % 8)
		b.n++
	}
}

// simpleCode writes a prefix code of one symbol, which then takes no bits.
func (b *bitWriter) simpleCode(symbol int) {
	b.write(1, 1) // simple
	b.write(0, 1) // one symbol
	b.write(1, 1) // of eight bits
	b.write(symbol, 8)
}

// A fullCode is the prefix code of so many symbols, all of them used: the first
// ones have codes of length bits, the others of one bit more.
type fullCode struct{ symbols, length, first int }

func newFullCode(symbols int) fullCode {
	length := bits.Len(uint(symbols)) - 1
	return fullCode{symbols, length, 2<<length - symbols}
}

// write writes the code itself: the lengths of its codes, which are coded in
// turn. The code 0 repeats the last length, 10 and 11 are the two lengths.
func (c fullCode) write(b *bitWriter) {
	b.write(0, 1) // not simple
	order := []int{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	b.write(len(order)-4, 4)
	for _, symbol := range order {
		b.write(map[int]int{16: 1, c.length: 2, c.length + 1: 2}[symbol], 3)
	}
	b.write(0, 1) // as many as the alphabet has
	for i, n := range []int{c.first, c.symbols - c.first} {
		if n == 0 {
			continue
		}
		b.writeCode(2+i, 2)
		left := n - 1
		for left >= 3 {
			repeat := min(left, 6)
			b.write(0, 1)
			b.write(repeat-3, 2)
			left -= repeat
		}
		for range left {
			b.writeCode(2+i, 2)
		}
	}
}

// writeSymbol writes a symbol in the code.
func (c fullCode) writeSymbol(b *bitWriter, symbol int) {
	if symbol < c.first {
		b.writeCode(symbol, c.length)
		return
	}
	b.writeCode(c.first+symbol, c.length+1)
}

// writeCode writes a code, which unlike a number has its highest bit first.
func (b *bitWriter) writeCode(code, length int) {
	for i := range length {
		b.write(code>>(length-1-i)&1, 1)
	}
}

// solidVP8L returns a lossless bitstream of one colour without its header: of
// any size in a few bytes.
func solidVP8L(c color.NRGBA) []byte {
	var b bitWriter
	b.write(0, 3) // no transform, no colour cache, no groups
	for _, symbol := range []byte{c.G, c.R, c.B, c.A, 0} {
		b.simpleCode(int(symbol))
	}
	return b.bytes
}

// vp8lHeader returns the header of a lossless bitstream.
func vp8lHeader(w, h int) []byte {
	return slices.Concat([]byte{0x2f}, le32(w-1|(h-1)<<14))
}

// solidWebP returns a lossless WebP file of one colour.
func solidWebP(w, h int, c color.NRGBA) []byte {
	return webpFile(webpChunk("VP8L", vp8lHeader(w, h), solidVP8L(c)))
}

// groupBomb returns a lossless bitstream without its header that asks for so
// many groups of prefix codes, each as large as may be. Tiles are 4 x 4 pixels;
// the image must have at least as many tiles as groups. With a palette, eight
// of its pixels count as one.
func groupBomb(groups, tiles int, palette bool) []byte {
	var b bitWriter
	if palette {
		b.write(1, 1) // a transform
		b.write(3, 2) // by a palette
		b.write(1, 8) // of two colours
		b.write(0, 1) // no colour cache for them
		for range 5 {
			b.simpleCode(0)
		}
	}
	b.write(0, 1)  // no other transform
	b.write(1, 1)  // a colour cache
	b.write(11, 4) // of 2048 colours
	b.write(1, 1)  // groups
	b.write(0, 3)  // tiles of 4 x 4 pixels
	b.write(0, 1)  // no colour cache for the image of groups
	green, red := newFullCode(280), newFullCode(256)
	green.write(&b)
	red.write(&b)
	for range 3 {
		b.simpleCode(0)
	}
	for tile := range tiles {
		group := min(tile, groups-1)
		green.writeSymbol(&b, group&255)
		red.writeSymbol(&b, group>>8)
	}
	for range groups {
		for _, symbols := range []int{280 + 2048, 256, 256, 256, 40} {
			newFullCode(symbols).write(&b)
		}
	}
	return b.bytes
}
