package dataset

import (
	"fmt"

	"ringmaster/internal/rng"
)

// Set is a numbered collection of samples.
type Set interface {
	// Len is the number of samples in one pass.
	Len() int
	// Read makes the batch the samples with these numbers, in this order. The key is that of the seat's micro-batch,
	// from which augmentation draws; with the zero key samples come as they are. Read allocates nothing once the batch
	// has had this many samples, and may be called by several goroutines, each with a batch of its own. Numbers come
	// from Data.Sampler or are 0 to Len()-1; others panic. An error names the file that cannot be read any more.
	Read(b *Batch, indices []int32, key rng.Key) error
	// Resident reports whether all samples are in memory, so that reading ahead gains nothing.
	Resident() bool

	// shift is what an epoch with that key adds to the numbers of its samples. A set around another one has it from that.
	shift(key rng.Key) int32
}

// records is the set of a reader's records, taken through transforms. Values are numbered: the first numbers are the reader's fields, and each
// transform adds those that it makes.
type records struct {
	Reader
	schema Schema // of batches
	stages []stage
	fields []Field // by value
	final  []int   // by column: its value
	column []int   // by value: its column, or -1
	plain  bool    // nothing is drawn, whatever the key
	slow   bool    // transforms take long, so that reading ahead pays
	blends []blending
}

// stage is a transform with the numbers of the values that it reads and makes.
type stage struct {
	transform Transform
	in, out   []int
}

// newRecords takes a reader's records through transforms, in order.
func newRecords(reader Reader, transforms ...Transform) (*records, error) {
	s := &records{Reader: reader}
	schema := append(Schema(nil), reader.Schema()...)
	for k, f := range schema {
		s.fields = append(s.fields, f)
		s.final = append(s.final, k)
	}
	for _, t := range transforms {
		var err error
		if schema, err = s.add(t, schema); err != nil {
			return nil, err
		}
	}
	s.schema = schema
	s.noteKinds(transforms)
	s.column = make([]int, len(s.fields))
	for v := range s.column {
		s.column[v] = -1
	}
	for c, v := range s.final {
		if schema[c].Type == Uint8 {
			return nil, fmt.Errorf("dataset: no transform makes numbers of field %s", schema[c].Name)
		}
		s.column[v] = c
	}
	return s, nil
}

// noteKinds looks for transforms that are more than functions of one sample, or slow.
func (s *records) noteKinds(transforms []Transform) {
	for _, t := range transforms {
		if b, is := t.(blending); is {
			s.blends = append(s.blends, b)
		}
		if _, is := t.(interface{ takesLong() }); is {
			s.slow = true
		}
	}
}

// Resident implements Set.
func (s *records) Resident() bool { return s.Reader.Resident() && !s.slow }

// add appends a transform and gives the schema behind it.
func (s *records) add(t Transform, schema Schema) (Schema, error) {
	reads, makes, err := t.Fields(schema)
	if err != nil {
		return nil, err
	}
	st := stage{transform: t}
	gone := make([]bool, len(schema))
	for _, name := range reads {
		k := schema.Find(name)
		if k < 0 {
			return nil, fmt.Errorf("dataset: a transform reads field %s, which records do not have", name)
		}
		gone[k] = true
		st.in = append(st.in, s.final[k])
	}
	var after Schema
	var final []int
	put := func() {
		for _, f := range makes {
			st.out = append(st.out, len(s.fields))
			after, final = append(after, f), append(final, len(s.fields))
			s.fields = append(s.fields, f)
		}
		makes = nil
	}
	for k := range schema {
		if !gone[k] {
			after, final = append(after, schema[k]), append(final, s.final[k])
			continue
		}
		put()
	}
	put()
	s.stages = append(s.stages, st)
	s.final = final
	return after, nil
}

// readAhead is how many samples before its turn a record is read and its bytes are fetched into the cache: they come in random
// order, which no hardware prefetcher foresees.
const readAhead = 2

// work is what reading a set needs beside the batch itself. A batch keeps it.
type work struct {
	set    *records
	read   [readAhead + 1]Record
	values []Value   // by number
	made   []Value   // by number: room for values that are no columns
	in     [][]Value // by stage
	out    [][]Value
	spare  []float32 // for transforms that mix samples
}

func newWork(s *records) *work {
	w := &work{set: s, values: make([]Value, len(s.fields)), made: make([]Value, len(s.fields))}
	for k := range w.read {
		w.read[k] = make(Record, len(s.Reader.Schema()))
	}
	for _, st := range s.stages {
		w.in = append(w.in, make([]Value, len(st.in)))
		w.out = append(w.out, make([]Value, len(st.out)))
		for _, v := range st.out {
			if s.column[v] < 0 {
				w.made[v] = room(&s.fields[v])
			}
		}
	}
	for _, b := range s.blends {
		w.spare = grow(w.spare, b.room(s.schema))
	}
	return w
}

// room is a value of the field's width.
func room(f *Field) (v Value) {
	switch width := f.Width(); f.Type {
	case Float32:
		v.Floats = make([]float32, width)
	case Int32:
		v.Ints = make([]int32, width)
	case Uint8:
		room := make([]byte, 2*width)
		v.Bytes, v.spare = room[:width:width], room[width:]
	}
	return v
}

// Read implements Set.
func (s *records) Read(b *Batch, indices []int32, key rng.Key) error {
	b.Resize(len(indices), s.schema)
	if b.work == nil || b.work.set != s {
		b.work = newWork(s)
	}
	if s.plain {
		key = rng.Key{}
	}
	w := b.work
	for j := range min(readAhead, len(indices)) {
		if err := s.Reader.Read(w.read[j], int(indices[j])); err != nil {
			return err
		}
	}
	for j := range indices {
		last := min(j+readAhead, len(indices)-1)
		if last == j+readAhead {
			if err := s.Reader.Read(w.read[last%len(w.read)], int(indices[last])); err != nil {
				return err
			}
		}
		w.sample(b, j, w.read[j%len(w.read)], w.read[last%len(w.read)], Draw{key, uint64(j), uint64(indices[j])})
	}
	if !key.IsZero() {
		for _, t := range s.blends {
			t.blend(b, s.schema, w.spare, key)
		}
	}
	return nil
}

// sample makes sample j of the batch from its record. next is that of a sample soon to come.
func (w *work) sample(b *Batch, j int, record, next Record, draw Draw) {
	s := w.set
	for v := range record {
		w.values[v] = record[v]
		w.values[v].Ahead = next[v].Bytes
		if c := s.column[v]; c >= 0 {
			b.Columns[c].put(j, &s.fields[v], &record[v])
		}
	}
	for k := range s.stages {
		st, in, out := &s.stages[k], w.in[k], w.out[k]
		for i, v := range st.in {
			in[i] = w.values[v]
		}
		for i, v := range st.out {
			if c := s.column[v]; c >= 0 {
				out[i] = b.Columns[c].row(j, &s.fields[v])
			} else {
				out[i] = w.made[v]
			}
		}
		st.transform.Apply(out, in, draw)
		for i, v := range st.out {
			w.values[v] = out[i]
			if c := s.column[v]; c >= 0 && s.fields[v].Ragged {
				b.Columns[c].pad(j, &s.fields[v], &out[i])
			}
		}
	}
}

// row is the place of sample j in a column.
func (c *Column) row(j int, f *Field) (v Value) {
	begin, end := j*f.Width(), (j+1)*f.Width()
	if f.Type == Float32 {
		v.Floats = c.Floats[begin:end:end]
	} else {
		v.Ints = c.Ints[begin:end:end]
	}
	return v
}

// put copies a value to the place of sample j in a column.
func (c *Column) put(j int, f *Field, v *Value) {
	row := c.row(j, f)
	if n := copy(row.Floats, v.Floats) + copy(row.Ints, v.Ints); n < f.Width() && !f.Ragged {
		panic(fmt.Sprintf("dataset: field %s of %d values where there should be %d", f.Name, n, f.Width()))
	}
	if f.Ragged {
		c.pad(j, f, v)
	}
}

// pad notes the length of the ragged value that is sample j of a column, and puts zeros behind it.
func (c *Column) pad(j int, f *Field, v *Value) {
	row := c.row(j, f)
	length := len(v.Floats) + len(v.Ints)
	if f.Type == Float32 {
		clear(row.Floats[length:])
	} else {
		clear(row.Ints[length:])
	}
	c.Lengths[j] = int32(length * f.Shape[0] / f.Width())
}

// shift implements Set.
func (s *records) shift(key rng.Key) int32 {
	if r, ok := s.Reader.(shifting); ok {
		return r.shift(key)
	}
	return 0
}
