package table

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds on a sample in a tar.
const (
	maxFields = 1 << 10  // files of one sample
	maxText   = 16 << 20 // bytes of a file of text, numbers or JSON
	maxPlaced = 1 << 30  // bytes of a file that is left at its place
)

// tarReader reads the samples of a shard: files one after another whose names are equal up to the first dot of the base name. What is behind that dot,
// in lower case, is the field. Fields of JSON are columns json.KEY.
type tarReader struct {
	file    tarFile
	size    int64
	shown   string
	entries *tar.Reader
	endings []string // of the files of the column placed
	placed  string   // its name
	columns []string // those of the first sample
	index   map[string]int
	end     int64  // of the newest entry
	pending sample // the first
	ahead   *entry // of the next sample; nil: none was read
	key     string // of the newest row
	offset  int64  // of its first file
	row     int
	passed  Passed
}

// Passed is what of a table's files belongs to no row.
type Passed struct {
	Count int
	First string
}

// add adds the count of more files.
func (p Passed) add(more Passed) Passed {
	if p.Count == 0 {
		p.First = more.First
	}
	p.Count += more.Count
	return p
}

// Passing is a reader that passes over files.
type Passing interface {
	// Passed is what was passed over so far.
	Passed() Passed
}

// Passed implements Passing.
func (t *tarReader) Passed() Passed { return t.passed }

// entry is a file in a tar.
type entry struct {
	key, field string
	offset     int64 // of its header
	at         Place
	content    []byte // nil where it is left at its place or of no use
}

// tarBlock is the bytes of a header, and what the size of a file is rounded up to.
const tarBlock = 512

// sample is the files of one key.
type sample []entry

func openTar(file tarFile, size int64, shown, place string) (Reader, error) {
	t := &tarReader{file: file, size: size, shown: shown, entries: tar.NewReader(file), placed: place, index: map[string]int{}}
	if place != "" {
		t.endings = strings.Split(strings.ToLower(place), ";")
	}
	first, err := t.gather()
	if err == io.EOF {
		return nil, fmt.Errorf("%s: has no samples", shown)
	}
	if err != nil {
		return nil, err
	}
	t.key, t.offset = first[0].key, first[0].offset
	err = t.fields(first, func(name string, _ Value) error {
		if _, twice := t.index[name]; twice {
			return fmt.Errorf("field %s occurs twice", quote(name))
		}
		t.index[name] = len(t.columns)
		t.columns = append(t.columns, name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.place(), err)
	}
	t.pending = first
	return t, checkNames(t.columns, t.place())
}

func (t *tarReader) Columns() []string { return t.columns }

func (t *tarReader) Next(row []Value) error {
	next := t.pending
	t.pending = nil
	if next == nil {
		var err error
		if next, err = t.gather(); err != nil {
			return err
		}
	}
	t.row++
	t.key, t.offset = next[0].key, next[0].offset
	clear(row)
	err := t.fields(next, func(name string, v Value) error {
		i, known := t.index[name]
		if !known {
			return nil // a field that the first sample lacks is none that the job can name
		}
		if row[i].Kind != Missing {
			return fmt.Errorf("field %s occurs twice", quote(name))
		}
		row[i] = v
		return nil
	})
	if err != nil {
		return badRow("%s: %w", t.place(), err)
	}
	return nil
}

// place names the newest sample.
func (t *tarReader) place() string {
	return fmt.Sprintf("%s: sample %s (offset %d)", t.shown, quote(t.key), t.offset)
}

func (t *tarReader) Where(column int) string { return t.place() + ", field " + t.columns[column] }
func (t *tarReader) Close() error            { return t.file.Close() }

// gather reads the files of the next sample.
func (t *tarReader) gather() (sample, error) {
	var s sample
	for {
		e := t.ahead
		if t.ahead = nil; e == nil {
			var err error
			if e, err = t.entry(); err == io.EOF && len(s) > 0 {
				return s, nil
			} else if err != nil {
				return nil, err
			}
		}
		if len(s) > 0 && e.key != s[0].key {
			t.ahead = e
			return s, nil
		}
		if slices.ContainsFunc(s, func(other entry) bool { return other.field == e.field }) {
			return nil, fmt.Errorf("%s: offset %d: sample %s has two files %s; a sample's files have different endings", t.shown, e.offset, quote(e.key), quote(e.field))
		}
		if s = append(s, *e); len(s) > maxFields {
			return nil, fmt.Errorf("%s: offset %d: sample %s has more than %d files", t.shown, e.offset, quote(e.key), maxFields)
		}
	}
}

// entry is the next file that belongs to a sample.
func (t *tarReader) entry() (*entry, error) {
	for {
		header, err := t.entries.Next()
		if err == io.EOF {
			return nil, io.EOF
		}
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, fmt.Errorf("%s: is cut short before offset %d; get it again", t.shown, t.end)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: offset %d: is not a readable tar: %w", t.shown, t.end, err)
		}
		at, err := t.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.shown, err)
		}
		offset := at - tarBlock
		t.end = at + (header.Size+tarBlock-1)/tarBlock*tarBlock
		e, err := t.take(header, offset, at)
		if err != nil {
			return nil, fmt.Errorf("%s: offset %d: %w", t.shown, offset, err)
		}
		if e != nil {
			return e, nil
		}
	}
}

// take makes an entry of a file whose content begins at an offset; nil where it belongs to no sample.
func (t *tarReader) take(header *tar.Header, offset, at int64) (*entry, error) {
	if err := checkEntry(header); err != nil {
		return nil, err
	}
	if at+header.Size > t.size {
		return nil, fmt.Errorf("%s has %d bytes, of which the shard has %d; get it again", quote(header.Name), header.Size, t.size-at)
	}
	key, field := splitName(header.Name)
	if header.Typeflag != tar.TypeReg {
		return nil, nil // a folder
	}
	if field == "" {
		t.passed = t.passed.add(Passed{1, header.Name})
		return nil, nil
	}
	e := &entry{key: key, field: field, offset: offset, at: Place{Offset: at, Size: int32(min(header.Size, maxPlaced))}}
	if slices.Contains(t.endings, field) {
		if header.Size > maxPlaced {
			return nil, fmt.Errorf("%s has %d bytes, more than %d", quote(header.Name), header.Size, maxPlaced)
		}
		return e, nil
	}
	if readerOf(field) == nil {
		return e, nil
	}
	limit := int64(maxText)
	if path.Ext("."+field) == ".npy" {
		limit = maxRowBytes
	}
	if header.Size > limit {
		return nil, fmt.Errorf("%s has %d bytes, more than the %d of a field", quote(header.Name), header.Size, limit)
	}
	e.content = make([]byte, header.Size)
	if _, err := io.ReadFull(t.entries, e.content); err != nil {
		return nil, fmt.Errorf("the shard ends within %s; get it again", quote(header.Name))
	}
	return e, nil
}

// checkEntry refuses what no shard of samples holds: names that lead elsewhere, links, devices and files with holes.
func checkEntry(header *tar.Header) error {
	name := header.Name
	switch {
	case len(name) > maxName:
		return fmt.Errorf("a name of %d bytes, more than %d", len(name), maxName)
	case strings.HasPrefix(name, "/"):
		return fmt.Errorf("%s is an absolute name; pack files by relative names", quote(name))
	case slices.Contains(strings.Split(name, "/"), ".."):
		return fmt.Errorf("%s leads out of the archive; pack it by names below it", quote(name))
	case !utf8.ValidString(name):
		return fmt.Errorf("the name %s is not UTF-8", quote(name))
	}
	for record := range header.PAXRecords {
		if strings.HasPrefix(record, "GNU.sparse.") {
			return fmt.Errorf("%s is a sparse file; pack it without --sparse", quote(name))
		}
	}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeDir, tar.TypeXGlobalHeader:
		return nil
	case tar.TypeSymlink, tar.TypeLink:
		return fmt.Errorf("%s is a link; pack the file itself (tar --dereference --hard-dereference)", quote(name))
	case tar.TypeGNUSparse:
		return fmt.Errorf("%s is a sparse file; pack it without --sparse", quote(name))
	}
	return fmt.Errorf("%s is a device, a pipe or the like, and no file; leave it out", quote(name))
}

// splitName divides a name at the first dot of its base name. What has no dot there, is hidden or describes the whole archive (__NAME__) is in no
// sample: its field is "".
func splitName(name string) (key, field string) {
	name = strings.TrimPrefix(name, "./")
	folder, base := path.Split(name)
	first, _, _ := strings.Cut(name, "/")
	meta := len(first) > 4 && strings.HasPrefix(first, "__") && strings.HasSuffix(first, "__")
	stem, ending, dotted := strings.Cut(base, ".")
	if !dotted || stem == "" || meta {
		return "", ""
	}
	return folder + stem, strings.ToLower(ending)
}

// fields calls yield for every value of a sample.
func (t *tarReader) fields(s sample, yield func(name string, v Value) error) error {
	for _, e := range s {
		if slices.Contains(t.endings, e.field) {
			if err := yield(t.placed, Value{Kind: Placed, At: e.at}); err != nil {
				return err
			}
			continue
		}
		read := readerOf(e.field)
		if read == nil {
			if err := yield(e.field, otherValue("a file of a kind that is not read")); err != nil {
				return err
			}
			continue
		}
		if err := read(e.field, e.content, yield); err != nil {
			return fmt.Errorf("field %s: %w", e.field, err)
		}
	}
	return nil
}

// readerOf is what reads the values of a field, by the last part of its name, as webdataset's decoders do; nil: nothing does.
func readerOf(field string) func(field string, content []byte, yield func(string, Value) error) error {
	switch field[strings.LastIndexByte(field, '.')+1:] {
	case "cls", "cls2", "class", "count", "index", "inx", "id":
		return readWhole
	case "txt", "text", "transcript":
		return readText
	case "json", "jsn":
		return readJSON
	case "npy":
		return readArray
	}
	return nil
}

func readWhole(field string, content []byte, yield func(string, Value) error) error {
	n, err := strconv.ParseInt(strings.TrimSpace(string(content[:min(len(content), 100)])), 10, 64)
	if err != nil {
		return fmt.Errorf("%s is not a whole number", quote(string(content)))
	}
	return yield(field, IntegerValue(n))
}

func readText(field string, content []byte, yield func(string, Value) error) error {
	if !utf8.Valid(content) {
		return errors.New("is not UTF-8")
	}
	return yield(field, TextValue(string(content)))
}

func readJSON(field string, content []byte, yield func(string, Value) error) error {
	var j jsonReader
	return j.object(content, func(key string, v Value) error { return yield(field+"."+key, v) })
}

func readArray(field string, content []byte, yield func(string, Value) error) error {
	from := bufio.NewReader(bytes.NewReader(content))
	a, err := openArray(from)
	if err != nil {
		return err
	}
	if a.single {
		number, err := a.next()
		if err != nil {
			return err
		}
		return yield(field, number)
	}
	if a.rows == 0 || len(a.buffer) == 0 {
		return errors.New("is an empty array")
	}
	if a.rows > len(content)/len(a.buffer) {
		return errors.New("the array ends early")
	}
	v := Value{Kind: Array, Shape: append([]int{a.rows}, a.shape...)}
	for range a.rows {
		row, err := a.next()
		if err != nil {
			return err
		}
		if len(a.shape) == 0 {
			v.Numbers = append(v.Numbers, row.number)
		} else {
			v.Numbers = append(v.Numbers, row.Numbers...)
		}
	}
	return yield(field, v)
}

// ClassNames implements Classed: a tar names no classes.
func (t *tarReader) ClassNames(string) []string { return nil }
