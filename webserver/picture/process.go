package picture

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"image"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/webp"
)

// jpegQuality is what opaque results are encoded with: at 512 pixels a side a
// photograph comes to some 50 KiB, and the loss is not seen.
const jpegQuality = 85

// Config says what a Processor takes. The zero value of each field means its
// default.
type Config struct {
	// MaxBytes is the most bytes an upload may have. Default 2 MiB.
	MaxBytes int
	// MaxPixels is the most pixels an upload may have, width times height.
	// Default 16 Mi (4096 x 4096).
	MaxPixels int64
	// MaxSide is the most pixels an upload may be wide or high. Default 16384.
	MaxSide int
	// MaxMemory is the most bytes that decoding one upload may allocate, told
	// from its headers before decoding. Default 115 MiB: that decodes 16
	// million pixels of everything common, progressive JPEG with subsampled
	// colour being the costliest (7.5 bytes a pixel). Forms that take more for
	// each pixel (16-bit and interlaced PNG, progressive JPEG with full colour)
	// reach it earlier. Reading, scaling and encoding take some 15 MiB more.
	MaxMemory int64
	// Side is the longest side of a result, in pixels. Default 512.
	Side int
	// Decoders is how many uploads are decoded at once. Default 2. Each of them
	// takes at most MaxMemory and some 15 MiB.
	Decoders int
}

// withDefaults returns c with the zero fields filled in.
func (c Config) withDefaults() Config {
	return Config{
		MaxBytes:  cmp.Or(c.MaxBytes, 2<<20),
		MaxPixels: cmp.Or(c.MaxPixels, 16<<20),
		MaxSide:   cmp.Or(c.MaxSide, 16384),
		MaxMemory: cmp.Or(c.MaxMemory, 115<<20),
		Side:      cmp.Or(c.Side, 512),
		Decoders:  cmp.Or(c.Decoders, 2),
	}
}

// A Processor turns uploads into pictures. It is safe for concurrent use.
type Processor struct {
	config Config
	// slots holds one element for each upload being decoded. Decoding is the
	// one thing here that costs memory and time, so this bounds both.
	slots chan struct{}
	// decode is decodeFirstFrame; tests put one in its place that fails.
	decode func(k kind, r io.Reader) (image.Image, error)
}

// NewProcessor returns a Processor that works as config says.
func NewProcessor(config Config) *Processor {
	config = config.withDefaults()
	return &Processor{
		config: config,
		slots:  make(chan struct{}, config.Decoders),
		decode: decodeFirstFrame,
	}
}

// Process checks an upload and makes a picture of it for the user: the first
// frame, turned upright, no larger than Config.Side, without any metadata; PNG
// if some of it is transparent, otherwise JPEG.
//
// It returns an error that wraps [ErrTooLarge], [ErrUnsupported] or
// [ErrInvalid] if the upload is refused, and the context's error if ctx ended
// before a decoder was free or while it worked. Size, kind and dimensions are
// checked before anything is decoded and before waiting for a decoder.
func (p *Processor) Process(ctx context.Context, userID int64, upload []byte) (Picture, error) {
	if len(upload) > p.config.MaxBytes {
		return Picture{}, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, len(upload), p.config.MaxBytes)
	}
	header, err := inspect(upload)
	if err != nil {
		return Picture{}, err
	}
	if err := p.checkSize(header); err != nil {
		return Picture{}, err
	}
	select {
	case p.slots <- struct{}{}:
		defer func() { <-p.slots }()
	case <-ctx.Done():
		return Picture{}, fmt.Errorf("wait for a picture decoder: %w", ctx.Err())
	}
	img, err := p.render(ctx, header)
	if err != nil {
		return Picture{}, err
	}
	return encode(userID, img)
}

// checkSize refuses dimensions beyond the limits.
func (p *Processor) checkSize(h header) error {
	if h.canvas != (image.Point{}) {
		if err := p.checkSides(h.canvas.X, h.canvas.Y); err != nil {
			return err
		}
	}
	return p.checkSides(h.width, h.height)
}

// checkSides refuses one pair of sides. Their product is taken in 64 bits, where
// two 31-bit sides cannot overflow.
func (p *Processor) checkSides(width, height int) error {
	switch {
	case width <= 0 || height <= 0:
		return fmt.Errorf("%w: %d x %d pixels", ErrInvalid, width, height)
	case width > p.config.MaxSide || height > p.config.MaxSide:
		return fmt.Errorf("%w: %d x %d pixels, at most %d a side", ErrInvalid, width, height, p.config.MaxSide)
	case int64(width)*int64(height) > p.config.MaxPixels:
		return fmt.Errorf("%w: %d x %d pixels, at most %d in all", ErrInvalid, width, height, p.config.MaxPixels)
	}
	return nil
}

// checkMemory refuses what would take too much memory to decode.
func (p *Processor) checkMemory(h header) error {
	memory := h.memory
	for _, stream := range h.lossless {
		n, err := stream.memory(p.config.MaxMemory)
		if err != nil {
			return err
		}
		memory += n
	}
	if memory > p.config.MaxMemory {
		return fmt.Errorf("%w: decoding %d x %d pixels of this form takes %d bytes of memory or more, at most %d",
			ErrInvalid, h.width, h.height, memory, p.config.MaxMemory)
	}
	return nil
}

// render decodes an upload and makes it small and upright. A decoder that
// panics has met bytes it cannot handle: that is the upload's fault and must
// not become the server's, so it is reported as ErrInvalid.
func (p *Processor) render(ctx context.Context, h header) (img *image.RGBA, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			img, err = nil, fmt.Errorf("%w: decoding %s: panic: %v", ErrInvalid, h.kind, cause)
		}
	}()
	if err := p.checkMemory(h); err != nil {
		return nil, err
	}
	decoded, err := p.decode(h.kind, &contextReader{ctx: ctx, r: bytes.NewReader(h.stream)})
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("decode picture: %w", err)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: decoding %s: %w", ErrInvalid, h.kind, err)
	}
	if size := decoded.Bounds().Size(); size != image.Pt(h.width, h.height) {
		return nil, fmt.Errorf("%w: %s header says %d x %d pixels, the data %d x %d",
			ErrInvalid, h.kind, h.width, h.height, size.X, size.Y)
	}
	return upright(fit(decoded, p.config.Side), h.orientation), nil
}

// decodeFirstFrame decodes the first frame of an upload.
func decodeFirstFrame(k kind, r io.Reader) (image.Image, error) {
	switch k {
	case kindJPEG:
		return jpeg.Decode(r)
	case kindPNG:
		return png.Decode(r)
	case kindGIF:
		return gif.Decode(r)
	case kindWebP:
		img, err := webp.Decode(r)
		fullRange(img)
		return img, err
	}
	return nil, fmt.Errorf("%w: %s", ErrUnsupported, k)
}

// encode makes the picture that is stored.
func encode(userID int64, img *image.RGBA) (Picture, error) {
	var (
		out         bytes.Buffer
		contentType = typeJPEG
		err         error
	)
	if img.Opaque() {
		err = jpeg.Encode(&out, img, &jpeg.Options{Quality: jpegQuality})
	} else {
		contentType = typePNG
		err = png.Encode(&out, img)
	}
	if err != nil {
		return Picture{}, fmt.Errorf("encode picture as %s: %w", contentType, err)
	}
	return Picture{Key: Key(userID, out.Bytes()), ContentType: contentType, Bytes: out.Bytes()}, nil
}

// A contextReader ends with its context, so that a decoder stops soon after
// nobody waits for it any more.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

// Read reads from the upload while the context lives.
func (c *contextReader) Read(b []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(b)
}
