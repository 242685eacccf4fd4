package config

import (
	"slices"
	"strings"
	"unicode/utf8"

	"ringmaster/internal/printable"
)

// IsTable reports whether the data are the rows of a table.
func (d *Data) IsTable() bool { return slices.Contains(tableKinds, d.Kind) }

// Places are the files and folders that the data are read from.
func (d *Data) Places() []string {
	return slices.DeleteFunc([]string{d.Dir, d.Train, d.Eval}, func(place string) bool { return place == "" })
}

func (d *Data) validateTable(c *checker) {
	c.require("data.train", d.Train != "", "data.train is missing: say where the table of training rows lies (in the file, or by --set data.train=FILE)")
	c.require("data.target", d.Target != "", "data.target is missing: name the column that is to be predicted")
	c.require("data.weight", d.Weight == "" || d.Weight != d.Target, "data.weight: %s is the target", printable.Typed(d.Weight))
	c.oneOf("data.missing", d.Missing, []string{MissingError, MissingDrop})
	between(c, "data.memory_mib", d.MemoryMiB, 1, 1<<20)
	if d.Kind == DataCSV {
		one := utf8.RuneCountInString(d.Delimiter) == 1 && !strings.ContainsAny(d.Delimiter, "\"\r\n\ufffd")
		c.require("data.delimiter", one, "data.delimiter must be one character, like \",\" or \";\", not %s", printable.Typed(d.Delimiter))
	}
	seen := map[string]string{d.Target: "the target", d.Weight: "the weight"}
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
