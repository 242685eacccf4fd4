package dataset

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/table"
)

// rows is the reader of the rows of a table, decoded and in memory: a field for each column that the job takes, which is numbers, or
// categories by number.
type rows struct {
	name    string // of the file, for messages
	schema  Schema
	columns []column
	n       int
	dropped int      // rows left out because a value is missing
	origins *origins // of rows that are split; else nil
}

// column is the values of one field.
type column struct {
	floats []float32
	ints   []int32
	words  map[string]int32 // number of each category; while training rows are read, in the order of their first occurrence
	fixed  bool             // a category that is not there, or another shape, is an error
}

var tableFormats = map[string]table.Format{
	config.DataCSV: table.CSV, config.DataTSV: table.TSV, config.DataJSONL: table.JSONL,
	config.DataParquet: table.Parquet, config.DataNPY: table.NPY, config.DataNPZ: table.NPZ,
}

// openTables reads a table for training and, if one is named, one for evaluation. Categories are learnt from the first, unless those of
// a model are given.
func openTables(c config.Data, like *description) (*Data, error) {
	train, err := readTable(c, "data.train", c.Train, like.schema())
	if err != nil {
		return nil, err
	}
	eval, err := evaluationOf(c, train)
	if err != nil {
		return nil, err
	}
	d := &Data{Labels: train.schema.labels(), table: train.schema}
	if like != nil {
		d.standards, err = like.standards()
	} else {
		d.standards, err = train.standards(c)
	}
	if err != nil {
		return nil, err
	}
	d.Read = plural.Of(train.n, "row") + " for training"
	dropped, evalReader := train.dropped, Reader(nil)
	if eval != nil {
		evalReader, dropped = eval, dropped+eval.dropped
		d.Read += fmt.Sprintf(" and %d for evaluation", eval.n)
	}
	d.Read += fmt.Sprintf(" in %s, %s", c.Train, plural.Of(len(train.schema), "column"))
	if train.origins != nil {
		d.Read += ", " + splitWords(c)
	}
	if dropped > 0 {
		d.LeftOut = plural.Of(dropped, "row") + " with a missing value, by data.missing: drop"
	}
	if size := len(d.Describe()); size > maxDescription {
		return nil, config.KeyErrorf("data.categories", "the names of columns and categories have %d bytes, more than the %d that checkpoints hold: is a column of texts among them?", size, maxDescription)
	}
	return d, d.sets(train, evalReader, d.tableTransforms()...)
}

// evaluationOf settles the training rows, and gives those for evaluation, which are read or split from them; nil where there are none.
func evaluationOf(c config.Data, train *rows) (eval *rows, err error) {
	if train.origins != nil {
		if eval, err = train.split(c.Split); err != nil {
			return nil, err
		}
	}
	if err := train.settle(); err != nil {
		return nil, config.KeyErrorf("data.categories", "%s: %w", train.name, err)
	}
	switch {
	case eval != nil:
		return eval, eval.follow(train)
	case c.Eval != "":
		return readTable(c, "data.eval", c.Eval, train.schema)
	}
	return nil, nil
}

// tableTransforms are what a table's rows are taken through.
func (d *Data) tableTransforms() []Transform {
	var all []Transform
	for _, s := range d.standards {
		all = append(all, s)
	}
	return append(all, &features{})
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
func readTable(c config.Data, key, path string, like Schema) (r *rows, err error) {
	t, err := table.Open(config.ExpandHome(path), tableFormats[c.Kind], table.Options{Delimiter: delimiter(c), NoHeader: !c.Header})
	if err != nil {
		return nil, config.KeyErrorf(key, "%w", explainPath(unopened(path, err), path))
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	r = &rows{name: filepath.Base(path)}
	places, err := r.choose(c, key, t.Columns(), like)
	if err != nil {
		return nil, err
	}
	if err := r.findGroup(c, t.Columns()); err != nil {
		return nil, err
	}
	row := make([]table.Value, len(t.Columns()))
	for limit := int64(c.MemoryMiB) << 20; ; {
		if err := t.Next(row); err == io.EOF {
			break
		} else if err != nil {
			return nil, config.KeyErrorf(key, "%w", err)
		}
		if err := r.add(c, t, row, places); err != nil {
			return nil, config.KeyErrorf(key, "%w", err)
		}
		if r.n == 1 {
			limit /= int64(max(r.schema.SampleBytes(), 1))
		}
		if int64(r.n) > limit || r.n == math.MaxInt32 {
			return nil, config.KeyErrorf("data.memory_mib", "%s has more than %d MiB of values: raise it", path, c.MemoryMiB)
		}
	}
	if r.n == 0 {
		return nil, config.KeyErrorf(key, "%s has no rows%s", path, map[bool]string{true: " without a missing value"}[r.dropped > 0])
	}
	return r, nil
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

// choose settles which columns are taken, in the order of the file or of data.features, and says where in a row each is.
func (r *rows) choose(c config.Data, key string, names []string, like Schema) (places []int, err error) {
	wanted, keys := like, map[string]string{}
	if like == nil {
		if wanted, keys, err = fieldsOf(c, names); err != nil {
			return nil, err
		}
	}
	for _, f := range wanted {
		at := slices.Index(names, f.Name)
		if at < 0 {
			if k := keys[f.Name]; k != "" {
				key = k
			}
			return nil, config.KeyErrorf(key, "%s has no column %q; it has %s", r.name, f.Name, printable.Short(strings.Join(names, ", "), maxList))
		}
		col := column{fixed: like != nil}
		if f.Type == Int32 {
			col.words = map[string]int32{}
			for i, label := range f.Labels {
				col.words[label] = int32(i)
			}
		} else if like == nil {
			f.Shape = nil // the first row has it
		}
		places = append(places, at)
		r.schema, r.columns = append(r.schema, f), append(r.columns, col)
	}
	return places, nil
}

// fieldsOf are the fields that the job takes of a table with these columns, and the keys that name them.
func fieldsOf(c config.Data, names []string) (Schema, map[string]string, error) {
	keys := map[string]string{c.Target: "data.target"}
	features := c.Features
	if c.Weight != "" {
		keys[c.Weight] = "data.weight"
	}
	if len(features) == 0 {
		for _, name := range names {
			if name != c.Target && name != c.Weight && name != c.Group {
				features = append(features, name)
			}
		}
	}
	if len(features) == 0 {
		return nil, nil, config.KeyErrorf("data.train", "the table has no column beside data.target and data.weight to learn from")
	}
	var s Schema
	add := func(name string, role Role) {
		f := Field{Name: name, Type: Float32, Role: role}
		if slices.Contains(c.Categories, name) {
			f.Type = Int32
		}
		s = append(s, f)
	}
	for i, name := range features {
		if keys[name] == "" {
			keys[name] = fmt.Sprintf("data.features[%d]", i)
		}
		add(name, Input)
	}
	add(c.Target, Target)
	if c.Weight != "" {
		add(c.Weight, Weight)
	}
	for i, name := range c.Categories {
		if s.Find(name) < 0 {
			return nil, nil, config.KeyErrorf(fmt.Sprintf("data.categories[%d]", i), "%s is neither a feature nor the target", name)
		}
	}
	return s, keys, nil
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
	for k, at := range places {
		if err := r.put(k, &row[at]); err != nil {
			return fmt.Errorf("%s: %w", t.Where(at), err)
		}
	}
	r.n++
	if r.origins != nil {
		return r.origins.note(row, r.n+r.dropped, t.Where)
	}
	return nil
}

func isNaN(v *table.Value) bool {
	f, err := v.Float()
	return err == nil && f != f
}

// put appends a value to column k.
func (r *rows) put(k int, v *table.Value) error {
	f, col := &r.schema[k], &r.columns[k]
	switch {
	case f.Type == Int32:
		return col.putWord(v)
	case v.Kind == table.Array:
		return r.putArray(k, v)
	case len(f.Shape) > 0:
		return fmt.Errorf("a single value, where rows before have %s", Extent(f.Shape))
	}
	number, err := v.Float()
	if err != nil && col.fixed {
		return fmt.Errorf("%w, as it is in the training rows; correct it", err)
	} else if err != nil {
		return fmt.Errorf("%w; correct it, or list %s in data.categories", err, f.Name)
	}
	return r.putNumber(k, number)
}

func (r *rows) putNumber(k int, number float64) error {
	value := float32(number)
	if math.IsInf(float64(value), 0) || value != value {
		return fmt.Errorf("%v is beyond the range of float32", number)
	}
	if r.schema[k].Role == Weight && value < 0 {
		return fmt.Errorf("the weight %v is negative", number)
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
	id, known := col.words[word]
	if !known {
		if col.fixed {
			return fmt.Errorf("the category %q does not occur in the training rows; correct it, or leave the row out", printable.Short(word, maxList))
		}
		if len(col.words) == maxClasses {
			return fmt.Errorf("more than %d categories: a column of numbers or texts?", maxClasses)
		}
		id = int32(len(col.words))
		col.words[strings.Clone(word)] = id
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
		f.Classes = len(f.Labels)
		if f.Role == Target && f.Classes < 2 {
			return fmt.Errorf("the target %s has a single category, %q: there is nothing to learn", f.Name, f.Labels[0])
		}
		places := make([]int32, len(f.Labels))
		for i, word := range f.Labels {
			places[col.words[word]] = int32(i)
		}
		for i, id := range col.ints {
			col.ints[i] = places[id]
		}
	}
	return nil
}

// Schema implements Reader.
func (r *rows) Schema() Schema { return r.schema }

// Len implements Reader.
func (r *rows) Len() int { return r.n }

// Resident implements Reader.
func (r *rows) Resident() bool { return true }

// Read implements Reader.
func (r *rows) Read(record Record, number int) error {
	if number < 0 || number >= r.n {
		panic(fmt.Sprintf("dataset: row %d of %d", number, r.n))
	}
	for k := range r.columns {
		if col := &r.columns[k]; col.ints != nil {
			record[k].Ints = col.ints[number : number+1]
		} else {
			width := len(col.floats) / r.n
			record[k].Floats = col.floats[number*width : (number+1)*width]
		}
	}
	return nil
}
