package dataset

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/printable"
	"ringmaster/internal/table"
)

// choose settles which columns are taken, in the order of the file or of data.features, and says where in a row each is.
func (r *rows) choose(c config.Data, key string, t table.Reader, like Schema) (places []int, err error) {
	names := t.Columns()
	wanted, keys := like, map[string]string{}
	if like == nil {
		if wanted, keys, err = fieldsOf(c, t, r.texts); err != nil {
			return nil, err
		}
	}
	for _, f := range wanted {
		at := slices.Index(names, f.Name)
		if at < 0 {
			if k := keys[f.Name]; k != "" {
				key = k
			}
			return nil, config.KeyErrorf(key, "%w", noColumn(r.name, f.Name, "", names))
		}
		col := column{fixed: like != nil}
		if f.Ragged {
			col.fixed = true // it has no categories to learn
		} else if f.Type == Int32 {
			if col.names = classNames(c, t, &f); col.names != nil && like == nil {
				f.Labels, f.Classes, col.fixed = col.names, len(col.names), true
			}
			col.free = freeCaptions(c)
			if len(f.Labels) > maxClasses && !col.free {
				return nil, config.KeyErrorf(key, "%s: column %q has %d classes, more than %d", r.name, f.Name, len(f.Labels), maxClasses)
			}
			col.words = map[string]int32{}
			for i, label := range f.Labels {
				col.words[label] = int32(i)
			}
			if len(col.words) < len(f.Labels) {
				return nil, config.KeyErrorf(key, "%s: of column %q several classes have one name", r.name, f.Name)
			}
		} else if like == nil {
			f.Shape = nil // the first row has it
		}
		places = append(places, at)
		r.schema, r.columns = append(r.schema, f), append(r.columns, col)
	}
	return places, nil
}

// classNames are the names of a column's categories that are given by number: those of data.classes for the target, or what the file says; nil for none.
func classNames(c config.Data, t table.Reader, f *Field) []string {
	if f.Role == Target && len(c.Classes) > 0 {
		return c.Classes
	}
	if hasClasses(t, f.Name) {
		return t.(table.Classed).ClassNames(f.Name)
	}
	return nil
}

// hasClasses reports whether the file itself says that a column holds classes.
func hasClasses(t table.Reader, column string) bool {
	classed, ok := t.(table.Classed)
	return ok && len(classed.ClassNames(column)) > 0
}

// fieldsOf are the fields that the job takes of a table with these columns, and the keys that name them.
func fieldsOf(c config.Data, t table.Reader, read *texts) (Schema, map[string]string, error) {
	keys := map[string]string{c.Target: "data.target"}
	targets, features := c.TargetColumns(), c.FeatureColumns()
	for i, name := range c.Targets {
		keys[name] = fmt.Sprintf("data.targets[%d]", i)
	}
	for i, in := range c.Inputs {
		for k, name := range in.Columns {
			keys[name] = fmt.Sprintf("data.inputs[%d].columns[%d]", i, k)
		}
	}
	if c.Weight != "" {
		keys[c.Weight] = "data.weight"
	}
	var s Schema
	for i, name := range c.Texts {
		keys[name] = fmt.Sprintf("data.texts[%d]", i)
		s = append(s, read.field(name))
	}
	if len(features) == 0 && !c.HasPictures() && read == nil {
		for _, name := range t.Columns() {
			if !slices.Contains(targets, name) && name != c.Weight && name != c.Group {
				features = append(features, name)
			}
		}
	}
	if len(features) == 0 && c.Image == "" && read == nil {
		return nil, nil, config.KeyErrorf("data.train", "the table has no column beside data.target and data.weight to learn from")
	}
	add := func(name string, role Role) {
		f := Field{Name: name, Type: Float32, Role: role}
		if slices.Contains(c.Categories, name) || c.HasPictures() && hasClasses(t, name) {
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
	for _, name := range targets {
		add(name, Target)
	}
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

// sortWhole sorts names that are whole numbers by their values. Others stay as they are.
func sortWhole(names []string) {
	values := make(map[string]uint64, len(names))
	for _, name := range names {
		n, err := strconv.ParseUint(name, 10, 63)
		if err != nil || strconv.FormatUint(n, 10) != name {
			return
		}
		values[name] = n
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Compare(values[a], values[b]) })
}

// listed is a list of names for people.
func listed(names []string) string { return printable.Short(strings.Join(names, ", "), maxList) }
