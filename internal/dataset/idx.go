package dataset

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
)

// An IDX file is, in network byte order:
//
//	offset  0        2     3     4            4+4r
//	        00 00    08    r     r dimensions product-of-dimensions bytes
//
// where 08 says that values are unsigned bytes and r is the number of dimensions. Ours have 3 (images, rows, columns)
// or 1 (labels).

// maxIDX bounds the values of a file (1 GiB). MNIST's largest has 47 million.
const maxIDX = 1 << 30

// maxInflation is more than deflate can compress anything: 258 bytes in a match of two bits, and headers.
const maxInflation = 1040

// idx is the content of an IDX file of bytes.
type idx struct {
	dims   []int
	values []byte
}

// decodeIDX decodes an IDX file, which may be compressed by gzip, that should have rank dimensions. It allocates no
// more than the bytes at hand can decode to. The errors name the file by name.
func decodeIDX(name string, raw []byte, rank int) (idx, error) {
	if len(raw) >= 2 && raw[0] == 0x1f && raw[1] == 0x8b {
		return inflateIDX(name, raw, rank)
	}
	dims, total, err := idxHeader(name, raw[:min(len(raw), 4+4*rank)], rank)
	if err != nil {
		return idx{}, err
	}
	header := 4 + 4*rank
	switch have := len(raw) - header; {
	case have < total:
		return idx{}, truncated(name, len(raw), header+total)
	case have > total:
		return idx{}, oversize(name, fmt.Sprintf("%d bytes follow", have-total), header+total)
	}
	return idx{dims, raw[header:]}, nil
}

func inflateIDX(name string, raw []byte, rank int) (idx, error) {
	r, err := gzip.NewReader(bytes.NewReader(raw))
	if err != nil {
		return idx{}, fmt.Errorf("%s: its gzip header is damaged (%w): get the file again", name, err)
	}
	header := make([]byte, 4+4*rank)
	n, err := io.ReadFull(r, header)
	if damaged(err) {
		return idx{}, unreadable(name, n, err)
	}
	dims, total, err := idxHeader(name, header[:n], rank)
	if err != nil {
		return idx{}, err
	}
	if total > maxInflation*len(raw) {
		return idx{}, fmt.Errorf("%s: its header announces %d values, more than its %d compressed bytes can hold: get the file again", name, total, len(raw))
	}
	values := make([]byte, total)
	n, err = io.ReadFull(r, values)
	if damaged(err) {
		return idx{}, unreadable(name, len(header)+n, err)
	}
	if n < total {
		return idx{}, truncated(name, len(header)+n, len(header)+total)
	}
	// One more byte shows trailing data, and its absence makes gzip check its sum.
	n, err = r.Read(make([]byte, 1))
	switch {
	case n > 0:
		return idx{}, oversize(name, "more bytes follow", len(header)+total)
	case err != io.EOF:
		return idx{}, unreadable(name, len(header)+total, err)
	}
	return idx{dims, values}, nil
}

// damaged reports whether err says more than that the stream is at its regular end.
func damaged(err error) bool {
	return err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF)
}

// idxHeader decodes the header and bounds what it announces.
func idxHeader(name string, header []byte, rank int) (dims []int, total int, err error) {
	if len(header) < 4 {
		return nil, 0, fmt.Errorf("%s: ends at byte %d, in the magic number: get the file again", name, len(header))
	}
	if [4]byte(header) != [4]byte{0, 0, 8, byte(rank)} {
		return nil, 0, fmt.Errorf("%s: begins with bytes % x, not 00 00 08 %02x%s", name, header[:4], rank, magicHint(header, rank))
	}
	if len(header) < 4+4*rank {
		return nil, 0, fmt.Errorf("%s: ends at byte %d, in its header of %d bytes: get the file again", name, len(header), 4+4*rank)
	}
	dims, total = make([]int, rank), 1
	for i := range dims {
		d := int(binary.BigEndian.Uint32(header[4+4*i:]))
		if d == 0 || d > maxIDX/total {
			return nil, 0, fmt.Errorf("%s: dimension %d, at byte %d, is %d; sizes are at least 1 and %d values in all at most: get the file again", name, i, 4+4*i, d, maxIDX)
		}
		dims[i], total = d, total*d
	}
	return dims, total, nil
}

func magicHint(header []byte, rank int) string {
	switch {
	case [3]byte(header) == [3]byte{0, 0, 8} && header[3] == 1 && rank == 3:
		return ": it holds labels where images should be; give each file its own name again"
	case [3]byte(header) == [3]byte{0, 0, 8} && header[3] == 3 && rank == 1:
		return ": it holds images where labels should be; give each file its own name again"
	case strings.HasPrefix(string(header), "<"):
		return ": it looks like a web page; download the file itself"
	}
	return fmt.Sprintf(": it is no IDX file of bytes with %d dimensions; get the right file", rank)
}

func truncated(name string, have, want int) error {
	return fmt.Errorf("%s: ends at byte %d of the %d that its header announces: get the file again", name, have, want)
}

func oversize(name, what string, want int) error {
	return fmt.Errorf("%s: %s the %d bytes that its header announces: get the file again", name, what, want)
}

func unreadable(name string, at int, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%s: is cut short, at byte %d of its content or in the sum behind it: get the file again", name, at)
	}
	return fmt.Errorf("%s: cannot be decompressed at byte %d of its content (%w): get the file again", name, at, err)
}
