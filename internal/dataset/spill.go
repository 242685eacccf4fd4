package dataset

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"ringmaster/internal/config"
)

// spillFolder is the folder in the cache for what does not fit into memory.
const spillFolder = "spill"

// spillFile makes a file for what does not fit into memory. It has no name, so it is gone with the process, however that ends.
func spillFile(c config.Data) (*os.File, error) {
	folder, err := CacheFolder(c)
	if err != nil {
		return nil, err
	}
	folder = filepath.Join(folder, spillFolder)
	var f *os.File
	if err = os.MkdirAll(folder, 0o700); err == nil {
		if f, err = os.CreateTemp(folder, "*"); err == nil {
			err = os.Remove(f.Name())
		}
	}
	if err != nil {
		return nil, unspilled(err)
	}
	return f, nil
}

// unspilled says that what does not fit into memory cannot be written.
func unspilled(err error) error {
	if detailed, ok := errors.AsType[*fs.PathError](err); ok {
		err = detailed.Err
	}
	return config.KeyErrorf("data.cache", "what is beyond data.memory_mib cannot be written there (%w): name a folder with room, or raise data.memory_mib", err)
}

// spilled is the rows of a table that does not fit into memory: in a file, one after another, each four bytes for every value of its
// columns, as they were read.
type spilled struct {
	file    *os.File
	out     *bufio.Writer // until all are written
	row     []byte
	widths  []int     // values of each column
	texts   []bool    // by column: it holds texts, see rows.stride
	bytes   int       // of a row
	numbers []int32   // by row: its number in the file; nil: the same
	places  [][]int32 // by column: the numbers that its categories have now, by those in the file; nil: the same
}

// fit writes the newest row to a file, with all before it, where they do not fit into memory.
func (r *rows) fit(c config.Data) error {
	if r.spilled != nil {
		return r.flush()
	}
	if int64(r.n)*int64(r.schema.SampleBytes()) > int64(c.MemoryMiB)<<20 {
		return r.spill(c)
	}
	return nil
}

// whole ends the reading of rows.
func (r *rows) whole() error {
	if r.spilled == nil {
		return nil
	}
	for k := range r.columns { // read needs to know which columns are categories
		if words := r.columns[k].words; r.schema[k].Type == Int32 && !r.schema[k].Ragged {
			r.spilled.places[k] = make([]int32, len(words))
			for id := range words {
				r.spilled.places[k][words[id]] = words[id]
			}
		}
	}
	return r.spilled.whole()
}

// spill moves the rows to a file. Those that come later are written by flush.
func (r *rows) spill(c config.Data) error {
	f, err := spillFile(c)
	if err != nil {
		return err
	}
	s := &spilled{file: f, out: bufio.NewWriterSize(f, 1<<20), places: make([][]int32, len(r.columns))}
	for k := range r.schema {
		width := r.schema[k].Width()
		if r.schema[k].Ragged {
			width = r.stride(k)
		}
		s.widths, s.texts = append(s.widths, width), append(s.texts, r.schema[k].Ragged)
		s.bytes += 4 * s.widths[k]
	}
	for i := range r.n {
		if err := s.write(r.columns, i); err != nil {
			return err
		}
	}
	r.spilled = s
	for k := range r.columns {
		r.columns[k].ints, r.columns[k].floats = nil, nil
	}
	return nil
}

// flush writes the newest row, which alone is in the columns.
func (r *rows) flush() error {
	for k := range r.columns {
		defer func() { r.columns[k].ints, r.columns[k].floats = r.columns[k].ints[:0], r.columns[k].floats[:0] }()
	}
	return r.spilled.write(r.columns, 0)
}

// write appends row i of the columns.
func (s *spilled) write(columns []column, i int) error {
	s.row = s.row[:0]
	for k := range columns {
		if col := &columns[k]; len(col.ints) > 0 {
			n := 1
			if s.texts[k] {
				n = s.widths[k]
			}
			for _, v := range col.ints[i*n : (i+1)*n] {
				s.row = binary.LittleEndian.AppendUint32(s.row, uint32(v))
			}
		} else {
			for _, v := range col.floats[i*s.widths[k] : (i+1)*s.widths[k]] {
				s.row = binary.LittleEndian.AppendUint32(s.row, math.Float32bits(v))
			}
		}
	}
	if _, err := s.out.Write(s.row); err != nil {
		return unspilled(err)
	}
	return nil
}

// whole ends the writing.
func (s *spilled) whole() error {
	if err := s.out.Flush(); err != nil {
		return unspilled(err)
	}
	s.out, s.row = nil, nil
	return nil
}

// read makes record the row of a number.
func (s *spilled) read(record Record, number int) error {
	if s.numbers != nil {
		number = int(s.numbers[number])
	}
	record[0].ownBytes = grow(record[0].ownBytes, s.bytes)
	raw := record[0].ownBytes
	if _, err := s.file.ReadAt(raw, int64(number)*int64(s.bytes)); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return unspilled(err)
	}
	for k, width := range s.widths {
		v := &record[k]
		if s.places[k] != nil {
			v.OwnInts(1)[0] = s.places[k][binary.LittleEndian.Uint32(raw)]
			raw = raw[4:]
			continue
		}
		if s.texts[k] {
			for i := range v.OwnInts(width) {
				v.Ints[i] = int32(binary.LittleEndian.Uint32(raw[4*i:]))
			}
			v.Ints, raw = tokensIn(v.Ints), raw[4*width:]
			continue
		}
		for i := range v.OwnFloats(width) {
			v.Floats[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
		}
		raw = raw[4*width:]
	}
	return nil
}

// pick is those of n rows that are chosen, of the same file.
func (s *spilled) pick(n int, chosen func(i int) bool) *spilled {
	part := *s
	part.numbers, part.places = nil, append([][]int32(nil), s.places...)
	for i := range n {
		if !chosen(i) {
			continue
		}
		if s.numbers != nil {
			i = int(s.numbers[i])
		}
		part.numbers = append(part.numbers, int32(i))
	}
	return &part
}

// eachID visits the category of column k of every row, in order.
func (r *rows) eachID(k int, visit func(i int, id int32) error) error {
	if r.spilled == nil {
		for i, id := range r.columns[k].ints {
			if err := visit(i, id); err != nil {
				return err
			}
		}
		return nil
	}
	record := make(Record, len(r.schema))
	for i := range r.n {
		if err := r.spilled.read(record, i); err != nil {
			return err
		}
		if err := visit(i, record[k].Ints[0]); err != nil {
			return err
		}
	}
	return nil
}

// ids are the categories of column k of all rows.
func (r *rows) ids(k int) ([]int32, error) {
	if r.spilled == nil {
		return r.columns[k].ints, nil
	}
	ids := make([]int32, 0, r.n)
	err := r.eachID(k, func(_ int, id int32) error {
		ids = append(ids, id)
		return nil
	})
	return ids, err
}

// renumber gives the categories of column k other numbers.
func (r *rows) renumber(k int, places []int32) {
	if r.spilled == nil {
		ids := r.columns[k].ints
		for i, id := range ids {
			ids[i] = places[id]
		}
		return
	}
	now := make([]int32, len(r.spilled.places[k]))
	for was, id := range r.spilled.places[k] {
		if now[was] = -1; id >= 0 {
			now[was] = places[id]
		}
	}
	r.spilled.places[k] = now
}
