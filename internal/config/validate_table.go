package config

import (
	"slices"
	"strings"
	"unicode/utf8"

	"ringmaster/internal/printable"
)

// IsTable reports whether the data are the rows of a table.
func (d *Data) IsTable() bool { return slices.Contains(tableKinds, d.Kind) }

// HasPictures reports whether the data are a table of pictures, or shards, which may hold pictures.
func (d *Data) HasPictures() bool { return d.Kind == DataImageTable || d.Kind == DataWebDataset }

// Places are the files and folders that the data are read from.
func (d *Data) Places() []string {
	if d.Path != "" {
		return []string{d.Path}
	}
	return slices.DeleteFunc([]string{d.Dir, d.Train, d.Eval}, func(place string) bool { return place == "" })
}

func (d *Data) validateTable(c *checker) {
	c.require("data.train", d.Train != "" || d.Path != "", "data.train is missing: say where the table of training rows is (in the file, or by --set data.train=FILE)")
	c.require("data.target", d.Target != "", "data.target is missing: name the column that is to be predicted")
	c.require("data.weight", d.Weight == "" || d.Weight != d.Target, "data.weight: %s is the target", printable.Typed(d.Weight))
	c.oneOf("data.missing", d.Missing, []string{MissingError, MissingDrop})
	between(c, "data.memory_mib", d.MemoryMiB, 0, 1<<20)
	if d.Kind == DataCSV {
		one := utf8.RuneCountInString(d.Delimiter) == 1 && !strings.ContainsAny(d.Delimiter, "\"\r\n\ufffd")
		c.require("data.delimiter", one, "data.delimiter must be one character, like \",\" or \";\", not %s", printable.Typed(d.Delimiter))
	}
	if d.HasPictures() {
		d.validatePictures(c)
	}
	below(c, "data.skip_bad", d.SkipBad, 0, 1)
	c.require("data.group", d.Group == "" || d.Group != d.Target && d.Group != d.Weight, "data.group: %s is the target or the weight", printable.Typed(d.Group))
	if d.Split != (Split{}) {
		d.validateSplit(c)
	} else {
		c.require("data.group", d.Group == "", "data.group is for data.split.by: group; say how to split, or leave it out")
	}
	d.validateStandardize(c)
	seen := map[string]string{d.Target: "the target", d.Weight: "the weight", d.Group: "the group"}
	for i, name := range d.Features {
		key := indexed("data.features", i)
		c.require(key, name != "" && seen[name] == "", "%s: %s is %s already", key, printable.Typed(name), seen[name])
		seen[name] = key
	}
	for i, name := range d.Categories {
		key := indexed("data.categories", i)
		c.require(key, name != "" && !slices.Contains(d.Categories[:i], name), "%s: %s is listed twice", key, printable.Typed(name))
		c.require(key, name == "" || name != d.Weight, "%s: %s is the weight, which is a number", key, printable.Typed(name))
	}
}

// validatePictures checks the keys of pictures that are rows of a table.
func (d *Data) validatePictures(c *checker) {
	c.require("data.image", d.Image != "" || d.Kind == DataWebDataset, "data.image is empty: name the column of the pictures, or of the paths of their files")
	c.require("data.image", d.Image != "" || len(d.Features) > 0, "data.image is empty: then data.features must list the fields that the model reads")
	c.require("data.image", d.Image == "" || d.Image != d.Target && d.Image != d.Weight && d.Image != d.Group, "data.image: %s is the target, the weight or the group", printable.Typed(d.Image))
	d.validateColours(c)
}

func (d *Data) validateStandardize(c *checker) {
	others := map[string]string{d.Target: "the target, which keeps its values", d.Weight: "the weight", d.Group: "the group"}
	for _, name := range d.Categories {
		others[name] = "a category"
	}
	for i, name := range d.Standardize {
		key := indexed("data.standardize", i)
		c.require(key, name != AllColumns || len(d.Standardize) == 1, "%s: %q stands for all columns; leave the others out", key, name)
		c.require(key, name != "" && others[name] == "", "%s: %s is %s; only features that are numbers can be standardised", key, printable.Typed(name), others[name])
		c.require(key, !slices.Contains(d.Standardize[:i], name), "%s: %s is listed twice", key, printable.Typed(name))
		c.require(key, name == AllColumns || others[name] != "" || len(d.Features) == 0 || slices.Contains(d.Features, name), "%s: %s is not one of data.features", key, printable.Typed(name))
	}
}

func (d *Data) validateSplit(c *checker) {
	s := &d.Split
	c.require("data.split", d.Eval == "", "data.split takes the evaluation rows from data.train, and data.eval names others: leave one of them out")
	c.require("data.split", s.Eval == 0 || s.Folds == 0, "data.split: eval is a share and folds are parts: leave one of them out")
	c.require("data.split", s.Eval != 0 || s.Folds != 0, "data.split: say which share is for evaluation by eval: 0.2, or which part by folds: 5 and fold: 0")
	if s.Folds == 0 {
		c.require("data.split.eval", s.Eval >= 0 && s.Eval < 1, "data.split.eval must be above 0 and below 1, not %v", s.Eval)
		c.require("data.split.fold", s.Fold == 0, "data.split.fold %d goes with data.split.folds", s.Fold)
	} else {
		between(c, "data.split.folds", s.Folds, 2, 1000)
		c.require("data.split.fold", s.Fold >= 0 && s.Fold < s.Folds, "data.split.fold must be from 0 to %d, below data.split.folds, not %d", s.Folds-1, s.Fold)
	}
	c.oneOf("data.split.by", s.By, []string{SplitRandom, SplitStratified, SplitGroup, SplitHash})
	c.require("data.split.by", s.By != SplitStratified || slices.Contains(d.Categories, d.Target),
		"data.split.by: stratified goes by the target's classes; list %s in data.categories, or take by: random", printable.Typed(d.Target))
	c.require("data.split.by", s.By != SplitGroup || d.Group != "", "data.split.by: group needs data.group, the column that says which rows belong together")
	c.require("data.group", s.By == SplitGroup || d.Group == "", "data.group is for data.split.by: group, not %s", printable.Typed(s.By))
}
