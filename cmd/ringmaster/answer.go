package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/metric"
	"ringmaster/internal/model"
	"ringmaster/internal/plural"
	tables "ringmaster/internal/table"
	"ringmaster/internal/tensor/kernel"
)

// sheet is many questions at once: rows of a table, or pictures.
type sheet struct {
	input, format string // what is read, and as what
	out           string // file; "": standard output
	keep          []string
}

func (s *sheet) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&s.input, "input", "", "`file` with rows as in training (the target may be missing), - for standard input; of a model of pictures a folder, or a list of files")
	cmd.Flags().StringVar(&s.format, "input-format", "", "tables: `kind` of the input, csv, tsv, jsonl, parquet, npy or npz (default: by its name, else as in training)")
	cmd.Flags().StringVar(&s.out, "out", "", "with --input: `file` to write, .csv, .tsv, .jsonl or .parquet (default: CSV to standard output, with --json JSON lines)")
	cmd.Flags().StringArrayVar(&s.keep, "keep", nil, "with --input: `column` of the input to write before the answers; repeatable")
}

// check refuses what cannot become a file before anything is computed.
func (s *sheet) check() error {
	if s.input == "" {
		return errors.New("--input is empty; name a file, or - for standard input")
	}
	if s.out == "" {
		return nil
	}
	format, ok := tables.FormatOf(s.out)
	if !ok || format == tables.NPY || format == tables.NPZ || !slices.Contains(format.Extensions(), strings.ToLower(filepath.Ext(s.out))) {
		return fmt.Errorf("--out %s: its name must end in .csv, .tsv, .jsonl or .parquet", s.out)
	}
	return checkTarget("--out", s.out)
}

// asked gives the samples that a model is asked about, a batch at a time.
type asked interface {
	// Next makes b the next samples, up to a number; io.EOF after the last.
	Next(b *dataset.Batch, most int) error
	// Kept are the values of sample i of the batch that are written before its answer.
	Kept(i int) []tables.Value
	// Where names sample i of the batch.
	Where(i int) string
	// Warnings say what was odd about the samples so far.
	Warnings() []string
	Close() error
}

// answerAll writes the model's answers to all of the input.
func (q *question) answerAll(t *trained) error {
	from, err := q.askedOf(t)
	if err != nil {
		return err
	}
	defer from.Close()
	defer func() { warn(from.Warnings()) }()
	if err := t.load(q.threads); err != nil {
		return err
	}
	keep := q.keep
	if !t.job.Data.IsTable() {
		keep = []string{"file"}
	}
	if q.out == "" {
		format := tables.CSV
		if q.asJSON {
			format = tables.JSONL
		}
		_, err := t.answer(from, keep, os.Stdout, format)
		return err
	}
	format, _ := tables.FormatOf(q.out)
	count := 0
	err = writeWhole(q.out, func(w io.Writer) (err error) {
		count, err = t.answer(from, keep, w, format)
		return err
	})
	if err != nil {
		return err
	}
	fmt.Printf("%s: %s by %s\n", q.out, plural.Of(count, "answer"), t.path)
	return nil
}

// askedOf opens the input as the model's data are.
func (q *question) askedOf(t *trained) (asked, error) {
	d := &t.job.Data
	switch {
	case d.IsTable() && t.data.Captions == nil:
		format, err := dataset.TableFormat(*d, q.input, q.format)
		if err != nil {
			return nil, onInput(fmt.Errorf("--input-format: %w", err))
		}
		if q.input == "-" {
			from, err := t.data.Ask(*d, "standard input", os.Stdin, format, q.keep)
			return from, onInput(err)
		}
		from, err := t.data.Ask(*d, q.input, nil, format, q.keep)
		return from, onInput(err)
	case !t.data.ShowsPictures():
		return nil, t.refuse("--input")
	case len(q.keep) > 0 || q.format != "":
		return nil, onInput(fmt.Errorf("job %s was trained on pictures; --keep and --input-format go with tables", t.job.Name))
	}
	files, err := dataset.ListPhotos(q.input, os.Stdin)
	return &photos{data: t.data, files: files}, onInput(err)
}

// onInput is an error about --input.
func onInput(err error) error {
	if err == nil {
		return nil
	}
	return wrong(fmt.Errorf("--input: %w", err))
}

// photos are pictures that a model is asked about, one at a time: each is scaled by itself.
type photos struct {
	data  *dataset.Data
	files []string
	next  int
}

func (p *photos) Next(b *dataset.Batch, _ int) error {
	if p.next == len(p.files) {
		return io.EOF
	}
	p.next++
	notes, err := p.data.ReadPhoto(b, p.files[p.next-1])
	warn(notes)
	return err
}

func (p *photos) Kept(int) []tables.Value { return []tables.Value{tables.TextValue(p.Where(0))} }
func (p *photos) Where(int) string        { return p.files[p.next-1] }
func (p *photos) Warnings() []string      { return nil } // told as they come
func (p *photos) Close() error            { return nil }

// answer writes what the model says of each sample, in order, and counts them.
func (t *trained) answer(from asked, keep []string, to io.Writer, format tables.Format) (count int, err error) {
	var out tables.Writer
	var batch dataset.Batch
	var row []tables.Value
	answers := t.answerings()
	replica := t.plan.Model.NewReplica(t.team)
	most := t.plan.EvaluationPiece()
	for {
		if err := from.Next(&batch, most); err == io.EOF {
			break
		} else if err != nil {
			return count, wrong(fmt.Errorf("--input: %w", err))
		}
		replica.Predict(t.state.Params, t.state.Stats, &batch)
		if out == nil {
			headings, err := headingsOf(keep, answers, func(k int) int { return len(replica.Output(k)) / batch.N })
			if err != nil {
				return count, wrong(err)
			}
			if out, err = tables.NewWriter(to, format, headings); err != nil {
				return count, wrong(fmt.Errorf("--keep: %w", err))
			}
		}
		for i := range batch.N {
			row = append(row[:0], from.Kept(i)...)
			for k := range answers {
				outputs := replica.Output(k)
				width := len(outputs) / batch.N
				if row, err = answers[k].appendTo(row, outputs[i*width:(i+1)*width]); err != nil {
					return count, failed(fmt.Errorf("%s: %w", from.Where(i), err))
				}
			}
			if err := out.Write(row); err != nil {
				return count, failed(err)
			}
			count++
		}
	}
	return count, failed(out.Close())
}

// answering makes answers of one of a model's outputs: of classes the likeliest one and the probability of each, of labels each
// with its probability, of numbers the numbers.
type answering struct {
	of     loss.Loss // that the output is trained by
	prefix string    // of its columns
	names  []string  // of classes whose target has none
	kind   metric.Kind
	labels []string // of classes, or of a single label that is one of two
	logits []float32
	chance []float32
}

// answerings are those of the model's outputs. The columns of several begin with the output's name; of one that two losses read, with the target's too.
func (t *trained) answerings() []answering {
	parts := loss.PartsOf(t.plan.Model.Loss())
	answers := make([]answering, len(parts))
	for k, p := range parts {
		answers[k] = answering{of: p.Loss, names: t.data.Labels}
		if len(parts) == 1 {
			continue
		}
		answers[k].prefix = p.Output + "_"
		if slices.ContainsFunc(append(slices.Clone(parts[:k]), parts[k+1:]...), func(other loss.Part) bool { return other.Output == p.Output }) {
			answers[k].prefix += p.Target().Name + "_"
		}
	}
	return answers
}

// headingsOf are the column names of answers, whose outputs have so many values a sample, behind what is kept.
func headingsOf(keep []string, answers []answering, width func(k int) int) ([]tables.Heading, error) {
	var headings []tables.Heading
	for _, name := range keep {
		headings = append(headings, tables.Heading{Name: name, Kind: tables.Text})
	}
	for k := range answers {
		own, err := answers[k].headings(width(k))
		if err != nil {
			return nil, err
		}
		headings = append(headings, own...)
	}
	return headings, nil
}

// headings are the column names of the answer of an output with that number of values.
func (a *answering) headings(width int) (headings []tables.Heading, err error) {
	number := func(name string, i int) {
		if width > 1 {
			name += "_" + strconv.Itoa(i+1)
		}
		headings = append(headings, tables.Heading{Name: a.prefix + name, Kind: tables.Number})
	}
	a.kind = a.of.Task().Kind
	single := a.kind == metric.Labels && width == 1
	if a.kind != metric.Classes && !single {
		for i := range width {
			number("prediction", i)
		}
		for i := range width {
			if a.kind == metric.Labels {
				number("probability", i)
			}
		}
		a.chance = make([]float32, 2)
		return headings, nil
	}
	if single {
		width = 2 // no and yes, as two classes
	}
	classes, labels := a.classes(width)
	if classes != width {
		return nil, fmt.Errorf("the model answers %d values a sample where there are %s; --input takes models with one answer a sample", width, plural.Of(classes, "class"))
	}
	a.labels, a.chance = labels, make([]float32, width)
	headings = append(headings, tables.Heading{Name: a.prefix + "prediction", Kind: tables.Text})
	for _, label := range labels {
		headings = append(headings, tables.Heading{Name: a.prefix + "probability_" + label, Kind: tables.Number})
	}
	return headings, nil
}

// classes is the number of the target's classes, and their names: their numbers where they have none.
func (a *answering) classes(width int) (int, []string) {
	classes, labels := width, a.names
	if target := a.of.Target(); target.Classes > 0 {
		classes = target.Classes
		if len(target.Labels) > 0 {
			labels = target.Labels
		}
	}
	named := make([]string, classes)
	for i := range named {
		named[i] = strconv.Itoa(i)
		if i < len(labels) {
			named[i] = labels[i]
		}
	}
	return classes, named
}

// appendTo appends the answer that outputs mean.
func (a *answering) appendTo(row []tables.Value, outputs []float32) ([]tables.Value, error) {
	for _, v := range outputs {
		if !finite(float64(v)) {
			return row, model.ErrNotFinite
		}
	}
	values := outputs
	switch {
	case a.labels != nil:
		a.logits = a.logits[:0]
		if a.kind == metric.Labels {
			a.logits = append(a.logits, 0)
		}
		a.logits = append(a.logits, outputs...)
		kernel.Softmax(a.chance, a.logits, 1, len(a.logits))
		values = a.chance
		best := 0
		for i, p := range values {
			if p > values[best] {
				best = i
			}
		}
		row = append(row, tables.TextValue(a.labels[best]))
	case a.kind == metric.Labels:
		values = nil
		for _, z := range outputs {
			kernel.Softmax(a.chance, []float32{0, z}, 1, 2)
			values = append(values, a.chance[1])
			yes := float32(0)
			if z > 0 {
				yes = 1
			}
			row = append(row, tables.Float32Value(yes))
		}
	}
	for _, v := range values {
		row = append(row, tables.Float32Value(v))
	}
	return row, nil
}

// writeWhole writes a file in one piece: it appears whole or not at all.
func writeWhole(target string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+"-*")
	if err != nil {
		return failed(fmt.Errorf("write %s: %w", target, err))
	}
	if err := write(f); err != nil {
		f.Close()
		os.Remove(f.Name())
		return err
	}
	err = errors.Join(f.Chmod(0o644), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), target)
	}
	if err != nil {
		return failed(fmt.Errorf("write %s: %w", target, errors.Join(err, os.Remove(f.Name()))))
	}
	return nil
}
