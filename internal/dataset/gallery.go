package dataset

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"hash"
	"image"
	"sync/atomic"

	"ringmaster/internal/dataset/picture"
)

// keeping bounds what readers keep of decoded records, in bytes, together. What was kept stays: an epoch takes every record once, in
// an order of its own, so no other choice of what to keep would be met more often.
type keeping struct {
	limit int64
	taken atomic.Int64
}

// take reports whether there is room for size more bytes, and takes it.
func (k *keeping) take(size int) bool {
	if k.taken.Add(int64(size)) <= k.limit {
		return true
	}
	k.taken.Add(-int64(size))
	return false
}

// source is a picture that is read when it is needed.
type source interface {
	// place names it for people: its file, and where in it.
	place() string
	// bytes reads its encoded bytes. Several goroutines may.
	bytes() ([]byte, error)
}

// gallery is the reader of records whose first field is a picture, all of one size, and whose others are in memory. It keeps as many decoded
// pictures as the bound allows, those that are read first, and decodes the others whenever they are read.
type gallery struct {
	name    string // of the set, for messages
	schema  Schema
	sources []source
	size    image.Point
	fit     *picture.Fit // how pictures of any size are brought to it; nil: all have it
	rest    *rows        // the other fields
	room    *keeping
	kept    []atomic.Pointer[[]byte] // by number: the decoded picture, nil where it is not kept
	missing atomic.Int64             // how many are not kept

	sums  [][changeSum]byte              // by number: the beginning of the record's leaf, to notice a file that changes
	notes []string                       // by number: what is odd about a picture; nil once all have been read
	told  func(number int, leaf hash256) // of each record, in order, while they are read first; may be nil

	recall func(number int) (leaf hash256, known bool) // what is remembered of earlier runs; may be nil
}

// changeSum is how many bytes of a record's leaf tell whether its file has changed.
const changeSum = 16

func newGallery(name string, sources []source, size image.Point, rest *rows, room *keeping) *gallery {
	pixels := Field{Name: pixelsField, Type: Uint8, Role: Input, Shape: []int{channels, size.Y, size.X}}
	n := len(sources)
	g := &gallery{name: name, schema: append(Schema{pixels}, rest.schema...), sources: sources, size: size, rest: rest, room: room,
		kept: make([]atomic.Pointer[[]byte], n), sums: make([][changeSum]byte, n), notes: make([]string, n)}
	g.missing.Store(int64(n))
	return g
}

// Schema implements Reader.
func (g *gallery) Schema() Schema { return g.schema }

// Len implements Reader.
func (g *gallery) Len() int { return len(g.kept) }

// Resident implements Reader.
func (g *gallery) Resident() bool { return g.missing.Load() == 0 }

// known is the leaf of a record that is remembered of an earlier run.
func (g *gallery) known(number int) (leaf hash256, known bool) {
	if g.recall == nil {
		return leaf, false
	}
	return g.recall(number)
}

// Read implements Reader.
func (g *gallery) Read(record Record, number int) error {
	if number < 0 || number >= len(g.kept) {
		panic(fmt.Sprintf("dataset: sample %d of %d", number, len(g.kept)))
	}
	if err := g.rest.Read(record[1:], number); err != nil {
		return err
	}
	if p := g.kept[number].Load(); p != nil {
		record[0].Bytes = *p
		return nil
	}
	// The picture stands as in the encoding of its record, so that its leaf is computed in one go.
	width := g.size.X * g.size.Y * channels
	encoded := record[0].OwnBytes(1 + width + 4*len(g.schema)*maxTail)[:1+width]
	record[0].Bytes = encoded[1 : 1+width : 1+width]
	note, err := decodeImage(record[0].Bytes, g.sources[number], g.size, g.fit)
	if err != nil {
		return err
	}
	if g.notes != nil {
		g.notes[number] = note
		g.keep(number, record[0].Bytes)
		return nil
	}
	encoded[0] = 0
	encoded = appendRecord(encoded, g.schema[1:], record[1:])
	if leaf := leafOf(encoded); [changeSum]byte(leaf[:]) != g.sums[number] {
		return fmt.Errorf("image %s has changed since the data were read first: put it back, or start another job", g.sources[number].place())
	}
	g.keep(number, record[0].Bytes)
	return nil
}

// maxTail is how many values of a field there is room for behind a picture without another allocation.
const maxTail = 4

// keep keeps a copy of a decoded picture if there is room.
func (g *gallery) keep(number int, values []byte) {
	if !g.room.take(len(values)) {
		return
	}
	values = bytes.Clone(values)
	if g.kept[number].CompareAndSwap(nil, &values) {
		g.missing.Add(-1)
	} else {
		g.room.taken.Add(-int64(len(values)))
	}
}

// see takes the leaves of the records, in order, while they are read first.
func (g *gallery) see(number int, leaf hash256) {
	g.sums[number] = [changeSum]byte(leaf[:])
	if g.told != nil {
		g.told(number, leaf)
	}
}

// opened ends the first reading of all records, and adds to the data what it has found.
func (g *gallery) opened(d *Data) {
	d.noteImages(g.sources, g.notes)
	g.notes, g.told, g.recall = nil, nil, nil
	if g.Resident() {
		g.sources, g.sums = nil, nil
	}
}

// newFolderGallery is the gallery of labelled files. The sums of their classes are added to those of the data.
func newFolderGallery(d *Data, label Field, files []labelled, size image.Point, room *keeping) *gallery {
	sources, labels := make([]source, len(files)), make([]int32, len(files))
	for i := range files {
		sources[i], labels[i] = &files[i], int32(files[i].label)
	}
	g := newGallery("", sources, size, &rows{schema: Schema{label}, columns: []column{{ints: labels}}, n: len(files)}, room)
	var class hash.Hash // of the class under way
	g.told = func(number int, leaf hash256) {
		if number == 0 || files[number].label != files[number-1].label {
			class = sha256.New()
		}
		class.Write(leaf[:])
		if number == len(files)-1 || files[number].label != files[number+1].label {
			d.Files = append(d.Files, FileSum{files[number].part + "/" + files[number].class + "/", [sha256.Size]byte(class.Sum(nil))})
		}
	}
	return g
}
