package dataset

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset/merkle"
	"ringmaster/internal/dataset/shards"
	"ringmaster/internal/plural"
)

// packing is what the index of a packed set says of its content.
type packing struct {
	Data        string          `json:"data"` // section of the job that it was packed with, as YAML
	Description json.RawMessage `json:"description"`
	Lengths     []int           `json:"lengths"` // of the parts, the last of which may be missing: tokens of text, else records; -1: there is none
	Files       []packedSum     `json:"files"`
	Read        string          `json:"read"`
	LeftOut     string          `json:"left_out,omitempty"`
}

// packedSum is a FileSum.
type packedSum struct {
	Path string `json:"path"`
	Sum  string `json:"sha256"`
}

// partNamesPacked are what the parts of a packed set are called.
var partNamesPacked = [partCount]string{"train", "eval", "test"}

// CacheFolder is the folder for what is kept between runs.
func CacheFolder(c config.Data) (string, error) {
	if c.Cache != "" {
		return config.ExpandHome(c.Cache), nil
	}
	folder, err := os.UserCacheDir()
	if err != nil {
		return "", config.KeyErrorf("data.cache", "there is no folder for what is kept between runs (%w); name one", err)
	}
	return filepath.Join(folder, "ringmaster"), nil
}

// openIndex opens a packed set and reads what it says of its content.
func openIndex(c config.Data) (*shards.Set, *packing, error) {
	place, o := c.Path, shards.Options{Memory: int64(c.MemoryMiB) << 20}
	if shards.IsURL(place) {
		var err error
		if o.Cache, err = CacheFolder(c); err != nil {
			return nil, nil, err
		}
		o.CacheBytes = cacheBytes(c)
	} else {
		place = config.ExpandHome(place)
	}
	set, err := shards.Open(place, o)
	if err != nil {
		return nil, nil, &config.KeyError{Key: "data.path", Err: explainPath(err, place)}
	}
	content := &packing{}
	if err := json.Unmarshal(set.Content, content); err != nil {
		return nil, nil, fmt.Errorf("packed set %s: its index does not describe data (%w): pack again", set, err)
	}
	return set, content, nil
}

// Settle takes over into a job what the packed set that it reads was packed with, if it reads one. Errors name the key.
func Settle(job *config.Job) error {
	if job.Data.Path == "" {
		return nil
	}
	set, content, err := openIndex(job.Data)
	if err != nil {
		return err
	}
	packed, err := config.DecodeData([]byte(content.Data))
	if err != nil {
		return fmt.Errorf("packed set %s: %w", set, err)
	}
	return job.Settle(packed)
}

// openPacked opens a packed set. Classes, characters and columns are those of a model, if one is given, or it is an error.
func openPacked(c config.Data, like *description) (*Data, error) {
	set, content, err := openIndex(c)
	if err != nil {
		return nil, err
	}
	var in description
	if err := strictly(content.Description, &in); err != nil {
		return nil, fmt.Errorf("packed set %s: description of the data: %w", set, err)
	}
	if in.Context > 0 {
		in.Context = c.Context
	}
	if like != nil && !in.likeModel(like) {
		return nil, config.KeyErrorf("data.path", "the classes, characters or columns of the set in %s are not those of the model: pack the data again with the job of the model", set)
	}
	d, was, err := in.recall(c)
	if err != nil {
		return nil, fmt.Errorf("packed set %s: %w", set, err)
	}
	d.packed = set
	if err := d.sameTokenizer(c, set); err != nil {
		return nil, err
	}
	if _, err := set.Load(); err != nil {
		return nil, err
	}
	readers, err := content.readers(set, was.schema)
	if err != nil {
		return nil, fmt.Errorf("packed set %s: %w", set, err)
	}
	train, eval := readers[forTraining], readers[forEvaluation]
	if d.pixels != nil {
		d.pixels.entries = c.Augment
		was.transforms = d.pixels.transforms()
	}
	if d.table != nil {
		if err := d.standardise(c, train, like); err != nil {
			return nil, err
		}
		was.transforms = d.tableTransforms()
	}
	d.Read = fmt.Sprintf("%s for training and %d for evaluation in the packed set %s, which has %s", plural.Of(train.Len(), "record"), lenOf(eval), set, content.Read)
	d.LeftOut = content.LeftOut
	for _, f := range content.Files {
		if f.Path == theTokenizer {
			continue // of which sets makes the sum
		}
		sum, err := hex.DecodeString(f.Sum)
		if err != nil || len(sum) != len(hash256{}) {
			return nil, fmt.Errorf("packed set %s: the sum of %.80q is none", set, f.Path)
		}
		d.Files = append(d.Files, FileSum{f.Path, hash256(sum)})
	}
	if err := d.sets(train, eval, was.transforms...); err != nil {
		return nil, err
	}
	return d, d.hold(readers[forTest], was.transforms...)
}

// sameTokenizer refuses a tokenizer that a job names where the set was packed with another one.
func (d *Data) sameTokenizer(c config.Data, set *shards.Set) error {
	if c.Kind != config.DataText || c.Tokenizer == "" {
		return nil
	}
	v, err := openTokenizer(c)
	if err != nil {
		return err
	}
	if packed := d.Vocabulary.tokenizer; packed == nil || packed.Digest() != v.tokenizer.Digest() {
		return config.KeyErrorf("data.tokenizer", "the set in %s was packed with another one, or without: name that, or leave it out", set)
	}
	return nil
}

func lenOf(r Reader) int {
	if r == nil {
		return 0
	}
	return r.Len()
}

// likeModel reports whether records that the description is of can be read as those that a model was trained on.
func (in *description) likeModel(like *description) bool {
	if in.Characters != like.Characters || in.Classes != like.Classes || !slices.Equal(in.Labels, like.Labels) || len(in.Table) != len(like.Table) || !reflect.DeepEqual(in.Lexicon, like.Lexicon) {
		return false
	}
	for k := range in.Table {
		a, b := &in.Table[k], &like.Table[k]
		if a.Name != b.Name || a.Role != b.Role || !slices.Equal(a.Shape, b.Shape) || !slices.Equal(a.Categories, b.Categories) {
			return false
		}
	}
	return true
}

// standardise measures what the job standardises, or takes it from a model.
func (d *Data) standardise(c config.Data, train Reader, like *description) (err error) {
	if like != nil {
		d.standards, err = like.standards()
	} else {
		d.standards, err = standards(c, train, "the packed set")
	}
	return err
}

// readers are those of the parts; nil where there is none.
func (p *packing) readers(set *shards.Set, schema Schema) (readers [partCount]Reader, err error) {
	if n := len(p.Lengths); n < 2 || n > len(readers) {
		return readers, fmt.Errorf("its index has %d lengths of parts", n)
	}
	for k, length := range p.Lengths {
		name := partNamesPacked[k]
		at := set.Part(name)
		switch {
		case at == nil && k > 0 && length < 0:
			continue
		case at == nil:
			return readers, fmt.Errorf("there is no part %s", name)
		case schema[0].Name == textField:
			readers[k], err = p.text(at, schema, part(k))
		default:
			r := &packedRecords{part: at, schema: schema}
			if largest, _ := recordBytes(r); at.Len() == 0 && k == 0 || at.Largest() > largest || at.Len() != length {
				return readers, fmt.Errorf("part %s has %d records of up to %d bytes, and by its schema %d of up to %d", name, at.Len(), at.Largest(), length, largest)
			}
			readers[k] = r
		}
		if err != nil {
			return readers, err
		}
	}
	return readers, nil
}

// text is the reader of a part that is a text.
func (p *packing) text(at *shards.Part, schema Schema, k part) (Reader, error) {
	text := &packedTokens{part: at, total: p.Lengths[k], wide: schema[0].Type == Int32, classes: schema[0].Classes}
	if text.total < 0 || (text.total+leafTokens-1)/leafTokens != at.Len() {
		return nil, fmt.Errorf("part %s has %d tokens in %d records", partNamesPacked[k], text.total, at.Len())
	}
	w := evaluationWindows(schema, text)
	if k == forTraining {
		w = trainingWindows(schema, text)
	}
	if w.count < 1 {
		return nil, config.KeyErrorf("data.context", "part %s has %s, too few for windows of %d: lower it", partNamesPacked[k], plural.Of(text.total, "token"), w.schema[0].Shape[0]-1)
	}
	return &packedWindows{w}, nil
}

// packedRecords is the reader of the records of a packed part.
type packedRecords struct {
	part   *shards.Part
	schema Schema
}

// Schema implements Reader.
func (p *packedRecords) Schema() Schema { return p.schema }

// Len implements Reader.
func (p *packedRecords) Len() int { return p.part.Len() }

// Resident implements Reader.
func (p *packedRecords) Resident() bool { return p.part.Resident() }

func (p *packedRecords) root() hash256 { return p.part.Root() }

// Read implements Reader.
func (p *packedRecords) Read(r Record, number int) error {
	encoded, room, err := p.part.Read(number, r[0].ownBytes)
	r[0].ownBytes = room
	if err != nil {
		return err
	}
	if err := decodeRecord(p.schema, encoded, r); err != nil {
		return fmt.Errorf("packed set %s: record %d: %w", p.part, number, err)
	}
	return nil
}

var errRecord = errors.New("it is not one of its schema: pack again")

// decodeRecord makes r the record of an encoding, of whose bytes its values may be views.
func decodeRecord(schema Schema, encoded []byte, r Record) error {
	le := binary.LittleEndian
	for k := range schema {
		f, v := &schema[k], &r[k]
		n := f.Width()
		if f.Ragged {
			if len(encoded) < 4 {
				return errRecord
			}
			most := n
			n, encoded = int(le.Uint32(encoded)), encoded[4:]
			if n > most || n%(most/f.Shape[0]) != 0 {
				return errRecord
			}
		}
		size := n
		if f.Type != Uint8 {
			size *= 4
		}
		if size > len(encoded) {
			return errRecord
		}
		values := encoded[:size:size]
		encoded = encoded[size:]
		switch f.Type {
		case Uint8:
			v.Bytes = values
		case Int32:
			for i := range v.OwnInts(n) {
				v.Ints[i] = int32(le.Uint32(values[4*i:]))
				if f.Classes > 0 && (int(v.Ints[i]) >= f.Classes || v.Ints[i] < 0 && f.Role == Input) {
					return fmt.Errorf("field %s is %d of %d classes: pack again", f.Name, v.Ints[i], f.Classes)
				}
			}
		case Float32:
			for i := range v.OwnFloats(n) {
				v.Floats[i] = math.Float32frombits(le.Uint32(values[4*i:]))
			}
		}
	}
	if len(encoded) > 0 {
		return errRecord
	}
	return nil
}

// packedWindows is the windows of a packed text.
type packedWindows struct{ *windows }

func (w *packedWindows) root() hash256 { return w.text.(*packedTokens).part.Root() }

// packedTokens is a packed text.
type packedTokens struct {
	part    *shards.Part
	total   int
	wide    bool // tokens are a tokenizer's, of four bytes; else of one
	classes int
}

func (t *packedTokens) len() int       { return t.total }
func (t *packedTokens) inMemory() bool { return t.part.Resident() }

// leafRooms are for the leaves of texts, of which windows are copied.
var leafRooms = sync.Pool{New: func() any { return new([]byte) }}

func (t *packedTokens) slice(v *Value, begin, end int) error {
	room := leafRooms.Get().(*[]byte)
	defer leafRooms.Put(room)
	width := 1
	if t.wide {
		width = 4
	}
	dst := v.OwnBytes(width * (end - begin))
	for at := begin; at < end; {
		leaf, grown, err := t.part.Read(at/leafTokens, *room)
		*room = grown
		if err != nil {
			return err
		}
		n := 0
		if within := width * (at % leafTokens); within < len(leaf) {
			n = copy(dst[width*(at-begin):], leaf[within:]) / width
		}
		if n == 0 {
			return fmt.Errorf("packed set %s: the text ends before token %d: pack again", t.part, at)
		}
		at += n
	}
	if !t.wide {
		return t.check(int(slices.Max(dst)))
	}
	v.Bytes = nil
	most := int32(0)
	for i := range v.OwnInts(end - begin) {
		v.Ints[i] = int32(binary.LittleEndian.Uint32(dst[4*i:]))
		most = max(most, v.Ints[i])
		if v.Ints[i] < 0 {
			return t.check(int(v.Ints[i]))
		}
	}
	return t.check(int(most))
}

// check refuses a token that the vocabulary has not.
func (t *packedTokens) check(token int) error {
	if token < 0 || token >= t.classes {
		return fmt.Errorf("packed set %s: token %d in a vocabulary of %d: pack again", t.part, token, t.classes)
	}
	return nil
}

// Pack writes the data that the configuration names to a folder, which must not exist or be empty: records as they are before transforms, in
// the order of their numbers, for data.path. It returns the opened data.
func Pack(c config.Data, dir string) (d *Data, err error) {
	if d, err = Open(c); err != nil {
		return nil, err
	}
	if c.ByLength {
		return nil, config.KeyErrorf("data.by_length", "batches of a packed set cannot be sorted by length: leave data.by_length out")
	}
	if c.Documents != "" {
		return nil, config.KeyErrorf("data.documents", "packing a text whose documents are kept apart is not implemented: leave data.documents out")
	}
	w, err := shards.Create(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Abort()) }()
	said := c // without places, which are of this machine, and what a job makes of the pictures
	said.Codes, said.Caption, said.CaptionWeight = "", "", 0
	said.Dir, said.Train, said.Eval, said.Cache, said.CacheMiB, said.Path, said.Tokenizer = "", "", "", "", 0, ".", ""
	if err := d.sumHeld(); err != nil {
		return nil, err
	}
	content := packing{Data: string(said.Encode()), Description: d.Describe(), Files: []packedSum{}, Read: d.Read, LeftOut: d.LeftOut}
	for k, r := range d.readers {
		if r == nil {
			if part(k) == forEvaluation {
				content.Lengths = append(content.Lengths, -1)
			}
			continue
		}
		length := r.Len()
		if w := windowsIn(r); w != nil {
			length = w.text.len()
		}
		content.Lengths = append(content.Lengths, length)
		if err := packPart(w, partNamesPacked[k], r, d.roots[k]); err != nil {
			return nil, err
		}
	}
	for _, f := range d.Files {
		content.Files = append(content.Files, packedSum{f.Path, hex.EncodeToString(f.Sum[:])})
	}
	if err := w.Finish(content); err != nil {
		return nil, err
	}
	return d, d.checkPacked(c, dir)
}

// checkPacked reads a set that has just been written as jobs will. A kind of data that its description does not bring back cannot be packed.
func (d *Data) checkPacked(c config.Data, dir string) error {
	c.Dir, c.Train, c.Eval, c.Path = "", "", "", dir
	again, err := Open(c)
	if err == nil && again.Fingerprint != d.Fingerprint {
		err = fmt.Errorf("data of kind %s cannot be packed", c.Kind)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	return nil
}

func windowsIn(r Reader) *windows {
	switch w := r.(type) {
	case *windows:
		return w
	case *packedWindows:
		return w.windows
	}
	return nil
}

func packPart(w *shards.Writer, name string, r Reader, root merkle.Hash) error {
	largest, same := recordBytes(r)
	if err := w.Part(name, leavesOf(r), largest, same); err != nil {
		return err
	}
	_, err := eachRecord(r, true, func(_ int, leaf hash256, encoded []byte) error { return w.Add(encoded, leaf) })
	if err != nil {
		return err
	}
	if written, err := w.EndPart(); err != nil || written != root {
		return errors.Join(err, errors.New("the data have changed while they were packed: pack again"))
	}
	return nil
}
