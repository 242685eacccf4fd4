// Package jpeg decodes JPEG files to the bytes that libjpeg makes of them, and with it Pillow and torchvision: its inverse cosine transform on
// whole numbers (islow), its interpolation of chroma and its colours. JPEG leaves those to the decoder, and the standard library's differ by a step here and there,
// and may from release to release, whereas fingerprints of pictures must not.
//
// Baseline, extended sequential and progressive files of 8 bits with Huffman codes are read (ITU T.81).
package jpeg

import (
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"io"
)

// Markers.
const (
	tem   = 0x01
	sof0  = 0xc0 // baseline
	sof1  = 0xc1 // extended sequential
	sof2  = 0xc2 // progressive
	dht   = 0xc4
	jpg   = 0xc8
	sof15 = 0xcf
	rst0  = 0xd0
	soi   = 0xd8
	eoi   = 0xd9
	sos   = 0xda
	dqt   = 0xdb
	dri   = 0xdd
	app0  = 0xe0
	app14 = 0xee
)

const (
	blockSize     = 64
	maxComponents = 4
	maxTables     = 4
	maxSampling   = 4
	maxScanBlocks = 10 // in an MCU
)

// NoEnd is the note on a file that lacks the marker at its end.
const NoEnd = "lacks the marker at the end of a JPEG; it may have been cut"

var errUnsupported = errors.New("not supported")

// component is one of the planes of a picture.
type component struct {
	id            byte
	h, v          int // samples in an MCU across and down, in blocks
	table         byte
	quant         *[blockSize]uint16 // as its first scan found it; nil before
	columns, rows int                // of samples that belong to the picture
	blocksAcross  int                // with those that fill up the last MCU
	blocksDown    int
	stride        int
	samples       []byte
	coefficients  []int16 // of progressive files, by block, in the natural order
}

// decoder is the state of a file that is being decoded.
type decoder struct {
	raw []byte
	at  int

	width, height int
	progressive   bool
	components    []component
	hMax, vMax    int
	mcusAcross    int
	mcusDown      int

	quant    [maxTables]*[blockSize]uint16
	huffman  [2][maxTables]*huffman // DC, AC
	interval int                    // of restarts, in MCUs; 0: none

	jfif, adobe bool
	transform   byte // of an Adobe marker

	scan scan
}

// DecodeConfig reads the columns and rows of a picture from its header.
func DecodeConfig(raw []byte) (columns, rows int, err error) {
	d := decoder{raw: raw}
	_, err = d.segments(true)
	return d.width, d.height, err
}

// Decode decodes a file: to *image.Gray, *image.YCbCr with as many values of chroma as of luma, or *image.NRGBA. note says what is odd about it. A file that ends within its
// picture is io.ErrUnexpectedEOF. Memory is within what the file's header says and what its length can hold.
func Decode(raw []byte) (m image.Image, note string, err error) {
	d := decoder{raw: raw}
	ended, err := d.segments(false)
	if err != nil {
		return nil, "", err
	}
	if !ended {
		note = NoEnd
	}
	return d.image(), note, nil
}

// segments reads the file up to its end, or with header to its frame. ended says whether the marker at the end is there.
func (d *decoder) segments(header bool) (ended bool, err error) {
	if len(d.raw) < 2 || d.raw[0] != 0xff || d.raw[1] != soi {
		return false, errors.New("it does not begin as a JPEG")
	}
	d.at = 2
	scanned := false
	for {
		marker, err := d.marker()
		if err == io.ErrUnexpectedEOF && scanned && d.complete() {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if marker == eoi {
			if !scanned || !d.complete() {
				return false, errors.New("it ends before its picture")
			}
			return true, nil
		}
		if marker == tem || marker >= rst0 && marker <= soi {
			continue // they have no content, and none here
		}
		content, err := d.content()
		if err != nil {
			return false, err
		}
		if err := d.segment(marker, content); err != nil {
			return false, err
		}
		if header && d.components != nil {
			return false, nil
		}
		scanned = scanned || marker == sos
	}
}

// complete reports whether every component has had a scan.
func (d *decoder) complete() bool {
	for i := range d.components {
		if d.components[i].quant == nil {
			return false
		}
	}
	return len(d.components) > 0
}

// marker finds the next marker. What is before it is passed over, as other decoders do.
func (d *decoder) marker() (byte, error) {
	for ; d.at+1 < len(d.raw); d.at++ {
		if d.raw[d.at] == 0xff && d.raw[d.at+1] != 0 && d.raw[d.at+1] != 0xff {
			d.at += 2
			return d.raw[d.at-1], nil
		}
	}
	return 0, io.ErrUnexpectedEOF
}

// content is what a segment has behind its marker and length.
func (d *decoder) content() ([]byte, error) {
	if len(d.raw)-d.at < 2 {
		return nil, io.ErrUnexpectedEOF
	}
	n := int(binary.BigEndian.Uint16(d.raw[d.at:]))
	if n < 2 {
		return nil, fmt.Errorf("a segment at byte %d of length %d", d.at, n)
	}
	if len(d.raw)-d.at < n {
		return nil, io.ErrUnexpectedEOF
	}
	content := d.raw[d.at+2 : d.at+n]
	d.at += n
	return content, nil
}

// segment reads one segment, and what follows it.
func (d *decoder) segment(marker byte, content []byte) error {
	switch {
	case marker == sof0 || marker == sof1 || marker == sof2:
		d.progressive = marker == sof2
		return d.frame(content)
	case marker == dht:
		return d.huffmanTables(content)
	case marker >= sof0 && marker <= sof15 && marker != jpg: // the tables of arithmetic codes too
		return fmt.Errorf("JPEG of kind SOF%d, lossless, hierarchical or arithmetic: %w", marker-sof0, errUnsupported)
	case marker == dqt:
		return d.quantTables(content)
	case marker == dri:
		if len(content) != 2 {
			return errors.New("a restart interval of another length than 2")
		}
		d.interval = int(binary.BigEndian.Uint16(content))
	case marker == app0:
		d.jfif = d.jfif || len(content) >= 14 && string(content[:5]) == "JFIF\x00"
	case marker == app14:
		if len(content) >= 12 && string(content[:5]) == "Adobe" {
			d.adobe, d.transform = true, content[11]
		}
	case marker == sos:
		return d.decodeScan(content)
	case marker < sof0:
		return fmt.Errorf("an unknown marker %#02x before byte %d", marker, d.at)
	}
	return nil // a comment, or another program's
}

// quantTables reads tables of quantisation, which come in zigzag order.
func (d *decoder) quantTables(content []byte) error {
	for len(content) > 0 {
		wide, id := int(content[0]>>4), content[0]&15
		size := blockSize * (1 + wide)
		if wide > 1 || id >= maxTables || len(content) < 1+size {
			return errors.New("a table of quantisation is malformed")
		}
		table := &[blockSize]uint16{}
		for k := range table {
			if wide == 0 {
				table[natural[k]] = uint16(content[1+k])
			} else {
				table[natural[k]] = binary.BigEndian.Uint16(content[1+2*k:])
			}
		}
		d.quant[id], content = table, content[1+size:]
	}
	return nil
}

// frame reads the header of the frame.
func (d *decoder) frame(content []byte) error {
	if d.components != nil {
		return errors.New("it has two frames")
	}
	if len(content) < 6 || len(content) != 6+3*int(content[5]) {
		return errors.New("the header of the frame is malformed")
	}
	if content[0] != 8 {
		return fmt.Errorf("samples of %d bits, where 8 are read: %w", content[0], errUnsupported)
	}
	d.height, d.width = int(binary.BigEndian.Uint16(content[1:])), int(binary.BigEndian.Uint16(content[3:]))
	n := int(content[5])
	if d.height == 0 || d.width == 0 {
		return errors.New("its header gives no size")
	}
	if n != 1 && n != 3 && n != 4 {
		return fmt.Errorf("%d components, where 1, 3 or 4 are read: %w", n, errUnsupported)
	}
	components := make([]component, n)
	for i := range components {
		c, b := &components[i], content[6+3*i:]
		c.id, c.h, c.v, c.table = b[0], int(b[1]>>4), int(b[1]&15), b[2]
		for _, other := range components[:i] {
			if other.id == c.id {
				return errors.New("two components have one name")
			}
		}
		if c.h < 1 || c.h > maxSampling || c.v < 1 || c.v > maxSampling || c.table >= maxTables {
			return errors.New("the sampling or the table of a component is malformed")
		}
		if n == 1 {
			c.h, c.v = 1, 1 // its scans are of single blocks
		}
		d.hMax, d.vMax = max(d.hMax, c.h), max(d.vMax, c.v)
	}
	d.components = components
	return d.layOut()
}

// layOut computes the sizes of the planes.
func (d *decoder) layOut() error {
	d.mcusAcross, d.mcusDown = ceil(d.width, 8*d.hMax), ceil(d.height, 8*d.vMax)
	for i := range d.components {
		c := &d.components[i]
		if d.hMax%c.h != 0 || d.vMax%c.v != 0 {
			return fmt.Errorf("a ratio of sampling that is no whole number: %w", errUnsupported)
		}
		c.columns, c.rows = ceil(d.width*c.h, d.hMax), ceil(d.height*c.v, d.vMax)
		c.blocksAcross, c.blocksDown = d.mcusAcross*c.h, d.mcusDown*c.v
		c.stride = 8 * c.blocksAcross
	}
	return nil
}

// allocate makes the planes, when the first scan begins. A block takes a bit at the least.
func (d *decoder) allocate() error {
	if d.components[0].samples != nil {
		return nil
	}
	for i := range d.components {
		c := &d.components[i]
		if c.blocksAcross*c.blocksDown/8 > len(d.raw) {
			return io.ErrUnexpectedEOF
		}
	}
	for i := range d.components {
		c := &d.components[i]
		c.samples = make([]byte, c.stride*8*c.blocksDown)
		if d.progressive {
			c.coefficients = make([]int16, blockSize*c.blocksAcross*c.blocksDown)
		}
	}
	return nil
}

func ceil(a, b int) int { return (a + b - 1) / b }

// natural is the place in a block, row by row, of each coefficient in zigzag order.
var natural = [blockSize]uint8{
	0, 1, 8, 16, 9, 2, 3, 10,
	17, 24, 32, 25, 18, 11, 4, 5,
	12, 19, 26, 33, 40, 48, 41, 34,
	27, 20, 13, 6, 7, 14, 21, 28,
	35, 42, 49, 56, 57, 50, 43, 36,
	29, 22, 15, 23, 30, 37, 44, 51,
	58, 59, 52, 45, 38, 31, 39, 46,
	53, 60, 61, 54, 47, 55, 62, 63,
}
