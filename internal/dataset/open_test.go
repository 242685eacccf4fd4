package dataset

import (
	"testing"

	"ringmaster/internal/config"
)

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
