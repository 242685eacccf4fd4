package dataset

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"

	"ringmaster/internal/config"
	"ringmaster/internal/printable"
	"ringmaster/internal/rng"
	"ringmaster/internal/table"
)

// Questions are rows of a table that a model is asked about. They are read as the training rows were, a batch at a time, in their order.
// The target and the weight need not be among their columns, and are passed over where they are.
type Questions struct {
	table  table.Reader
	row    []table.Value
	rows   *rows // of the batch
	set    *records
	places []int // by field: where in a row it is; -1: it is not read
	keep   []int // columns that are handed on
	where  []string
	kept   [][]table.Value
	read   int // rows so far
}

// TableFormat is the format of a table of questions: what its name says, else that of the job's data. named is a kind of data that overrules
// both, or empty.
func TableFormat(c config.Data, path, named string) (table.Format, error) {
	if named != "" {
		format, ok := tableFormats[named]
		if !ok {
			return 0, fmt.Errorf("%s is no kind of table; there are csv, tsv, jsonl, parquet, npy and npz", printable.Short(named, maxList))
		}
		return format, nil
	}
	if format, ok := table.FormatOf(path); ok {
		return format, nil
	}
	return tableFormats[c.Kind], nil
}

// Ask opens the rows of a file, or of the stream where it is not nil, for a model that was trained on this table. The values of the
// columns to keep are handed on. Where the job's tables have no header, the file has none either.
func (d *Data) Ask(c config.Data, path string, stream io.Reader, format table.Format, keep []string) (*Questions, error) {
	o := table.Options{}
	if c.Kind == config.DataCSV || c.Kind == config.DataTSV {
		o.NoHeader = !c.Header
	}
	if c.Kind == config.DataCSV {
		o.Delimiter = delimiter(c)
	}
	var t table.Reader
	var err error
	if stream != nil {
		t, err = table.OpenStream(stream, path, format, o)
	} else if t, err = table.Open(path, format, o); err != nil {
		err = explainPath(unopened(path, err), path)
	}
	if err != nil {
		return nil, err
	}
	q := &Questions{table: t, row: make([]table.Value, len(t.Columns())), rows: &rows{name: filepath.Base(path), texts: d.texts}}
	if err := q.choose(d, keep); err != nil {
		t.Close()
		return nil, err
	}
	return q, nil
}

// choose says where the columns are that are read and handed on.
func (q *Questions) choose(d *Data, keep []string) (err error) {
	names := q.table.Columns()
	for _, f := range d.table {
		at := -1
		if f.Role == Input {
			if at = slices.Index(names, f.Name); at < 0 {
				return noColumn(q.rows.name, f.Name, ", which the model reads", names)
			}
		}
		col := column{fixed: true}
		if f.Type == Int32 && !f.Ragged {
			col.words = map[string]int32{}
			for i, label := range f.Labels {
				col.words[label] = int32(i)
			}
		}
		q.places = append(q.places, at)
		q.rows.schema, q.rows.columns = append(q.rows.schema, f), append(q.rows.columns, col)
	}
	for _, name := range keep {
		at := slices.Index(names, name)
		if at < 0 {
			return noColumn(q.rows.name, name, " to keep", names)
		}
		q.keep = append(q.keep, at)
	}
	q.set, err = newRecords(q.rows, d.tableTransforms()...)
	return err
}

// Next makes b the next rows, up to a number. The error is io.EOF after the last row; others name file, row and column.
func (q *Questions) Next(b *Batch, most int) error {
	q.rows.n, q.kept, q.where = 0, q.kept[:0], q.where[:0]
	for k := range q.rows.columns {
		col := &q.rows.columns[k]
		col.floats, col.ints = col.floats[:0], col.ints[:0]
	}
	indices := make([]int32, 0, most)
	for q.rows.n < most {
		if err := q.table.Next(q.row); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if err := q.add(); err != nil {
			return err
		}
		indices = append(indices, int32(len(indices)))
	}
	if len(indices) == 0 {
		if q.read == 0 {
			return fmt.Errorf("%s has no rows", q.rows.name)
		}
		return io.EOF
	}
	q.read += len(indices)
	return q.set.Read(b, indices, rng.Key{})
}

// add takes a row. What is not read is 0.
func (q *Questions) add() error {
	r := q.rows
	r.tokens = 0
	for k, at := range q.places {
		f, col := &r.schema[k], &r.columns[k]
		switch {
		case at < 0 && f.Type == Int32:
			col.ints = append(col.ints, 0)
		case at < 0:
			col.floats = append(col.floats, make([]float32, f.Width())...)
		case q.row[at].Kind == table.Missing || q.row[at].Kind == table.Number && isNaN(&q.row[at]):
			return fmt.Errorf("%s: the value is missing; fill it in, or leave the row out", q.table.Where(at))
		default:
			if err := r.put(k, &q.row[at]); err != nil {
				return fmt.Errorf("%s: %w", q.table.Where(at), err)
			}
		}
	}
	kept := make([]table.Value, len(q.keep))
	for i, at := range q.keep {
		kept[i] = q.row[at]
		if _, err := kept[i].Word(); err != nil && kept[i].Kind != table.Missing {
			return fmt.Errorf("%s: %w, and can not be kept", q.table.Where(at), err)
		}
	}
	q.kept = append(q.kept, kept)
	q.where = append(q.where, q.table.Where(0))
	r.counts()
	return nil
}

// Kept are the values of row i of the batch in the columns to keep.
func (q *Questions) Kept(i int) []table.Value { return q.kept[i] }

// Warnings say what was odd about the rows so far.
func (q *Questions) Warnings() []string {
	if q.rows.texts == nil {
		return nil
	}
	return q.rows.texts.warnings(q.rows.cut)
}

// Where names the place of row i of the batch.
func (q *Questions) Where(i int) string { return q.where[i] }

// Close closes the file.
func (q *Questions) Close() error { return q.table.Close() }
