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
	eval := d.Eval
	if d.Kind == DataImages { // a folder in Dir
		eval = ""
	}
	return slices.DeleteFunc([]string{d.Dir, d.Train, eval}, func(place string) bool { return place == "" })
}

func (d *Data) validateTable(c *checker) {
	c.require("data.train", d.Train != "" || d.Path != "", "data.train is missing: say where the table of training rows is (in the file, or by --set data.train=FILE)")
	c.require("data.target", d.Target != "" || len(d.Targets) > 0 || d.CaptionColumn() != "", "data.target is missing: name the column that is to be predicted")
	c.require("data.targets", d.Target == "" || len(d.Targets) == 0, "data.targets: data.target names a target too; leave one of them out")
	c.require("data.inputs", len(d.Features) == 0 || len(d.Inputs) == 0, "data.inputs: data.features names columns too; leave one of them out")
	c.require("data.weight", d.Weight == "" || !slices.Contains(d.TargetColumns(), d.Weight), "data.weight: %s is the target", printable.Typed(d.Weight))
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
	c.require("data.group", d.Group == "" || !slices.Contains(d.TargetColumns(), d.Group) && d.Group != d.Weight, "data.group: %s is the target or the weight", printable.Typed(d.Group))
	if d.Split != (Split{}) {
		d.validateSplit(c)
	} else {
		c.require("data.group", d.Group == "", "data.group is for data.split.by: group; say how to split, or leave it out")
	}
	d.validateTexts(c)
	d.validateStandardize(c)
	d.validateColumns(c)
	for i, name := range d.Categories {
		key := indexed("data.categories", i)
		c.require(key, name != "" && !slices.Contains(d.Categories[:i], name), "%s: %s is listed twice", key, printable.Typed(name))
		c.require(key, name == "" || name != d.Weight, "%s: %s is the weight, which is a number", key, printable.Typed(name))
	}
}

// validatePictures checks the keys of pictures that are rows of a table.
func (d *Data) validatePictures(c *checker) {
	c.require("data.image", d.Image != "" || d.Kind == DataWebDataset, "data.image is empty: name the column of the pictures, or of the paths of their files")
	c.require("data.image", d.Image != "" || len(d.FeatureColumns()) > 0, "data.image is empty: then data.features must list the fields that the model reads")
	c.require("data.image", d.Image == "" || !slices.Contains(d.TargetColumns(), d.Image) && d.Image != d.Weight && d.Image != d.Group, "data.image: %s is the target, the weight or the group", printable.Typed(d.Image))
	if d.ImageText != "" {
		c.oneOf("data.image_text", d.ImageText, []string{ImagePath, ImageBase64})
	}
	d.validateColours(c)
}

// TargetColumns are the columns that are predicted.
func (d *Data) TargetColumns() []string {
	if len(d.Targets) > 0 || d.Target == "" {
		return d.Targets
	}
	return []string{d.Target}
}

// FeatureColumns are the columns that the job names for the model's inputs; none: all that are nothing else.
func (d *Data) FeatureColumns() []string {
	columns := slices.Clone(d.Features)
	for _, in := range d.Inputs {
		columns = append(columns, in.Columns...)
	}
	return columns
}

// validateColumns checks that each column is named for one thing.
func (d *Data) validateColumns(c *checker) {
	seen := map[string]string{d.Target: "the target", d.Weight: "the weight", d.Group: "the group"}
	once := func(key string, names []string) {
		for i, name := range names {
			at := indexed(key, i)
			c.require(at, name != "" && seen[name] == "", "%s: %s is %s already", at, printable.Typed(name), seen[name])
			seen[name] = at
		}
	}
	once("data.targets", d.Targets)
	once("data.features", d.Features)
	for i, in := range d.Inputs {
		at := indexed("data.inputs", i)
		c.require(at+".name", in.Name != "" && len(in.Name) <= maxName, "%s.name: name the input, as model.inputs does, in 1 to %d characters", at, maxName)
		c.require(at+".columns", len(in.Columns) > 0, "%s.columns: list the columns that are put side by side", at)
		c.require(at+".name", !slices.ContainsFunc(d.Inputs[:i], func(other Input) bool { return other.Name == in.Name }), "%s.name: %s is the name of two inputs", at, printable.Typed(in.Name))
		reserved := in.Name == d.Weight || slices.Contains(d.TargetColumns(), in.Name)
		c.require(at+".name", in.Name == "" || !reserved, "%s.name: %s is the name of the target or the weight; take another", at, printable.Typed(in.Name))
		other := slices.ContainsFunc(d.Inputs, func(other Input) bool { return other.Name != in.Name && slices.Contains(other.Columns, in.Name) })
		c.require(at+".name", !other, "%s.name: %s is a column of another input; take another name", at, printable.Typed(in.Name))
		c.require(at+".name", in.Name != "pixels" || !d.HasPictures(), "%s.name: pixels is the input of the pictures; take another name", at)
		once(at+".columns", in.Columns)
	}
}

func (d *Data) validateStandardize(c *checker) {
	others := map[string]string{d.Weight: "the weight", d.Group: "the group"}
	for _, name := range d.TargetColumns() {
		others[name] = "the target, which keeps its values"
	}
	features := d.FeatureColumns()
	for _, name := range d.Categories {
		others[name] = "a category"
	}
	for i, name := range d.Standardize {
		key := indexed("data.standardize", i)
		c.require(key, name != AllColumns || len(d.Standardize) == 1, "%s: %q stands for all columns; leave the others out", key, name)
		c.require(key, name != "" && others[name] == "", "%s: %s is %s; only features that are numbers can be standardised", key, printable.Typed(name), others[name])
		c.require(key, !slices.Contains(d.Standardize[:i], name), "%s: %s is listed twice", key, printable.Typed(name))
		c.require(key, name == AllColumns || others[name] != "" || len(features) == 0 || slices.Contains(features, name), "%s: %s is not one of data.features", key, printable.Typed(name))
	}
}

func (d *Data) validateSplit(c *checker) {
	s := &d.Split
	c.require("data.split", d.Eval == "", "data.split takes the evaluation rows from data.train, and data.eval names others: leave one of them out")
	c.require("data.split", s.Eval == 0 || s.Folds == 0, "data.split: eval is a share and folds are parts: leave one of them out")
	c.require("data.split", s.Eval != 0 || s.Folds != 0, "data.split: say which share is for evaluation by eval: 0.2, or which part by folds: 5 and fold: 0")
	c.require("data.split.test", s.Test == 0 || s.Test > 0 && s.Test < 1 && (s.Eval >= 1 || s.Eval+s.Test < 1), "data.split.test must be above 0, and less than 1 together with data.split.eval, not %v", s.Test)
	if s.Folds == 0 {
		c.require("data.split.eval", s.Eval >= 0 && s.Eval < 1, "data.split.eval must be above 0 and below 1, not %v", s.Eval)
		c.require("data.split.fold", s.Fold == 0, "data.split.fold %d goes with data.split.folds", s.Fold)
	} else {
		between(c, "data.split.folds", s.Folds, 2, 1000)
		c.require("data.split.fold", s.Fold >= 0 && s.Fold < s.Folds, "data.split.fold must be from 0 to %d, below data.split.folds, not %d", s.Folds-1, s.Fold)
	}
	c.oneOf("data.split.by", s.By, []string{SplitRandom, SplitStratified, SplitGroup, SplitHash})
	c.require("data.split.by", s.By != SplitStratified || d.Kind == DataImages || len(d.TargetColumns()) > 0 && slices.Contains(d.Categories, d.TargetColumns()[0]),
		"data.split.by: stratified goes by the target's classes; list %s in data.categories, or take by: random", printable.Typed(strings.Join(d.TargetColumns(), ", ")))
	d.validateGroup(c)
}

func (d *Data) validateGroup(c *checker) {
	s := &d.Split
	c.require("data.split.by", s.By != SplitGroup || d.Group != "", "data.split.by: group needs data.group, %s",
		map[bool]string{true: "an expression that finds the group in a picture's path, like ^patient[0-9]+", false: "the column that says which rows belong together"}[d.Kind == DataImages])
	c.require("data.group", s.By == SplitGroup || d.Group == "", "data.group is for data.split.by: group, not %s", printable.Typed(s.By))
}
