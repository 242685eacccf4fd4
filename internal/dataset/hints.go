package dataset

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/table"
)

// noColumn says that a table has not a column, which it has, and what was probably meant.
func noColumn(file, name, reader string, names []string) error {
	trimmed := make([]string, len(names))
	for i, n := range names {
		trimmed[i] = strings.TrimSpace(n)
	}
	hint := ""
	if len(names) == 0 {
		return fmt.Errorf("%s has no columns", file)
	}
	if len(names) == 1 && strings.ContainsAny(names[0], ";|\t") {
		other := names[0][strings.IndexAny(names[0], ";|\t")]
		hint = fmt.Sprintf("; are its values divided by %q? set data.delimiter to that", other)
		if reader != "" { // the file follows the table that the model was trained on
			hint = fmt.Sprintf("; are its values divided by %q? divide them as the training rows are", other)
		}
	} else if names[0] != "1" && slices.ContainsFunc(names, isNumber) {
		hint = "; is the first row data? data.header: false names the columns 1, 2, 3"
	} else if meant := config.Closest(name, trimmed); meant != "" {
		hint = fmt.Sprintf("; did you mean %q?", names[slices.Index(trimmed, meant)])
	}
	return fmt.Errorf("%s has no column %q%s; it has %s%s", file, name, reader, listed(names), hint)
}

func isNumber(name string) bool {
	_, err := strconv.ParseFloat(name, 64)
	return err == nil && name != "" && strings.Trim(name, "0123456789.-") == ""
}

// notNumber adds to an error about a value of a column what may be done about it.
func notNumber(f *Field, v *table.Value, err error, fixed bool) error {
	text, _ := v.Word()
	text = strings.TrimSpace(text)
	switch {
	case slices.Contains([]string{"na", "n/a", "nan", "null", "none", "nil", "-", "?", "."}, strings.ToLower(text)):
		return fmt.Errorf("%w; leave it empty if it is missing, and see data.missing", err)
	case strings.Trim(text, "0123456789.,'% $€£") == "" && strings.ContainsAny(text, "0123456789"):
		return fmt.Errorf("%w; write it with a decimal point and without marks or units, like 1234.5", err)
	case fixed:
		return fmt.Errorf("%w, as it is in the training rows; correct it", err)
	case f.Role == Input:
		return fmt.Errorf("%w; correct it, list %s in data.categories, or leave the column out by data.features", err, f.Name)
	}
	return fmt.Errorf("%w; correct it, or list %s in data.categories", err, f.Name)
}

// otherKind says that a table's name is of another format than the job's.
func otherKind(c config.Data, path string) string {
	named, ok := table.FormatOf(path)
	if format, is := tableFormats[c.Kind]; !ok || !is || named == format {
		return ""
	}
	for kind, format := range tableFormats {
		if format == named {
			return fmt.Sprintf("; by its name it is %s, and data.kind is %s", kind, c.Kind)
		}
	}
	return ""
}
