package dataset

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// TestUnpackedPicturesAreTheSame opens the pictures of the shards from shards that webdataset compressed, from one that zstd compressed, and in base64: the same records, and
// nothing is left in the cache.
func TestUnpackedPicturesAreTheSame(t *testing.T) {
	shards := fourForms()["shards"]
	shards.Features = nil
	packed, one, zstd := shards, shards, shards
	packed.Train, packed.Eval = "testdata/packed-train.tar.gz", "testdata/packed-test.tar.gz"
	one.Train, zstd.Train = "testdata/shard-train-000000.tar", "testdata/packed-zstd.tar.zst"
	encoded := fourForms()["jsonl"]
	encoded.Train, encoded.Eval, encoded.Dir, encoded.Image = "testdata/base64-train.jsonl", "testdata/base64-test.jsonl", "", "image"
	encoded.ImageText = config.ImageBase64
	for name, pair := range map[string][2]config.Data{"gzip": {shards, packed}, "zstd": {one, zstd}, "base64": {fourForms()["folder"], encoded}} {
		plain, other := pair[0], pair[1]
		other.Cache = t.TempDir()
		other.MemoryMiB = 0 // pictures are read again
		want, err := Open(plain)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Open(other)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got.Fingerprint != want.Fingerprint {
			t.Errorf("%s: the fingerprint is %x, want %x", name, got.Fingerprint, want.Fingerprint)
		}
		var a, b Batch
		for i := range want.Train.Len() {
			if err := want.Train.Read(&a, []int32{int32(i)}, rng.Key{}); err != nil {
				t.Fatal(err)
			}
			if err := got.Train.Read(&b, []int32{int32(i)}, rng.Key{}); err != nil || !slices.Equal(a.values(), b.values()) {
				t.Fatalf("%s: picture %d is another one, %v", name, i, err)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(other.Cache, "*", "*")); len(left) > 0 {
			t.Errorf("%s: %v is left in the cache", name, left)
		}
	}
}

// TestArraysWithoutAxes reads single numbers that NumPy wrote, as webdataset reads them.
func TestArraysWithoutAxes(t *testing.T) {
	raw, err := os.ReadFile("testdata/numbers.json")
	if err != nil {
		t.Fatal(err)
	}
	var want []float32
	if err := json.Unmarshal(raw, &want); err != nil {
		t.Fatal(err)
	}
	c := fourForms()["shards"]
	c.Train, c.Eval, c.Image, c.Features, c.Cache = "testdata/packed-train.tar.gz", "testdata/packed-test.tar.gz", "", []string{"number.npy"}, t.TempDir()
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	var got []float32
	for _, s := range []Set{d.Train, d.Eval} {
		for i := range s.Len() {
			var b Batch
			if err := s.Read(&b, []int32{int32(i)}, rng.Key{}); err != nil {
				t.Fatal(err)
			}
			got = append(got, b.values()...)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("numbers %v, want %v", got, want)
	}
}

// TestTextsThatAreNoPictures names what is wrong with texts in a column of pictures.
func TestTextsThatAreNoPictures(t *testing.T) {
	dir := t.TempDir()
	for want, line := range map[string]string{
		`rows.jsonl:1: row 1, key "image": not/a/picture! is no picture in base64 (data.image_text)`: `{"image": "not/a/picture!", "label": "a"}`,
		`rows.jsonl:1: row 1, key "image": "" is no picture in base64`:                               `{"image": "data:image/png;base64,", "label": "a"}`,
		`rows.jsonl:1: row 1, key "image" is not in the format`:                                      `{"image": "aGVsbG8", "label": "a"}`,
	} {
		c := tableOfPictures(config.DataImageTable, filepath.Join(dir, "rows.jsonl"), "")
		c.Categories, c.ImageText, c.Cache = []string{"label"}, config.ImageBase64, t.TempDir()
		writeFiles(t, dir, map[string][]byte{"rows.jsonl": []byte(line + "\n" + strings.Replace(line, `"a"`, `"b"`, 1) + "\n")})
		if _, err := Open(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
