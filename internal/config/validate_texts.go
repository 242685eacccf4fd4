package config

import (
	"slices"

	"ringmaster/internal/printable"
)

// Ways to divide a text into documents. Any other word is a token of the text, which ends a document.
const (
	DocumentsFiles      = "files"
	DocumentsBlankLines = "blank_lines" // a document begins behind one or several
	DocumentsLines      = "lines"
)

// validateTexts checks the columns of a table that are texts.
func (d *Data) validateTexts(c *checker) {
	if len(d.Texts) == 0 {
		for key, given := range map[string]bool{"data.tokenizer": d.Tokenizer != "", "data.context": d.Context != 0} {
			c.require(key, !given, "%s is for the columns in data.texts, which lists none: name the column of the texts, or leave it out", key)
		}
		return
	}
	c.require("data.texts", len(d.Texts) <= 2, "data.texts lists %d columns; a model reads one text, or a pair", len(d.Texts))
	others := map[string]string{d.Weight: "the weight", d.Group: "the group"}
	for _, name := range d.TargetColumns() {
		others[name] = "the target"
	}
	for _, name := range d.Categories {
		if others[name] == "" {
			others[name] = "a category"
		}
	}
	for i, name := range d.Texts {
		key := indexed("data.texts", i)
		c.require(key, name != "" && others[name] == "", "%s: %s is %s; name a column of texts", key, printable.Typed(name), others[name])
		c.require(key, !slices.Contains(d.Texts[:i], name), "%s: %s is listed twice", key, printable.Typed(name))
	}
	c.require("data.texts", len(d.FeatureColumns()) == 0, "data.texts: a model reads texts or other columns, not both: leave data.features and data.inputs out")
	c.require("data.standardize", len(d.Standardize) == 0, "data.standardize: the model reads data.texts, which are no numbers: leave it out")
	c.require("data.tokenizer", d.Tokenizer != "", "data.tokenizer is missing: name the file or folder of the tokenizer that makes tokens of data.texts")
	c.require("data.texts", d.Path == "", "data.texts and data.path do not go together: packing texts is not implemented")
	between(c, "data.context", d.Context, 2, 1<<16)
}
