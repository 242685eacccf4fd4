package jpeg

import (
	"errors"
	"io"
)

// lookBits is the length of the codes that are looked up at once.
const lookBits = 9

// huffman is a table of codes.
type huffman struct {
	look   [1 << lookBits]uint16 // by the next bits: the code's length << 8 | its symbol; 0: it is longer
	most   [17]int32             // by length: the largest code; -1: none
	first  [17]int32             // by length: the place of its first symbol, less its first code
	symbol [256]byte
}

// huffmanTables reads tables of codes.
func (d *decoder) huffmanTables(content []byte) error {
	for len(content) > 0 {
		if len(content) < 17 {
			return errors.New("a table of codes is cut short")
		}
		class, id := content[0]>>4, content[0]&15
		if class > 1 || id >= maxTables {
			return errors.New("a table of codes has no place")
		}
		total := 0
		for _, n := range content[1:17] {
			total += int(n)
		}
		if total > 256 || len(content) < 17+total {
			return errors.New("a table of codes is malformed")
		}
		h, err := newHuffman(content[1:17], content[17:17+total])
		if err != nil {
			return err
		}
		d.huffman[class][id], content = h, content[17+total:]
	}
	return nil
}

// newHuffman makes the table of codes of which there are counts[n-1] of n bits, for symbols in the order of their codes.
func newHuffman(counts, symbols []byte) (*huffman, error) {
	h := &huffman{}
	copy(h.symbol[:], symbols)
	code, place := int32(0), int32(0)
	for n := int32(1); n <= 16; n++ {
		count := int32(counts[n-1])
		h.first[n], h.most[n] = place-code, -1
		if code+count > 1<<n {
			return nil, errors.New("a table has more codes than there are")
		}
		for range count {
			if n <= lookBits {
				from := code << (lookBits - n)
				for k := range int32(1) << (lookBits - n) {
					h.look[from+k] = uint16(n)<<8 | uint16(h.symbol[place])
				}
			}
			code, place = code+1, place+1
		}
		if count > 0 {
			h.most[n] = code - 1
		}
		code <<= 1
	}
	return h, nil
}

// bits reads the bits of a scan. A byte 0xff is followed by 0 there; else a marker begins.
type bits struct {
	raw   []byte
	at    int
	value uint64 // the next bits are the upper ones of its lower count bits
	count uint
}

// fill reads bytes until there are more than 48 bits, or the scan ends.
func (b *bits) fill() {
	for b.count <= 48 && b.at < len(b.raw) {
		v := b.raw[b.at]
		if v == 0xff {
			if b.at+1 >= len(b.raw) || b.raw[b.at+1] != 0 {
				return
			}
			b.at++
		}
		b.at++
		b.value, b.count = b.value<<8|uint64(v), b.count+8
	}
}

var errCode = errors.New("its picture is damaged: a code that no table has, or a scan that ends too soon")

// short is the error of a scan that has not the bits that it should have.
func (b *bits) short() error {
	if b.at >= len(b.raw) || b.at == len(b.raw)-1 && b.raw[b.at] == 0xff {
		return io.ErrUnexpectedEOF
	}
	return errCode
}

// symbol reads the next symbol.
func (b *bits) symbol(h *huffman) (byte, error) {
	if b.count < 16 {
		b.fill()
	}
	// Bits that the scan does not have are zero here; a code that needs them is refused below.
	next := uint32(b.value << (64 - b.count) >> 48)
	if found := h.look[next>>(16-lookBits)]; found != 0 {
		n := uint(found >> 8)
		if n > b.count {
			return 0, b.short()
		}
		b.count -= n
		return byte(found), nil
	}
	for n := uint(lookBits + 1); n <= 16; n++ {
		code := int32(next >> (16 - n))
		if code <= h.most[n] {
			if n > b.count {
				return 0, b.short()
			}
			b.count -= n
			return h.symbol[(code+h.first[n])&255], nil
		}
	}
	if b.count < 16 {
		return 0, b.short()
	}
	return 0, errCode
}

// take reads n bits, up to 16.
func (b *bits) take(n uint) (int32, error) {
	if b.count < n {
		if b.fill(); b.count < n {
			return 0, b.short()
		}
	}
	b.count -= n
	return int32(b.value >> b.count & (1<<n - 1)), nil
}

// receive reads a number of n bits, up to 16, of which the first tells the sign.
func (b *bits) receive(n uint) (int32, error) {
	v, err := b.take(n)
	if n > 0 && v < 1<<(n-1) {
		v += -1<<n + 1
	}
	return v, err
}

// restart passes the marker of a restart, and what is before it.
func (b *bits) restart(number int) error {
	b.value, b.count = 0, 0
	for ; b.at+1 < len(b.raw); b.at++ {
		if b.raw[b.at] != 0xff || b.raw[b.at+1] == 0 || b.raw[b.at+1] == 0xff {
			continue
		}
		if b.raw[b.at+1] != rst0+byte(number&7) {
			return errors.New("a marker of a restart is missing, or in another place")
		}
		b.at += 2
		return nil
	}
	return io.ErrUnexpectedEOF
}
