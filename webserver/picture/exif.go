package picture

import (
	"bytes"
	"encoding/binary"
)

// exifOrientation returns the orientation that an Exif segment tells, or
// otherwise if the segment is none.
func exifOrientation(segment []byte, otherwise int) int {
	tiff, ok := bytes.CutPrefix(segment, []byte("Exif\x00\x00"))
	if !ok {
		return otherwise
	}
	return tiffOrientation(tiff)
}

// tiffOrientation returns the orientation tag of the first directory of a TIFF
// structure, which is what Exif data is (TIFF 6.0, section 2; Exif 2.32, section
// 4.6.4): where the first row and the first column of pixels belong, 1 to 8. It
// returns 1, upright, if there is no such tag or it makes no sense: a picture is
// not refused for its metadata.
func tiffOrientation(tiff []byte) int {
	const tag, short = 0x0112, 3
	if len(tiff) < 8 {
		return 1
	}
	var order binary.ByteOrder
	switch string(tiff[:4]) {
	case "II*\x00":
		order = binary.LittleEndian
	case "MM\x00*":
		order = binary.BigEndian
	default:
		return 1
	}
	at := int64(order.Uint32(tiff[4:]))
	if at+2 > int64(len(tiff)) {
		return 1
	}
	entries := tiff[at+2:]
	for n := order.Uint16(tiff[at:]); n > 0 && len(entries) >= 12; n-- {
		entry := entries[:12]
		entries = entries[12:]
		if order.Uint16(entry) != tag || order.Uint16(entry[2:]) != short || order.Uint32(entry[4:]) != 1 {
			continue
		}
		if o := order.Uint16(entry[8:]); 1 <= o && o <= 8 {
			return int(o)
		}
	}
	return 1
}
