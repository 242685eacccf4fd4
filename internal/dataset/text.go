package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/rng"
	"ringmaster/internal/tokenizer"
)

// Bounds on a folder of text.
const (
	maxText      = 1 << 30 // bytes in all
	maxTextFiles = 1 << 20
)

// openText reads a text file, or all the text files below a folder in the order of their paths, one after another.
// The first nine tenths of the tokens are for training, the last for evaluation. The vocabulary is the text's own unless one is given.
func openText(c config.Data, vocabulary *Vocabulary) (*Data, error) {
	path, encoding, most := c.Dir, c.Encoding, c.LeftOut
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, wrongDir("text %s does not exist: set data.dir to a text file, or to a folder of text files", path)
	}
	if err != nil {
		return nil, unreadableFile("text", path, err)
	}
	d, left := &Data{}, &account{}
	var text []byte
	var files []int
	if info.IsDir() {
		text, files, err = readFolder(d, path, encoding, left)
	} else {
		text, err = readText(path, encoding)
		left.read = 1
		d.Files = []FileSum{{filepath.Base(path), sha256.Sum256(text)}}
		if at := (*binaryError)(nil); errors.As(err, &at) {
			err = wrongDir("text %s is binary: it has a zero byte at offset %d; set data.dir to a text in UTF-8", path, at.offset)
		}
	}
	if err == nil && info.IsDir() {
		err = left.check("text", path, most)
	}
	if err != nil {
		return nil, err
	}
	if d.Vocabulary = vocabulary; vocabulary == nil {
		if d.Vocabulary, err = openVocabulary(c, text); err != nil {
			return nil, err
		}
	}
	parts, total, err := d.Vocabulary.parts(c, text, borders(c, text, files))
	if err != nil {
		if _, is := err.(*config.KeyError); is {
			return nil, err
		}
		return nil, fmt.Errorf("text %s: %w", path, err)
	}
	d.LeftOut, d.Read = left.String(), fmt.Sprintf("%s of text (%d bytes; tokens are %s) in %s", plural.Of(left.read, "file"), len(text), d.Vocabulary.kind(encoding), path)
	d.Read += documentsRead(c, &parts)
	objective, context, err := d.objective(c)
	if err != nil {
		return nil, err
	}
	schema := withPlaces(c, textSchema(context, d.Vocabulary))
	train, eval := trainingWindows(schema, parts[0].text), evaluationWindows(schema, parts[1].text)
	train.starts, eval.starts = parts[0].starts, parts[1].starts
	if train.count < 1 || eval.count < 1 {
		return nil, fmt.Errorf("text %s has %s, too few for windows of %d: it takes %d, since a tenth is for evaluation; lower data.context, or use more text",
			path, plural.Of(total, "token"), context, 10*context+1)
	}
	return d, d.sets(train, eval, objective)
}

// objective is the transform that makes of a stretch of a text's tokens what is read and what is guessed, and how long a stretch is.
func (d *Data) objective(c config.Data) (Transform, int, error) {
	switch {
	case c.Corrupt > 0:
		s, err := newSpans(c, d.Vocabulary)
		if err != nil {
			return nil, 0, err
		}
		if d.Lexicon, err = newPieces(d.Vocabulary.tokenizer); err != nil {
			return nil, 0, err
		}
		d.Lexicon.pieces.shown = true
		return s, s.tokens, nil
	case c.Mask > 0:
		m := newMasking(c, d.Vocabulary)
		length := c.Context - m.frame.Added
		if length < 1 {
			return nil, 0, config.KeyErrorf("data.context", "%d tokens leave no room for a text beside those that the tokenizer adds; raise it", c.Context)
		}
		return m, length, nil
	}
	if c.Documents != "" {
		return documents{}, c.Context, nil
	}
	return successors{}, c.Context, nil
}

// openVocabulary is the vocabulary of a text that no model was trained on: the tokenizer's that the configuration names, or the text's own.
func openVocabulary(c config.Data, text []byte) (*Vocabulary, error) {
	switch {
	case c.Tokenizer != "":
		return openTokenizer(c)
	case c.Encoding == config.EncodingBytes:
		return &Vocabulary{}, nil
	}
	return vocabularyOf(text), nil
}

// openTokenizer is the vocabulary of the tokenizer that the configuration names.
func openTokenizer(c config.Data) (*Vocabulary, error) {
	t, err := tokenizer.Open(config.ExpandHome(c.Tokenizer))
	if err != nil {
		return nil, config.KeyErrorf("data.tokenizer", "%w", err)
	}
	v, err := tokenized(t)
	if err == nil {
		if size := len(t.Pack()); size > maxPackedTokenizer {
			err = fmt.Errorf("the tokenizer has %d bytes when compressed, and checkpoints keep at most %d", size, maxPackedTokenizer)
		}
	}
	if err != nil {
		return nil, config.KeyErrorf("data.tokenizer", "%w", err)
	}
	return v, nil
}

// readFolder reads the text files below a folder, and counts what it leaves out: what is hidden, what is no regular file, and files
// with a zero byte, which are binary. begins are where the files begin, but the first.
func readFolder(d *Data, folder, encoding string, left *account) (text []byte, begins []int, err error) {
	w := &walker{what: "text", account: left, once: true}
	w.visit = func(name, full string) error {
		content, err := readText(full, encoding)
		if binary := (*binaryError)(nil); errors.As(err, &binary) {
			ending := strings.ToLower(path.Ext(name))
			left.leave("that are binary", name, !slices.Contains(media, ending))
			return nil
		}
		if err != nil {
			return err
		}
		if len(content) == 0 {
			left.leave("that are empty", name, false)
			return nil
		}
		if len(text)+len(content) > maxText || len(d.Files) == maxTextFiles {
			return wrongDir("text folder %s has more than %d bytes or %d files (at %s): set data.dir to a smaller one", folder, maxText, maxTextFiles, full)
		}
		if len(text) > 0 {
			begins = append(begins, len(text))
		}
		text = append(text, content...)
		d.Files = append(d.Files, FileSum{name, sha256.Sum256(content)})
		left.read++
		return nil
	}
	err = w.walk(folder, "")
	if err == nil && len(text) == 0 {
		err = wrongDir("text folder %s has no text files (left out: %s): set data.dir to a text file, or to a folder of text files", folder, left.orNone())
	}
	return text, begins, err
}

// textSchema is that of stretches of context tokens and the one after them.
func textSchema(context int, v *Vocabulary) Schema {
	kind := Uint8
	if v.tokenizer != nil {
		kind = Int32
	}
	return Schema{{Name: textField, Type: kind, Role: Input, Shape: []int{context + 1}, Classes: v.Len()}}
}

const textField = "text"

// nextTokens is the field of a text's tokens that are predicted, each from those before it.
const nextTokens = "next"

// successors is the transform that makes of a stretch of tokens an input, all but the last, and a target, for each the token after it.
type successors struct{}

// Fields implements Transform.
func (successors) Fields(schema Schema) ([]string, []Field, error) {
	text := schema[schema.Find(textField)]
	shape := []int{text.Shape[0] - 1}
	return []string{textField}, []Field{
		{Name: "tokens", Type: Int32, Role: Input, Shape: shape, Classes: text.Classes},
		{Name: nextTokens, Type: Int32, Role: Target, Shape: shape, Classes: text.Classes},
	}, nil
}

// Apply implements Transform.
func (successors) Apply(out, in []Value, _ Draw) {
	widen(out[0].Ints, in[0], 0)
	widen(out[1].Ints, in[0], 1)
}

// windows is the reader of stretches of a text that follow one another. Record number s*count + w is
// window w of the text from token s on, for shifts s below shifts; one pass takes the count windows of one shift.
type windows struct {
	schema Schema
	text   tokens
	count  int
	shifts int
	starts []int32 // where documents begin, but the first; nil where they are not kept apart
}

// tokens is a text as tokens, in memory or elsewhere.
type tokens interface {
	len() int
	// slice makes v.Bytes the tokens from begin to end: a view of memory that nobody changes, or in the value's own room.
	slice(v *Value, begin, end int) error
	inMemory() bool
}

// widen sets dst to the tokens of a value from one on.
func widen(dst []int32, v Value, from int) {
	if v.Ints != nil {
		copy(dst, v.Ints[from:])
		return
	}
	for i, token := range v.Bytes[from : from+len(dst)] {
		dst[i] = int32(token)
	}
}

// wideTokens is a text in memory whose tokens are a tokenizer's. slice sets v.Ints.
type wideTokens []int32

func (m wideTokens) len() int       { return len(m) }
func (m wideTokens) inMemory() bool { return true }
func (m wideTokens) slice(v *Value, begin, end int) error {
	v.Ints = m[begin:end:end]
	return nil
}

// memoryTokens is a text in memory.
type memoryTokens []byte

func (m memoryTokens) len() int       { return len(m) }
func (m memoryTokens) inMemory() bool { return true }
func (m memoryTokens) slice(v *Value, begin, end int) error {
	v.Bytes = m[begin:end:end]
	return nil
}

// trainingWindows and evaluationWindows are the windows of a text of a schema.
func trainingWindows(schema Schema, text tokens) *windows {
	context := schema[0].Shape[0] - 1
	return &windows{schema: schema, text: text, count: (text.len() - context) / context, shifts: context}
}

func evaluationWindows(schema Schema, text tokens) *windows {
	return &windows{schema: schema, text: text, count: (text.len() - 1) / (schema[0].Shape[0] - 1), shifts: 1}
}

// Schema implements Reader.
func (w *windows) Schema() Schema { return w.schema }

// Len is the number of windows of one pass.
func (w *windows) Len() int { return w.count }

// Resident implements Reader.
func (w *windows) Resident() bool { return w.text.inMemory() }

// shift is what is added to the number of each window of an epoch: the number of tokens skipped, drawn by the key,
// times the windows of a pass.
func (w *windows) shift(key rng.Key) int32 {
	return int32(key.Below(0, uint64(w.shifts))) * int32(w.count)
}

// leaves implements leafed: windows overlap, and the text behind the last one of a pass belongs to other shifts.
func (w *windows) leaves() int { return (w.text.len() + leafTokens - 1) / leafTokens }

func (w *windows) leafBytes() int {
	size := leafTokens
	if w.schema[0].Type == Int32 {
		size *= 4
	}
	if w.starts != nil {
		size += 4 * leafTokens
	}
	return size
}

// leafTokens is how many tokens are hashed at a time.
const leafTokens = 1 << 16

func (w *windows) appendLeaf(dst []byte, leaf int) ([]byte, error) {
	var v Value
	begin := leaf * leafTokens
	err := w.text.slice(&v, begin, min(begin+leafTokens, w.text.len()))
	for _, token := range v.Ints {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(token))
	}
	dst = append(dst, v.Bytes...)
	k, _ := slices.BinarySearch(w.starts, int32(begin))
	for ; k < len(w.starts) && int(w.starts[k]) < begin+leafTokens; k++ {
		dst = binary.LittleEndian.AppendUint32(dst, uint32(w.starts[k]))
	}
	return dst, err
}

// Read implements Reader.
func (w *windows) Read(r Record, number int) error {
	if number < 0 || number >= w.count*w.shifts {
		panic(fmt.Sprintf("dataset: window %d of %d in %d shifts", number, w.count, w.shifts))
	}
	width := w.schema[0].Shape[0]
	begin := number/w.count + number%w.count*(width-1)
	if len(w.schema) > 1 {
		place(r[1].OwnInts(width), w.starts, begin)
	}
	return w.text.slice(&r[0], begin, begin+width)
}
