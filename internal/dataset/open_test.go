package dataset

import (
	"fmt"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset/glyphs"
	"ringmaster/internal/rng"
)

// It has the fingerprint that jobs on the embedded digits are submitted with.
func TestTheDigitsFingerprintStays(t *testing.T) {
	const golden = "db0d949294c70d31c29877532276c69f299442163162dac7d6b31eca55bdea47"
	d, err := Open(config.Data{Kind: config.DataGlyphs})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprintf("%x", d.Fingerprint); got != golden {
		t.Errorf("the fingerprint is %s, not %s", got, golden)
	}
	if d.Train.Len() != glyphs.Train || d.Eval.Len() != glyphs.Eval || d.Schema[0].Width() != 784 || d.Schema[1].Width() != 1 {
		t.Errorf("spec %v, %d and %d pictures", d.Schema, d.Train.Len(), d.Eval.Len())
	}
	var b Batch
	d.Eval.Read(&b, []int32{0, glyphs.Eval - 1}, rng.Key{})
	p := d.Eval.(*records).Reader.(*pictures)
	for i, v := range b.values()[784:] {
		if want := float32(p.values[(glyphs.Eval-1)*784+i]) / 255; v != want {
			t.Fatalf("value %d is %v, want %v", i, v, want)
		}
	}
}

func BenchmarkOpenGlyphs(b *testing.B) {
	for b.Loop() {
		if _, err := Open(config.Data{Kind: config.DataGlyphs}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpenMNIST(b *testing.B) {
	for b.Loop() {
		if _, err := Open(config.Data{Kind: config.DataMNIST, Dir: mnistDir(b)}); err != nil {
			b.Fatal(err)
		}
	}
}
