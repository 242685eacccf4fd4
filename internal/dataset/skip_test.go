package dataset

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/config"
)

// A row that is malformed, a value that is no number and a category that no good row has are left out, and nothing of them stays.
func TestBadRowsAreSkipped(t *testing.T) {
	const bad = "length,species,colour,width,w\n1.5,b,red,2,1\n3,a\n7,new,fresh,x,1\n-3e1,a,green,0.25,0.5\n4,a,blue,1,-2\n4,a,blue,1,0\n"
	const good = "length,species,colour,width,w\n1.5,b,red,2,1\n-3e1,a,green,0.25,0.5\n4,a,blue,1,0\n"
	want, err := Open(tableConfig(t, config.DataCSV, good, ""))
	if err != nil {
		t.Fatal(err)
	}
	c := tableConfig(t, config.DataCSV, bad, "")
	if _, err := Open(c); err == nil || !strings.Contains(err.Error(), "train.csv:3: row 2 does not have 5 values") {
		t.Errorf("without skip_bad the error is %v", err)
	}
	c.SkipBad = 0.5
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if d.Fingerprint != want.Fingerprint {
		t.Errorf("the data are %s, want %s", d.Schema.describe(), want.Schema.describe())
	}
	for _, place := range []string{"3 bad records by data.skip_bad: ", "train.csv:3: row 2 ", "train.csv:4:13: row 3, column \"width\": \"x\" is not a number", "train.csv:6:12: row 5, column \"w\": the weight -2 is negative"} {
		if !strings.Contains(d.LeftOut, place) {
			t.Errorf("left out is %q, without %q", d.LeftOut, place)
		}
	}
	c.SkipBad = 0.49
	if _, err := Open(c); err == nil || !strings.Contains(err.Error(), "of 6 records in train.csv 3 are bad, more than the share 0.49; the first: train.csv:3") {
		t.Errorf("beyond the share the error is %v", err)
	}
}

// The first row decides shapes: one that is skipped must not.
func TestABadFirstRowLeavesNoShape(t *testing.T) {
	c := tableConfig(t, config.DataJSONL, `{"x":[1,2,3],"y":"text"}
{"x":[1,2],"y":1}
{"x":[3,4],"y":2}
`, "")
	c.Target, c.Categories, c.Weight, c.SkipBad = "y", nil, "", 0.4
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Schema.describe(); got != "x: float32 2; y: float32" || d.Train.Len() != 2 {
		t.Errorf("%s of %d rows", got, d.Train.Len())
	}
}

func TestBadPicturesAreSkipped(t *testing.T) {
	dir := t.TempDir()
	files, list := map[string][]byte{}, "image,label\n"
	for i := range 20 {
		class := []string{"x", "y"}[i/10]
		content := smallPNG(t, 5, 4, uint8(i))
		switch i {
		case 0:
			class, content = "x", []byte("no picture")
		case 7:
			content = smallPNG(t, 4, 4, 1)
		case 12:
			content = content[:len(content)-20]
		}
		name := fmt.Sprintf("train/%s/%02d.png", class, i)
		files[name] = content
		list += name + "," + class + "\n"
	}
	files["list.csv"] = []byte(list + "train/none.png,gone\n")
	writeFiles(t, dir, files)
	folder := imagesConfig(dir)
	rows := tableOfPictures(config.DataImageTable, filepath.Join(dir, "list.csv"), "")
	rows.Categories = []string{"label"}
	var prints [2][32]byte
	for i, c := range []config.Data{folder, rows} {
		c.SkipBad = 0.2
		d, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		prints[i] = d.Fingerprint
		if d.Train.Len() != 17 || len(d.Labels) != 2 || !strings.Contains(d.LeftOut, "00.png is not in the format") || !strings.Contains(d.LeftOut, "07.png: 4 x 4 pixels") {
			t.Errorf("%d pictures of %v, left out: %s", d.Train.Len(), d.Labels, d.LeftOut)
		}
		c.SkipBad = 0.1
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), "are bad, more than the share 0.1") {
			t.Errorf("beyond the share the error is %v", err)
		}
	}
	if prints[0] != prints[1] {
		t.Error("a folder and a list without their bad pictures are not the same data")
	}
}
