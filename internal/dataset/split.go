package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/table"
)

// origins is what a split needs to know of the rows of a table beyond their values.
type origins struct {
	at      int     // the column of a row's group
	group   column  // of each row, where the split is by group
	numbers []int32 // of each row in its file, from 1: rows may have been dropped
}

// findGroup finds the column of the groups.
func (r *rows) findGroup(c config.Data, names []string) error {
	if c.Split == (config.Split{}) {
		return nil
	}
	r.origins = &origins{at: -1, group: column{words: map[string]int32{}}}
	if c.Group == "" {
		return nil
	}
	if r.origins.at = slices.Index(names, c.Group); r.origins.at < 0 {
		return config.KeyErrorf("data.group", "%s has no column %q", r.name, c.Group)
	}
	return nil
}

// note takes the group and the number of the row that is being added.
func (o *origins) note(row []table.Value, number int, where func(column int) string) error {
	if o.at >= 0 {
		if err := o.group.putWord(&row[o.at]); err != nil {
			return fmt.Errorf("%s: %w: it should name the row's group", where(o.at), err)
		}
	}
	o.numbers = append(o.numbers, int32(number))
	return nil
}

// split takes the parts for evaluation and test, which may be nil, out of the rows. Their categories have the numbers that they had; follow gives them those of the rest.
func (r *rows) split(c config.Split) (eval, test *rows, err error) {
	l, err := r.lot(c)
	if err != nil {
		return nil, nil, err
	}
	parts, err := l.divide(c)
	if err != nil {
		return nil, nil, err
	}
	if err := l.check(c, parts, plural.Of(r.n, "row")+" in "+r.name); err != nil {
		return nil, nil, err
	}
	of := func(p part) *rows { return r.pick(func(i int) bool { return parts[i] == p }) }
	eval = of(forEvaluation)
	if c.Test > 0 {
		test = of(forTest)
	}
	whole := *r
	*r = *of(forTraining)
	r.dropped, r.skipped, r.passed, r.cut = whole.dropped, whole.skipped, whole.passed, whole.cut
	return eval, test, r.forget()
}

// lot is what the split needs to know of the rows.
func (r *rows) lot(c config.Split) (*lot, error) {
	l := &lot{n: r.n}
	switch c.By {
	case config.SplitHash:
		l.content = r.contents(c.Seed)
	case config.SplitGroup:
		l.groups = r.origins.group.ranked(r.origins.group.ints)
	case config.SplitStratified:
		k := slices.IndexFunc(r.schema, func(f Field) bool { return f.Role == Target }) // by the first target
		if k < 0 {
			return l, nil
		}
		ids, err := r.ids(k)
		if err != nil {
			return nil, err
		}
		l.classes = r.columns[k].ranked(ids)
	}
	return l, nil
}

// ranked are the places of the categories with these numbers in the order of their names.
func (col *column) ranked(ids []int32) []int32 {
	ranks := col.ranks()
	places := make([]int32, len(ids))
	for i, id := range ids {
		places[i] = ranks[id]
	}
	return places
}

// ranks is the place of each category in the order of their names.
func (col *column) ranks() []int32 {
	words := col.byNumber()
	order := make([]int32, len(words))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int {
		if words[a] < words[b] {
			return -1
		}
		return 1
	})
	ranks := make([]int32, len(words))
	for rank, id := range order {
		ranks[id] = int32(rank)
	}
	return ranks
}

// byNumber are the categories by their numbers.
func (col *column) byNumber() []string {
	words := make([]string, len(col.words))
	for word, id := range col.words {
		words[id] = word
	}
	return words
}

// contents hashes what a row holds: its values in the columns that the job takes, and its picture's bytes.
func (r *rows) contents(seed uint64) func(i int) (hash256, error) {
	words := make([][]string, len(r.columns))
	for k := range r.columns {
		words[k] = r.columns[k].byNumber()
	}
	le := binary.LittleEndian
	var text []byte
	record := make(Record, len(r.schema))
	return func(i int) (hash256, error) {
		if err := r.Read(record, i); err != nil {
			return hash256{}, err
		}
		text = le.AppendUint64(text[:0], seed)
		for k := range r.columns {
			if r.schema[k].Ragged {
				text = le.AppendUint64(text, uint64(len(record[k].Ints)))
				for _, token := range record[k].Ints {
					text = le.AppendUint32(text, uint32(token))
				}
				continue
			}
			if r.schema[k].Type == Int32 {
				text = appendWord(text, words[k][record[k].Ints[0]])
				continue
			}
			for _, v := range record[k].Floats {
				text = le.AppendUint32(text, math.Float32bits(v))
			}
		}
		if r.pictures == nil {
			return sha256.Sum256(text), nil
		}
		raw, err := r.pictures[i].bytes()
		picture := sha256.Sum256(raw)
		return sha256.Sum256(append(text, picture[:]...)), err
	}
}

// appendWord appends a text with its length.
func appendWord(dst []byte, word string) []byte {
	return append(binary.LittleEndian.AppendUint64(dst, uint64(len(word))), word...)
}

// pick is the rows that are chosen.
func (r *rows) pick(chosen func(i int) bool) *rows {
	part := &rows{name: r.name, schema: slices.Clone(r.schema), images: r.images, counted: r.counted}
	for k := range r.columns {
		part.columns = append(part.columns, column{words: r.columns[k].words, fixed: r.columns[k].fixed, names: r.columns[k].names})
	}
	if o := r.origins; o != nil {
		part.origins = &origins{at: o.at, group: column{words: o.group.words}}
	}
	if r.spilled != nil {
		part.spilled = r.spilled.pick(r.n, chosen)
	}
	for i := range r.n {
		if !chosen(i) {
			continue
		}
		part.n++
		if o := r.origins; o != nil {
			part.origins.numbers = append(part.origins.numbers, o.numbers[i])
			if o.at >= 0 {
				part.origins.group.ints = append(part.origins.group.ints, o.group.ints[i])
			}
		}
		if r.pictures != nil {
			part.pictures = append(part.pictures, r.pictures[i])
		}
		if r.spilled != nil {
			continue
		}
		for k := range r.columns {
			from, to := &r.columns[k], &part.columns[k]
			if r.schema[k].Type == Int32 {
				n := r.stride(k)
				to.ints = append(to.ints, from.ints[i*n:(i+1)*n]...)
				continue
			}
			width := len(from.floats) / r.n
			to.floats = append(to.floats, from.floats[i*width:(i+1)*width]...)
		}
	}
	return part
}

// forget takes the categories from the columns that no row has any more. The others are numbered as they occur.
func (r *rows) forget() error {
	for k := range r.columns {
		col := &r.columns[k]
		if col.fixed || col.words == nil {
			continue
		}
		words := col.byNumber()
		places := make([]int32, len(words))
		for id := range places {
			places[id] = -1
		}
		col.words = map[string]int32{}
		err := r.eachID(k, func(_ int, id int32) error {
			if places[id] < 0 {
				places[id] = int32(len(col.words))
				col.words[words[id]] = places[id]
			}
			return nil
		})
		if err != nil {
			return err
		}
		r.renumber(k, places)
	}
	return nil
}

// follow gives another part the numbers that the training part's categories have, which is settled.
func (r *rows) follow(train *rows, is part) error {
	r.schema = train.schema
	for k := range r.columns {
		col := &r.columns[k]
		if col.fixed || r.schema[k].Type != Int32 {
			continue
		}
		words := col.byNumber()
		places := make(map[string]int, len(r.schema[k].Labels))
		for place, label := range r.schema[k].Labels {
			places[label] = place
		}
		ids := make([]int32, len(words))
		err := r.eachID(k, func(i int, id int32) error {
			place, known := places[words[id]]
			if !known {
				return config.KeyErrorf("data.split", "%s: row %d, column %q: the category %q occurs in %v alone, so no model can learn it; leave the row out, or take another seed or share",
					r.name, r.origins.numbers[i], r.schema[k].Name, printable.Short(words[id], maxList), is)
			}
			ids[id] = int32(place)
			return nil
		})
		if err != nil {
			return err
		}
		r.renumber(k, ids)
		col.fixed = true
	}
	return nil
}
