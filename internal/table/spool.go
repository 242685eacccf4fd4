package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
)

// Spool is a file for bytes that cannot be read at their place: what compressed shards unpack to, and pictures that are written as text. Its file is made when
// it is needed. One goroutine writes; then several may read.
type Spool struct {
	open     func() (*os.File, error)
	file     *os.File
	size     int64
	sections map[string]section // by the name of a compressed shard
}

// section is a part of a spool.
type section struct{ begin, size int64 }

// NewSpool makes a spool whose file is made by open.
func NewSpool(open func() (*os.File, error)) *Spool {
	return &Spool{open: open, sections: map[string]section{}}
}

// Write appends to the spool.
func (s *Spool) Write(p []byte) (int, error) {
	if s.file == nil {
		var err error
		if s.file, err = s.open(); err != nil {
			return 0, err
		}
	}
	n, err := s.file.WriteAt(p, s.size)
	s.size += int64(n)
	if detailed, ok := errors.AsType[*fs.PathError](err); ok {
		err = fmt.Errorf("what is unpacked cannot be written (%w): data.cache names the folder, which needs room", detailed.Err)
	}
	return n, err
}

// Add keeps bytes, of which there are at most math.MaxInt32, and says where.
func (s *Spool) Add(content []byte) (Place, error) {
	if len(content) > math.MaxInt32 {
		return Place{}, fmt.Errorf("%d bytes are too many", len(content))
	}
	at := Place{Offset: s.size, Size: int32(len(content))}
	_, err := s.Write(content)
	return at, err
}

// Load reads what Add has kept.
func (s *Spool) Load(at Place) ([]byte, error) {
	content := make([]byte, at.Size)
	_, err := s.file.ReadAt(content, at.Offset)
	return content, err
}

// unpacked is a compressed shard as a tar, which is unpacked where it is not yet.
func (s *Spool) unpacked(file *os.File, size int64, name string) (tarFile, int64, error) {
	within, known := s.sections[name]
	if !known {
		plain, err := decompress(file, size, filepath.Base(name))
		if err != nil {
			return nil, 0, err
		}
		within.begin = s.size
		if _, err := io.Copy(s, plain); err != nil {
			return nil, 0, err
		}
		within.size = s.size - within.begin
		s.sections[name] = within
	}
	return opened{io.NewSectionReader(s.file, within.begin, within.size), file}, within.size, nil
}

// opened is a part of a spool, with the file that it was unpacked from.
type opened struct {
	*io.SectionReader
	io.Closer
}

// tarFile is what a tar is read from.
type tarFile interface {
	io.ReadSeeker
	io.ReaderAt
	io.Closer
}

// isCompressed reports whether a file begins as gzip and zstd files do.
func isCompressed(file io.ReaderAt) bool {
	var start [4]byte
	n, _ := file.ReadAt(start[:], 0)
	return n == 4 && (bytes.HasPrefix(start[:], []byte{0x1f, 0x8b}) || bytes.Equal(start[:], []byte{0x28, 0xb5, 0x2f, 0xfd}))
}
