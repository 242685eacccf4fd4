package dataset

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/regularfile"
)

// An IDX file is, in network byte order:
//
//	offset  0        2     3     4            4+4r
//	        00 00    08    r     r dimensions product-of-dimensions bytes
//
// where 08 says that values are unsigned bytes and r is the number of dimensions. Ours have 3 (images, rows, columns)
// or 1 (labels).

// maxIDX bounds the values of a file (1 TiB). MNIST's largest has 47 million.
const maxIDX = 1 << 40

// maxInflation is more than deflate can compress anything: 258 bytes in a match of two bits, and headers.
const maxInflation = 1040

// idx is the content of an IDX file of bytes.
type idx struct {
	dims   []int
	values []byte
	file   *os.File // of the values, where they are not in memory
}

// leastSpilled is how many values are worth a file of their own.
const leastSpilled = 1 << 18

// sum begins the sum of the content with its dimensions.
func (i *idx) sum(h hash.Hash) {
	for _, n := range i.dims {
		putInt(h, n)
	}
}

// spillIDX writes the values of a file to one of their own, and their sum to h, where the room does not take them. Otherwise, and where the file's
// beginning is not right, it does nothing: decodeIDX says what is wrong.
func spillIDX(c config.Data, room *keeping, path string, rank int, h hash.Hash) (file idx, err error) {
	if room == nil {
		return idx{}, nil
	}
	f, err := regularfile.Open(path)
	if err != nil {
		return idx{}, unreadableFile("data file", path, err)
	}
	defer f.Close()
	var r io.Reader = bufio.NewReaderSize(f, 1<<20)
	if head, err := r.(*bufio.Reader).Peek(2); err == nil && head[0] == 0x1f && head[1] == 0x8b {
		if r, err = gzip.NewReader(r); err != nil {
			return idx{}, nil
		}
	}
	header := make([]byte, 4+4*rank)
	n, err := io.ReadFull(r, header)
	if err != nil {
		return idx{}, nil
	}
	dims, total, err := idxHeader(path, header[:n], rank)
	if err != nil || total < leastSpilled || total <= maxFile && room.take(total) {
		return idx{}, nil
	}
	out, err := spillFile(c)
	if err != nil {
		return idx{}, err
	}
	file = idx{dims: dims, file: out}
	file.sum(h)
	if err = file.copy(path, r, total, len(header), h); err != nil {
		out.Close()
		return idx{}, err
	}
	return file, nil
}

// copy writes the values that follow a header of so many bytes to the file and to their sum.
func (i *idx) copy(path string, r io.Reader, total, header int, h hash.Hash) error {
	writes := &writeFault{w: io.MultiWriter(i.file, h)}
	n, err := io.CopyN(writes, r, int64(total))
	switch {
	case writes.err != nil:
		return unspilled(writes.err)
	case damaged(err):
		return unreadable(path, header+int(n), err)
	case err != nil:
		return truncated(path, header+int(n), header+total)
	}
	more, err := io.ReadFull(r, make([]byte, 1)) // its absence makes gzip check its sum
	switch {
	case more > 0:
		return oversize(path, "more bytes follow", header+total)
	case err != io.EOF:
		return unreadable(path, header+total, err)
	}
	return nil
}

// writeFault is a writer that remembers its error, to tell it from one of reading.
type writeFault struct {
	w   io.Writer
	err error
}

func (f *writeFault) Write(p []byte) (n int, err error) {
	if n, err = f.w.Write(p); err != nil {
		f.err = err
	}
	return n, err
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
	return idx{dims: dims, values: raw[header:]}, nil
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
	return idx{dims: dims, values: values}, nil
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
