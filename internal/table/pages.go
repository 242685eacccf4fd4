package table

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sort"
	"sync"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"

	"ringmaster/internal/regularfile"
)

// Bounds on the pages of a column whose bytes are read at their place.
const (
	maxPageHeader = 1 << 20   // bytes
	maxDictionary = 128 << 20 // bytes, unpacked
	maxPages      = 1 << 22   // of a file
)

// pageLoader reads bytes of one column of Parquet files. A page is read and unpacked for a value in it; writers make pages of about a mebibyte,
// whatever the size of a row group. The newest page of each goroutine is kept, so that reading on in order unpacks each page once.
type pageLoader struct {
	names  []string
	shown  string // the column
	files  []pagedFile
	recent sync.Pool // of *unpacked
}

// pagedFile is where the pages of a file are.
type pagedFile struct {
	pages []pageAt // in the order of their rows
	rows  int64
}

// pageAt is a page.
type pageAt struct {
	first      int64 // its first row in the file
	at         stretch
	dictionary stretch // of its row group; size 0: it needs none
	chunk      *parquet.FileColumnChunk
	begin      int64 // where the library thinks that the chunk begins
}

// unpacked is the values of one page.
type unpacked struct {
	file, page int
	values     []parquet.Value
}

func newPageLoader(names []string, column string) (*pageLoader, error) {
	l := &pageLoader{names: names, shown: column, files: make([]pagedFile, len(names))}
	for i, name := range names {
		if err := l.find(i, name, column); err != nil {
			return nil, err
		}
	}
	return l, nil
}

// find finds the pages of a file.
func (l *pageLoader) find(i int, name, column string) (err error) {
	shown := filepath.Base(name)
	file, err := regularfile.Open(name)
	if err != nil {
		return cannotRead(name, err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return cannotRead(name, err)
	}
	reader, err := openParquet(file, info.Size(), shown, column)
	if err != nil {
		return err
	}
	defer func() {
		if cause := recover(); cause != nil {
			err = badParquet(shown, cause)
		}
	}()
	p := reader.(*parquetReader)
	if p.placed < 0 || p.columns[p.placed].lists > 0 {
		return nil // its rows have no bytes
	}
	f := &l.files[i]
	for k, group := range p.groups {
		chunk, ok := group.ColumnChunks()[p.placed].(*parquet.FileColumnChunk)
		if !ok {
			return badParquet(shown, "a column of another kind")
		}
		meta := &p.description.RowGroups[k].Columns[p.placed].MetaData
		if err := f.index(file, info.Size(), chunk, meta); err != nil {
			return fmt.Errorf("%s: row group %d: column %s: %w", shown, k+1, column, err)
		}
		if f.rows += group.NumRows(); len(f.pages) > maxPages {
			return fmt.Errorf("%s: more than %d pages", shown, maxPages)
		}
	}
	return nil
}

// index adds the pages of a chunk.
func (f *pagedFile) index(file io.ReaderAt, size int64, chunk *parquet.FileColumnChunk, meta *format.ColumnMetaData) error {
	var dictionary stretch
	seen := int64(0)
	return eachPage(file, size, meta, func(header *format.PageHeader, at stretch, values int32) error {
		if header.Type == format.DictionaryPage {
			dictionary = at
		}
		if values > 0 {
			f.pages = append(f.pages, pageAt{first: f.rows + seen, at: at, dictionary: dictionary, chunk: chunk, begin: beginOf(meta)})
			seen += int64(values)
		}
		if len(f.pages) > maxPages {
			return fmt.Errorf("more than %d pages", maxPages)
		}
		return nil
	})
}

// beginOf is where a chunk begins, as the library understands it.
func beginOf(meta *format.ColumnMetaData) int64 {
	if meta.DictionaryPageOffset != 0 {
		return meta.DictionaryPageOffset
	}
	return meta.DataPageOffset
}

// eachPage visits the pages of a chunk by their headers. What each unpacks to is bounded before anything of it is.
func eachPage(file io.ReaderAt, size int64, meta *format.ColumnMetaData, visit func(header *format.PageHeader, at stretch, values int32) error) error {
	at, seen := beginOf(meta), int64(0)
	end := at + meta.TotalCompressedSize
	if at < 0 || meta.TotalCompressedSize < 0 || end < at || end > size {
		return fmt.Errorf("is from byte %d to %d of %d", at, end, size)
	}
	for seen < meta.NumValues {
		header, length, err := pageHeader(file, at, end)
		if err != nil {
			return fmt.Errorf("page at offset %d: %w", at, err)
		}
		whole := stretch{at, length + int64(header.CompressedPageSize)}
		if header.CompressedPageSize < 0 || header.UncompressedPageSize < 0 || at+whole.size > end || int64(header.UncompressedPageSize) > maxRowBytes {
			return fmt.Errorf("page at offset %d: says it has %d bytes and unpacks to %d", at, header.CompressedPageSize, header.UncompressedPageSize)
		}
		values := int32(0)
		switch header.Type {
		case format.DictionaryPage:
			if n := header.DictionaryPageHeader.V.NumValues; header.UncompressedPageSize > maxDictionary || n < 0 || n > header.UncompressedPageSize {
				return fmt.Errorf("page at offset %d: a dictionary of %d values in %d bytes, of which there may be %d", at, n, header.UncompressedPageSize, maxDictionary)
			}
		case format.DataPage:
			values = header.DataPageHeader.V.NumValues
		case format.DataPageV2:
			values = header.DataPageHeaderV2.V.NumValues
		}
		if values < 0 || int64(values) > meta.NumValues-seen {
			return fmt.Errorf("page at offset %d: %d values where %d are left", at, values, meta.NumValues-seen)
		}
		if err := visit(header, whole, values); err != nil {
			return err
		}
		at += whole.size
		seen += int64(values)
	}
	return nil
}

// pageHeader reads the header of the page at an offset, and says how long it is.
func pageHeader(file io.ReaderAt, at, end int64) (header *format.PageHeader, length int64, err error) {
	var protocol thrift.CompactProtocol
	for _, room := range []int64{1 << 10, maxPageHeader} { // headers are short, but for statistics of long values
		text := make([]byte, min(room, end-at))
		if _, err := file.ReadAt(text, at); err != nil && err != io.EOF {
			return nil, 0, err
		}
		from := protocol.NewReaderFromBytes(text)
		header = &format.PageHeader{}
		if err = thrift.NewDecoder(from).Decode(header); err == nil {
			return header, int64(from.BytesRead()), nil
		}
	}
	return nil, 0, fmt.Errorf("its header is not readable: %w", err)
}

// Load implements Loader.
func (l *pageLoader) Load(at Place) (content []byte, err error) {
	f := &l.files[at.File]
	page := sort.Search(len(f.pages), func(i int) bool { return f.pages[i].first > at.Offset }) - 1
	if page < 0 || at.Offset >= f.rows {
		return nil, fmt.Errorf("%s: does not exist", l.Where(at))
	}
	now, _ := l.recent.Get().(*unpacked)
	if now == nil || now.file != int(at.File) || now.page != page {
		if now, err = l.unpack(int(at.File), page); err != nil {
			return nil, fmt.Errorf("%s: %w", l.Where(at), err)
		}
	}
	defer l.recent.Put(now)
	k := at.Offset - f.pages[page].first
	if k >= int64(len(now.values)) || now.values[k].IsNull() {
		return nil, fmt.Errorf("%s: the value is missing", l.Where(at))
	}
	return bytes.Clone(now.values[k].ByteArray()), nil
}

// unpack reads the values of a page.
func (l *pageLoader) unpack(file, page int) (now *unpacked, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			now, err = nil, fmt.Errorf("is not readable: %v", cause)
		}
	}()
	from, err := os.Open(l.names[file])
	if err != nil {
		return nil, cannotRead(l.names[file], err)
	}
	defer from.Close()
	p := &l.files[file].pages[page]
	pieces := []stretch{p.at}
	if p.dictionary.size > 0 {
		pieces = []stretch{p.dictionary, p.at}
	}
	pages := p.chunk.PagesFrom(&window{file: from, begin: p.begin, pieces: pieces})
	defer pages.Close()
	read, err := pages.ReadPage()
	if err != nil {
		return nil, err
	}
	defer parquet.Release(read)
	now = &unpacked{file: file, page: page, values: make([]parquet.Value, read.NumValues())}
	n, err := read.Values().ReadValues(now.values)
	if err != nil && !errors.Is(err, io.EOF) || n < len(now.values) {
		return nil, fmt.Errorf("ends early: %v", err)
	}
	for i := range now.values {
		now.values[i] = now.values[i].Clone()
	}
	return now, nil
}

// Where implements Loader.
func (l *pageLoader) Where(at Place) string {
	return fmt.Sprintf("%s: row %d, column %s", filepath.Base(l.names[at.File]), at.Offset+1, l.shown)
}
