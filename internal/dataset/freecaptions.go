package dataset

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/table"
)

// OpenPictures opens the pictures that data.codes is to write as codes. Where a column of a table holds their captions, it is the target: a category
// for each caption, in the order of the captions, those of evaluation rows among them.
func OpenPictures(c config.Data) (*Data, error) {
	column := c.CaptionColumn()
	c.Codes = ""
	if column == "" {
		return Open(c)
	}
	c.Target, c.Categories = column, []string{column}
	captions, err := allCaptions(c)
	if err != nil {
		return nil, err
	}
	c.Classes = captions
	return Open(c)
}

// freeCaptions reports whether the target is a column of captions, as OpenPictures makes it.
func freeCaptions(c config.Data) bool {
	return c.Codes == "" && c.Caption != "" && c.Target == c.Caption && c.HasPictures()
}

// allCaptions are the captions of the training rows and of those for evaluation, each once, ascending. What is wrong with a row is said when it is read.
func allCaptions(c config.Data) ([]string, error) {
	set, err := tableFiles(c, "data.train", c.Train)
	if err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	if err := collectCaptions(c, "data.train", set, seen); err != nil {
		return nil, err
	}
	key, from := "data.eval", (*fileSet)(nil)
	if c.Eval != "" {
		from, err = tableFiles(c, key, c.Eval)
	} else if len(set.others) > 0 {
		key, from = "data.train", set.others[0]
	}
	if err == nil && from != nil {
		err = collectCaptions(c, key, from, seen)
	}
	all := make([]string, 0, len(seen))
	for caption := range seen {
		all = append(all, caption)
	}
	slices.Sort(all)
	return all, err
}

// collectCaptions notes the captions of a table.
func collectCaptions(c config.Data, key string, set *fileSet, seen map[string]bool) (err error) {
	format, err := formatOf(c, set.files[0])
	if err != nil {
		return config.KeyErrorf(key, "%w", err)
	}
	spool := table.NewSpool(func() (*os.File, error) { return spillFile(c) })
	t, err := table.OpenAll(set.files, format, table.Options{Delimiter: delimiter(c), NoHeader: !c.Header && c.IsTable(), Place: c.Image, Spool: spool})
	if err != nil {
		return config.KeyErrorf(key, "%w%s", explainPath(unopened(set.shown, err), set.shown), otherKind(c, set.files[0]))
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	at := slices.Index(t.Columns(), c.Caption)
	if at < 0 {
		return config.KeyErrorf("data.caption", "%w; to make captions of classes, write where the name stands, like a {}", noColumn(set.shown, c.Caption, "", t.Columns()))
	}
	row := make([]table.Value, len(t.Columns()))
	for size := 0; ; {
		err := t.Next(row)
		if err == io.EOF {
			return nil
		}
		var malformed *table.RowError
		if errors.As(err, &malformed) {
			continue
		}
		if err != nil {
			return config.KeyErrorf(key, "%w", err)
		}
		word, err := row[at].Word()
		if err != nil || seen[word] || checkCaption(word) != nil {
			continue
		}
		if size += len(word); size > maxText || len(seen) == maxImages {
			return config.KeyErrorf("data.caption", "%w", fmt.Errorf("column %s of %s has more than %d captions, or %d bytes of them", c.Caption, set.shown, maxImages, maxText))
		}
		seen[strings.Clone(word)] = true
	}
}
