package config

import (
	"slices"
	"strings"
	"testing"
)

// TestPrecisionIsPartOfTheBits wants float32 to be the same job as one without the key, and bf16 another.
func TestPrecisionIsPartOfTheBits(t *testing.T) {
	parse := func(train string) (*Job, error) {
		return Parse("job.yaml", []byte("train: {"+train+"}\n"), nil)
	}
	plain, err := parse("steps: 3")
	if err != nil {
		t.Fatal(err)
	}
	same, err := parse("steps: 3, precision: float32")
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(plain.Contract(), same.Contract()) || strings.Contains(string(same.Encode()), "precision") {
		t.Errorf("precision: float32 is another job: %v", Changes(plain, same))
	}
	narrow, err := parse("steps: 3, precision: bf16")
	if err != nil {
		t.Fatal(err)
	}
	if got := Describe(Changes(plain, narrow), Difference.String); got != "train.precision is \"bf16\", which the checkpoint's job did not have" {
		t.Errorf("a resume in bf16 is told %q", got)
	}
	_, err = parse("steps: 3, precision: fp16")
	if want := "job.yaml:1:30: train.precision: fp16 is not known; there are float32, bf16"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}
