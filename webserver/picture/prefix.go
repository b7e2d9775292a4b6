package picture

import "errors"

// maxCodeLength is the longest code of a prefix code, in bits.
const maxCodeLength = 15

// A prefixCode is a canonical prefix code: shorter codes come first, and among
// codes of one length those of lower symbols. A code of a single symbol takes
// no bits.
type prefixCode struct {
	// count is how many symbols have codes of each length.
	count [maxCodeLength + 1]uint16
	// symbols are the symbols in the order of their codes.
	symbols []uint16
}

// build makes the code in which each symbol, an index of lengths, has a code of
// that length, 0 meaning none. Every sequence of bits must mean something: with
// fewer codes than fit, decoders differ in what they read.
func (c *prefixCode) build(lengths []byte) error {
	*c = prefixCode{}
	for _, length := range lengths {
		c.count[length]++
	}
	c.count[0] = 0
	var starts [maxCodeLength + 2]uint16
	space := 1
	for length := 1; length <= maxCodeLength; length++ {
		starts[length+1] = starts[length] + c.count[length]
		space = 2*space - int(c.count[length])
		if space < 0 {
			return errors.New("prefix code has too many codes")
		}
	}
	total := int(starts[maxCodeLength+1])
	if total == 0 || (space != 0 && total > 1) {
		return errors.New("prefix code is incomplete")
	}
	c.symbols = make([]uint16, total)
	for symbol, length := range lengths {
		if length != 0 {
			c.symbols[starts[length]] = uint16(symbol)
			starts[length]++
		}
	}
	return nil
}

// next reads a symbol.
func (c *prefixCode) next(bits *bitReader) int {
	if len(c.symbols) == 1 {
		return int(c.symbols[0])
	}
	code, first, index := 0, 0, 0
	for length := 1; length <= maxCodeLength; length++ {
		code |= int(bits.read(1))
		count := int(c.count[length])
		if code-first < count {
			return int(c.symbols[index+code-first])
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	// Not reached: build has seen to it that every code means something.
	return 0
}

// A bitReader reads numbers from bytes, the lowest bit first.
type bitReader struct {
	data  []byte
	held  uint64
	count int
	// short tells that more was read than there is; what is missing reads as 0.
	short bool
}

// read reads a number of up to 32 bits.
func (b *bitReader) read(n int) uint32 {
	for b.count < n {
		if len(b.data) == 0 {
			b.short = true
			return 0
		}
		b.held |= uint64(b.data[0]) << b.count
		b.data = b.data[1:]
		b.count += 8
	}
	value := uint32(b.held & (1<<n - 1))
	b.held >>= n
	b.count -= n
	return value
}
