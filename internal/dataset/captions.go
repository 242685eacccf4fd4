package dataset

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"ringmaster/internal/config"
	"ringmaster/internal/printable"
	"ringmaster/internal/rng"
)

// Coder writes pictures as whole numbers. It is used by one goroutine at a time.
type Coder interface {
	// Reads is the field that it makes codes of.
	Reads() *Field
	// Grid is how many rows and columns of codes a picture becomes.
	Grid() (rows, columns int)
	// Codes is how many codes there are: they are 0 to Codes()-1.
	Codes() int
	// Encode is the codes of a batch's pictures, row by row, valid until the next call. pixels is their column.
	Encode(pixels []float32, n int) []int32
	// Pack is all that is needed to make the coder again.
	Pack() []byte
}

// Captions says which tokens a picture with a caption is: a start, the words of the caption, padding up to the longest caption, and then
// the picture's codes, row by row. Words are lower-case letters and digits.
type Captions struct {
	words         []string // ascending; their tokens follow the padding's
	length        int      // words of the longest caption
	rows, columns int      // of codes
	codes         int
	coder         []byte // as it packed itself
}

// The tokens before the words.
const (
	captionStart = iota
	captionPadding
	captionWords
)

// maxCaption bounds the words of one caption, and maxPackedCoder a packed coder, which is part of a description in base64.
const (
	maxCaption     = 1 << 10
	maxPackedCoder = maxPackedTokenizer

	maxCaptionTokens = 1 << 28 // of all captions
)

// Len is the number of tokens.
func (c *Captions) Len() int { return captionWords + len(c.words) + c.codes }

// Steps is the number of codes of a picture.
func (c *Captions) Steps() int { return c.rows * c.columns }

// Grid is the rows and columns of codes.
func (c *Captions) Grid() (rows, columns int) { return c.rows, c.columns }

// First is the token of code 0; those of the others follow.
func (c *Captions) First() int32 { return int32(captionWords + len(c.words)) }

// Coder is what the codes were made by, as it packed itself.
func (c *Captions) Coder() []byte { return c.coder }

// context is the number of tokens of a sample that are read, and as many are predicted.
func (c *Captions) context() int { return c.length + c.Steps() }

// Encode is the tokens of a caption, behind which a picture's codes stand. A word that is in no caption is an error.
func (c *Captions) Encode(text string) ([]int32, error) {
	words := wordsOf(text)
	switch {
	case len(words) == 0:
		return nil, fmt.Errorf("%s has no words", printable.Typed(text))
	case len(words) > c.length:
		return nil, fmt.Errorf("%s has %d words, but captions have at most %d", printable.Typed(text), len(words), c.length)
	}
	tokens := make([]int32, 1+c.length)
	for i := range tokens {
		tokens[i] = captionPadding
	}
	tokens[0] = captionStart
	for i, word := range words {
		at, known := slices.BinarySearch(c.words, word)
		if !known {
			return nil, fmt.Errorf("the word %s is in no caption; there are %s", printable.Typed(word), listed(c.words))
		}
		tokens[1+i] = int32(captionWords + at)
	}
	return tokens, nil
}

// wordsOf are the words of a text.
func wordsOf(text string) []string {
	return strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// digitNames are the names of the classes of digits.
var digitNames = []string{"zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"}

// captionsOf are the captions of the classes.
func captionsOf(c config.Data, label *Field) []string {
	names := label.Labels
	if freeCaptions(c) || c.CaptionColumn() != "" {
		return names
	}
	if len(names) == 0 {
		names = numberNames(label.Classes)
	}
	if slices.Equal(names, numberNames(digits)) {
		names = digitNames
	}
	captions := make([]string, len(names))
	for i, name := range names {
		captions[i] = strings.ReplaceAll(c.Caption, "{}", name)
	}
	return captions
}

// checkCaption refuses a caption without words, and one of too many.
func checkCaption(caption string) error {
	if n := len(wordsOf(caption)); n == 0 || n > maxCaption {
		return fmt.Errorf("the caption %s has %d words; there must be 1 to %d", printable.Typed(caption), n, maxCaption)
	}
	return nil
}

// newCaptions is the vocabulary of captions.
func newCaptions(captions []string, coder Coder) (*Captions, error) {
	c := &Captions{codes: coder.Codes(), coder: coder.Pack()}
	c.rows, c.columns = coder.Grid()
	seen := map[string]bool{}
	for _, caption := range captions {
		if err := checkCaption(caption); err != nil {
			return nil, config.KeyErrorf("data.caption", "%w", err)
		}
		words := wordsOf(caption)
		c.length = max(c.length, len(words))
		for _, word := range words {
			seen[word] = true
		}
	}
	if n := int64(len(captions)) * int64(1+c.length); n > maxCaptionTokens {
		return nil, config.KeyErrorf("data.caption", "%d captions of up to %d words are %d tokens, more than the %d that are held: leave out the longest", len(captions), c.length, n, maxCaptionTokens)
	}
	c.words = slices.Sorted(maps.Keys(seen))
	return c, c.check()
}

// check bounds what a sample and a description hold.
func (c *Captions) check() error {
	switch {
	case c.Len() > maxClasses:
		return fmt.Errorf("%d words and %d codes are more than %d tokens", len(c.words), c.codes, maxClasses)
	case c.context() > maxClasses:
		return fmt.Errorf("%d words and %d codes of a picture are more than %d tokens of a sample", c.length, c.Steps(), maxClasses)
	case len(c.coder) > maxPackedCoder:
		return config.KeyErrorf("data.codes", "the autoencoder has %d bytes, and checkpoints keep at most %d of it: train a smaller one", len(c.coder), maxPackedCoder)
	}
	return nil
}

// schema is that of records: the tokens, and what each predicted one weighs in the loss.
func (c *Captions) schema() Schema {
	names := make([]string, 0, c.Len())
	names = append(names, "<start>", "<padding>")
	names = append(append(names, c.words...), numberNames(c.codes)...)
	return Schema{
		{Name: textField, Type: Int32, Role: Input, Shape: []int{c.context() + 1}, Classes: c.Len(), Labels: names},
		{Name: "weight", Type: Float32, Role: Weight, Shape: []int{c.context()}},
	}
}

// weights are those of a sample's predicted tokens: the mean loss over the caption's counts for share, that over the codes' for the rest.
func (c *Captions) weights(share float64) []float32 {
	weights := make([]float32, c.context())
	for i := range weights {
		part, of := 1-share, c.Steps()
		if i < c.length {
			part, of = share, c.length
		}
		weights[i] = float32(part * float64(len(weights)) / float64(of))
	}
	return weights
}

// Caption is the data as captions with the codes of their pictures, each of which is encoded once. The vocabulary is the captions' own, or
// that of a model, if one is given, which lacks no word of them then. Errors name the key.
func Caption(c config.Data, pictures *Data, coder Coder, like *Captions) (*Data, error) {
	pixels, label, err := captioned(pictures.Schema, coder)
	if err != nil {
		return nil, err
	}
	captions := captionsOf(c, &pictures.Schema[label])
	d := &Data{Captions: like, Files: pictures.Files, LeftOut: pictures.LeftOut, Warnings: pictures.Warnings}
	if like == nil {
		if d.Captions, err = newCaptions(captions, coder); err != nil {
			return nil, err
		}
	}
	d.Files = append(slices.Clip(d.Files), FileSum{"the autoencoder of data.codes", sha256.Sum256(d.Captions.coder)})
	d.Read = fmt.Sprintf("%s, written as %d x %d of %d codes", pictures.Read, d.Captions.rows, d.Captions.columns, d.Captions.codes)
	from := &coded{schema: d.Captions.schema(), first: d.Captions.First(), steps: d.Captions.Steps(), weights: d.Captions.weights(c.CaptionWeight)}
	for _, caption := range captions {
		tokens, err := d.Captions.Encode(caption)
		if err != nil {
			return nil, config.KeyErrorf("data.caption", "%w", err)
		}
		from.captions = append(from.captions, tokens)
	}
	train, err := from.of(pictures.Train, pictures.Schema, pixels, label, coder)
	if err != nil || pictures.Eval == nil {
		return d, errors.Join(err, d.sets(train, nil, successors{}))
	}
	eval, err := from.of(pictures.Eval, pictures.Schema, pixels, label, coder)
	if err != nil {
		return nil, err
	}
	return d, d.sets(train, eval, successors{})
}

// captioned are the columns of pictures that the coder reads and of their classes.
func captioned(schema Schema, coder Coder) (pixels, label int, err error) {
	in, err := schema.Only(Input)
	if err != nil {
		return 0, 0, config.KeyErrorf("data.codes", "it writes pictures alone as codes, but %w", err)
	}
	if want := coder.Reads(); in.Type != Float32 || !slices.Equal(in.Shape, want.Shape) {
		return 0, 0, config.KeyErrorf("data.codes", "its autoencoder reads %s, but the data has %s", want, in)
	}
	target, err := schema.Only(Target)
	if err == nil && (target.Type != Int32 || target.Classes < 1 || target.Width() != 1) {
		err = fmt.Errorf("the data has %s", target)
	}
	if err == nil && len(schema.Of(Weight)) > 0 {
		err = errors.New("the data has weights of samples")
	}
	if err != nil {
		return 0, 0, config.KeyErrorf("data.codes", "a caption is made of a picture's class, but %w", err)
	}
	return schema.Find(in.Name), schema.Find(target.Name), nil
}

// coded is the reader of captions with codes, all in memory.
type coded struct {
	schema   Schema
	captions [][]int32 // tokens, by class
	first    int32     // token of code 0
	steps    int
	weights  []float32

	classes []int32
	codes   []int32 // of all pictures
}

// encodeBatch is how many pictures are encoded at a time.
const encodeBatch = 256

// of is the reader of a set's pictures.
func (r coded) of(set Set, schema Schema, pixels, label int, coder Coder) (*coded, error) {
	var batch Batch
	indices := make([]int32, 0, encodeBatch)
	r.classes, r.codes = make([]int32, 0, set.Len()), make([]int32, 0, set.Len()*r.steps)
	for begin := 0; begin < set.Len(); begin += encodeBatch {
		indices = indices[:0]
		for i := begin; i < min(begin+encodeBatch, set.Len()); i++ {
			indices = append(indices, int32(i))
		}
		if err := set.Read(&batch, indices, rng.Key{}); err != nil {
			return nil, err
		}
		for i, class := range batch.Columns[label].Ints {
			if class < 0 || int(class) >= len(r.captions) {
				return nil, fmt.Errorf("sample %d has no class, and so no caption", begin+i)
			}
		}
		r.classes = append(r.classes, batch.Columns[label].Ints...)
		r.codes = append(r.codes, coder.Encode(batch.Columns[pixels].Floats, batch.N)...)
	}
	return &r, nil
}

// Schema implements Reader.
func (r *coded) Schema() Schema { return r.schema }

// Len implements Reader.
func (r *coded) Len() int { return len(r.classes) }

// Resident implements Reader.
func (r *coded) Resident() bool { return true }

// Read implements Reader.
func (r *coded) Read(record Record, number int) error {
	if number < 0 || number >= len(r.classes) {
		panic("dataset: sample " + strconv.Itoa(number) + " of " + strconv.Itoa(len(r.classes)))
	}
	tokens := record[0].OwnInts(r.schema[0].Width())
	n := copy(tokens, r.captions[r.classes[number]])
	for i, code := range r.codes[number*r.steps : (number+1)*r.steps] {
		tokens[n+i] = r.first + code
	}
	record[1].Floats = r.weights
	return nil
}

// describedCaptions is what a description says of captions.
type describedCaptions struct {
	Words   []string `json:"words"`
	Length  int      `json:"length"`
	Rows    int      `json:"rows"`
	Columns int      `json:"columns"`
	Codes   int      `json:"codes"`
	Coder   []byte   `json:"coder"`
}

func (c *Captions) described() *describedCaptions {
	return &describedCaptions{c.words, c.length, c.rows, c.columns, c.codes, c.coder}
}

// captions are those that were described.
func (in *describedCaptions) captions() (*Captions, error) {
	c := &Captions{in.Words, in.Length, in.Rows, in.Columns, in.Codes, in.Coder}
	ascending := true
	for i := 1; i < len(c.words); i++ {
		ascending = ascending && c.words[i-1] < c.words[i]
	}
	small := func(n int) bool { return n >= 1 && n <= maxClasses }
	if !ascending || len(c.words) == 0 || !small(c.length) || !small(c.rows) || !small(c.columns) || !small(c.codes) {
		return nil, fmt.Errorf("description of the data: captions of %d words with %d x %d of %d codes", c.length, c.rows, c.columns, c.codes)
	}
	return c, c.check()
}

// DescribedCaptions are the captions of the data that Describe described; nil where they have none.
func DescribedCaptions(described []byte) (*Captions, error) {
	var in description
	if err := strictly(described, &in); err != nil {
		return nil, fmt.Errorf("description of the data: %w", err)
	}
	if in.Captions == nil {
		return nil, nil
	}
	return in.Captions.captions()
}

// recallCaptions makes of a description the data without their sets.
func (in *description) recallCaptions(c config.Data) (*Data, recollection, error) {
	if in.Captions == nil {
		return nil, recollection{}, errors.New("description of the data: there are no captions, but data.codes is set")
	}
	captions, err := in.Captions.captions()
	if err != nil {
		return nil, recollection{}, err
	}
	return &Data{Captions: captions}, recollection{captions.schema(), []Transform{successors{}}}, nil
}
