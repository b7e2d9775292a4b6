package picture_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gatehouse/webserver/picture"
)

// process makes a picture for user 1 and returns its image.
func process(t *testing.T, file []byte) (picture.Picture, image.Image) {
	t.Helper()
	p, err := picture.NewProcessor(picture.Config{}).Process(t.Context(), 1, file)
	if err != nil {
		t.Fatalf("Process: %v", err)
	}
	return p, checkPicture(t, p)
}

// expectColour fails the test unless the pixel is of about the colour.
func expectColour(t *testing.T, img image.Image, x, y int, want color.Color) {
	t.Helper()
	got := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
	w := color.NRGBAModel.Convert(want).(color.NRGBA)
	for _, pair := range [4][2]byte{{got.R, w.R}, {got.G, w.G}, {got.B, w.B}, {got.A, w.A}} {
		if d := int(pair[0]) - int(pair[1]); d < -12 || d > 12 {
			t.Errorf("pixel at %d, %d is %v, want about %v", x, y, got, w)
			return
		}
	}
}

// expectUpright fails the test unless img is the upright test picture.
func expectUpright(t *testing.T, img image.Image) {
	t.Helper()
	b := img.Bounds()
	for i, want := range quarters {
		expectColour(t, img, b.Dx()/4+i%2*b.Dx()/2, b.Dy()/4+i/2*b.Dy()/2, want)
	}
}

func TestProcessFitsPicturesIntoASquare(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ width, height, wantWidth, wantHeight int }{
		{1, 1, 1, 1},
		{2, 3, 2, 3},
		{100, 50, 100, 50},
		{512, 512, 512, 512},
		{513, 512, 512, 511},
		{512, 513, 511, 512},
		{600, 1, 512, 1},
		{1000, 500, 512, 256},
		{1023, 1023, 512, 512},
		{1024, 1024, 512, 512},
		{1024, 3, 512, 2},
		{1025, 7, 512, 3},
		{1500, 2000, 384, 512},
		{3000, 2000, 512, 341},
		{1, 16384, 1, 512},
		{16384, 9, 512, 1},
		{4095, 2047, 512, 256},
	} {
		t.Run(fmt.Sprintf("%d x %d", test.width, test.height), func(t *testing.T) {
			t.Parallel()
			_, img := process(t, pngZeros(test.width, test.height, 8, 0, 0))
			if got := img.Bounds().Size(); got != image.Pt(test.wantWidth, test.wantHeight) {
				t.Errorf("result of %v, want %d x %d", got, test.wantWidth, test.wantHeight)
			}
		})
	}
}

func TestProcessKeepsColoursWhenItScales(t *testing.T) {
	t.Parallel()
	for _, size := range []image.Point{{96, 64}, {512, 512}, {600, 520}, {1100, 700}} {
		_, img := process(t, encodePNG(t, quarterPicture(size.X, size.Y)))
		expectUpright(t, img)
	}
}

// TestProcessShowsTheAverageOfAFinePattern scales black and white dots that
// cannot be told apart any more: picking some of them would give any pattern
// but gray.
func TestProcessShowsTheAverageOfAFinePattern(t *testing.T) {
	t.Parallel()
	for _, side := range []int{1000, 1536} {
		dots := image.NewGray(image.Rect(0, 0, side, side))
		for y := range side {
			for x := range side {
				dots.SetGray(x, y, color.Gray{Y: byte(255 * ((x ^ y) & 1))})
			}
		}
		_, img := process(t, encodePNG(t, dots))
		for y := 10; y < 500; y++ {
			for x := 10; x < 500; x++ {
				if c := color.GrayModel.Convert(img.At(x, y)).(color.Gray).Y; c < 90 || c > 166 {
					t.Fatalf("%d pixels: pixel at %d, %d is %d, want about 128", side, x, y, c)
				}
			}
		}
	}
}

// TestProcessDoesNotLetInvisibleColoursShow scales a picture whose transparent
// pixels are green: at the edge, none of it may come out.
func TestProcessDoesNotLetInvisibleColoursShow(t *testing.T) {
	t.Parallel()
	for _, side := range []int{530, 1040} {
		img := image.NewNRGBA(image.Rect(0, 0, side, side))
		for y := range side {
			for x := range side {
				img.SetNRGBA(x, y, color.NRGBA{0, 255, 0, 0})
				if (x+y)%3 == 0 {
					img.SetNRGBA(x, y, color.NRGBA{255, 0, 0, 255})
				}
			}
		}
		p, result := process(t, encodePNG(t, img))
		if p.ContentType != "image/png" {
			t.Fatalf("content type %s, want PNG", p.ContentType)
		}
		for _, at := range []image.Point{{0, 0}, {5, 6}, {300, 301}, {511, 511}} {
			if c := color.NRGBAModel.Convert(result.At(at.X, at.Y)).(color.NRGBA); c.G > 8 && c.A > 8 {
				t.Errorf("side %d: pixel at %v is %v, want no green", side, at, c)
			}
		}
	}
}

func TestProcessKeepsTransparencyAndDropsItWhereThereIsNone(t *testing.T) {
	t.Parallel()
	clear := gradient(600, 300)
	clear.SetNRGBA(300, 150, color.NRGBA{})
	for name, test := range map[string]struct {
		file []byte
		want string
	}{
		"JPEG":                          {encodeJPEG(t, gradient(64, 48)), "image/jpeg"},
		"opaque PNG":                    {encodePNG(t, gradient(600, 300)), "image/jpeg"},
		"PNG with one transparent dot":  {encodePNG(t, clear), "image/png"},
		"opaque PNG with alpha channel": {pngFile(pngHeader(1, 1, 8, 6, 0), pngChunk("IDAT", stored5([]byte{0, 1, 2, 3, 255})), pngChunk("IEND")), "image/jpeg"},
		"opaque GIF":                    {encodeGIF(t, paletted(64, 48, color.White)), "image/jpeg"},
		"transparent GIF":               {encodeGIF(t, paletted(64, 48, color.Transparent)), "image/png"},
		"opaque WebP":                   {solidWebP(64, 48, color.NRGBA{1, 2, 3, 255}), "image/jpeg"},
		"transparent WebP":              {solidWebP(64, 48, color.NRGBA{1, 2, 3, 128}), "image/png"},
		"lossy WebP with alpha":         {testdata(t, "lossy_alpha.webp"), "image/png"},
		"lossless WebP with alpha":      {testdata(t, "lossless_alpha.webp"), "image/png"},
	} {
		if p, _ := process(t, test.file); p.ContentType != test.want {
			t.Errorf("%s becomes %s, want %s", name, p.ContentType, test.want)
		}
	}
}

// stored5 returns five bytes as zlib data.
func stored5(b []byte) []byte {
	s1, s2 := 1, 0
	for _, c := range b {
		s1 += int(c)
		s2 += s1
	}
	return slices.Concat([]byte{0x78, 0x01, 1, 5, 0, 0xfa, 0xff}, b, be16(s2), be16(s1))
}

func TestProcessReadsEveryForm(t *testing.T) {
	t.Parallel()
	deep := image.NewNRGBA64(image.Rect(0, 0, 96, 64))
	for y := range 64 {
		for x := range 96 {
			deep.Set(x, y, quarterPicture(96, 64).At(x, y))
		}
	}
	frame := image.NewPaletted(image.Rect(0, 0, 96, 64), color.Palette{quarters[0], quarters[1], quarters[2], quarters[3]})
	for i := range frame.Pix {
		frame.Pix[i] = byte(i%96/48 + i/96/32*2)
	}
	for name, file := range map[string][]byte{
		"JPEG":                      encodeJPEG(t, quarterPicture(96, 64)),
		"PNG":                       encodePNG(t, quarterPicture(96, 64)),
		"PNG of 16 bits":            encodePNG(t, deep),
		"PNG with palette":          encodePNG(t, frame),
		"GIF":                       encodeGIF(t, frame),
		"GIF with a second frame":   encodeGIF(t, frame, paletted(96, 64, color.Black)),
		"lossy WebP":                testdata(t, "lossy.webp"),
		"lossless WebP, palette":    testdata(t, "lossless_palette.webp"),
		"WebP on a canvas":          webpFile(vp8x(0, 48, 32), testdata(t, "lossy.webp")[12:]),
		"WebP without its last pad": bytes.TrimSuffix(webpFile(testdata(t, "lossy.webp")[12:], webpChunk("odd ", []byte{1})), []byte{0}),
	} {
		t.Run(name, func(t *testing.T) {
			_, img := process(t, file)
			expectUpright(t, img)
		})
	}
}

func TestProcessReadsExactColours(t *testing.T) {
	t.Parallel()
	lossless, err := picture.DecodeUnchecked(testdata(t, "lossless.webp"))
	if err != nil {
		t.Fatal(err)
	}
	for y := range 48 {
		for x := range 64 {
			if got, want := lossless.At(x, y), (color.NRGBA{byte(x * 4), byte(y * 5), byte(x * y), 255}); got != want {
				t.Fatalf("lossless pixel at %d, %d is %v, want %v", x, y, got, want)
			}
		}
	}
	_, img := process(t, rawJPEG{marker: 0xc0, width: 64, height: 48, sampling: fourFull, before: [][]byte{adobeSegment(0)}}.bytes())
	expectColour(t, img, 30, 20, color.CMYK{127, 127, 127, 127})
	_, img = process(t, testdata(t, "lossy_alpha.webp"))
	expectColour(t, img, 6, 8, quarters[0])
	if _, _, _, a := img.At(40, 16).RGBA(); a>>8 < 110 || a>>8 > 146 {
		t.Errorf("alpha of %d, want about 128", a>>8)
	}
}

func TestProcessTakesAGIFFrameFromWhereItLies(t *testing.T) {
	t.Parallel()
	file := gifFile(100, 100, gifFrame(60, 70, 1, 1, 0, onePixel), []byte(";"))
	_, img := process(t, file)
	if got := img.Bounds().Size(); got != image.Pt(1, 1) {
		t.Errorf("result of %v, want the frame's 1 x 1", got)
	}
	expectColour(t, img, 0, 0, color.NRGBA{255, 0, 0, 255})
}

func TestKeyIsTheDigestOfUserAndBytes(t *testing.T) {
	t.Parallel()
	file := encodePNG(t, gradient(64, 48))
	processor := picture.NewProcessor(picture.Config{})
	seen := map[string]int64{}
	for _, user := range []int64{0, 1, 2, 1<<63 - 1} {
		p, err := processor.Process(t.Context(), user, file)
		if err != nil {
			t.Fatal(err)
		}
		id := slices.Concat(be32(int(user>>32)), be32(int(user&(1<<32-1))))
		if want := fmt.Sprintf("%x", sha256.Sum256(slices.Concat(id, p.Bytes))); p.Key != want {
			t.Errorf("user %d: key %s, want %s", user, p.Key, want)
		}
		if other, ok := seen[p.Key]; ok {
			t.Errorf("users %d and %d share a key", user, other)
		}
		seen[p.Key] = user
		again, err := processor.Process(t.Context(), user, file)
		if err != nil || again.Key != p.Key || !bytes.Equal(again.Bytes, p.Bytes) {
			t.Errorf("user %d: the same upload gives %s, then %s (%v)", user, p.Key, again.Key, err)
		}
	}
}

func TestRefusalsTellTheLimitAndTheValue(t *testing.T) {
	t.Parallel()
	config := picture.Config{MaxBytes: 10_000, MaxPixels: 5000, MaxSide: 200, MaxMemory: 12_000}
	for name, test := range map[string]struct {
		file []byte
		want error
		text string
	}{
		"bytes":  {make([]byte, 10_001), picture.ErrTooLarge, "10001 bytes, at most 10000"},
		"pixels": {pngZeros(100, 51, 8, 0, 0), picture.ErrInvalid, "100 x 51 pixels, at most 5000 in all"},
		"width":  {pngZeros(201, 1, 8, 0, 0), picture.ErrInvalid, "201 x 1 pixels, at most 200 a side"},
		"height": {pngZeros(1, 201, 8, 0, 0), picture.ErrInvalid, "1 x 201 pixels, at most 200 a side"},
		"memory": {pngZeros(50, 61, 8, 6, 0), picture.ErrInvalid, "12200 bytes of memory or more, at most 12000"},
		"scans":  {rawJPEG{marker: 0xc2, width: 8, height: 8, sampling: gray, scans: 33}.bytes(), picture.ErrInvalid, "33 scans, at most 32"},
		"planes": {webpFile(vp8x(0x10, 16, 16), bytes.Repeat(webpChunk("ALPH", []byte{0}), 2), webpChunk("VP8 ", vp8Header(16, 16))), picture.ErrInvalid, "bad ALPH chunk"},
		"canvas": {webpFile(vp8x(0, 16, 17), webpChunk("VP8L", vp8lHeader(16, 16), solidVP8L(quarters[0]))), picture.ErrInvalid, "canvas of 16 x 17 pixels around an image of 16 x 16"},
		"order":  {pngFile(pngHeader(1, 1, 8, 3, 0), pngChunk("IDAT", deflated(2)), pngChunk("PLTE", make([]byte, 3)), pngChunk("IEND")), picture.ErrInvalid, `chunk "PLTE" behind the pixels`},
		"kind":   {[]byte("<svg/>"), picture.ErrUnsupported, `6 bytes that begin with "<svg/>"`},
	} {
		_, err := picture.NewProcessor(config).Process(t.Context(), 1, test.file)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.text) {
			t.Errorf("%s: %v, want %v with %q", name, err, test.want, test.text)
		}
	}
	wide := picture.Config{MaxSide: 1<<31 - 1}
	area := pngFile(pngHeader(641, 6700417, 1, 0, 0), pngChunk("IEND")) // 2^32+1 pixels
	if _, err := picture.NewProcessor(wide).Process(t.Context(), 1, area); err == nil || !strings.Contains(err.Error(), "641 x 6700417 pixels, at most 16777216 in all") {
		t.Errorf("area beyond 32 bits: %v, want it refused for its area", err)
	}
	for name, file := range map[string][]byte{
		"bytes":  append(encodePNG(t, gradient(8, 8)), make([]byte, 10_000-len(encodePNG(t, gradient(8, 8))))...),
		"pixels": pngZeros(100, 50, 8, 3, 0),
		"side":   pngZeros(200, 1, 8, 0, 0),
		"memory": pngZeros(50, 60, 8, 6, 0),
		"scans":  rawJPEG{marker: 0xc2, width: 8, height: 8, sampling: gray, scans: 32}.bytes(),
	} {
		if _, err := picture.NewProcessor(config).Process(t.Context(), 1, file); err != nil {
			t.Errorf("%s: %v at the limit, want nil", name, err)
		}
	}
}

func TestProcessTurnsADecodersPanicIntoARefusal(t *testing.T) {
	t.Parallel()
	processor := picture.NewProcessor(picture.Config{Decoders: 1})
	processor.SetDecode(func(io.Reader) (image.Image, error) { panic("index out of range") })
	for range 2 { // the decoder's place must be free again
		_, err := processor.Process(t.Context(), 1, encodePNG(t, gradient(8, 8)))
		if !errors.Is(err, picture.ErrInvalid) || !strings.Contains(err.Error(), "panic: index out of range") {
			t.Errorf("Process = %v, want ErrInvalid with the panic", err)
		}
	}
}

func TestProcessRefusesDataOfAnotherSizeThanTheHeader(t *testing.T) {
	t.Parallel()
	processor := picture.NewProcessor(picture.Config{})
	processor.SetDecode(func(io.Reader) (image.Image, error) { return gradient(8, 9), nil })
	_, err := processor.Process(t.Context(), 1, encodePNG(t, gradient(8, 8)))
	if !errors.Is(err, picture.ErrInvalid) || !strings.Contains(err.Error(), "header says 8 x 8 pixels, the data 8 x 9") {
		t.Errorf("Process = %v, want ErrInvalid with both sizes", err)
	}
}

func TestProcessDecodesNoMoreThanItMayAtOnce(t *testing.T) {
	t.Parallel()
	file := encodePNG(t, gradient(8, 8))
	synctest.Test(t, func(t *testing.T) {
		const decoders, uploads = 2, 5
		processor := picture.NewProcessor(picture.Config{Decoders: decoders})
		running, release := make(chan struct{}, uploads), make(chan struct{})
		processor.SetDecode(func(io.Reader) (image.Image, error) {
			running <- struct{}{}
			<-release
			return gradient(8, 8), nil
		})
		results := make(chan error, uploads)
		for range uploads {
			go func() {
				_, err := processor.Process(t.Context(), 1, file)
				results <- err
			}()
		}
		synctest.Wait()
		if n := len(running); n != decoders {
			t.Errorf("%d uploads are decoded at once, want %d", n, decoders)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := processor.Process(ctx, 1, file); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Process = %v while all decoders are busy, want DeadlineExceeded", err)
		}
		if _, err := processor.Process(ctx, 1, []byte("<svg/>")); !errors.Is(err, picture.ErrUnsupported) {
			t.Errorf("Process = %v, want ErrUnsupported without waiting for a decoder", err)
		}
		close(release)
		for range uploads {
			if err := <-results; err != nil {
				t.Errorf("Process = %v after its turn has come, want nil", err)
			}
		}
	})
}

func TestProcessStopsWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	processor := picture.NewProcessor(picture.Config{})
	ctx, cancel := context.WithCancel(t.Context())
	processor.SetDecode(func(r io.Reader) (image.Image, error) {
		if _, err := r.Read(make([]byte, 8)); err != nil {
			t.Errorf("Read = %v before the context has ended, want nil", err)
		}
		cancel()
		if _, err := r.Read(make([]byte, 8)); !errors.Is(err, context.Canceled) {
			t.Errorf("Read = %v after the context has ended, want Canceled", err)
		}
		return nil, io.ErrUnexpectedEOF
	})
	_, err := processor.Process(ctx, 1, encodePNG(t, gradient(8, 8)))
	if !errors.Is(err, context.Canceled) || errors.Is(err, picture.ErrInvalid) {
		t.Errorf("Process = %v, want context.Canceled and no word against the upload", err)
	}
}
