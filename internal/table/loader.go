package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
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

// NewLoader makes the loader of a column of the tables in these files, which were opened by OpenAll with Options.Place.
func NewLoader(names []string, format Format, column string) (Loader, error) {
	switch format {
	case Tar:
		return tarLoader(names), nil
	case Parquet:
		return newPageLoader(names, column)
	}
	return nil, errors.New("no bytes are left in tables of this format")
}

// tarLoader are shards.
type tarLoader []string

func (l tarLoader) Load(at Place) ([]byte, error) {
	file, err := regularfile.Open(l[at.File])
	if err != nil {
		return nil, cannotRead(l[at.File], err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, cannotRead(l[at.File], err)
	}
	if at.Offset < 0 || at.Size < 0 || at.Offset+int64(at.Size) > info.Size() {
		return nil, fmt.Errorf("%s: has become shorter since it was read first", l.Where(at))
	}
	content := make([]byte, at.Size)
	if _, err := file.ReadAt(content, at.Offset); err != nil {
		return nil, fmt.Errorf("%s: %w", l.Where(at), err)
	}
	return content, nil
}

// Where reads the name from the header before the file.
func (l tarLoader) Where(at Place) string {
	shown := filepath.Base(l[at.File])
	var header [tarBlock]byte
	file, err := os.Open(l[at.File])
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
