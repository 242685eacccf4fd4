package dataset

import (
	"fmt"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/table"
	"ringmaster/internal/tokenizer"
)

// The fields of texts that are classified.
const (
	TextTokens   = "tokens"   // input, ragged
	TextSegments = "segments" // input: which text of a pair a token is of; only where there are several
)

// texts is how the columns of a table that are texts become tokens.
type texts struct {
	columns    []string
	context    int // tokens of a sample
	vocabulary *Vocabulary
	frame      tokenizer.Frame
}

// newTexts is how a job reads its texts; nil where it has none. The vocabulary is that of a model, or the tokenizer's that the job names.
func newTexts(c config.Data, v *Vocabulary) (*texts, error) {
	if len(c.Texts) == 0 {
		return nil, nil
	}
	if v == nil {
		var err error
		if v, err = openTokenizer(c); err != nil {
			return nil, err
		}
	}
	if v.tokenizer == nil {
		return nil, fmt.Errorf("description of the data: no tokenizer, which texts have")
	}
	t := &texts{c.Texts, c.Context, v, v.tokenizer.Frame(len(c.Texts) == 2)}
	if t.room() < 1 {
		return nil, config.KeyErrorf("data.context", "%d tokens leave no room for a text beside the %d that the tokenizer adds; raise it", c.Context, t.frame.Added)
	}
	return t, nil
}

// room is how many tokens of its texts a sample has at most.
func (t *texts) room() int { return t.context - t.frame.Added }

// field is the field of one column of texts: tokens without those that the tokenizer adds.
func (t *texts) field(name string) Field {
	return Field{Name: name, Type: Int32, Role: Input, Shape: []int{t.room()}, Ragged: true, Classes: t.vocabulary.Len()}
}

// warnings say what is odd about texts of which this many were cut.
func (t *texts) warnings(cut int) (lines []string) {
	if cut > 0 {
		whose := "text"
		if len(t.columns) == 2 {
			whose = "pair"
		}
		lines = append(lines, fmt.Sprintf("%s with more tokens than data.context: cut to %d, %d of them the tokenizer's own", plural.Of(cut, whose), t.context, t.frame.Added))
	}
	if t.frame.Slots[0].Text != tokenizer.NoText {
		lines = append(lines, "the tokenizer puts no token before a text, such as [CLS], so a bert answers from the text's first token")
	}
	return lines
}

// putText appends the tokens of a text to column k: their number, then as many as there is room for.
func (r *rows) putText(k int, v *table.Value) error {
	text, err := v.Word()
	if err != nil || v.Kind != table.Text {
		return fmt.Errorf("%v is no text", v.Kind)
	}
	t, col, width := r.texts, &r.columns[k], r.schema[k].Width()
	begin := len(col.ints)
	if col.ints, err = t.vocabulary.tokenizer.AppendIDs(append(col.ints, 0), text); err != nil {
		return err
	}
	tokens := len(col.ints) - begin - 1
	if tokens+t.frame.Added == 0 {
		return fmt.Errorf("the text has no tokens")
	}
	r.tokens += tokens
	kept := min(tokens, width)
	col.ints[begin] = int32(kept)
	col.ints = col.ints[:begin+1+kept]
	for len(col.ints) < begin+1+width {
		col.ints = append(col.ints, 0)
	}
	return nil
}

// stride is how many whole numbers a row has in column k: of texts their length, and room for the longest.
func (r *rows) stride(k int) int {
	if r.schema[k].Ragged {
		return 1 + r.schema[k].Width()
	}
	return 1
}

// tokensIn are the tokens of a text among the numbers that a row has.
func tokensIn(numbers []int32) []int32 { return numbers[1 : 1+numbers[0]] }

// Fields implements Transform: texts are framed as one sample.
func (t *texts) Fields(Schema) (reads []string, makes []Field, err error) {
	tokens := t.field(TextTokens)
	tokens.Shape = []int{t.context}
	makes = []Field{tokens}
	if t.segmented() {
		makes = append(makes, Field{Name: TextSegments, Type: Int32, Role: Input, Shape: tokens.Shape, Classes: maxSegments})
	}
	return t.columns, makes, nil
}

// maxSegments is how many segments tokens can be of.
const maxSegments = 2

// segmented reports whether tokens are of several segments.
func (t *texts) segmented() bool {
	for _, s := range t.frame.Slots {
		if s.Type != 0 {
			return true
		}
	}
	return false
}

// Apply implements Transform.
func (t *texts) Apply(out, in []Value, _ Draw) {
	var both [2][]int32
	for i := range in {
		both[i] = in[i].Ints
	}
	var segments []int32
	if len(out) > 1 {
		segments = out[1].Ints
		clear(segments)
	}
	out[0].Ints = out[0].Ints[:t.frame.Fill(out[0].Ints, segments, both[:len(in)]...)]
}

// ReadText makes b a sample of one text, for a model that was trained on texts. notes say what is odd about it.
func (d *Data) ReadText(b *Batch, text string) (notes []string, err error) {
	t := d.texts
	if len(t.columns) > 1 {
		return nil, fmt.Errorf("the model reads pairs of texts; give them as rows of a table by --input")
	}
	ids, err := t.vocabulary.tokenizer.AppendIDs(nil, text)
	if err != nil {
		return nil, err
	}
	if len(ids)+t.frame.Added == 0 {
		return nil, fmt.Errorf("the text has no tokens")
	}
	cut := 0
	if len(ids) > t.room() {
		ids, cut = ids[:t.room()], 1
	}
	b.Resize(1, d.Schema)
	out := make([]Value, 1, 2)
	for k := range d.Schema {
		c, f := &b.Columns[k], &d.Schema[k]
		switch f.Name {
		case TextTokens:
			out[0] = c.row(0, f)
		case TextSegments:
			out = append(out, c.row(0, f))
		default:
			clear(c.Ints)
			clear(c.Floats)
		}
	}
	t.Apply(out, []Value{{Ints: ids}}, Draw{})
	k := d.Schema.Find(TextTokens)
	b.Columns[k].pad(0, &d.Schema[k], &out[0])
	return t.warnings(cut), nil
}

// ClassifiesTexts reports whether the data are texts with a target for each.
func (d *Data) ClassifiesTexts() bool { return d.texts != nil }
