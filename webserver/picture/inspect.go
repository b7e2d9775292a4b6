package picture

import (
	"bytes"
	"errors"
	"fmt"
	"image"
)

// A kind is a file format that is taken as an upload.
type kind string

const (
	kindJPEG kind = "JPEG"
	kindPNG  kind = "PNG"
	kindGIF  kind = "GIF"
	kindWebP kind = "WebP"
)

// How files of each kind begin. A WebP file has its length between the two.
const (
	magicJPEG  = "\xff\xd8\xff"
	magicPNG   = "\x89PNG\r\n\x1a\n"
	magicGIF87 = "GIF87a"
	magicGIF89 = "GIF89a"
	magicRIFF  = "RIFF"
	magicWebP  = "WEBP"
)

// errTruncated means that the upload ends inside a structure.
var errTruncated = errors.New("file ends too early")

// A header is what an upload says of itself, read without decoding it.
//
// The decoders' own DecodeConfig is not enough: it tells the size a file
// announces, not the size the decoder will allocate. A GIF allocates its frame,
// not its screen; WebP a canvas or a bitstream, whichever comes; progressive
// JPEG up to sixteen times the pixels (golang/go issue 79063 has a GIF of 34
// bytes that takes 4 GiB).
type header struct {
	kind kind
	// width and height are those of the image that will be decoded.
	width, height int
	// canvas is the size of what that image is a part of, zero if it is whole.
	canvas image.Point
	// orientation is how the pixels must be turned, 1 to 8 as in EXIF; 1 is
	// upright.
	orientation int
	// memory is what decoding allocates at most, in bytes, without the
	// lossless streams.
	memory int64
	// lossless are the WebP lossless streams in the file. Their cost is not in
	// their headers: it takes some work to tell, see losslessStream.memory.
	lossless []losslessStream
	// stream is what is given to the decoder.
	stream []byte
}

// sniff tells the kind of a file from its first bytes. Names and content types
// sent by clients are never looked at.
func sniff(upload []byte) (kind, error) {
	switch {
	case bytes.HasPrefix(upload, []byte(magicJPEG)):
		return kindJPEG, nil
	case bytes.HasPrefix(upload, []byte(magicPNG)):
		return kindPNG, nil
	case bytes.HasPrefix(upload, []byte(magicGIF87)), bytes.HasPrefix(upload, []byte(magicGIF89)):
		return kindGIF, nil
	case len(upload) >= 12 && string(upload[:4]) == magicRIFF && string(upload[8:12]) == magicWebP:
		return kindWebP, nil
	}
	return "", fmt.Errorf("%w: %d bytes that begin with %q are not JPEG, PNG, WebP or GIF",
		ErrUnsupported, len(upload), upload[:min(len(upload), 8)])
}

// inspect reads the header of an upload.
func inspect(upload []byte) (header, error) {
	k, err := sniff(upload)
	if err != nil {
		return header{}, err
	}
	var h header
	switch k {
	case kindJPEG:
		h, err = inspectJPEG(upload)
	case kindPNG:
		h, err = inspectPNG(upload)
	case kindGIF:
		h, err = inspectGIF(upload)
	case kindWebP:
		h, err = inspectWebP(upload)
	}
	if errors.Is(err, ErrUnsupported) {
		return header{}, err
	}
	if err != nil {
		return header{}, fmt.Errorf("%w: reading %s header: %w", ErrInvalid, k, err)
	}
	h.kind = k
	return h, nil
}
