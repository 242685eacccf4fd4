// Package dataset reads the samples that a job trains on and is evaluated with, and decides in which order an epoch
// takes them. Samples lie decoded in memory, images as bytes; a batch is filled from them without allocating. What is
// read, drawn and ordered depends on the data, the seed and the position alone, never on the machine.
package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// Set is a numbered collection of samples.
type Set interface {
	// Len is the number of samples in one pass.
	Len() int
	// Read makes the batch the samples with these numbers, in this order. The key is that of the seat's micro-batch,
	// from which augmentation draws; with the zero key samples come as they are. Read allocates nothing once the batch
	// has had this many samples, and may be called by several goroutines, each with a batch of its own. Numbers come
	// from Data.Order or are 0 to Len()-1; others panic.
	Read(b *Batch, indices []int32, key rng.Key)
	// A set around another one has the following from that.

	// shift is what an epoch with that key adds to the numbers of its samples.
	shift(key rng.Key) int32
	// rowLength is the number of pixels in a row of an image, 0 where samples are none.
	rowLength() int
}

// Data is an opened data set.
type Data struct {
	Schema      Schema // of batches
	Train       Set
	Eval        Set               // nil where there is none
	Fingerprint [sha256.Size]byte // over the decoded values and labels of both sets and their shapes
	Files       []FileSum         // to name what differs when fingerprints do; at most 64
	Labels      []string          // names of the classes of images, by label; nil for text
	Vocabulary  *Vocabulary       // of text; else nil
	Read        string            // what was read, in words; "" for what is embedded
	LeftOut     string            // what was left out, by reason and count; "" for nothing
	Warnings    []string          // lines: what is odd about what was read
}

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
func Open(c config.Data) (*Data, error) { return open(c, nil, nil) }

// OpenLike is Open for data that a model trained on others is to see: characters have the tokens, and classes the numbers, that they
// have in the data which Describe described. Characters that do not occur there are an error, and so are missing classes.
func OpenLike(c config.Data, described []byte) (*Data, error) {
	var like description
	if err := strictly(described, &like); err != nil {
		return nil, fmt.Errorf("description of the data: %w", err)
	}
	vocabulary, err := NewVocabulary(like.Characters)
	if err != nil {
		return nil, fmt.Errorf("description of the data: %w", err)
	}
	return open(c, vocabulary, like.Labels)
}

// open reads the data with the characters and the classes of a model, nil where there is none.
func open(c config.Data, vocabulary *Vocabulary, labels []string) (*Data, error) {
	c.Dir = config.ExpandHome(c.Dir)
	var d *Data
	var err error
	switch c.Kind {
	case config.DataGlyphs:
		d, err = openGlyphs()
	case config.DataMNIST:
		d, err = openMNIST(c.Dir, labels)
	case config.DataText:
		d, err = openText(c, vocabulary)
	case config.DataImages:
		d, err = openImages(c, labels)
	default:
		return nil, fmt.Errorf("data kind %q is unknown", c.Kind)
	}
	if err != nil {
		return nil, explainPath(err, c.Dir)
	}
	d.Files = condense(d.Files)
	d.Fingerprint = fingerprint(d)
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

// fingerprint sums up the spec, the lengths of the sets, and the sums of the files, in that order. The sums cover
// every value, so none is hashed twice.
func fingerprint(d *Data) [sha256.Size]byte {
	h := sha256.New()
	in := d.Schema[0]
	putInt(h, len(in.Shape))
	for _, n := range in.Shape {
		putInt(h, n)
	}
	eval := -1
	if d.Eval != nil {
		eval = d.Eval.Len()
	}
	for _, n := range []int{d.Schema[1].Classes, in.Classes, d.Train.Len(), eval, len(d.Files)} {
		putInt(h, n)
	}
	for _, f := range d.Files {
		putSum(h, f)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

func putInt(w io.Writer, n int) {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], uint64(n))
	w.Write(b[:])
}
