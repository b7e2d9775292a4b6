package e2e_test

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"testing"
)

// leaning is the size of leaningJPEG as it is stored: a picture that is 60
// wide and 100 high, on its side.
var leaning = image.Rect(0, 0, 100, 60)

// leaningJPEG returns what a telephone makes of a picture with a blue sky
// over red ground when it is held upright: it stores the picture on its side,
// the sky at the left, with the note that it is to be turned clockwise (Exif
// orientation 6).
func leaningJPEG(t testing.TB) []byte {
	t.Helper()
	img := image.NewRGBA(leaning)
	for y := range leaning.Dy() {
		for x := range leaning.Dx() {
			img.Set(x, y, color.RGBA{R: 220, A: 255})
			if x < leaning.Dx()/2 {
				img.Set(x, y, color.RGBA{B: 220, A: 255})
			}
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	data := b.Bytes()
	exif := "Exif\x00\x00" + // then TIFF, little endian: one directory of one entry
		"II*\x00\x08\x00\x00\x00" + "\x01\x00" +
		"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00" + "\x00\x00\x00\x00"
	segment := append([]byte{0xff, 0xe1, 0, byte(len(exif) + 2)}, exif...)
	return append(append(data[:2:2], segment...), data[2:]...) // right after the start of the image
}
