package picture

import (
	"bytes"
	"image"
	"io"
)

// EstimatedMemory returns what an upload is expected to allocate when it is
// decoded, whatever the limit of that, unless its size is refused.
func EstimatedMemory(upload []byte) (int64, error) {
	h, err := inspect(upload)
	if err == nil {
		err = NewProcessor(Config{}).checkSize(h)
	}
	if err != nil {
		return 0, err
	}
	memory := h.memory
	for _, stream := range h.lossless {
		n, err := stream.memory(1 << 40)
		if err != nil {
			return 0, err
		}
		memory += n
	}
	return memory, nil
}

// DecodeUnchecked decodes an upload as Process does, without its checks.
func DecodeUnchecked(upload []byte) (image.Image, error) {
	h, err := inspect(upload)
	if err != nil {
		return nil, err
	}
	return decodeFirstFrame(h.kind, bytes.NewReader(h.stream))
}

// SetDecode puts another decoder in place of the real ones.
func (p *Processor) SetDecode(decode func(io.Reader) (image.Image, error)) {
	p.decode = func(_ kind, r io.Reader) (image.Image, error) { return decode(r) }
}
