package dataset

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"io"

	"ringmaster/internal/config"
	"ringmaster/internal/tokenizer"
)

// maxDescription bounds a description in bytes. Names of classes that are longer in all are left out.
const maxDescription = 1 << 20

// maxPackedTokenizer is how large a packed tokenizer may be to be part of a description, in which it is written in base64.
const maxPackedTokenizer = maxDescription/4*3 - 1<<12

// description is what a model must know of the data it was trained on to be used where the data is not.
type description struct {
	Input      []int    `json:"input,omitempty"`   // shape of a sample's values
	Columns    int      `json:"columns,omitempty"` // pixels of a row
	Context    int      `json:"context,omitempty"` // tokens of a sample; 0: samples are no text
	Classes    int      `json:"classes"`
	Labels     []string `json:"labels,omitempty"`     // names of the classes
	Characters string   `json:"characters,omitempty"` // of text; "": tokens are bytes, or a tokenizer's
	Tokenizer  []byte   `json:"tokenizer,omitempty"`  // of text and of a table's texts, as it packs itself

	Table   []describedColumn `json:"table,omitempty"`
	Lexicon *describedLexicon `json:"lexicon,omitempty"` // of pairs of texts

	Captions *describedCaptions `json:"captions,omitempty"` // of pictures that are codes
}

// Describe is the data set without its samples, as JSON of at most a mebibyte: the shape of a sample, the names of the
// classes or the characters of the vocabulary. It travels in checkpoints, and Recall reads it.
func (d *Data) Describe() []byte {
	var out description
	switch {
	case d.Captions != nil:
		out.Captions = d.Captions.described()
	case d.table != nil:
		out.Table = describeTable(d.table, d.standards)
		if d.pixels != nil {
			out.Input, out.Columns = d.pixels.shape, d.pixels.columns
		}
		if d.texts != nil {
			out.Tokenizer = d.texts.vocabulary.tokenizer.Pack()
		}
	case d.Lexicon != nil && d.Vocabulary == nil:
		out.Lexicon = d.Lexicon.described()
	case d.Vocabulary != nil:
		out.Classes, out.Context, out.Characters = d.Vocabulary.Len(), d.Schema[0].Width(), d.Vocabulary.Characters()
		if t := d.Vocabulary.tokenizer; t != nil {
			out.Tokenizer = t.Pack()
		}
	default:
		out.Classes, out.Labels, out.Input, out.Columns = d.Schema[1].Classes, d.Labels, d.Schema[0].Shape, d.pixels.columns
	}
	text, err := json.Marshal(out)
	if err == nil && len(text) > maxDescription {
		out.Labels = nil
		text, err = json.Marshal(out)
	}
	if err != nil {
		panic(fmt.Sprintf("dataset: numbers and strings have no JSON: %v", err))
	}
	return text
}

// Recall makes of what Describe wrote a data set without samples: Train has none and Eval is nil, but a model can be built
// for it, and photos and prompts can be read as the samples were. The configuration must be that of the job.
func Recall(c config.Data, text []byte) (*Data, error) {
	var in description
	if err := strictly(text, &in); err != nil {
		return nil, fmt.Errorf("description of the data: %w", err)
	}
	d, readers, err := in.recall(c)
	if err != nil {
		return nil, err
	}
	none := nothing{readers.schema}
	return d, d.sets(none, nil, readers.transforms...)
}

// nothing is a reader without records.
type nothing struct{ schema Schema }

// Schema implements Reader.
func (n nothing) Schema() Schema { return n.schema }

// Len implements Reader.
func (nothing) Len() int { return 0 }

// Resident implements Reader.
func (nothing) Resident() bool { return true }

// Read implements Reader.
func (nothing) Read(Record, int) error {
	panic("dataset: a record of data that were recalled without any")
}

// recollection is the records that data had, and what was made of them.
type recollection struct {
	schema     Schema
	transforms []Transform
}

// recall makes of a description the data without their sets.
func (in *description) recall(c config.Data) (*Data, recollection, error) {
	if c.Codes != "" || in.Captions != nil {
		return in.recallCaptions(c)
	}
	if c.IsTable() || c.HasPictures() {
		return in.recallTable(c)
	}
	if c.Kind == config.DataPairs {
		l, err := in.lexicon(c)
		if err != nil {
			return nil, recollection{}, err
		}
		return &Data{Lexicon: l}, recollection{pairSchema(c, l), []Transform{teaching{l.Start()}}}, nil
	}
	if in.Classes < 1 || in.Classes > maxClasses || len(in.Labels) != 0 && len(in.Labels) != in.Classes {
		return nil, recollection{}, fmt.Errorf("description of the data: %d classes with %d names", in.Classes, len(in.Labels))
	}
	if c.Kind == config.DataText {
		return in.recallText(c)
	}
	return in.recallPixels(c)
}

// strictly decodes one JSON value without unknown fields.
func strictly(text []byte, into any) error {
	if len(text) > maxDescription {
		return fmt.Errorf("%d bytes are more than %d", len(text), maxDescription)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); err != io.EOF {
		return fmt.Errorf("there is more after it")
	}
	return nil
}

// vocabulary is that of the text that was described.
func (in *description) vocabulary() (*Vocabulary, error) {
	if in.Tokenizer == nil {
		return NewVocabulary(in.Characters)
	}
	t, err := tokenizer.Unpack(in.Tokenizer)
	if err != nil {
		return nil, err
	}
	return tokenized(t)
}

func (in *description) recallText(c config.Data) (*Data, recollection, error) {
	v, err := in.vocabulary()
	if err != nil {
		return nil, recollection{}, fmt.Errorf("description of the data: %w", err)
	}
	if in.Context != c.Context || in.Classes != v.Len() {
		return nil, recollection{}, fmt.Errorf("description of the data: %d tokens in windows of %d, want %d in windows of %d", in.Classes, in.Context, v.Len(), c.Context)
	}
	d := &Data{Vocabulary: v}
	objective, context, err := d.objective(c)
	if err != nil {
		return nil, recollection{}, fmt.Errorf("description of the data: %w", err)
	}
	return d, recollection{withPlaces(c, textSchema(context, v)), []Transform{objective}}, nil
}

// recallPixels makes a set of images without images.
func (in *description) recallPixels(c config.Data) (*Data, recollection, error) {
	p, err := in.pixels(c)
	if err != nil {
		return nil, recollection{}, err
	}
	shape := in.Input
	if len(shape) == 1 {
		shape = []int{p.plane / p.columns, p.columns}
	}
	return &Data{Labels: in.Labels, pixels: p}, recollection{pictureSchema(shape, in.Classes, in.Labels), p.transforms()}, nil
}

// pixels is the transform of the pictures that were described, whose shape is [values], or [channels rows columns].
func (in *description) pixels(c config.Data) (*pixels, error) {
	bad := func() error {
		return fmt.Errorf("description of the data: samples of %v in rows of %d do not go with data of kind %s", in.Input, in.Columns, c.Kind)
	}
	p := &pixels{shape: in.Input, columns: in.Columns, fit: fitOf(c), entries: c.Augment}
	rank := 1
	if c.Kind == config.DataImages || c.HasPictures() {
		rank = 3
		for i := range channels {
			p.scales = append(p.scales, standardScale(c.Mean[i], c.Std[i]))
		}
		p.crop, p.flip = c.Crop, c.Flip
	} else {
		p.scales = []*scale{unitScale()}
	}
	if len(in.Input) != rank || in.Columns < 1 || rank == 3 && (in.Input[0] != channels || in.Input[2] != in.Columns) {
		return nil, bad()
	}
	width := 1
	for _, n := range in.Input {
		if n < 1 || n > maxImageEdge*maxImageEdge*channels/width {
			return nil, bad()
		}
		width *= n
	}
	if p.fit != nil && p.fit.Out() != image.Pt(in.Columns, width/channels/in.Columns) {
		return nil, bad()
	}
	if p.plane = width / len(p.scales); p.plane%p.columns != 0 {
		return nil, bad()
	}
	return p, nil
}
