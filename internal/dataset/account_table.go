package dataset

import (
	"fmt"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
)

// tellTables says what was read of tables, and what was left out.
func (d *Data) tellTables(c config.Data, set, evalSet *fileSet, train, eval, test *rows) {
	what, columns := "row", len(train.schema)
	if train.images != nil {
		what = "picture"
		columns++
	}
	d.Read = plural.Of(train.n, what) + " for training"
	cut, dropped, bad, left := train.cut, train.dropped, train.skipped, set.left
	if eval != nil {
		cut, dropped, bad = cut+eval.cut, dropped+eval.dropped, bad.and(eval.skipped)
		d.Read += fmt.Sprintf(" and %d for evaluation", eval.n)
	}
	if test != nil {
		d.Read += fmt.Sprintf(", and %d for test,", test.n)
	}
	d.Read += fmt.Sprintf(" in %s, %s", set.shown, plural.Of(columns, "column"))
	if t := d.texts; t != nil {
		d.Read += fmt.Sprintf(", texts of the %d tokens of a %s tokenizer", t.vocabulary.Len(), t.vocabulary.tokenizer.Kind())
		d.Warnings = append(d.Warnings, t.warnings(cut)...)
	}
	if train.origins != nil {
		d.Read += ", " + splitWords(c)
	}
	if len(set.files) > 1 || set.part != "" {
		d.Read += "; training from " + set.words()
		if evalSet != nil {
			d.Read += "; evaluation from " + evalSet.words()
		}
	}
	for _, other := range set.others {
		if other != evalSet {
			left.leave(fmt.Sprintf("for %s, since that part is not used", other.part), other.files[0], false)
			left.left[len(left.left)-1].count = len(other.files)
		}
	}
	var out []string
	if dropped > 0 {
		out = append(out, plural.Of(dropped, "row")+" with a missing value, by data.missing: drop")
	}
	if bad.count > 0 {
		out = append(out, bad.String())
	}
	for _, part := range []*rows{train, eval} {
		if part != nil && part.passed.Count > 0 {
			out = append(out, fmt.Sprintf("%s of shards, hidden or without an ending (first %s)", plural.Of(part.passed.Count, "file"), part.passed.First))
		}
	}
	if text := left.String(); text != "" {
		out = append(out, text)
	}
	d.LeftOut = strings.Join(out, ", ")
}
