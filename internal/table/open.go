package table

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"

	"ringmaster/internal/regularfile"
)

// Format is a file format.
type Format uint8

const (
	// CSV has values between commas (or another delimiter), as RFC 4180 says.
	CSV Format = iota
	// TSV has values between tabulators.
	TSV
	// JSONL has a JSON object on each line.
	JSONL
	// Parquet is Apache Parquet.
	Parquet
	// NPY is one NumPy array; its first axis counts the rows.
	NPY
	// NPZ is a zip file of NumPy arrays, a column each.
	NPZ
	// Tar is a shard as webdataset writes it: a row is the files of one name, a column those of one ending.
	Tar
)

// Extensions are the ends of file names by which a format is recognised in a folder, gzip and zstd apart.
func (f Format) Extensions() []string {
	return [...][]string{CSV: {".csv"}, TSV: {".tsv", ".tab"}, JSONL: {".jsonl", ".ndjson", ".json"}, Parquet: {".parquet"}, NPY: {".npy"}, NPZ: {".npz"}, Tar: {".tar", ".tgz"}}[f]
}

// Options say how a file is to be read.
type Options struct {
	Delimiter rune // of CSV; 0: the comma
	NoHeader  bool // CSV, TSV: the first row is data already; columns are named 1, 2, 3...

	// Place is a column whose bytes are left at their place; "": none. Of Parquet it may be a struct of bytes and a path. Of a tar it lists
	// the endings of the files that it takes, as in "jpg;png".
	Place string

	// Spool takes what compressed tars unpack to; nil: they are refused.
	Spool *Spool
}

// Open opens the table in a file. CSV, TSV, JSONL and NPY may be compressed by gzip or zstd, whatever the file's name.
func Open(name string, format Format, o Options) (Reader, error) {
	file, err := regularfile.Open(name)
	if err != nil {
		return nil, err
	}
	r, err := open(file, name, format, o)
	if err != nil {
		file.Close()
		return nil, err
	}
	return r, nil
}

// OpenStream is Open for what comes from a stream, such as standard input. shown names it in messages. Parquet and NPZ, which are
// read from their end, cannot come so.
func OpenStream(from io.Reader, shown string, format Format, o Options) (Reader, error) {
	if format == Parquet || format == NPZ || format == Tar {
		return nil, fmt.Errorf("%s: Parquet, NPZ and tar are read at several places and cannot come through a pipe; name a file", shown)
	}
	const unknown = 1 << 40 // as nobody knows the size, a compressed stream may unpack to any; a row is bounded still
	plain, err := decompress(io.NopCloser(from), unknown, shown)
	if err != nil {
		return nil, err
	}
	return openText(plain, shown, format, o)
}

func open(file *os.File, name string, format Format, o Options) (Reader, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	shown := filepath.Base(name)
	switch format {
	case Parquet:
		return openParquet(file, info.Size(), shown, o.Place)
	case NPZ:
		return openNPZ(file, info.Size(), shown)
	case Tar:
		if !isCompressed(file) {
			return openTar(file, info.Size(), shown, o.Place)
		}
		if o.Spool == nil {
			return nil, fmt.Errorf("%s: is compressed, so that samples cannot be read at their place; unpack it first (gzip -d, or zstd -d)", shown)
		}
		plain, size, err := o.Spool.unpacked(file, info.Size(), name)
		if err != nil {
			return nil, err
		}
		return openTar(plain, size, shown, o.Place)
	}
	plain, err := decompress(file, info.Size(), shown)
	if err != nil {
		return nil, err
	}
	return openText(plain, shown, format, o)
}

// openText opens a table of a format that is read from its beginning.
func openText(plain *stream, shown string, format Format, o Options) (Reader, error) {
	switch format {
	case TSV:
		o.Delimiter = '\t'
		return openCSV(plain, shown, o)
	case JSONL:
		return openJSONL(plain, shown)
	case NPY:
		return openNPY(plain, shown)
	}
	return openCSV(plain, shown, o)
}

// Compressed files may unpack to this many times their size, and to slack more. Tables shrink to a tenth or a thirtieth; a
// file that unpacks to thousands of times its size was made to fill the disk.
const (
	maxRatio = 400
	slack    = 64 << 20
)

// stream is a file's content, decompressed, with what must be closed behind it.
type stream struct {
	*bufio.Reader
	closers []func() error
}

func (s *stream) Close() error {
	var first error
	for _, c := range s.closers {
		if err := c(); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// decompress reads the file as it is, or what it unpacks to where it begins as gzip and zstd files do.
func decompress(file io.ReadCloser, size int64, shown string) (*stream, error) {
	s := &stream{Reader: bufio.NewReaderSize(file, 1<<16), closers: []func() error{file.Close}}
	start, err := s.Peek(4)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", shown, err)
	}
	var unpacked io.Reader
	switch {
	case bytes.HasPrefix(start, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(s.Reader)
		if err != nil {
			return nil, fmt.Errorf("%s: gzip: %w", shown, err)
		}
		unpacked = z
	case bytes.Equal(start, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(s.Reader, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(128<<20))
		if err != nil {
			return nil, fmt.Errorf("%s: zstd: %w", shown, err)
		}
		unpacked = z
		s.closers = append([]func() error{func() error { z.Close(); return nil }}, s.closers...)
	default:
		return s, nil
	}
	limit := size*maxRatio + slack
	s.Reader = bufio.NewReaderSize(&bounded{from: unpacked, left: limit, shown: shown, limit: limit}, 1<<16)
	return s, nil
}

// bounded ends with an error where a compressed file unpacks to more than it may.
type bounded struct {
	from        io.Reader
	left, limit int64
	shown       string
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, fmt.Errorf("%s: unpacks to more than %d bytes, %d times its size; unpack it yourself if that is right", b.shown, b.limit, maxRatio)
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.from.Read(p)
	b.left -= int64(n)
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%s: damaged: %w", b.shown, err)
	}
	return n, err
}

// FormatOf is the format that a file's name tells, gzip's and zstd's extensions apart.
func FormatOf(name string) (Format, bool) {
	base := strings.ToLower(name)
	for _, packed := range []string{".gz", ".zst", ".zstd"} {
		base = strings.TrimSuffix(base, packed)
	}
	for f := CSV; f <= NPZ; f++ {
		for _, e := range f.Extensions() {
			if strings.HasSuffix(base, e) {
				return f, true
			}
		}
	}
	return 0, false
}
