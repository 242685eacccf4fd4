package picture

import "encoding/binary"

// orientation is how a picture is turned from the way in which its file has it, as EXIF numbers it: 1 is upright, 3 upside down, 6 to
// be turned right, 8 to be turned left; 2, 4, 5 and 7 are mirrored too.
type orientation uint8

const upright orientation = 1

const orientationTag = 0x0112

// transposes reports whether rows of the file are columns of the picture.
func (o orientation) transposes() bool { return o >= 5 }

// source is the place in a file of width x height of the picture's pixel (x, y).
func (o orientation) source(x, y, width, height int) (int, int) {
	switch o {
	case 2:
		return width - 1 - x, y
	case 3:
		return width - 1 - x, height - 1 - y
	case 4:
		return x, height - 1 - y
	case 5:
		return y, x
	case 6:
		return y, height - 1 - x
	case 7:
		return width - 1 - y, height - 1 - x
	case 8:
		return width - 1 - y, x
	}
	return x, y
}

// orientationOf is the orientation that a file states, upright where it states none or no known one.
func orientationOf(format string, raw []byte) orientation {
	switch format {
	case "JPEG":
		return inTIFF(exifOfJPEG(raw))
	case "PNG":
		return inTIFF(exifOfPNG(raw))
	case "WebP":
		return inTIFF(exifOfWebP(raw))
	case "TIFF":
		return inTIFF(raw)
	}
	return upright
}

const exifHeader = "Exif\x00\x00"

// exifOfJPEG finds the EXIF data in the segments before the picture: FF, marker, length with itself, content.
func exifOfJPEG(raw []byte) []byte {
	for at := 2; at+4 <= len(raw) && raw[at] == 0xff; {
		marker, length := raw[at+1], int(binary.BigEndian.Uint16(raw[at+2:]))
		switch {
		case marker == 0xff: // padding
			at++
			continue
		case marker == 0xda || marker == 0xd9 || length < 2 || at+2+length > len(raw):
			return nil
		}
		content := raw[at+4 : at+2+length]
		if marker == 0xe1 && begins(content, exifHeader) {
			return content[len(exifHeader):]
		}
		at += 2 + length
	}
	return nil
}

// exifOfPNG finds the chunk eXIf: length, name, content, sum of four bytes.
func exifOfPNG(raw []byte) []byte {
	for at := 8; at+8 <= len(raw); {
		length, name := int(binary.BigEndian.Uint32(raw[at:])), string(raw[at+4:at+8])
		if length > len(raw)-at-8 || name == "IEND" {
			return nil
		}
		if name == "eXIf" {
			return raw[at+8 : at+8+length]
		}
		at += 12 + length
	}
	return nil
}

// exifOfWebP finds the chunk EXIF: name, length, content, filled up to an even length.
func exifOfWebP(raw []byte) []byte {
	for at := 12; at+8 <= len(raw); {
		length := int(binary.LittleEndian.Uint32(raw[at+4:]))
		if length > len(raw)-at-8 {
			return nil
		}
		if string(raw[at:at+4]) == "EXIF" {
			content := raw[at+8 : at+8+length]
			if begins(content, exifHeader) {
				content = content[len(exifHeader):]
			}
			return content
		}
		at += 8 + length + length&1
	}
	return nil
}

// inTIFF reads the orientation in the first directory of a TIFF file, which EXIF data are too: byte order, 42, the directory's offset;
// there a count, and entries of 12 bytes: tag, type, count, value.
func inTIFF(raw []byte) orientation {
	if len(raw) < 8 {
		return upright
	}
	var order binary.ByteOrder = binary.LittleEndian
	if raw[0] == 'M' {
		order = binary.BigEndian
	}
	at := int(order.Uint32(raw[4:]))
	if (raw[0] != 'I' && raw[0] != 'M') || raw[1] != raw[0] || order.Uint16(raw[2:]) != 42 || at > len(raw)-2 {
		return upright
	}
	entries := raw[at+2:]
	for range min(int(order.Uint16(raw[at:])), len(entries)/12) {
		if order.Uint16(entries) == orientationTag {
			value := uint32(order.Uint16(entries[8:]))
			if kind := order.Uint16(entries[2:]); kind == 4 {
				value = order.Uint32(entries[8:])
			} else if kind != 3 {
				return upright
			}
			if value >= 1 && value <= 8 {
				return orientation(value)
			}
			return upright
		}
		entries = entries[12:]
	}
	return upright
}
