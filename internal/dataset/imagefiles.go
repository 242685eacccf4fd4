package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash"
	"image"
	"sync/atomic"
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

// imageFiles is the reader of image files of one size. It keeps as many decoded images in memory as the bound allows, those that are
// read first, and decodes the others whenever they are read.
type imageFiles struct {
	schema   Schema
	files    []labelled
	size     image.Point
	labels   []int32
	room     *keeping
	kept     []atomic.Pointer[[]byte] // by number: the decoded image, nil where it is not kept
	resident bool                     // all are kept

	sums  [][changeSum]byte // by number: the beginning of the record's leaf, to notice a file that changes
	notes []string          // by number: what is odd about an image; nil once all have been read
	seen  []FileSum         // of the classes' records
	class hash.Hash         // of the class under way
}

// changeSum is how many bytes of a record's leaf tell whether its file has changed.
const changeSum = 16

func newImageFiles(schema Schema, files []labelled, size image.Point, room *keeping) *imageFiles {
	r := &imageFiles{schema: schema, files: files, size: size, room: room, labels: make([]int32, len(files)),
		kept: make([]atomic.Pointer[[]byte], len(files)), sums: make([][changeSum]byte, len(files)), notes: make([]string, len(files))}
	for i := range files {
		r.labels[i] = int32(files[i].label)
	}
	return r
}

// Schema implements Reader.
func (r *imageFiles) Schema() Schema { return r.schema }

// Len implements Reader.
func (r *imageFiles) Len() int { return len(r.labels) }

// Resident implements Reader.
func (r *imageFiles) Resident() bool { return r.resident }

// Read implements Reader.
func (r *imageFiles) Read(record Record, number int) error {
	if number < 0 || number >= len(r.labels) {
		panic(fmt.Sprintf("dataset: sample %d of %d", number, len(r.labels)))
	}
	record[1].Ints = r.labels[number : number+1]
	if p := r.kept[number].Load(); p != nil {
		record[0].Bytes = *p
		return nil
	}
	// The image stands as in the encoding of its record, so that its leaf is computed in one go.
	width := r.size.X * r.size.Y * channels
	encoded := record[0].OwnBytes(1 + width + 4)
	record[0].Bytes = encoded[1 : 1+width : 1+width]
	note, err := decodeImage(record[0].Bytes, r.files[number].imageFile, r.size)
	if err != nil {
		return err
	}
	if r.notes != nil {
		r.notes[number] = note
		r.keep(number, record[0].Bytes)
		return nil
	}
	encoded[0] = 0
	binary.LittleEndian.PutUint32(encoded[1+width:], uint32(r.labels[number]))
	if leaf := leafOf(encoded); [changeSum]byte(leaf[:]) != r.sums[number] {
		return fmt.Errorf("image %s has changed since the data were read first: put it back, or start another job", r.files[number].where)
	}
	return nil
}

// keep keeps a copy of a decoded image if there is room.
func (r *imageFiles) keep(number int, values []byte) {
	if r.room.take(len(values)) {
		values = bytes.Clone(values)
		r.kept[number].Store(&values)
	}
}

// see takes the leaves of the records, in order, while they are read first.
func (r *imageFiles) see(number int, leaf hash256) {
	r.sums[number] = [changeSum]byte(leaf[:])
	if number == 0 || r.files[number].label != r.files[number-1].label {
		r.class = sha256.New()
	}
	r.class.Write(leaf[:])
	if number == len(r.files)-1 || r.files[number].label != r.files[number+1].label {
		name := r.files[number].part + "/" + r.files[number].class + "/"
		r.seen = append(r.seen, FileSum{name, [sha256.Size]byte(r.class.Sum(nil))})
	}
}

// opened ends the first reading of all records, and adds to the data what it has found.
func (r *imageFiles) opened(d *Data) {
	d.Files = append(d.Files, r.seen...)
	d.noteImages(r.files, r.notes)
	r.notes, r.seen, r.class, r.resident = nil, nil, nil, true
	for i := range r.kept {
		r.resident = r.resident && r.kept[i].Load() != nil
	}
	if r.resident {
		r.files, r.sums = nil, nil
	}
}
