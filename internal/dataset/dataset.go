// Package dataset reads the samples that a job trains on and is evaluated with, and decides in which order an epoch
// takes them.
//
//	files -> reader -> records -> transforms -> batch of columns -> the model's inputs, the loss's targets
//
// A schema names the fields of a sample. A Reader, one for each format, gives records by sample number; a Transform is a pure function of
// a record; a Set takes a reader's records through transforms into a batch, without allocating. What is
// read, drawn and ordered depends on the data, the seed and the position alone, never on the machine.
package dataset

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset/shards"
	"ringmaster/internal/tokenizer"
)

// Data is an opened data set.
type Data struct {
	Schema      Schema // of batches
	Train       Set
	Eval        Set                // nil where there is none
	Fingerprint [sha256.Size]byte  // over the decoded records of both sets and their schema
	Files       []FileSum          // to name what differs when fingerprints do; at most 64
	Labels      []string           // names of the classes of images, by label; nil for text
	Vocabulary  *Vocabulary        // of text, or of a table's texts; else nil
	Lexicon     *Lexicon           // of pairs of texts, and of text whose spans are hidden; else nil
	Captions    *Captions          // of pictures that are codes; else nil
	Read        string             // what was read, in words; "" for what is embedded
	LeftOut     string             // what was left out, by reason and count; "" for nothing
	pixels      *pixels            // of images; else nil
	table       Schema             // of the records of a table; else nil
	standards   []*standard        // of a table's inputs
	inputs      []config.Input     // of a table that makes several
	texts       *texts             // of a table of texts; else nil
	Warnings    []string           // lines: what is odd about what was read
	classes     classSamples       // of an order in balance; else nil
	lengths     []int32            // of the training samples, where global batches are sorted by them; else nil
	readers     [partCount]Reader  // of the sets; nil where there is none
	roots       [partCount]hash256 // over what they read; of the test part once it is asked for
	packed      *shards.Set        // that is read; nil: none
	test        Set                // nil where there is none
}

// Tokenizer is the tokenizer whose tokens texts are read as; nil where they are read as characters, bytes or words, and without texts.
func (d *Data) Tokenizer() *tokenizer.Tokenizer { return d.tokenizer() }

// Account is lines for people: what was read and what was left out, and what is odd about it.
func (d *Data) Account() []string {
	line := "read " + d.Read
	if d.LeftOut != "" {
		line += "; left out: " + d.LeftOut
	}
	if d.Read == "" {
		return d.Warnings
	}
	return append([]string{line}, d.Warnings...)
}

// Open reads the data that the configuration names. Errors name the file or folder, what is wrong with it and, where
// that can be said, what to do.
func Open(c config.Data) (*Data, error) { return open(c, nil, nil, nil) }

// OpenLike is Open for data that a model trained on others is to see: characters have the tokens, and classes the numbers, that they
// have in the data which Describe described. Characters that do not occur there are an error, and so are missing classes.
func OpenLike(c config.Data, described []byte) (*Data, error) {
	var like description
	if err := strictly(described, &like); err != nil {
		return nil, fmt.Errorf("description of the data: %w", err)
	}
	vocabulary, err := like.vocabulary()
	if err != nil {
		return nil, fmt.Errorf("description of the data: %w", err)
	}
	return open(c, vocabulary, like.Labels, &like)
}

// open reads the data with the characters and the classes of a model, nil where there is none.
func open(c config.Data, vocabulary *Vocabulary, labels []string, like *description) (*Data, error) {
	names, err := bringPlaces(&c)
	if err != nil {
		return nil, err
	}
	c.Dir = config.ExpandHome(c.Dir)
	d, err := read(c, vocabulary, labels, like)
	if err != nil {
		return nil, far(err, names)
	}
	d.speakOf(names)
	d.Files = condense(d.Files)
	return d, d.balanced(c)
}

// read reads the data of one kind.
func read(c config.Data, vocabulary *Vocabulary, labels []string, like *description) (d *Data, err error) {
	switch {
	case c.Kind == config.DataShards:
		return nil, errors.New("dataset: Settle comes first")
	case c.Path != "":
		return openPacked(c, like)
	}
	switch c.Kind {
	case config.DataGlyphs:
		d, err = openGlyphs(c)
	case config.DataMNIST:
		d, err = openMNIST(c, labels)
	case config.DataText:
		d, err = openText(c, vocabulary)
	case config.DataImages:
		d, err = openImages(c, labels)
	case config.DataCSV, config.DataTSV, config.DataJSONL, config.DataParquet, config.DataNPY, config.DataNPZ,
		config.DataImageTable, config.DataWebDataset:
		d, err = openTables(c, like)
	case config.DataPairs:
		d, err = openPairs(c, like)
	default:
		return nil, fmt.Errorf("data kind %q is unknown", c.Kind)
	}
	if err != nil {
		return nil, explainPath(err, c.Dir)
	}
	return d, nil
}

// explainPath adds to an error about a path that does not exist what the path seems to expect.
func explainPath(err error, path string) error {
	hint := config.Unexpanded(path)
	if _, missing := os.Stat(path); hint == "" || !errors.Is(missing, fs.ErrNotExist) {
		return err
	}
	return fmt.Errorf("%w; %s", err, hint)
}

// theTokenizer is the place of a tokenizer among the files.
const theTokenizer = "the tokenizer"

// sets makes the sets of what the readers read and the transforms make of it, and the fingerprint. eval may be nil.
func (d *Data) sets(train, eval Reader, transforms ...Transform) error {
	set, err := newRecords(train, transforms...)
	if err != nil {
		return err
	}
	d.Schema, d.Train = set.schema, set
	encoded := appendSchema(nil, train.Schema())
	if t := d.tokenizer(); t != nil {
		digest := t.Digest()
		encoded = append(encoded, digest[:]...)
		d.Files = append(d.Files, FileSum{theTokenizer, digest})
	}
	for part, r := range []Reader{train, eval} {
		if r == nil {
			encoded = binary.LittleEndian.AppendUint64(encoded, math.MaxUint64)
			continue
		}
		root, err := rootOf(r)
		if err != nil {
			return err
		}
		d.readers[part], d.roots[part] = r, root
		encoded = binary.LittleEndian.AppendUint64(encoded, uint64(r.Len()))
		encoded = append(encoded, root[:]...)
		if name := tableOf(r); name != "" {
			if part == 1 && len(d.Files) > 0 && d.Files[0].Path == name {
				name += " (evaluation part)"
			}
			d.Files = append(d.Files, FileSum{name, root})
		}
	}
	d.Fingerprint = sha256.Sum256(encoded)
	if eval == nil {
		return nil
	}
	if set, err = newRecords(eval, transforms...); err != nil {
		return err
	}
	set.plain = true
	d.Eval = set
	return nil
}

// hold keeps a reader of the test part, which may be nil, until it is asked for: no bit of the training depends on it.
func (d *Data) hold(test Reader, transforms ...Transform) error {
	if test == nil {
		return nil
	}
	set, err := newRecords(test, transforms...)
	if err != nil {
		return err
	}
	set.plain = true
	d.readers[forTest], d.test = test, set
	return nil
}

// UseTest makes the test part the evaluation set, reading all of it once. The fingerprint stays that of what is trained on and evaluated with. An error says that
// there is no test part.
func (d *Data) UseTest() error {
	if d.test == nil {
		return config.KeyErrorf("data.split", "there is no test part: data.split.test makes one, or of pictures a folder test beside the one that is evaluated (data.eval, data.split)")
	}
	d.Eval = d.test
	return d.sumHeld()
}

// Within makes reads that wait for a server end with a context, from now on: a session that ends need not wait for one that is away.
func (d *Data) Within(ctx context.Context) {
	if d.packed != nil {
		d.packed.Within(ctx)
	}
}

// TestLen is how many samples the test part has.
func (d *Data) TestLen() int { return lenOf(d.readers[forTest]) }

// sumHeld computes the root over the test part, if there is one, once, and notices what is odd about it.
func (d *Data) sumHeld() (err error) {
	r := d.readers[forTest]
	if r == nil || d.roots[forTest] != (hash256{}) {
		return nil
	}
	if d.roots[forTest], err = rootOf(r); err != nil {
		return err
	}
	if g, is := r.(*gallery); is && g.notes != nil {
		g.opened(d)
	}
	return nil
}

// tableOf is the name of the table that a reader reads; "" where it reads something else.
func tableOf(r Reader) string {
	switch r := r.(type) {
	case *rows:
		return r.name
	case *gallery:
		return r.name
	case *textPairs:
		return r.name
	}
	return ""
}

// rootOf is the Merkle root over what a reader reads.
func rootOf(r Reader) (hash256, error) {
	if r, ok := r.(rooted); ok {
		return r.root(), nil
	}
	return sumRecords(r, seer(r))
}

// seer is what a reader does with the hashes of its records, which it wants to see; nil: nothing.
func seer(r Reader) func(number int, leaf hash256) {
	if s, ok := r.(interface {
		see(number int, leaf hash256)
	}); ok {
		return s.see
	}
	return nil
}

func putInt(w io.Writer, n int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	w.Write(b[:])
}

// wrongDir is an error that another data.dir would mend. The text says so.
func wrongDir(format string, args ...any) error {
	return &config.KeyError{Key: "data.dir", Err: fmt.Errorf(format, args...)}
}
