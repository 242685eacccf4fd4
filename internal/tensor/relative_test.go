package tensor

import (
	"encoding/json"
	"os"
	"testing"
)

// TestRelativeBuckets compares the buckets of 601 distances with those that Hugging Face's T5 gives them.
func TestRelativeBuckets(t *testing.T) {
	raw, err := os.ReadFile("../model/testdata/transformers.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Buckets []struct {
			Bidirectional     bool
			Buckets, Distance int
			Of                []int
		}
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Buckets) == 0 {
		t.Fatal("no buckets were recorded")
	}
	for _, c := range file.Buckets {
		o := RelativeOptions{Bidirectional: c.Bidirectional, Distance: c.Distance}
		for i, want := range c.Of {
			if got := o.Bucket(i-300, c.Buckets); got != want {
				t.Errorf("%d of %d buckets (%+v): distance %d is in bucket %d", want, c.Buckets, o, i-300, got)
			}
		}
	}
}
