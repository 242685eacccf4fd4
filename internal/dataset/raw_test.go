package dataset

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
	"ringmaster/internal/table"
)

// What a checkpoint's description holds is enough to take rows as they are in their file: scaled, with categories by number, whatever the order of
// the columns and whichever there are beside; each thing that cannot be right is one line.
func TestRawRowsOfACheckpoint(t *testing.T) {
	c := tableConfig(t, config.DataCSV, "id,area,quarter,price\na,50,north,120\nb,80,south,200\nc,70,harbour,160\n", "")
	c.Target, c.Weight, c.Features, c.Categories, c.Standardize = "price", "", []string{"area", "quarter"}, []string{"quarter"}, config.Columns{config.AllColumns}
	trained, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	var want Batch
	if err := trained.Train.Read(&want, []int32{2, 0}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	recalled, err := Recall(c, trained.Describe())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(text string) (b Batch, err error) {
		q, err := recalled.Ask(c, "new.csv", strings.NewReader(text), table.CSV, nil)
		if err != nil {
			return b, err
		}
		defer q.Close()
		if err = q.Next(&b, 10); err == io.EOF {
			err = fmt.Errorf("no rows")
		}
		return b, err
	}
	for name, text := range map[string]string{
		"as trained": "id,area,quarter,price\nx,70,harbour,1\ny,50,north,2\n",
		"reordered":  "quarter,area\nharbour,70\nnorth,50\n",
		"with more":  "garden,quarter,pool,area,price\nyes,harbour,,70,unknown\nno,north,no,50,\n",
	} {
		if got, err := ask(text); err != nil || !slices.Equal(got.values(), want.values()) {
			t.Errorf("%s: %v, %v, want %v", name, got.values(), err, want.values())
		}
	}
	for text, want := range map[string]string{
		"area,quarter\n70,moon\n":     `row 1, column "quarter": the category "moon" does not occur in the training rows; correct it, or leave the row out`,
		"area,price\n70,1\n":          `has no column "quarter", which the model reads; it has area, price`,
		"Area,quarter\n70,north\n":    `did you mean "Area"?`,
		"area,quarter\n,north\n":      `row 1, column "area": the value is missing; fill it in, or leave the row out`,
		"area,quarter\nNA,north\n":    `row 1, column "area": "NA" is not a number; leave it empty if it is missing`,
		"area;quarter\n70;north\n":    "divided by ';'",
		"area,quarter\n\"7,5\",north": `"7,5" is not a number; write it with a decimal point`,
	} {
		if _, err := ask(text); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
