package picture_test

import (
	"fmt"
	"image"
	"image/color"
	"slices"
	"testing"
)

// turned returns the picture as a camera stores it that was held so that the
// orientation applies: the table in Exif 2.32 says on which side of the upright
// picture the first row and the first column of pixels belong.
func turned(upright *image.NRGBA, orientation int) *image.NRGBA {
	sides := map[int][2]string{
		1: {"top", "left"}, 2: {"top", "right"}, 3: {"bottom", "right"}, 4: {"bottom", "left"},
		5: {"left", "top"}, 6: {"right", "top"}, 7: {"right", "bottom"}, 8: {"left", "bottom"},
	}[orientation]
	w, h := upright.Rect.Dx(), upright.Rect.Dy()
	columns, rows := w, h
	if sides[0] == "left" || sides[0] == "right" {
		columns, rows = h, w
	}
	img := image.NewNRGBA(image.Rect(0, 0, columns, rows))
	for row := range rows {
		for column := range columns {
			var x, y int
			for i, side := range sides {
				n := [2]int{row, column}[i]
				switch side {
				case "top":
					y = n
				case "bottom":
					y = h - 1 - n
				case "left":
					x = n
				case "right":
					x = w - 1 - n
				}
			}
			img.SetNRGBA(column, row, upright.NRGBAAt(x, y))
		}
	}
	return img
}

// bigEndianExif returns Exif data with nothing but an orientation.
func bigEndianExif(orientation int) []byte {
	return slices.Concat([]byte("MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01"), be16(orientation), make([]byte, 6))
}

func TestProcessTurnsPicturesUpright(t *testing.T) {
	t.Parallel()
	forms := map[string]func(t *testing.T, img image.Image, orientation int) []byte{
		"JPEG": func(t *testing.T, img image.Image, o int) []byte {
			return withSegments(encodeJPEG(t, img), exifSegment(o))
		},
		"JPEG, big-endian, behind XMP": func(t *testing.T, img image.Image, o int) []byte {
			return withSegments(encodeJPEG(t, img), jpegSegment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00<x/>")),
				jpegSegment(0xe1, []byte("Exif\x00\x00"), bigEndianExif(o)))
		},
		"PNG": func(t *testing.T, img image.Image, o int) []byte {
			return withChunks(encodePNG(t, img), pngChunk("eXIf", exif(o)))
		},
		"PNG with Exif behind its pixels": func(t *testing.T, img image.Image, o int) []byte {
			file := encodePNG(t, img)
			end := len(file) - 12
			return slices.Concat(file[:end], pngChunk("eXIf", bigEndianExif(o)), file[end:])
		},
	}
	for name, make := range forms {
		for orientation := 1; orientation <= 8; orientation++ {
			t.Run(fmt.Sprintf("%s, orientation %d", name, orientation), func(t *testing.T) {
				t.Parallel()
				_, img := process(t, make(t, turned(quarterPicture(96, 64), orientation), orientation))
				if got := img.Bounds().Size(); got != image.Pt(96, 64) {
					t.Errorf("result of %v, want 96 x 64", got)
				}
				expectUpright(t, img)
			})
		}
	}
}

func TestProcessTurnsPicturesThatItScales(t *testing.T) {
	t.Parallel()
	for _, orientation := range []int{1, 3, 6} {
		_, img := process(t, withSegments(encodeJPEG(t, turned(quarterPicture(1200, 800), orientation)), exifSegment(orientation)))
		if got := img.Bounds().Size(); got != image.Pt(512, 341) {
			t.Errorf("orientation %d: result of %v, want 512 x 341", orientation, got)
		}
		expectUpright(t, img)
	}
}

func TestProcessTurnsWebPUpright(t *testing.T) {
	t.Parallel()
	// The bitstream of this file is the upright picture, 48 x 32: turned by 6,
	// its bottom left comes to the top left.
	lossy := testdata(t, "lossy.webp")[12:]
	for name, exif := range map[string][]byte{
		"as the format says":  exif(6),
		"as some programs do": append([]byte("Exif\x00\x00"), exif(6)...),
	} {
		_, img := process(t, webpFile(vp8x(0x08, 48, 32), lossy, webpChunk("EXIF", exif)))
		if got := img.Bounds().Size(); got != image.Pt(32, 48) {
			t.Errorf("%s: result of %v, want 32 x 48", name, got)
		}
		for i, want := range []color.NRGBA{quarters[2], quarters[0], quarters[3], quarters[1]} {
			expectColour(t, img, 8+i%2*16, 12+i/2*24, want)
		}
	}
}

func TestProcessIgnoresDamagedOrientations(t *testing.T) {
	t.Parallel()
	entry := func(tag, kind, count, value int) []byte {
		return slices.Concat([]byte("II*\x00"), le32(8), le16(1), le16(tag), le16(kind), le32(count), le32(value))
	}
	for name, exif := range map[string][]byte{
		"empty":                     {},
		"no TIFF":                   []byte("not a TIFF structure"),
		"directory beyond the end":  []byte("II*\x00\xff\xff\xff\xff"),
		"directory at the very end": []byte("II*\x00\x08\x00\x00\x00"),
		"entries beyond the end":    []byte("II*\x00\x08\x00\x00\x00\xff\xff\x12\x01"),
		"value 0":                   entry(0x0112, 3, 1, 0),
		"value 9":                   entry(0x0112, 3, 1, 9),
		"value 65535":               entry(0x0112, 3, 1, 65535),
		"of another type":           entry(0x0112, 4, 1, 6),
		"of two values":             entry(0x0112, 3, 2, 6),
		"of another tag":            entry(0x0113, 3, 1, 6),
	} {
		_, img := process(t, withSegments(encodeJPEG(t, quarterPicture(96, 64)), jpegSegment(0xe1, []byte("Exif\x00\x00"), exif)))
		if got := img.Bounds().Size(); got != image.Pt(96, 64) {
			t.Errorf("%s: result of %v, want 96 x 64", name, got)
		}
		expectUpright(t, img)
	}
}
