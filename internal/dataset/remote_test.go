package dataset

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/test/s3"
)

// rowsOf is a CSV file of n rows.
func rowsOf(n, seed int) []byte {
	var text strings.Builder
	text.WriteString("a,b,y\n")
	for i := range n {
		fmt.Fprintf(&text, "%d,%d,%d\n", i*seed, i+seed, i%2)
	}
	return []byte(text.String())
}

func tableJob(train, eval, cache string) config.Data {
	return config.Data{Kind: config.DataCSV, Train: train, Eval: eval, Target: "y", Missing: config.MissingError, Header: true, Delimiter: ",", Cache: cache, MemoryMiB: 64}
}

// Tables in an object store are the data that they are in a folder: fetched once, again where an object has changed, and from the cache while
// the store is away. What is wrong with one is said by the object's name.
func TestTablesInAnObjectStore(t *testing.T) {
	server := s3.New(t)
	dir, cache := t.TempDir(), t.TempDir()
	for name, content := range map[string][]byte{"train-0.csv": rowsOf(40, 3), "train-1.csv": rowsOf(30, 5), "eval.csv": rowsOf(10, 7), "notes.txt": []byte("x")} {
		server.Set("d/"+name, content)
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	far := "s3://" + s3.Bucket + "/d"
	gets := func() (n int) {
		for _, asked := range server.Asked() {
			if strings.HasPrefix(asked, "GET d/") {
				n++
			}
		}
		return n
	}
	want, err := Open(tableJob(dir+"/train-*.csv", dir+"/eval.csv", cache))
	if err != nil {
		t.Fatal(err)
	}
	for _, train := range []string{far + "/train-*.csv", far + "/train-{0..1}.csv", far + "/train-0.csv::" + far + "/train-1.csv"} {
		got, err := Open(tableJob(train, far+"/eval.csv", cache))
		if err != nil {
			t.Fatal(err)
		}
		if got.Fingerprint != want.Fingerprint || !strings.Contains(strings.Join(got.Account(), " "), far+"/") || strings.Contains(strings.Join(got.Account(), " "), cache) {
			t.Errorf("%s: fingerprint %x, want %x; %v", train, got.Fingerprint, want.Fingerprint, got.Account())
		}
	}
	before := gets()
	job := tableJob(far+"/train-*.csv", far+"/eval.csv", cache)
	if _, err := Open(job); err != nil || gets() != before {
		t.Errorf("what is there was fetched again: %v, %d requests", err, gets()-before)
	}
	server.Set("d/train-1.csv", rowsOf(30, 6))
	if changed, err := Open(job); err != nil || changed.Fingerprint == want.Fingerprint || gets() != before+1 {
		t.Errorf("a replaced object: %v, %d requests", err, gets()-before)
	}
	server.Set("d/train-1.csv", []byte("a,b,y\n1,oops\n"))
	if _, err := Open(job); err == nil || !strings.Contains(err.Error(), "train-1.csv") || strings.Contains(err.Error(), cache) {
		t.Errorf("a damaged object: %v", err)
	}
	for place, want := range map[string]string{far + "/none.csv": "there is no object", "s3://other/x.csv": "there is no bucket other", far + "/none-*.csv": "no such objects"} {
		if _, err := Open(tableJob(place, far+"/eval.csv", cache)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", place, err)
		}
	}
}

// A packed set in an object store is read block by block, and a damaged object is refused by its name.
func TestAPackedSetInAnObjectStore(t *testing.T) {
	server := s3.New(t)
	dir, pack, cache := t.TempDir(), filepath.Join(t.TempDir(), "packed"), t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "train.csv"), rowsOf(3000, 3), 0o600); err != nil {
		t.Fatal(err)
	}
	c := tableJob(filepath.Join(dir, "train.csv"), "", cache)
	want, err := Pack(c, pack)
	if err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(pack)
	if err != nil {
		t.Fatal(err)
	}
	var shard string
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(pack, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		server.Set("packed/"+e.Name(), text)
		if strings.HasPrefix(e.Name(), "train") {
			shard = e.Name()
		}
	}
	c.Train, c.Path = "", "s3://"+s3.Bucket+"/packed"
	got, err := Open(c)
	if err != nil || got.Fingerprint != want.Fingerprint {
		t.Fatal(got, err)
	}
	read := func() error {
		d, err := Open(c)
		if err != nil {
			return err
		}
		record := make(Record, len(d.readers[forTraining].Schema()))
		for i := range d.readers[forTraining].Len() {
			if err := d.readers[forTraining].Read(record, i); err != nil {
				return err
			}
		}
		return nil
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	text := server.Object("packed/" + shard)
	text[len(text)/2] ^= 1
	server.Set("packed/"+shard, text)
	if err := read(); err != nil {
		t.Errorf("from the cache: %v", err)
	}
	c.Cache = t.TempDir()
	if err := read(); err == nil || !strings.Contains(err.Error(), shard) || !strings.Contains(err.Error(), "s3://"+s3.Bucket+"/packed") {
		t.Errorf("a damaged object: %v", err)
	}
	server.Remove("packed/index.json")
	if err := read(); err == nil || !strings.Contains(err.Error(), "index.json") {
		t.Error(err)
	}
}
