package picture_test

import (
	"bytes"
	"errors"
	"fmt"
	"hash/adler32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"runtime"
	"slices"
	"strings"
	"testing"

	"gatehouse/webserver/picture"
)

// maxAllocation is what any upload may make the process allocate.
const maxAllocation = 128 << 20

// An upload is a file of the hostile corpus.
type upload struct {
	name string
	make func(t testing.TB) []byte
	want error // nil: it must become a picture
}

// fixed returns the maker of a file that needs no testing.TB.
func fixed(parts ...[]byte) func(testing.TB) []byte {
	return func(testing.TB) []byte { return slices.Concat(parts...) }
}

// raw returns the maker of a rawJPEG.
func raw(r rawJPEG) func(testing.TB) []byte {
	return func(testing.TB) []byte { return r.bytes() }
}

// zeros returns the maker of a PNG file of zeros.
func zeros(w, h int, depth, colour, interlace byte) func(testing.TB) []byte {
	return func(testing.TB) []byte { return pngZeros(w, h, depth, colour, interlace) }
}

// jpegWith returns the maker of a good JPEG file with more segments in it.
func jpegWith(segments ...[]byte) func(testing.TB) []byte {
	return func(t testing.TB) []byte { return withSegments(encodeJPEG(t, gradient(64, 48)), segments...) }
}

// pngWith returns the maker of a good PNG file with more chunks in it.
func pngWith(chunks ...[]byte) func(testing.TB) []byte {
	return func(t testing.TB) []byte { return withChunks(encodePNG(t, gradient(64, 48)), chunks...) }
}

// zipFile is an empty archive: what follows an image in a GIFAR.
var zipFile = append([]byte("PK\x05\x06"), make([]byte, 18)...)

// otherKinds are files that are not taken, whatever they contain.
func otherKinds() []upload {
	text := func(s string) func(testing.TB) []byte { return fixed([]byte(s)) }
	refused := picture.ErrUnsupported
	return []upload{
		{"empty", text(""), refused},
		{"one byte", text("\xff"), refused},
		{"two bytes of a JPEG", text("\xff\xd8"), refused},
		{"HTML", text("<!DOCTYPE html><script>alert(1)</script>"), refused},
		{"SVG", text(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`), refused},
		{"SVG behind an XML declaration", text(`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>`), refused},
		{"TIFF, little-endian", fixed(exif(1)), refused},
		{"TIFF, big-endian", text("MM\x00*\x00\x00\x00\x08"), refused},
		{"BMP", text("BM\x3a\x00\x00\x00\x00\x00\x00\x00\x36\x00\x00\x00\x28\x00\x00\x00"), refused},
		{"icon", text("\x00\x00\x01\x00\x01\x00\x10\x10"), refused},
		{"HEIC", text("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"), refused},
		{"AVIF", text("\x00\x00\x00\x1cftypavif\x00\x00\x00\x00"), refused},
		{"JPEG XL", text("\xff\x0a\x00\x00\x00\x00"), refused},
		{"PDF", text("%PDF-1.7\n"), refused},
		{"archive", fixed(zipFile), refused},
		{"program", text("\x7fELF\x02\x01\x01\x00"), refused},
		{"script", text("#!/bin/sh\nid\n"), refused},
		{"GIF of an unknown version", text("GIF88a\x01\x00\x01\x00\x00\x00\x00"), refused},
		{"sound in RIFF", text("RIFF\x24\x00\x00\x00WAVEfmt "), refused},
		{"PNG magic damaged by text mode", text("\x89PNG\n\x1a\n\x00\x00\x00\rIHDR"), refused},
		{"archive with a JPEG behind", func(t testing.TB) []byte { return append(zipFile, encodeJPEG(t, gradient(8, 8))...) }, refused},
		{"more bytes than allowed", fixed([]byte(magicOfJPEG), make([]byte, 2<<20)), picture.ErrTooLarge},
	}
}

const magicOfJPEG = "\xff\xd8\xff"

// jpegUploads are JPEG files.
func jpegUploads() []upload {
	bad := picture.ErrInvalid
	whole := rawJPEG{marker: 0xc0, width: 64, height: 48, sampling: full}
	return []upload{
		{"JPEG that is nothing but magic", fixed([]byte(magicOfJPEG)), bad},
		{"JPEG magic before HTML", fixed([]byte(magicOfJPEG + "\xe0<!DOCTYPE html><script>alert(1)</script>")), bad},
		{"JPEG of 65535 x 65535", raw(rawJPEG{marker: 0xc0, width: 65535, height: 65535, sampling: gray, empty: true}), bad},
		{"JPEG of no width", fixed(sized(whole, 0, 48)), bad},
		{"JPEG of no height", fixed(sized(whole, 64, 0)), bad},
		{"JPEG with a huge frame before its own", jpegWith(frameOf(65535, 65535)), bad},
		{"JPEG with a huge frame behind its own", fixed(bytes.Replace(whole.bytes(), []byte{0xff, 0xda}, append(frameOf(65535, 65535), 0xff, 0xda), 1)), bad},
		{"JPEG with a small frame behind its huge one", fixed(withSegments(whole.bytes(), frameOf(16000, 16000))), bad},
		{"JPEG without a frame", fixed([]byte{0xff, 0xd8}, jpegSegment(0xdb, []byte{0}, make([]byte, 64)), []byte{0xff, 0xd9}), bad},
		{"JPEG with a scan before its frame", fixed([]byte{0xff, 0xd8}, jpegSegment(0xda, []byte{1, 1, 0, 0, 63, 0}), []byte{0xff, 0xd9}), bad},
		{"JPEG without an end", fixed(bytes.TrimSuffix(whole.bytes(), []byte{0xff, 0xd9})), bad},
		{"JPEG with a segment beyond its end", fixed([]byte{0xff, 0xd8, 0xff, 0xe1, 0xff, 0xff, 0}), bad},
		{"JPEG with a segment of length 0", fixed([]byte{0xff, 0xd8, 0xff, 0xe1, 0, 0, 0xff, 0xd9}), bad},
		{"JPEG with sampling factor 0", raw(rawJPEG{marker: 0xc0, width: 64, height: 48, sampling: []byte{0x00, 0x11, 0x11}, empty: true}), bad},
		{"JPEG with sampling factors of 15", raw(rawJPEG{marker: 0xc2, width: 4096, height: 4096, sampling: []byte{0xff, 0xff, 0xff}, empty: true}), bad},
		{"JPEG of 12 bits", fixed(bytes.Replace(whole.bytes(), []byte{0xff, 0xc0, 0, 17, 8}, []byte{0xff, 0xc0, 0, 17, 12}, 1)), bad},
		{"JPEG with arithmetic coding", raw(rawJPEG{marker: 0xc9, width: 64, height: 48, sampling: full}), bad},
		{"JPEG without loss", raw(rawJPEG{marker: 0xc3, width: 64, height: 48, sampling: full}), bad},
		{"JPEG of two components", raw(rawJPEG{marker: 0xc0, width: 64, height: 48, sampling: []byte{0x11, 0x11}}), bad},
		{"JPEG, progressive, of 10,000 scans", raw(rawJPEG{marker: 0xc2, width: 16, height: 16, sampling: gray, scans: 10_000}), bad},
		{"JPEG, progressive, 16 megapixels in full colour", raw(rawJPEG{marker: 0xc2, width: 4000, height: 4000, sampling: full}), bad},
		{"JPEG, progressive, 8 megapixels of CMYK", raw(rawJPEG{marker: 0xc2, width: 4000, height: 2000, sampling: fourFull, before: [][]byte{adobeSegment(0)}}), bad},
		{"JPEG, progressive, 16 megapixels in half colour", raw(rawJPEG{marker: 0xc2, width: 4000, height: 4000, sampling: half}), nil},
		{"JPEG of 4 megapixels in RGB", raw(rawJPEG{marker: 0xc0, width: 2000, height: 2000, sampling: full, before: [][]byte{adobeSegment(0)}}), nil},
		{"JPEG of CMYK", raw(rawJPEG{marker: 0xc0, width: 640, height: 480, sampling: fourFull, before: [][]byte{adobeSegment(0)}}), nil},
		{"JPEG of YCCK", raw(rawJPEG{marker: 0xc0, width: 640, height: 480, sampling: []byte{0x22, 0x11, 0x11, 0x22}, before: [][]byte{adobeSegment(2)}}), nil},
		{"JPEG of four unknown components", raw(rawJPEG{marker: 0xc0, width: 64, height: 48, sampling: fourFull}), bad},
		{"JPEG of gray", raw(rawJPEG{marker: 0xc0, width: 1000, height: 10, sampling: gray}), nil},
		{"JPEG as wide as may be", raw(rawJPEG{marker: 0xc0, width: 16384, height: 1, sampling: half}), nil},
		{"JPEG with PHP in a comment", jpegWith(jpegSegment(0xfe, []byte("<?php system($_GET['c']); ?>"+canary))), nil},
		{"JPEG with a position", jpegWith(exifSegment(1)), nil},
		{"JPEG with 30 comments of 64 KiB", jpegWith(bytes.Repeat(jpegSegment(0xfe, make([]byte, 65000)), 30)), nil},
		{"JPEG with a colour profile of 1 MiB", jpegWith(bytes.Repeat(jpegSegment(0xe2, []byte("ICC_PROFILE\x00\x01\x10"+canary), make([]byte, 65000)), 16)), nil},
		{"JPEG with XMP and IPTC", jpegWith(jpegSegment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00"+canary)), jpegSegment(0xed, []byte("Photoshop 3.0\x00"+canary))), nil},
		{"JPEG with scans hidden in metadata", jpegWith(jpegSegment(0xef, bytes.Repeat([]byte{0xff, 0xda}, 10_000))), nil},
		{"JPEG with a thumbnail that is a bomb", jpegWith(jpegSegment(0xe1, []byte("Exif\x00\x00"), exif(1), rawJPEG{marker: 0xc0, width: 8, height: 8, sampling: gray}.bytes())), nil},
		{"JPEG with an archive behind (GIFAR)", func(t testing.TB) []byte { return append(encodeJPEG(t, gradient(64, 48)), zipFile...) }, nil},
		{"JPEG with 1 MiB of script behind", func(t testing.TB) []byte {
			return append(encodeJPEG(t, gradient(64, 48)), strings.Repeat("<script>"+canary, 40_000)...)
		}, nil},
	}
}

// sized returns the file of r with another size in its frame.
func sized(r rawJPEG, width, height int) []byte {
	old := slices.Concat([]byte{0xff, r.marker, 0, byte(8 + 3*len(r.sampling)), 8}, be16(r.height), be16(r.width))
	now := slices.Concat(old[:5], be16(height), be16(width))
	return bytes.Replace(r.bytes(), old, now, 1)
}

// frameOf returns the frame header of a gray image.
func frameOf(width, height int) []byte {
	return jpegSegment(0xc0, []byte{8}, be16(height), be16(width), []byte{1, 1, 0x11, 0})
}

// pngUploads are PNG files.
func pngUploads() []upload {
	bad := picture.ErrInvalid
	bomb := deflated(256 << 20)
	return []upload{
		{"PNG that is nothing but magic", fixed(pngFile()), bad},
		{"PNG magic before a JPEG", func(t testing.TB) []byte { return pngFile(encodeJPEG(t, gradient(8, 8))) }, bad},
		{"PNG of 65535 x 65535", fixed(pngFile(pngHeader(65535, 65535, 8, 6, 0), pngChunk("IDAT", deflated(100)), pngChunk("IEND"))), bad},
		{"PNG of 2^31-1 x 2^31-1", fixed(pngFile(pngHeader(1<<31-1, 1<<31-1, 16, 6, 1), pngChunk("IEND"))), bad},
		{"PNG of 2^32-1 x 1", fixed(pngFile(pngHeader(1<<32-1, 1, 8, 6, 0), pngChunk("IEND"))), bad},
		{"PNG whose area is 1 in 32 bits", fixed(pngFile(pngHeader(641, 6700417, 8, 6, 0), pngChunk("IEND"))), bad},
		{"PNG of no width", fixed(pngFile(pngHeader(0, 1, 8, 6, 0), pngChunk("IDAT", deflated(1)), pngChunk("IEND"))), bad},
		{"PNG of no height", fixed(pngFile(pngHeader(1, 0, 8, 6, 0), pngChunk("IDAT", deflated(1)), pngChunk("IEND"))), bad},
		{"PNG one pixel too wide", zeros(16385, 1, 8, 0, 0), bad},
		{"PNG as wide as may be", zeros(16384, 1, 8, 0, 0), nil},
		{"PNG as high as may be", zeros(1, 16384, 8, 0, 0), nil},
		{"PNG of one row too many pixels", zeros(4096, 4097, 1, 0, 0), bad},
		{"PNG of 16 megapixels and 32 bits", zeros(4096, 4096, 8, 6, 0), nil},
		{"PNG of 4 megapixels and 1 bit", zeros(2048, 2048, 1, 3, 0), nil},
		{"PNG of 14 megapixels, interlaced", zeros(3800, 3800, 8, 6, 1), nil},
		{"PNG of 16 megapixels and 32 bits, interlaced", fixed(pngFile(pngHeader(4096, 4096, 8, 6, 1), pngChunk("IDAT"), pngChunk("IEND"))), bad},
		{"PNG of 16 megapixels and 64 bits", fixed(pngFile(pngHeader(4096, 4096, 16, 6, 0), pngChunk("IDAT"), pngChunk("IEND"))), bad},
		{"PNG of 4 megapixels and 64 bits", zeros(2000, 2000, 16, 6, 0), nil},
		{"PNG of 16 bits a channel", zeros(100, 100, 16, 2, 0), nil},
		{"PNG of 16 bits of gray, interlaced", zeros(100, 100, 16, 0, 1), nil},
		{"PNG, interlaced, of one pixel", zeros(1, 1, 8, 6, 1), nil},
		{"PNG with pixels for an image 256 MiB larger", fixed(pngFile(pngHeader(1, 1, 8, 6, 0), pngChunk("IDAT", bomb), pngChunk("IEND"))), bad},
		{"PNG with a text of 256 MiB (zTXt)", pngWith(pngChunk("zTXt", []byte("Comment\x00\x00"), bomb)), nil},
		{"PNG with a text of 256 MiB (iTXt)", pngWith(pngChunk("iTXt", []byte("Comment\x00\x01\x00\x00\x00"), bomb)), nil},
		{"PNG with a profile of 256 MiB (iCCP)", pngWith(pngChunk("iCCP", []byte("profile\x00\x00"), bomb)), nil},
		{"PNG with script in a text", pngWith(pngChunk("tEXt", []byte("Comment\x00<script>alert('"+canary+"')</script>"))), nil},
		{"PNG with a position", pngWith(pngChunk("eXIf", exif(1))), nil},
		{"PNG with a damaged position", pngWith(pngChunk("eXIf", []byte("II*\x00\xff\xff\xff\xff"))), nil},
		{"PNG with 100,000 empty chunks", pngWith(bytes.Repeat(pngChunk("juNk"), 100_000)), nil},
		{"PNG with 100,000 empty chunks of pixels behind its pixels", func(t testing.TB) []byte {
			file := encodePNG(t, gradient(64, 48))
			end := len(file) - 12
			return slices.Concat(file[:end], bytes.Repeat(pngChunk("IDAT"), 100_000), file[end:])
		}, nil},
		{"PNG with its pixels in 10,000 pieces", func(t testing.TB) []byte {
			return pngFile(pngHeader(100, 99, 8, 0, 0), inPieces(stored(99*101)), pngChunk("IEND"))
		}, nil},
		{"PNG with a chunk of 4 GiB", pngWith([]byte("\xff\xff\xff\xffjuNk")), bad},
		{"PNG with a huge second header", pngWith(pngHeader(65535, 65535, 8, 6, 0)), bad},
		{"PNG with another chunk before its header", fixed(pngFile(pngChunk("tEXt", []byte("a\x00b")), pngHeader(1, 1, 8, 0, 0), pngChunk("IDAT", deflated(2)), pngChunk("IEND"))), bad},
		{"PNG with a palette that is missing", fixed(pngFile(pngHeader(1, 1, 8, 3, 0), pngChunk("IDAT", deflated(2)), pngChunk("IEND"))), bad},
		{"PNG of an unknown colour type", fixed(pngFile(pngHeader(1, 1, 8, 5, 0), pngChunk("IDAT", deflated(2)), pngChunk("IEND"))), bad},
		{"PNG without pixels", fixed(pngFile(pngHeader(64, 64, 8, 6, 0), pngChunk("IEND"))), bad},
		{"PNG with a wrong checksum", func(t testing.TB) []byte {
			file := encodePNG(t, gradient(8, 8))
			file[len(file)-13] ^= 1 // the last byte of that of the pixels
			return file
		}, bad},
		{"PNG of an animation (APNG)", pngWith(pngChunk("acTL", be32(1000), be32(0))), nil},
		{"PNG with an archive behind", func(t testing.TB) []byte { return append(encodePNG(t, gradient(64, 48)), zipFile...) }, nil},
	}
}

// stored returns n zeros as deflate without compression.
func stored(n int) []byte {
	sum := adler32.Checksum(make([]byte, n))
	return slices.Concat([]byte{0x78, 0x01, 1}, le16(n), le16(^n), make([]byte, n), be32(int(sum)))
}

// inPieces returns the data of a PNG image in chunks of one byte.
func inPieces(data []byte) []byte {
	var chunks []byte
	for i := range data {
		chunks = append(chunks, pngChunk("IDAT", data[i:i+1])...)
	}
	return chunks
}

// gifUploads are GIF files.
func gifUploads() []upload {
	bad := picture.ErrInvalid
	comment := slices.Concat([]byte{0x21, 0xfe}, bytes.Repeat(append([]byte{255}, make([]byte, 255)...), 4000), []byte{0})
	return []upload{
		{"GIF that is nothing but magic", fixed([]byte("GIF89a")), bad},
		{"GIF without a frame", fixed(gifFile(1, 1, []byte(";"), make([]byte, 20))), bad},
		{"GIF of 34 bytes that takes 4 GiB", fixed(gifFile(65535, 65535, gifFrame(0, 0, 65535, 65535, 0, onePixel))), bad},
		{"GIF with a huge screen around a small frame", fixed(gifFile(65535, 65535, gifFrame(0, 0, 1, 1, 0, onePixel), []byte(";"))), bad},
		{"GIF with a huge frame on a small screen", fixed(gifFile(1, 1, gifFrame(0, 0, 65535, 65535, 0, onePixel), []byte(";"))), bad},
		{"GIF with a frame beside its screen", fixed(gifFile(4, 4, gifFrame(4, 4, 1, 1, 0, onePixel), []byte(";"))), bad},
		{"GIF with an empty frame", fixed(gifFile(1, 1, gifFrame(0, 0, 0, 0, 0, onePixel), []byte(";"))), bad},
		{"GIF with an empty screen", fixed(gifFile(0, 0, gifFrame(0, 0, 1, 1, 0, onePixel), []byte(";"))), bad},
		{"GIF with a frame hidden behind an empty extension", fixed(gifFile(100, 100,
			[]byte{0x21, 0xff, 0}, []byte{0x2c, 0, 0, 0, 0, 1, 0, 1, 0, 0}, make([]byte, 100))), bad},
		{"GIF whose pixels are missing", fixed(gifFile(4096, 4096, gifFrame(0, 0, 4096, 4096, 0x40, onePixel), []byte(";"))), bad},
		{"GIF with too many pixels", fixed(gifFile(1, 1, gifFrame(0, 0, 1, 1, 0, []byte{2, 4, 0x84, 0x8f, 0xa9, 0x05, 0}), []byte(";"))), bad},
		{"GIF without a palette", fixed([]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00"), gifFrame(0, 0, 1, 1, 0, onePixel), []byte(";")), bad},
		{"GIF with an unknown block", fixed(gifFile(1, 1, []byte("X"), make([]byte, 20))), bad},
		{"GIF with a comment of 1 MiB", fixed(gifFile(1, 1, comment, gifFrame(0, 0, 1, 1, 0, onePixel), []byte(";"))), nil},
		{"GIF with a comment that never ends", fixed(gifFile(1, 1, comment[:len(comment)-1])), bad},
		{"GIF of one pixel", fixed(gifFile(1, 1, gifFrame(0, 0, 1, 1, 0, onePixel), []byte(";"))), nil},
		{"GIF of 10,000 frames", func(t testing.TB) []byte {
			one := encodeGIF(t, paletted(128, 128, color.White))
			screen, frame := one[:13], one[13:len(one)-1]
			return slices.Concat(screen, bytes.Repeat(frame, 10_000), []byte(";"))
		}, nil},
		{"GIF of 10,000 frames of one pixel", fixed(gifFile(100, 100, bytes.Repeat(gifFrame(0, 0, 1, 1, 0, onePixel), 10_000), []byte(";"))), nil},
		{"GIF with a broken second frame", fixed(gifFile(100, 100, gifFrame(0, 0, 1, 1, 0, onePixel), gifFrame(0, 0, 100, 100, 0, []byte{99}))), nil},
		{"GIF of 4 megapixels, interlaced", func(t testing.TB) []byte {
			file := encodeGIF(t, paletted(2048, 2048, color.White))
			file[13+9] |= 0x40
			return file
		}, nil},
		{"GIF with an archive behind (GIFAR)", func(t testing.TB) []byte { return append(encodeGIF(t, paletted(8, 8, color.White)), zipFile...) }, nil},
		{"GIF that is a script as well", fixed(gifFile(0x2a2f, 1, []byte("*/=1;alert('"+canary+"')//"), make([]byte, 20))), bad},
	}
}

// webpUploads are WebP files.
func webpUploads() []upload {
	bad := picture.ErrInvalid
	red := color.NRGBA{255, 0, 0, 255}
	vp8l := func(w, h int) []byte { return webpChunk("VP8L", vp8lHeader(w, h), solidVP8L(red)) }
	wide := webpChunk("ALPH", []byte{1}, solidVP8L(red))
	return []upload{
		{"WebP that is nothing but magic", fixed([]byte("RIFF\x04\x00\x00\x00WEBP")), bad},
		{"WebP of 34 bytes that takes 1 GiB", fixed(webpFile(vp8l(16384, 16384))), bad},
		{"WebP of 16383 x 16383, lossy", fixed(webpFile(webpChunk("VP8 ", vp8Header(16383, 16383), make([]byte, 20)))), bad},
		{"WebP of 16 megapixels, lossy, whose pixels are missing", fixed(webpFile(webpChunk("VP8 ", vp8Header(4096, 4096), make([]byte, 20)))), bad},
		{"WebP of no size, lossy", fixed(webpFile(webpChunk("VP8 ", vp8Header(0, 0), make([]byte, 20)))), bad},
		{"WebP that is no key frame", fixed(webpFile(webpChunk("VP8 ", []byte{0x11, 0, 0, 0x9d, 1, 0x2a, 1, 0, 1, 0}))), bad},
		{"WebP with a small canvas around a huge image", fixed(webpFile(vp8x(0, 16, 16), vp8l(16384, 16384))), bad},
		{"WebP with a huge canvas around a small image", fixed(webpFile(vp8x(0, 1<<24, 1<<24), vp8l(16, 16))), bad},
		{"WebP with a canvas slightly off", fixed(webpFile(vp8x(0, 16, 17), vp8l(16, 16))), bad},
		{"WebP with two canvases", fixed(webpFile(vp8x(0, 16, 16), vp8x(0, 16, 16), vp8l(16, 16))), bad},
		{"WebP with a canvas of one byte", fixed(webpFile(webpChunk("VP8X", []byte{0}), vp8l(16, 16))), bad},
		{"WebP with nothing on its canvas", fixed(webpFile(vp8x(0, 16, 16))), bad},
		{"WebP with a huge alpha plane and no image", fixed(webpFile(vp8x(0x10, 16384, 16384), wide)), bad},
		{"WebP with a huge alpha plane and a small image", fixed(webpFile(vp8x(0x10, 16384, 16384), wide, webpChunk("VP8 ", vp8Header(16, 16), make([]byte, 20)))), bad},
		{"WebP with 10,000 alpha planes", fixed(webpFile(vp8x(0x10, 16, 16), bytes.Repeat(wide, 10_000), webpChunk("VP8 ", vp8Header(16, 16), make([]byte, 20)))), bad},
		{"WebP with an alpha plane and no canvas", fixed(webpFile(wide, webpChunk("VP8 ", vp8Header(16, 16), make([]byte, 20)))), bad},
		{"WebP with 2600 groups of codes", fixed(webpFile(webpChunk("VP8L", vp8lHeader(208, 200), groupBomb(2600, 52*50, false)))), bad},
		{"WebP with 2600 groups of codes for its alpha plane", fixed(webpFile(vp8x(0x10, 208, 200), webpChunk("ALPH", []byte{1}, groupBomb(2600, 52*50, false)),
			webpChunk("VP8 ", vp8Header(208, 200), make([]byte, 200)))), bad},
		{"WebP with a transform repeated", fixed(webpFile(webpChunk("VP8L", vp8lHeader(16, 16), []byte{0x2d, 0, 0, 0, 0, 0}))), bad},
		{"WebP with a chunk beyond its end", fixed(webpFile(slices.Concat([]byte("VP8L"), le32(1<<32-1), vp8lHeader(16, 16), solidVP8L(red)))), bad},
		{"WebP whose RIFF length is 0", func(testing.TB) []byte {
			file := solidWebP(16, 16, red)
			copy(file[4:], le32(0))
			return file
		}, bad},
		{"WebP of an animation", fixed(webpFile(vp8x(0x02, 16, 16), webpChunk("ANIM", make([]byte, 6)), webpChunk("ANMF", make([]byte, 6),
			le24(15), le24(15), make([]byte, 4), vp8l(16, 16)))), picture.ErrUnsupported},
		{"WebP of 100,000 empty chunks", fixed(webpFile(bytes.Repeat(webpChunk("juNk"), 100_000), vp8l(16, 16))), nil},
		{"WebP of one colour", fixed(solidWebP(16, 16, red)), nil},
		{"WebP of 4 megapixels", fixed(solidWebP(2048, 2048, red)), nil},
		{"WebP as wide as may be", fixed(solidWebP(16384, 1, red)), nil},
		{"WebP, lossy", func(t testing.TB) []byte { return testdata(t, "lossy.webp") }, nil},
		{"WebP, lossy with alpha", func(t testing.TB) []byte { return testdata(t, "lossy_alpha.webp") }, nil},
		{"WebP, lossless", func(t testing.TB) []byte { return testdata(t, "lossless.webp") }, nil},
		{"WebP, lossless with a palette", func(t testing.TB) []byte { return testdata(t, "lossless_palette.webp") }, nil},
		{"WebP, lossless with alpha", func(t testing.TB) []byte { return testdata(t, "lossless_alpha.webp") }, nil},
		{"WebP with a position", fixed(webpFile(vp8x(0x08, 16, 16), vp8l(16, 16), webpChunk("EXIF", exif(1)))), nil},
		{"WebP with a profile and XMP", fixed(webpFile(vp8x(0x24, 16, 16), webpChunk("ICCP", []byte(canary)), vp8l(16, 16), webpChunk("XMP ", []byte(canary)))), nil},
		{"WebP with an archive behind", fixed(solidWebP(16, 16, red), zipFile), nil},
	}
}

// corpus returns all hostile uploads.
func corpus() []upload {
	return slices.Concat(otherKinds(), jpegUploads(), pngUploads(), gifUploads(), webpUploads())
}

// TestHostileUploadsAreRefusedOrMadeHarmless is not parallel: it measures what
// the whole process allocates.
func TestHostileUploadsAreRefusedOrMadeHarmless(t *testing.T) {
	uploads := corpus()
	if len(uploads) < 60 {
		t.Fatalf("corpus of %d files, want 60 or more", len(uploads))
	}
	for _, u := range uploads {
		t.Run(u.name, func(t *testing.T) {
			file := u.make(t)
			if len(file) > 2<<20 && u.want != picture.ErrTooLarge {
				t.Fatalf("file of %d bytes is beyond the limit for another reason than it should be", len(file))
			}
			p, allocated, err := processMeasured(t, file)
			if allocated > maxAllocation {
				t.Errorf("allocated %d MiB, at most %d", allocated>>20, maxAllocation>>20)
			}
			if !errors.Is(err, u.want) {
				t.Fatalf("Process = %v, want %v", err, u.want)
			}
			if err == nil {
				checkPicture(t, p)
			}
		})
	}
}

// processMeasured returns what Process does and how many bytes it allocates.
func processMeasured(t *testing.T, file []byte) (picture.Picture, uint64, error) {
	t.Helper()
	processor := picture.NewProcessor(picture.Config{})
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p, err := processor.Process(t.Context(), 1, file)
	runtime.ReadMemStats(&after)
	return p, after.TotalAlloc - before.TotalAlloc, err
}

// checkPicture checks what holds for every result: it can be decoded, is small,
// has the right name and type, and carries nothing but pixels. It returns the
// image.
func checkPicture(t *testing.T, p picture.Picture) image.Image {
	t.Helper()
	if want := picture.Key(1, p.Bytes); p.Key != want {
		t.Errorf("key %s, want %s", p.Key, want)
	}
	var (
		img    image.Image
		err    error
		pieces []string
		own    string
	)
	switch p.ContentType {
	case "image/jpeg":
		img, err = jpeg.Decode(bytes.NewReader(p.Bytes))
		pieces, own = jpegMarkers(p.Bytes), "d8 db c0 c4 da d9"
	case "image/png":
		img, err = png.Decode(bytes.NewReader(p.Bytes))
		pieces, own = pngKinds(p.Bytes), "IHDR IDAT IEND"
	default:
		t.Fatalf("content type %q", p.ContentType)
	}
	if err != nil {
		t.Fatalf("decode result: %v", err)
	}
	for _, piece := range pieces {
		if !slices.Contains(strings.Fields(own), piece) {
			t.Errorf("result has a %s, want nothing but %s", piece, own)
		}
	}
	for _, trace := range []string{canary, "Exif", "ICC_PROFILE", "<?php", "<script", "PK\x05\x06"} {
		if bytes.Contains(p.Bytes, []byte(trace)) {
			t.Errorf("result contains %q", trace)
		}
	}
	if size := img.Bounds().Size(); size.X < 1 || size.Y < 1 || size.X > 512 || size.Y > 512 {
		t.Errorf("result of %v, at most 512 a side", size)
	}
	return img
}

// jpegMarkers returns the markers of a JPEG file, in hexadecimal.
func jpegMarkers(file []byte) []string {
	var markers []string
	for i := 0; i+1 < len(file); i++ {
		if file[i] == 0xff && file[i+1] != 0 {
			markers = append(markers, fmt.Sprintf("%02x", file[i+1]))
			if m := file[i+1]; m != 0xd8 && m != 0xd9 && i+3 < len(file) {
				i += 1 + int(file[i+2])<<8 + int(file[i+3])
			}
		}
	}
	return markers
}

// pngKinds returns the kinds of the chunks of a PNG file, and what follows them
// as one more.
func pngKinds(file []byte) []string {
	var kinds []string
	rest := file[8:]
	for len(rest) >= 12 {
		n := int(rest[0])<<24 | int(rest[1])<<16 | int(rest[2])<<8 | int(rest[3])
		kinds = append(kinds, string(rest[4:8]))
		rest = rest[12+n:]
	}
	if len(rest) > 0 {
		kinds = append(kinds, "remainder")
	}
	return kinds
}
