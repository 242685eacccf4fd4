package table

import (
	"encoding/json"

	"github.com/parquet-go/parquet-go"
)

// Classed is a reader that knows the names of the classes in columns of whole numbers.
type Classed interface {
	// ClassNames are the names of classes 0, 1, 2 ... of a column; nil where it has none.
	ClassNames(column string) []string
}

// ClassNames implements Classed.
func (p *parquetReader) ClassNames(column string) []string { return p.classes[column] }

// maxMetadata bounds in bytes what a Parquet file says of its features.
const maxMetadata = 16 << 20

// classNames reads which columns hold classes from what Hugging Face's library for data sets adds to a Parquet file. A file without it has none.
func classNames(f *parquet.File) map[string][]string {
	text, found := f.Lookup("huggingface")
	if !found || len(text) > maxMetadata {
		return nil
	}
	var about struct {
		Info struct {
			Features map[string]json.RawMessage `json:"features"`
		} `json:"info"`
	}
	if json.Unmarshal([]byte(text), &about) != nil {
		return nil
	}
	classes := map[string][]string{}
	for name, feature := range about.Info.Features {
		var label struct {
			Type  string   `json:"_type"`
			Names []string `json:"names"`
		}
		if json.Unmarshal(feature, &label) == nil && label.Type == "ClassLabel" {
			classes[name] = label.Names
		}
	}
	return classes
}
