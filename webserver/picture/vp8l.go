package picture

import (
	"errors"
	"fmt"
)

// A losslessStream is a WebP lossless image without its header: a VP8L image,
// or the alpha plane of a lossy one.
//
// What such an image costs to decode stands in no header. Besides its pixels,
// the decoder builds up to 2600 groups of prefix codes, at up to 88 KiB each,
// and 800 KiB of input suffice to ask for all of them. How many and how large
// they are is only seen by reading the stream up to its pixels, past the small
// images that steer the decoding; RFC 9649, section 3, describes it.
type losslessStream struct {
	data          []byte
	width, height int
}

// What golang.org/x/image/vp8l allocates, in bytes. Small pieces are counted an
// eighth larger than they are, as the allocator rounds them up.
const (
	vp8lPixel     = 4
	vp8lGroup     = 5 * 536 // five codes, each with a look-up table
	vp8lCode      = 512     // while a code is read, for the code of its lengths
	vp8lSymbol    = 9       // while a code is built, for each possible symbol
	vp8lNode      = 9       // of the tree of a code: twice as many as symbols
	vp8lCacheSlot = 4
)

// Alphabets of the five prefix codes of a group. The first grows by the size of
// the colour cache.
const (
	vp8lLiterals  = 256
	vp8lLengths   = 24
	vp8lDistances = 40
)

// memory returns how many bytes decoding the stream allocates at most. It stops
// counting beyond limit.
func (l losslessStream) memory(limit int64) (int64, error) {
	s := vp8lScan{bits: bitReader{data: l.data}, limit: limit}
	s.stream(l.width, l.height)
	if s.bits.short {
		s.fail(errTruncated)
	}
	if s.err != nil && s.cost <= limit {
		return 0, fmt.Errorf("%w: reading lossless WebP: %w", ErrInvalid, s.err)
	}
	return s.cost, nil
}

// A vp8lScan reads a stream up to the pixels of its main image and adds up what
// they will cost. It ends at the first error, or when the cost exceeds its limit.
type vp8lScan struct {
	bits        bitReader
	cost, limit int64
	err         error
	// lengths is where the lengths of a code are read into, one code after
	// the other. 280 literals and lengths and 2048 cache slots are the most.
	lengths [vp8lLiterals + vp8lLengths + 1<<11]byte
}

func (s *vp8lScan) fail(err error) {
	if s.err == nil {
		s.err = err
	}
}

// done tells whether there is no point in going on.
func (s *vp8lScan) done() bool {
	return s.err != nil || s.bits.short || s.cost > s.limit
}

// stream reads the transforms, then the codes of the main image.
func (s *vp8lScan) stream(width, height int) {
	packed := s.transforms(width, height)
	cacheBits := s.cacheBits()
	groups := 1
	if !s.done() && s.bits.read(1) == 1 {
		tileBits := 2 + int(s.bits.read(3))
		groups = 1 + s.smallImage(tiles(packed, tileBits), tiles(height, tileBits))
	}
	s.cost += vp8lPixel * int64(packed) * int64(height)
	for i := 0; i < groups && !s.done(); i++ {
		s.group(cacheBits, nil)
	}
}

// transforms reads the transforms and returns the width of the main image,
// which is smaller if several pixels are packed into one.
func (s *vp8lScan) transforms(width, height int) (packed int) {
	const predictor, crossColour, subtractGreen, colourIndexing = 0, 1, 2, 3
	var seen [4]bool
	packed = width
	for !s.done() && s.bits.read(1) == 1 {
		transform := s.bits.read(2)
		if seen[transform] {
			s.fail(errors.New("transform repeated"))
			break
		}
		seen[transform] = true
		switch transform {
		case predictor, crossColour:
			tileBits := 2 + int(s.bits.read(3))
			s.smallImage(tiles(packed, tileBits), tiles(height, tileBits))
		case colourIndexing:
			colours := 1 + int(s.bits.read(8))
			s.smallImage(colours, 1)
			packed = tiles(packed, packedBits(colours))
			if packed != width {
				s.cost += vp8lPixel * int64(width) * int64(height)
			}
		}
	}
	return packed
}

// tiles returns how many tiles of 1<<bits pixels cover size pixels.
func tiles(size, bits int) int { return (size + 1<<bits - 1) >> bits }

// packedBits returns the logarithm of how many palette indices fit in a byte.
func packedBits(colours int) int {
	switch {
	case colours <= 2:
		return 3
	case colours <= 4:
		return 2
	case colours <= 16:
		return 1
	}
	return 0
}

// cacheBits reads whether there is a colour cache, and the logarithm of its size.
func (s *vp8lScan) cacheBits() int {
	if s.done() || s.bits.read(1) == 0 {
		return 0
	}
	bits := int(s.bits.read(4))
	if bits < 1 || bits > 11 {
		s.fail(fmt.Errorf("colour cache of %d bits", bits))
		return 0
	}
	s.cost += vp8lCacheSlot << bits
	return bits
}

// smallImage reads one of the images that steer the decoding of the main one.
// It returns the largest value of its red and green bytes taken as one number:
// where the image tells tiles their group, that is the highest group. Copied
// and cached pixels can be passed over, as they repeat earlier ones or are zero.
func (s *vp8lScan) smallImage(width, height int) (largest int) {
	s.cost += vp8lPixel * int64(width) * int64(height)
	cacheBits := s.cacheBits()
	var codes [5]prefixCode
	if !s.done() {
		s.group(cacheBits, &codes)
	}
	green, red, blue, alpha, distance := &codes[0], &codes[1], &codes[2], &codes[3], &codes[4]
	for left := width * height; left > 0 && !s.done(); {
		symbol := green.next(&s.bits)
		switch {
		case symbol < vp8lLiterals:
			largest = max(largest, red.next(&s.bits)<<8|symbol)
			blue.next(&s.bits)
			alpha.next(&s.bits)
			left--
		case symbol < vp8lLiterals+vp8lLengths:
			left -= s.parameter(symbol - vp8lLiterals)
			s.parameter(distance.next(&s.bits))
		default:
			left--
		}
	}
	return largest
}

// parameter reads the length or distance that a symbol stands for.
func (s *vp8lScan) parameter(symbol int) int {
	if symbol < 4 {
		return symbol + 1
	}
	extra := (symbol - 2) >> 1
	return (2+symbol&1)<<extra + int(s.bits.read(extra)) + 1
}

// group reads a group of five prefix codes, into codes unless that is nil.
func (s *vp8lScan) group(cacheBits int, codes *[5]prefixCode) {
	s.cost += vp8lGroup
	first := vp8lLiterals + vp8lLengths
	if cacheBits > 0 {
		first += 1 << cacheBits
	}
	for i, alphabet := range [5]int{first, vp8lLiterals, vp8lLiterals, vp8lLiterals, vp8lDistances} {
		if s.done() {
			return
		}
		var code *prefixCode
		if codes != nil {
			code = &codes[i]
		}
		s.code(alphabet, code)
	}
}

// code reads one prefix code (RFC 9649, section 3.7.2.1), into code unless that
// is nil.
func (s *vp8lScan) code(alphabet int, code *prefixCode) {
	if s.bits.read(1) == 1 {
		s.simpleCode(alphabet, code)
		return
	}
	s.cost += vp8lCode + vp8lSymbol*int64(alphabet)
	lengths := s.lengths[:alphabet]
	s.codeLengths(lengths)
	if s.done() {
		return
	}
	symbols := 0
	for _, length := range lengths {
		if length != 0 {
			symbols++
		}
	}
	s.cost += vp8lNode * 2 * int64(symbols)
	if code != nil {
		if err := code.build(lengths); err != nil {
			s.fail(err)
		}
	}
}

// simpleCode reads a code of one or two symbols, which need not be in order.
func (s *vp8lScan) simpleCode(alphabet int, code *prefixCode) {
	symbols := make([]uint16, 1+s.bits.read(1))
	width := 1 + 7*int(s.bits.read(1))
	for i := range symbols {
		symbols[i] = uint16(s.bits.read(width))
		width = 8
		if int(symbols[i]) >= alphabet {
			s.fail(fmt.Errorf("symbol %d of an alphabet of %d", symbols[i], alphabet))
		}
	}
	s.cost += vp8lNode * 2 * int64(len(symbols))
	if code != nil {
		code.count[1], code.symbols = uint16(len(symbols)), symbols
	}
}

// codeLengths reads the lengths of a code, which are themselves coded, with
// three symbols that repeat the last one or zero.
func (s *vp8lScan) codeLengths(lengths []byte) {
	var outer prefixCode
	if err := outer.build(s.outerLengths()); err != nil {
		s.fail(err)
		return
	}
	left := len(lengths)
	if s.bits.read(1) == 1 {
		left = 2 + int(s.bits.read(2+2*int(s.bits.read(3))))
	}
	clear(lengths)
	last, at := byte(8), 0
	for ; left > 0 && at < len(lengths) && !s.done(); left-- {
		symbol := outer.next(&s.bits)
		value, repeat := byte(symbol), 1
		switch symbol {
		case 16:
			value, repeat = last, 3+int(s.bits.read(2))
		case 17:
			value, repeat = 0, 3+int(s.bits.read(3))
		case 18:
			value, repeat = 0, 11+int(s.bits.read(7))
		}
		if at+repeat > len(lengths) {
			s.fail(errors.New("more code lengths than symbols"))
			return
		}
		for range repeat {
			lengths[at] = value
			at++
		}
		if value != 0 {
			last = value
		}
	}
}

// outerLengths reads the lengths of the code that code lengths are coded with.
func (s *vp8lScan) outerLengths() []byte {
	order := [19]byte{17, 18, 0, 1, 2, 3, 4, 5, 16, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	lengths := make([]byte, len(order))
	n := min(4+int(s.bits.read(4)), len(order))
	for _, symbol := range order[:n] {
		lengths[symbol] = byte(s.bits.read(3))
	}
	return lengths
}
