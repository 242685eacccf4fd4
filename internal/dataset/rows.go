package dataset

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/printable"
	"ringmaster/internal/table"
)

// rows is the reader of the rows of a table, decoded, in memory or spilled to a file: a field for each column that the job takes, which is numbers, or
// categories by number.
type rows struct {
	name    string // of the file, for messages
	schema  Schema
	columns []column
	n       int
	dropped int      // rows left out because a value is missing
	origins *origins // of rows that are split; else nil
	spilled *spilled // of rows that do not fit into memory; else nil, and columns have the values

	pictures []source // of the rows, where they have any; a gallery shows them
	images   *imageColumn
	counted  bool // categories that are whole numbers are in the order of their values
	skipped  skipped
	passed   table.Passed // files of shards that belong to no sample
	before   []mark       // the columns before the row that is being added

	texts  *texts // how the columns of texts become tokens; nil: there are none
	tokens int    // of the texts of the row that is being added, whole
	cut    int    // rows whose texts were longer than the context
}

// column is the values of one field.
type column struct {
	floats []float32
	ints   []int32
	words  map[string]int32 // number of each category; while training rows are read, in the order of their first occurrence
	fixed  bool             // a category that is not there, or another shape, is an error
	free   bool             // of captions, which have words and are all in names
	names  []string         // of categories that the file gives by number; nil: it does not
	newest string           // the category that came up last
}

var tableFormats = map[string]table.Format{
	config.DataCSV: table.CSV, config.DataTSV: table.TSV, config.DataJSONL: table.JSONL,
	config.DataParquet: table.Parquet, config.DataNPY: table.NPY, config.DataNPZ: table.NPZ, config.DataWebDataset: table.Tar,
}

// openTables reads a table for training and, if one is named, one for evaluation. Categories are learnt from the first, unless those of
// a model are given.
func openTables(c config.Data, like *description) (*Data, error) {
	set, err := tableFiles(c, "data.train", c.Train)
	if err != nil {
		return nil, err
	}
	var known *Vocabulary
	if like != nil && len(c.Texts) > 0 {
		if known, err = like.vocabulary(); err != nil {
			return nil, err
		}
	}
	read, err := newTexts(c, known)
	if err != nil {
		return nil, err
	}
	train, err := readTable(c, "data.train", set, like.schema(), read)
	if err != nil {
		return nil, err
	}
	evalSet, eval, test, err := evaluationOf(c, set, train)
	if err != nil {
		return nil, err
	}
	d := &Data{Labels: train.schema.labels(), table: train.schema, inputs: c.Inputs, texts: read}
	if read != nil {
		d.Vocabulary = read.vocabulary
	}
	if like != nil {
		d.standards, err = like.standards()
	} else {
		d.standards, err = standards(c, train, train.name)
	}
	if err != nil {
		return nil, err
	}
	d.tellTables(c, set, evalSet, train, eval, test)
	readers, galleries, err := d.galleries(c, train, eval, test)
	if err != nil {
		return nil, err
	}
	if size := len(d.Describe()); size > maxDescription && !freeCaptions(c) {
		return nil, config.KeyErrorf("data.categories", "the names of columns and categories have %d bytes, more than the %d that checkpoints hold: is a column of texts among them?", size, maxDescription)
	}
	if err := d.sets(readers[forTraining], readers[forEvaluation], d.tableTransforms()...); err != nil {
		return nil, err
	}
	for _, g := range galleries {
		g.opened(d)
	}
	return d, d.hold(readers[forTest], d.tableTransforms()...)
}

// tableFiles finds the files that a key of the job file names.
func tableFiles(c config.Data, key, place string) (*fileSet, error) {
	endings := tableFormats[c.Kind].Extensions()
	if c.Kind == config.DataImageTable {
		endings = table.Parquet.Extensions()
	}
	set, err := findFiles(place, endings)
	if err == nil && len(set.files) > 1 {
		err = set.check()
	}
	if _, is := err.(*config.KeyError); err != nil && !is {
		return nil, config.KeyErrorf(key, "%w", explainPath(err, place))
	}
	return set, err
}

// evaluationOf settles the training rows, and gives those for evaluation, which are read or split from them, and for test; nil where there are none.
func evaluationOf(c config.Data, set *fileSet, train *rows) (from *fileSet, eval, test *rows, err error) {
	if train.origins != nil {
		if eval, test, err = train.split(c.Split); err != nil {
			return nil, nil, nil, err
		}
	}
	if err := train.settle(); err != nil {
		return nil, nil, nil, config.KeyErrorf("data.categories", "%s: %w", train.name, err)
	}
	if eval != nil {
		err = eval.follow(train, forEvaluation)
		if test != nil {
			err = cmp.Or(err, test.follow(train, forTest))
		}
		return nil, eval, test, err
	}
	key := "data.eval"
	switch {
	case c.Eval != "":
		from, err = tableFiles(c, key, c.Eval)
	case len(set.others) > 0:
		key, from = "data.train", set.others[0]
	default:
		return nil, nil, nil, nil
	}
	if err != nil {
		return nil, nil, nil, err
	}
	eval, err = readTable(c, key, from, train.schema, train.texts)
	return from, eval, nil, err
}

// tableTransforms are what a table's rows are taken through.
func (d *Data) tableTransforms() []Transform {
	if d.texts != nil {
		return []Transform{d.texts}
	}
	var all []Transform
	if d.pixels != nil {
		all = append(all, d.pixels.transforms()...)
	}
	for _, s := range d.standards {
		all = append(all, s)
	}
	for _, in := range d.inputs {
		all = append(all, &features{input: in})
	}
	if len(d.inputs) == 0 {
		all = append(all, &features{})
	}
	return all
}

// labels are the names of the target's classes.
func (s Schema) labels() []string {
	for _, f := range s.Of(Target) {
		return f.Labels
	}
	return nil
}

// readTable reads a whole table. key is that of the job file which names it; like is the schema that it must have, nil for one that the
// configuration and the file make.
func readTable(c config.Data, key string, set *fileSet, like Schema, read *texts) (r *rows, err error) {
	format, err := formatOf(c, set.files[0])
	if err != nil {
		return nil, config.KeyErrorf(key, "%w", err)
	}
	path := set.shown
	spool := table.NewSpool(func() (*os.File, error) { return spillFile(c) })
	t, err := table.OpenAll(set.files, format, table.Options{Delimiter: delimiter(c), NoHeader: !c.Header && c.IsTable(), Place: c.Image, Spool: spool})
	if err != nil {
		return nil, config.KeyErrorf(key, "%w%s", explainPath(unopened(path, err), path), otherKind(c, set.files[0]))
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	r = &rows{name: filepath.Base(path), counted: c.HasPictures(), texts: read}
	places, err := r.choose(c, key, t, like)
	if err != nil {
		return nil, err
	}
	if err := r.findGroup(c, t.Columns()); err != nil {
		return nil, err
	}
	if err := r.findImages(c, key, set, format, t.Columns(), spool); err != nil {
		return nil, err
	}
	if err := r.take(c, key, path, t, places); err != nil {
		return nil, err
	}
	if r.n == 0 {
		return nil, config.KeyErrorf(key, "%s has no rows%s", path, map[bool]string{true: " without a missing value"}[r.dropped > 0])
	}
	if err := r.sift(c); err != nil {
		return nil, err
	}
	return r, r.skipped.check(c, r.name, r.n)
}

// take takes all rows of the table.
func (r *rows) take(c config.Data, key, path string, t table.Reader, places []int) error {
	row := make([]table.Value, len(t.Columns()))
	for {
		err, n := t.Next(row), r.n
		if err == io.EOF {
			if passing, ok := t.(table.Passing); ok {
				r.passed = passing.Passed()
			}
			return r.whole()
		}
		var malformed *table.RowError
		fatal := err != nil && !errors.As(err, &malformed)
		if err == nil {
			before := r.marks()
			if err = r.add(c, t, row, places); err != nil {
				r.undo(before)
			}
		}
		if err != nil && (fatal || c.SkipBad == 0) {
			if r.n == 0 {
				err = fmt.Errorf("%w%s", err, otherKind(c, path))
			}
			return config.KeyErrorf(key, "%w", err)
		} else if err != nil {
			r.skipped.add(err)
			continue
		}
		if r.n == math.MaxInt32 || len(r.pictures) > maxImages {
			return config.KeyErrorf(key, "%s has more than the %d rows, or %d pictures, that are read", path, math.MaxInt32-1, maxImages)
		}
		if r.n > n {
			if err := r.fit(c); err != nil {
				return err
			}
		}
	}
}

// formatOf is the format of a table's file.
func formatOf(c config.Data, name string) (table.Format, error) {
	if c.Kind != config.DataImageTable {
		return tableFormats[c.Kind], nil
	}
	format, ok := table.FormatOf(name)
	if !ok || format == table.NPY || format == table.NPZ || format == table.Tar {
		return 0, fmt.Errorf("%s: the name of a table of pictures ends in .csv, .tsv, .jsonl or .parquet", name)
	}
	return format, nil
}

// unopened says why a table cannot be opened.
func unopened(path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s does not exist", path)
	}
	var system *fs.PathError
	if errors.As(err, &system) {
		return unreadableFile("table", path, err)
	}
	return err
}

func delimiter(c config.Data) rune {
	for _, r := range c.Delimiter {
		return r
	}
	return 0
}

// add takes a row.
func (r *rows) add(c config.Data, t table.Reader, row []table.Value, places []int) error {
	for _, at := range places {
		if v := &row[at]; v.Kind == table.Missing || v.Kind == table.Number && isNaN(v) {
			if c.Missing == config.MissingDrop {
				r.dropped++
				return nil
			}
			return fmt.Errorf("%s: the value is missing; fill it in, or set data.missing: drop to leave such rows out", t.Where(at))
		}
	}
	r.tokens = 0
	for k, at := range places {
		if err := r.put(k, &row[at]); err != nil {
			return fmt.Errorf("%s: %w", t.Where(at), err)
		}
	}
	if r.images != nil {
		if err := r.addPicture(t, row); err != nil {
			return err
		}
	}
	if r.origins != nil {
		if err := r.origins.note(row, r.n+1+r.dropped+r.skipped.count, t.Where); err != nil {
			return err
		}
	}
	r.counts()
	return nil
}

// counts counts a row that has been added.
func (r *rows) counts() {
	r.n++
	if r.texts != nil && r.tokens > r.texts.room() {
		r.cut++
	}
}

func isNaN(v *table.Value) bool {
	f, err := v.Float()
	return err == nil && f != f
}

// put appends a value to column k.
func (r *rows) put(k int, v *table.Value) error {
	f, col := &r.schema[k], &r.columns[k]
	switch {
	case f.Ragged:
		return r.putText(k, v)
	case f.Type == Int32:
		return col.putWord(v)
	case v.Kind == table.Array:
		return r.putArray(k, v)
	case len(f.Shape) > 0:
		return fmt.Errorf("a single value, where rows before have %s", Extent(f.Shape))
	}
	number, err := v.Float()
	if err != nil {
		return notNumber(f, v, err, col.fixed)
	}
	return r.putNumber(k, number)
}

func (r *rows) putNumber(k int, number float64) error {
	value := float32(number)
	if math.IsInf(float64(value), 0) || value != value {
		return fmt.Errorf("%v is beyond the range of float32", number)
	}
	if r.schema[k].Role == Weight && value < 0 {
		return fmt.Errorf("the weight %v is negative; a weight is 0 or more", number)
	}
	r.columns[k].floats = append(r.columns[k].floats, value)
	return nil
}

// putArray appends the numbers of an array. All rows have the shape of the first.
func (r *rows) putArray(k int, v *table.Value) error {
	f := &r.schema[k]
	if r.n == 0 && len(f.Shape) == 0 && !r.columns[k].fixed {
		f.Shape = slices.Clone(v.Shape)
	}
	if !slices.Equal(f.Shape, v.Shape) {
		before := "the first row has"
		if r.columns[k].fixed {
			before = "the training rows have"
		}
		return fmt.Errorf("an array of %s, where %s %s", Extent(v.Shape), before, Extent(f.Shape))
	}
	for _, number := range v.Numbers {
		if err := r.putNumber(k, number); err != nil {
			return err
		}
	}
	return nil
}

func (col *column) putWord(v *table.Value) error {
	word, err := v.Word()
	if err != nil {
		return err
	}
	if col.free {
		if err := checkCaption(word); err != nil {
			return err
		}
	} else if n, whole := v.Whole(); whole && col.names != nil {
		if n < 0 || n >= int64(len(col.names)) {
			return fmt.Errorf("class %d is none of the %d that are named; correct it, or name all in data.classes", n, len(col.names))
		}
		word = col.names[n]
	}
	id, known := col.words[word]
	if !known {
		if col.names != nil {
			return fmt.Errorf("%q is none of the classes %s; correct it, or name all in data.classes", printable.Short(word, maxList), listed(col.names))
		}
		if col.fixed {
			return fmt.Errorf("the category %q does not occur in the training rows; correct it, or leave the row out", printable.Short(word, maxList))
		}
		if len(col.words) == maxClasses {
			return fmt.Errorf("more than %d categories: a column of numbers or texts?", maxClasses)
		}
		id = int32(len(col.words))
		col.newest = strings.Clone(word)
		col.words[col.newest] = id
	}
	col.ints = append(col.ints, id)
	return nil
}

// settle numbers the categories in the order of their names, now that all are known.
func (r *rows) settle() error {
	for k := range r.schema {
		f, col := &r.schema[k], &r.columns[k]
		if f.Type != Int32 || col.fixed {
			continue
		}
		for word := range col.words {
			f.Labels = append(f.Labels, word)
		}
		slices.Sort(f.Labels)
		if r.counted {
			sortWhole(f.Labels)
		}
		f.Classes = len(f.Labels)
		if f.Role == Target && f.Classes < 2 {
			return fmt.Errorf("the target %s has a single category, %q: there is nothing to learn; take another target, or rows of other categories", f.Name, f.Labels[0])
		}
		places := make([]int32, len(f.Labels))
		for i, word := range f.Labels {
			places[col.words[word]] = int32(i)
		}
		r.renumber(k, places)
	}
	return nil
}

// Schema implements Reader.
func (r *rows) Schema() Schema { return r.schema }

// Len implements Reader.
func (r *rows) Len() int { return r.n }

// Resident implements Reader.
func (r *rows) Resident() bool { return r.spilled == nil }

// Read implements Reader.
func (r *rows) Read(record Record, number int) error {
	if number < 0 || number >= r.n {
		panic(fmt.Sprintf("dataset: row %d of %d", number, r.n))
	}
	if r.spilled != nil {
		return r.spilled.read(record, number)
	}
	for k := range r.columns {
		if col := &r.columns[k]; r.schema[k].Ragged {
			n := r.stride(k)
			record[k].Ints = tokensIn(col.ints[number*n : (number+1)*n])
		} else if col.ints != nil {
			record[k].Ints = col.ints[number : number+1]
		} else {
			width := len(col.floats) / r.n
			record[k].Floats = col.floats[number*width : (number+1)*width]
		}
	}
	return nil
}
