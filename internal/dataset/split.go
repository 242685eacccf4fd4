package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/rng"
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

// split takes the evaluation part out of the rows. Its categories have the numbers that they had; follow gives them those of the rest.
func (r *rows) split(c config.Split) (*rows, error) {
	chosen := make([]bool, r.n)
	switch c.By {
	case config.SplitHash:
		if err := r.chooseByHash(c, chosen); err != nil {
			return nil, err
		}
	case config.SplitGroup:
		r.chooseGroups(c, chosen)
	default:
		if err := r.chooseInOrder(c, chosen); err != nil {
			return nil, err
		}
	}
	count := 0
	for _, is := range chosen {
		if is {
			count++
		}
	}
	if count == 0 || count == r.n {
		part := map[bool]string{true: "the evaluation", false: "the training"}[count == 0]
		return nil, config.KeyErrorf("data.split", "of %s in %s none is for %s; change the share, the seed or the kind of the split", plural.Of(r.n, "row"), r.name, part)
	}
	eval := r.pick(chosen, true)
	whole := *r
	*r = *r.pick(chosen, false)
	r.dropped, r.skipped, r.passed = whole.dropped, whole.skipped, whole.passed
	return eval, r.forget()
}

// chosenAt reports whether a place in an order of rows is one of the evaluation part: shares are spread evenly, so that each stretch of the order
// has its share, up to one row.
func chosenAt(c config.Split, place int) bool {
	if c.Folds > 0 {
		return place%c.Folds == c.Fold
	}
	return share(place+1, c.Eval) > share(place, c.Eval)
}

// share is a share of n rows, rounded to whole rows.
func share(n int, of float64) int { return int(float64(float64(n)*of) + 0.5) }

// chooseInOrder draws an order of the rows, for a stratified split class by class, and chooses places of it.
func (r *rows) chooseInOrder(c config.Split, chosen []bool) error {
	order := make([]int32, r.n)
	rng.SplitKey(c.Seed).Shuffle(order)
	if c.By == config.SplitStratified {
		for k := range r.schema {
			if r.schema[k].Role == Target {
				rank := r.columns[k].ranks()
				ids, err := r.ids(k)
				if err != nil {
					return err
				}
				slices.SortStableFunc(order, func(a, b int32) int { return int(rank[ids[a]] - rank[ids[b]]) })
				break // by the first target
			}
		}
	}
	for place, i := range order {
		chosen[i] = chosenAt(c, place)
	}
	return nil
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

// chooseGroups draws an order of the groups and takes whole ones: for a share the first, as long as that brings the rows nearer to it; for folds
// each goes to the fold that has the fewest rows so far.
func (r *rows) chooseGroups(c config.Split, chosen []bool) {
	ids := r.origins.group.ints
	ranks := r.origins.group.ranks()
	size := make([]int, len(ranks))
	for _, id := range ids {
		size[ranks[id]]++
	}
	order := make([]int32, len(ranks))
	rng.SplitKey(c.Seed).Shuffle(order)
	taken := make([]bool, len(ranks))
	filled := make([]int, max(c.Folds, 1))
	for _, g := range order {
		fold := 0
		if c.Folds > 0 {
			fold = slices.Index(filled, slices.Min(filled))
			taken[g] = fold == c.Fold
		} else if taken[g] = filled[0] == 0 || 2*filled[0]+size[g] <= 2*share(r.n, c.Eval); !taken[g] {
			break
		}
		filled[fold] += size[g]
	}
	for i, id := range ids {
		chosen[i] = taken[ranks[id]]
	}
}

// chooseByHash chooses rows by what they hold alone: the first 64 bits of SHA-256 over the seed and the row's values in the columns that
// the job takes, and its picture's bytes, as a fraction. So other rows move none, in whatever order and format they come, and equal rows stay together.
func (r *rows) chooseByHash(c config.Split, chosen []bool) error {
	words := make([][]string, len(r.columns))
	for k := range r.columns {
		words[k] = r.columns[k].byNumber()
	}
	le := binary.LittleEndian
	var text []byte
	record := make(Record, len(r.schema))
	for i := range chosen {
		if err := r.Read(record, i); err != nil {
			return err
		}
		text = le.AppendUint64(text[:0], c.Seed)
		for k := range r.columns {
			if r.schema[k].Type == Int32 {
				word := words[k][record[k].Ints[0]]
				text = append(le.AppendUint64(text, uint64(len(word))), word...)
				continue
			}
			for _, v := range record[k].Floats {
				text = le.AppendUint32(text, math.Float32bits(v))
			}
		}
		if r.pictures != nil {
			raw, err := r.pictures[i].bytes()
			if err != nil {
				return err
			}
			picture := sha256.Sum256(raw)
			text = append(text, picture[:]...)
		}
		sum := sha256.Sum256(text)
		u := le.Uint64(sum[:])
		if c.Folds > 0 {
			fold, _ := bits.Mul64(u, uint64(c.Folds))
			chosen[i] = int(fold) == c.Fold
		} else {
			chosen[i] = float64(u>>11)*0x1p-53 < c.Eval
		}
	}
	return nil
}

// pick is the rows that are chosen, or those that are not.
func (r *rows) pick(chosen []bool, which bool) *rows {
	part := &rows{name: r.name, schema: slices.Clone(r.schema), images: r.images, counted: r.counted}
	for k := range r.columns {
		part.columns = append(part.columns, column{words: r.columns[k].words, fixed: r.columns[k].fixed, names: r.columns[k].names})
	}
	if o := r.origins; o != nil {
		part.origins = &origins{at: o.at, group: column{words: o.group.words}}
	}
	if r.spilled != nil {
		part.spilled = r.spilled.pick(chosen, which)
	}
	for i, is := range chosen {
		if is != which {
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
				to.ints = append(to.ints, from.ints[i])
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

// follow gives the evaluation part the numbers that the training part's categories have, which is settled.
func (r *rows) follow(train *rows) error {
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
				return config.KeyErrorf("data.split", "%s: row %d, column %q: the category %q occurs in the evaluation part alone, so no model can learn it; leave the row out, or take another seed or share",
					r.name, r.origins.numbers[i], r.schema[k].Name, printable.Short(words[id], maxList))
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

// splitWords says how the rows were split.
func splitWords(c config.Data) string {
	s := c.Split
	stratified := "stratified"
	if targets := c.TargetColumns(); len(targets) > 0 {
		stratified += " by " + targets[0]
	}
	how := map[string]string{config.SplitRandom: "at random", config.SplitStratified: stratified, config.SplitGroup: "by " + c.Group, config.SplitHash: "by the hash of their content"}[s.By]
	if s.Folds > 0 {
		return fmt.Sprintf("split %s, fold %d of %d, seed %d", how, s.Fold, s.Folds, s.Seed)
	}
	return fmt.Sprintf("split %s, %g for evaluation, seed %d", how, s.Eval, s.Seed)
}
