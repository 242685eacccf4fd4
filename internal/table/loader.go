package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"

	"ringmaster/internal/regularfile"
)

// Loader reads bytes that were left at their place. Several goroutines may. It keeps no file open.
type Loader interface {
	// Load reads the bytes.
	Load(at Place) ([]byte, error)
	// Where names a place for people.
	Where(at Place) string
}

// NewLoader makes the loader of a column of the tables in these files, which were opened by OpenAll with Options.Place and the spool, which may be nil.
func NewLoader(names []string, format Format, column string, spool *Spool) (Loader, error) {
	switch format {
	case Tar:
		return &tarLoader{names, spool}, nil
	case Parquet:
		return newPageLoader(names, column)
	}
	return nil, errors.New("no bytes are left in tables of this format")
}

// tarLoader are shards, of which those that are compressed are in a spool.
type tarLoader struct {
	names []string
	spool *Spool
}

// open opens what a shard is read from.
func (l *tarLoader) open(name string) (file tarFile, size int64, err error) {
	if l.spool != nil {
		if within, is := l.spool.sections[name]; is {
			return opened{io.NewSectionReader(l.spool.file, within.begin, within.size), io.NopCloser(nil)}, within.size, nil
		}
	}
	plain, err := regularfile.Open(name)
	if err != nil {
		return nil, 0, cannotRead(name, err)
	}
	info, err := plain.Stat()
	if err != nil {
		plain.Close()
		return nil, 0, cannotRead(name, err)
	}
	return plain, info.Size(), nil
}

func (l *tarLoader) Load(at Place) ([]byte, error) {
	file, size, err := l.open(l.names[at.File])
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if at.Offset < 0 || at.Size < 0 || at.Offset+int64(at.Size) > size {
		return nil, fmt.Errorf("%s: has become shorter since it was read first", l.Where(at))
	}
	content := make([]byte, at.Size)
	if _, err := file.ReadAt(content, at.Offset); err != nil {
		return nil, fmt.Errorf("%s: %w", l.Where(at), err)
	}
	return content, nil
}

// Where reads the name from the header before the file.
func (l *tarLoader) Where(at Place) string {
	shown := filepath.Base(l.names[at.File])
	var header [tarBlock]byte
	file, _, err := l.open(l.names[at.File])
	if err == nil {
		_, err = file.ReadAt(header[:], at.Offset-tarBlock)
		file.Close()
	}
	if err != nil {
		return fmt.Sprintf("%s: offset %d", shown, at.Offset)
	}
	text := func(b []byte) string {
		b, _, _ = bytes.Cut(b, []byte{0})
		return strings.ToValidUTF8(string(b), "?")
	}
	name := text(header[:100])
	if string(header[257:263]) == "ustar\x00" {
		name = path.Join(text(header[345:500]), name)
	}
	return fmt.Sprintf("%s: %s (offset %d)", shown, name, at.Offset)
}

// cannotRead says why a file cannot be opened any more, without the system call.
func cannotRead(name string, err error) error {
	var detailed *fs.PathError
	if errors.As(err, &detailed) {
		err = detailed.Err
	}
	return fmt.Errorf("%s cannot be read: %w", name, err)
}

// window shows stretches of a file, one behind the other, from an offset on, and nothing else.
type window struct {
	file   io.ReaderAt
	begin  int64
	pieces []stretch
}

// stretch is bytes of a file.
type stretch struct{ offset, size int64 }

// ReadAt implements io.ReaderAt.
func (w *window) ReadAt(p []byte, offset int64) (n int, err error) {
	at := offset - w.begin
	for _, piece := range w.pieces {
		if at >= piece.size {
			at -= piece.size
			continue
		}
		if at < 0 {
			break
		}
		part := p[n:min(int64(len(p)), int64(n)+piece.size-at)]
		got, err := w.file.ReadAt(part, piece.offset+at)
		if n += got; got < len(part) {
			return n, err
		}
		if at = 0; n == len(p) {
			return n, nil
		}
	}
	return n, io.EOF
}
