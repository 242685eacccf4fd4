package dataset

import (
	"crypto/sha256"
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
)

// Bounds on a folder of text.
const (
	maxText      = 1 << 30 // bytes in all
	maxTextFiles = 1 << 20
)

// openText reads a text file, or all the text files below a folder in the order of their paths, one after another.
// The first nine tenths of the tokens are for training, the last for evaluation. The vocabulary is the text's own unless one is given.
func openText(c config.Data, vocabulary *Vocabulary) (*Data, error) {
	path, context, encoding, most := c.Dir, c.Context, c.Encoding, c.LeftOut
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("text %s does not exist: set data.dir to a text file, or to a folder of text files", path)
	}
	if err != nil {
		return nil, unreadableFile("text", path, err)
	}
	d, left := &Data{}, &account{}
	var text []byte
	if info.IsDir() {
		text, err = readFolder(d, path, encoding, left)
	} else {
		text, err = readText(path, encoding)
		left.read = 1
		d.Files = []FileSum{{filepath.Base(path), sha256.Sum256(text)}}
		if at := (*binaryError)(nil); errors.As(err, &at) {
			err = fmt.Errorf("text %s is binary: it has a zero byte at offset %d; set data.dir to a text in UTF-8", path, at.offset)
		}
	}
	if err == nil && info.IsDir() {
		err = left.check("text", path, most)
	}
	if err != nil {
		return nil, err
	}
	if d.Vocabulary = vocabulary; vocabulary == nil {
		d.Vocabulary = &Vocabulary{}
		if encoding != config.EncodingBytes {
			d.Vocabulary = vocabularyOf(text)
		}
	}
	d.LeftOut, d.Read = left.String(), fmt.Sprintf("%s of text (%d bytes; tokens are %s) in %s", plural.Of(left.read, "file"), len(text), d.Vocabulary.kind(encoding), path)
	tokens, err := d.Vocabulary.encodeAll(text)
	if err != nil {
		return nil, fmt.Errorf("text %s: %w", path, err)
	}
	cut := len(tokens) / 10 * 9
	cut += len(tokens) % 10 * 9 / 10
	d.Schema = textSchema(context, d.Vocabulary.Len())
	train := &windows{schema: d.Schema, tokens: tokens[:cut], count: (cut - context) / context, shifts: context}
	eval := &windows{schema: d.Schema, tokens: tokens[cut:], count: (len(tokens) - cut - 1) / context, shifts: 1}
	if train.count < 1 || eval.count < 1 {
		return nil, fmt.Errorf("text %s has %s, too few for windows of %d: it takes %d, since a tenth is for evaluation; lower data.context, or use more text",
			path, plural.Of(len(tokens), "token"), context, 10*context+1)
	}
	d.Train, d.Eval = train, eval
	return d, nil
}

// readFolder reads the text files below a folder, and counts what it leaves out: what is hidden, what is no regular file, and files
// with a zero byte, which are binary.
func readFolder(d *Data, folder, encoding string, left *account) ([]byte, error) {
	var text []byte
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
			return fmt.Errorf("text folder %s has more than %d bytes or %d files (at %s): set data.dir to a smaller one", folder, maxText, maxTextFiles, full)
		}
		text = append(text, content...)
		d.Files = append(d.Files, FileSum{name, sha256.Sum256(content)})
		left.read++
		return nil
	}
	err := w.walk(folder, "")
	if err == nil && len(text) == 0 {
		err = fmt.Errorf("text folder %s has no text files (left out: %s): set data.dir to a text file, or to a folder of text files", folder, left.orNone())
	}
	return text, err
}

// textSchema is that of stretches of context tokens, each with the token after it as target.
func textSchema(context, vocabulary int) Schema {
	return Schema{
		{Name: "tokens", Type: Int32, Role: Input, Shape: []int{context}, Classes: vocabulary},
		{Name: "next", Type: Int32, Role: Target, Shape: []int{context}, Classes: vocabulary},
	}
}

// windows is a set whose samples are stretches of context tokens of a text, side by side. Sample number s*count + w is
// window w of the text from token s on, for shifts s below shifts; one pass takes the count windows of one shift.
type windows struct {
	schema Schema
	tokens []byte
	count  int
	shifts int
}

// Len is the number of windows of one pass.
func (w *windows) Len() int { return w.count }

// shift is what is added to the number of each window of an epoch: the number of tokens skipped, drawn by the key,
// times the windows of a pass.
func (w *windows) shift(key rng.Key) int32 {
	return int32(key.Below(0, uint64(w.shifts))) * int32(w.count)
}

func (w *windows) rowLength() int { return 0 }

// Read implements Set. The target of a token is the token after it.
func (w *windows) Read(b *Batch, indices []int32, _ rng.Key) {
	b.Resize(len(indices), w.schema)
	n := w.schema[0].Width()
	for j, index := range indices {
		if index < 0 || int(index) >= w.count*w.shifts {
			panic(fmt.Sprintf("dataset: window %d of %d in %d shifts", index, w.count, w.shifts))
		}
		begin := int(index)/w.count + int(index)%w.count*n
		tokens, targets := b.Columns[0].Ints[j*n:(j+1)*n], b.Columns[1].Ints[j*n:(j+1)*n]
		for i, token := range w.tokens[begin : begin+n] {
			tokens[i] = int32(token)
		}
		for i, token := range w.tokens[begin+1 : begin+n+1] {
			targets[i] = int32(token)
		}
	}
}
