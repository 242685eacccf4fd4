package dataset

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/table"
)

// textPairs is the reader of pairs of texts, in memory as tokens.
type textPairs struct {
	name    string
	schema  Schema
	tokens  []int32
	ends    []int32 // 2N: where each source and each target ends
	cut     int     // texts that were longer than the context
	skipped skipped
}

// Pair is a source and its target as they are written.
type Pair struct{ Source, Target string }

// EvalPairs reads the pairs that data.eval names as they are written, and says which were left out; "" for none.
func EvalPairs(c config.Data) (pairs []Pair, leftOut string, err error) {
	if c.Kind != config.DataPairs || c.Eval == "" {
		return nil, "", config.KeyErrorf("data.eval", "there are no pairs of texts for evaluation; name them")
	}
	p, err := readPairs(c, "data.eval", c.Eval)
	if err != nil {
		return nil, "", err
	}
	if p.skipped.count > 0 {
		leftOut = p.skipped.String()
	}
	return p.texts, leftOut, nil
}

// openPairs reads pairs of texts for training and, if there are any, for evaluation. The lexicon is learnt from the first, from both sides together, unless
// that of a model is given.
func openPairs(c config.Data, like *description) (*Data, error) {
	train, err := readPairs(c, "data.train", c.Train)
	if err != nil {
		return nil, err
	}
	d := &Data{}
	switch {
	case like != nil:
		d.Lexicon, err = like.lexicon(c)
	case c.Tokenizer != "":
		d.Lexicon, err = openPieces(c)
	default:
		d.Lexicon, err = learnLexicon(c, train.texts)
	}
	if err != nil {
		return nil, err
	}
	trainReader, err := train.encode(c, d.Lexicon)
	if err != nil {
		return nil, err
	}
	d.Read = fmt.Sprintf("%s for training", plural.Of(trainReader.Len(), "pair"))
	cut, bad, evalReader := trainReader.cut, trainReader.skipped, Reader(nil)
	if c.Eval != "" {
		eval, err := readPairs(c, "data.eval", c.Eval)
		if err != nil {
			return nil, err
		}
		r, err := eval.encode(c, d.Lexicon)
		if err != nil {
			return nil, err
		}
		evalReader, cut, bad = r, cut+r.cut, bad.and(r.skipped)
		d.Read += fmt.Sprintf(" and %d for evaluation", r.Len())
	}
	d.Read += fmt.Sprintf(" in %s, %s to %s, %s", c.Train, c.Source, c.Target, d.Lexicon.kind())
	if bad.count > 0 {
		d.LeftOut = bad.String()
	}
	if cut > 0 {
		d.Warnings = append(d.Warnings, fmt.Sprintf("%s longer than data.context or data.target_context were cut to %d and %d tokens", plural.Of(cut, "text"), c.Context, c.TargetContext))
	}
	if size := len(d.Describe()); size > maxDescription {
		return nil, config.KeyErrorf("data.vocabulary", "the words have %d bytes, more than the %d that checkpoints hold; take fewer", size, maxDescription)
	}
	if c.ByLength {
		d.lengths = trainReader.lengths()
	}
	return d, d.sets(trainReader, evalReader, teaching{d.Lexicon.Start()})
}

// learnLexicon counts the words of pairs.
func learnLexicon(c config.Data, texts []Pair) (*Lexicon, error) {
	l := &Lexicon{byCharacter: c.Tokens == config.TokensCharacters}
	counts := map[string]int{}
	for _, p := range texts {
		for _, text := range []string{p.Source, p.Target} {
			for word := range l.split(text) {
				counts[word]++
			}
		}
	}
	return lexiconOf(counts, c.Vocabulary, l.byCharacter)
}

// pairTexts is pairs as they were read.
type pairTexts struct {
	name    string
	texts   []Pair
	bytes   int64
	skipped skipped
}

// readPairs reads the pairs that a key of the job file names: two columns of a table, or the lines of two files.
func readPairs(c config.Data, key, place string) (p *pairTexts, err error) {
	place = config.ExpandHome(place)
	p = &pairTexts{name: filepath.Base(place)}
	if format, ok := table.FormatOf(place); ok {
		err = p.readColumns(c, place, format)
	} else {
		err = p.readFiles(c, key, place)
	}
	if err == nil {
		err = p.skipped.check(c, p.name, len(p.texts))
	}
	if _, is := err.(*config.KeyError); err != nil && !is {
		return nil, config.KeyErrorf(key, "%w", explainPath(err, place))
	}
	if err == nil && len(p.texts) == 0 {
		err = config.KeyErrorf(key, "%s has no pairs", place)
	}
	return p, err
}

// readColumns reads two columns of a table.
func (p *pairTexts) readColumns(c config.Data, place string, format table.Format) (err error) {
	t, err := table.Open(place, format, table.Options{})
	if err != nil {
		return unopened(place, err)
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	var at [2]int
	for i, name := range []string{c.Source, c.Target} {
		if at[i] = slices.Index(t.Columns(), name); at[i] < 0 {
			return config.KeyErrorf([]string{"data.source", "data.target"}[i], "%s has no column %q; it has %s", p.name, name, listed(t.Columns()))
		}
	}
	row := make([]table.Value, len(t.Columns()))
	for {
		err := t.Next(row)
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = p.add(c, [2]table.Value{row[at[0]], row[at[1]]}, func(side int) string { return t.Where(at[side]) })
		}
		if err := p.bad(c, err); err != nil {
			return err
		}
	}
}

// readFiles reads the lines of two files side by side: PLACE.SOURCE and PLACE.TARGET, which may be compressed.
func (p *pairTexts) readFiles(c config.Data, key, place string) (err error) {
	var sides [2]table.Reader
	var names [2]string
	for i, language := range []string{c.Source, c.Target} {
		if names[i], err = parallel(place, language); err != nil {
			return err
		}
		if sides[i], err = table.OpenLines(names[i]); err != nil {
			return unopened(names[i], err)
		}
		defer func() { err = errors.Join(err, sides[i].Close()) }()
	}
	var rows [2][1]table.Value
	for n := 0; ; n++ {
		_, first := next(sides[0], rows[0][:])
		_, second := next(sides[1], rows[1][:])
		if (first == io.EOF) != (second == io.EOF) {
			return p.unequal(sides, names, n, first == io.EOF)
		}
		if first == io.EOF {
			return nil
		}
		err := first
		if err == nil {
			err = second
		}
		if err == nil {
			err = p.add(c, [2]table.Value{rows[0][0], rows[1][0]}, func(side int) string { return sides[side].Where(0) })
		}
		if err := p.bad(c, err); err != nil {
			return err
		}
	}
}

func next(r table.Reader, row []table.Value) ([]table.Value, error) { return row, r.Next(row) }

// unequal says how many lines each of two files has, one of which has ended behind n lines.
func (p *pairTexts) unequal(sides [2]table.Reader, names [2]string, n int, firstEnded bool) error {
	count := [2]int{n, n}
	longer := 0
	if firstEnded {
		longer = 1
	}
	row := make([]table.Value, 1)
	for err := error(nil); err != io.EOF; count[longer]++ {
		var malformed *table.RowError
		if err = sides[longer].Next(row); err != nil && err != io.EOF && !errors.As(err, &malformed) {
			return err
		}
	}
	return fmt.Errorf("%s has %s and %s has %d: line k of one goes with line k of the other, so both need as many", names[0], plural.Of(count[0], "line"), names[1], count[1])
}

// parallel is the file of one language of a parallel text.
func parallel(place, language string) (string, error) {
	name := place + "." + language
	for _, packed := range []string{"", ".gz", ".zst"} {
		if _, err := os.Stat(name + packed); err == nil {
			return name + packed, nil
		}
	}
	return "", fmt.Errorf("there is neither %s nor %s.gz nor %s.zst; pairs are two such files, or two columns of a .csv, .tsv, .jsonl or .parquet", name, name, name)
}

// add takes a pair.
func (p *pairTexts) add(c config.Data, values [2]table.Value, where func(side int) string) error {
	var texts [2]string
	for side := range values {
		if values[side].Kind == table.Missing {
			return fmt.Errorf("%s: the text is missing; fill it in, or leave the pair out of both sides", where(side))
		}
		text, err := values[side].Word()
		if err != nil || values[side].Kind != table.Text {
			return fmt.Errorf("%s: %v is no text", where(side), values[side].Kind)
		}
		texts[side] = text
		p.bytes += int64(len(text)) + 16
	}
	if p.bytes > math.MaxInt32 {
		return config.KeyErrorf("data.train", "%s has more than %d bytes of text, all that is read", p.name, math.MaxInt32)
	}
	if p.bytes > int64(c.MemoryMiB)<<20 {
		return config.KeyErrorf("data.memory_mib", "%s has more than %d MiB of text: raise it", p.name, c.MemoryMiB)
	}
	p.texts = append(p.texts, Pair{texts[0], texts[1]})
	return nil
}

// bad decides about an error of one pair: nil where the pair is left out.
func (p *pairTexts) bad(c config.Data, err error) error {
	var key *config.KeyError
	if err == nil || c.SkipBad == 0 || errors.As(err, &key) || errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	p.skipped.add(err)
	return nil
}

// encode makes tokens of texts. Longer ones are cut: the end stays.
func (p *pairTexts) encode(c config.Data, l *Lexicon) (*textPairs, error) {
	r := &textPairs{name: p.name, schema: pairSchema(c, l), skipped: p.skipped}
	for k, pair := range p.texts {
		for side, text := range []string{pair.Source, pair.Target} {
			most := r.schema[side].Shape[0]
			tokens, err := l.Encode(text)
			if err != nil {
				return nil, config.KeyErrorf("data.tokenizer", "%s: pair %d: %w", p.name, k+1, err)
			}
			if len(tokens) > most {
				tokens = append(tokens[:most-1], l.End())
				r.cut++
			}
			r.tokens = append(r.tokens, tokens...)
			r.ends = append(r.ends, int32(len(r.tokens)))
		}
	}
	return r, nil
}

// pairSchema is that of records of pairs.
func pairSchema(c config.Data, l *Lexicon) Schema {
	return Schema{
		{Name: SourceTokens, Type: Int32, Role: Input, Shape: []int{c.Context}, Ragged: true, Classes: l.Len(), Trimmed: c.ByLength},
		{Name: TargetTokens, Type: Int32, Role: Target, Shape: []int{c.TargetContext}, Ragged: true, Classes: l.Len(), Start: l.Start(), End: l.End(), Trimmed: c.ByLength},
	}
}

// lengths are the tokens of both sides of each pair together.
func (r *textPairs) lengths() []int32 {
	all := make([]int32, r.Len())
	begin := int32(0)
	for k := range all {
		end := r.ends[2*k+1]
		all[k], begin = end-begin, end
	}
	return all
}

// Schema implements Reader.
func (r *textPairs) Schema() Schema { return r.schema }

// Len implements Reader.
func (r *textPairs) Len() int { return len(r.ends) / 2 }

// Resident implements Reader.
func (r *textPairs) Resident() bool { return true }

// Read implements Reader.
func (r *textPairs) Read(record Record, number int) error {
	if number < 0 || number >= r.Len() {
		panic(fmt.Sprintf("dataset: pair %d of %d", number, r.Len()))
	}
	begin := int32(0)
	if number > 0 {
		begin = r.ends[2*number-1]
	}
	middle, end := r.ends[2*number], r.ends[2*number+1]
	record[0].Ints, record[1].Ints = r.tokens[begin:middle:middle], r.tokens[middle:end:end]
	return nil
}

// teaching is the transform that makes of a target what a decoder reads, the tokens before each one, and what it is to answer.
type teaching struct {
	start int32 // what a target begins with, and is padded by
}

// Fields implements Transform.
func (teaching) Fields(schema Schema) ([]string, []Field, error) {
	target := schema[schema.Find(TargetTokens)]
	target.Ragged = false
	shifted := target
	shifted.Name, shifted.Role = ShiftedTokens, Input
	return []string{TargetTokens}, []Field{shifted, target}, nil
}

// Apply implements Transform.
func (t teaching) Apply(out, in []Value, _ Draw) {
	tokens, shifted, target := in[0].Ints, out[0].Ints, out[1].Ints
	for i := range shifted {
		shifted[i] = t.start
	}
	copy(shifted[1:], tokens)
	n := copy(target, tokens)
	for i := n; i < len(target); i++ {
		target[i] = -1
	}
	if n < len(shifted) {
		shifted[n] = t.start // nothing follows the end
	}
}
