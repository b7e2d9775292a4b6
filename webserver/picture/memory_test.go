package picture_test

import (
	"errors"
	"image/color"
	"runtime"
	"strings"
	"testing"

	"gatehouse/webserver/picture"
)

// samples are good files of many forms, each small enough to be tried often.
func samples(t testing.TB) map[string][]byte {
	return map[string][]byte{
		"JPEG":                      withSegments(encodeJPEG(t, gradient(40, 30)), exifSegment(6)),
		"JPEG, progressive":         rawJPEG{marker: 0xc2, width: 40, height: 30, sampling: half, scans: 3}.bytes(),
		"JPEG, progressive, full":   rawJPEG{marker: 0xc2, width: 300, height: 200, sampling: full}.bytes(),
		"JPEG, progressive, gray":   rawJPEG{marker: 0xc2, width: 300, height: 200, sampling: gray}.bytes(),
		"JPEG, wide blocks":         rawJPEG{marker: 0xc0, width: 300, height: 200, sampling: []byte{0x42, 0x11, 0x11}}.bytes(),
		"JPEG, RGB by its names":    rawJPEG{marker: 0xc0, width: 300, height: 200, sampling: full, ids: []byte("RGB")}.bytes(),
		"JPEG, RGB by Adobe":        rawJPEG{marker: 0xc0, width: 300, height: 200, sampling: full, before: [][]byte{adobeSegment(0)}}.bytes(),
		"JPEG, CMYK":                rawJPEG{marker: 0xc0, width: 300, height: 200, sampling: fourFull, before: [][]byte{adobeSegment(0)}}.bytes(),
		"JPEG, CMYK, progressive":   rawJPEG{marker: 0xc2, width: 300, height: 200, sampling: fourFull, before: [][]byte{adobeSegment(2)}}.bytes(),
		"PNG":                       withChunks(encodePNG(t, gradient(40, 30)), pngChunk("eXIf", exif(6))),
		"PNG, 1 bit":                pngZeros(300, 200, 1, 0, 0),
		"PNG, palette":              pngZeros(300, 200, 4, 3, 0),
		"PNG, palette, interlaced":  pngZeros(300, 200, 8, 3, 1),
		"PNG, gray, transparent":    withChunks(pngZeros(300, 200, 8, 0, 0), pngChunk("tRNS", be16(0))),
		"PNG, gray and alpha, deep": pngZeros(300, 200, 16, 4, 0),
		"PNG, colour, interlaced":   pngZeros(300, 200, 8, 6, 1),
		"PNG, deep, interlaced":     pngZeros(300, 200, 16, 6, 1),
		"PNG, deep, transparent":    withChunks(pngZeros(300, 200, 16, 2, 0), pngChunk("tRNS", make([]byte, 6))),
		"GIF":                       encodeGIF(t, paletted(40, 30, color.White), paletted(40, 30, color.Black)),
		"GIF, larger":               encodeGIF(t, paletted(800, 600, color.White)),
		"WebP, lossy":               testdata(t, "lossy.webp"),
		"WebP, lossy, alpha":        testdata(t, "lossy_alpha.webp"),
		"WebP, lossless":            testdata(t, "lossless.webp"),
		"WebP, lossless, palette":   testdata(t, "lossless_palette.webp"),
		"WebP, lossless, alpha":     testdata(t, "lossless_alpha.webp"),
		"WebP, one colour":          solidWebP(300, 200, color.NRGBA{1, 2, 3, 255}),
		"WebP, 100 groups":          webpFile(webpChunk("VP8L", vp8lHeader(40, 40), groupBomb(100, 100, false), make([]byte, 40*40*8))),
		"WebP, palette, 100 groups": webpFile(webpChunk("VP8L", vp8lHeader(320, 40), groupBomb(100, 100, true), make([]byte, 40*40*8))),
	}
}

// TestEveryTruncationIsRefused cuts good files at every byte. A picture may
// come of one only if what is missing is not needed for its pixels.
func TestEveryTruncationIsRefused(t *testing.T) {
	t.Parallel()
	processor := picture.NewProcessor(picture.Config{})
	for name, file := range samples(t) {
		if len(file) > 3000 {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			taken := 0
			for n := range file {
				p, err := processor.Process(t.Context(), 1, file[:n:n])
				switch {
				case err == nil:
					checkPicture(t, p)
					taken++
				case !errors.Is(err, picture.ErrInvalid) && !errors.Is(err, picture.ErrUnsupported):
					t.Fatalf("cut at %d: %v, want a refusal", n, err)
				}
			}
			// The second frame of the GIF, a pad byte of WebP.
			if taken > 1 && !strings.HasPrefix(name, "GIF") {
				t.Errorf("%d of %d truncations were taken", taken, len(file))
			}
		})
	}
}

// TestMemoryIsNeverUnderestimated is what all limits rest on. It is not
// parallel: it measures what the whole process allocates.
func TestMemoryIsNeverUnderestimated(t *testing.T) {
	// What decoders allocate regardless of the image: buffers, tables.
	const slack = 200 << 10
	for name, file := range samples(t) {
		estimate, err := picture.EstimatedMemory(file)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err = picture.DecodeUnchecked(file)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Errorf("%s: decode: %v", name, err)
		}
		allocated := int64(after.TotalAlloc - before.TotalAlloc)
		if allocated > estimate+slack {
			t.Errorf("%s: decoding allocated %d bytes, the estimate was %d", name, allocated, estimate)
		}
		if estimate > 4*allocated+slack {
			t.Errorf("%s: decoding allocated %d bytes only, the estimate was %d", name, allocated, estimate)
		}
	}
}
