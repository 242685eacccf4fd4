package main

import (
	"bytes"
	"image"
	"image/png"
	"os"
	"testing"
)

// TestMastersAreCurrent compares pixels, since the form of a PNG file may change with Go's encoder.
func TestMastersAreCurrent(t *testing.T) {
	drawn, err := drawSheet()
	if err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile("../masters.png")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(pix(t, drawn), pix(t, committed)) {
		t.Error("masters.png is not what gen draws: run go generate ./internal/dataset/glyphs, and expect another data set")
	}
}

func pix(t *testing.T, file []byte) []byte {
	t.Helper()
	decoded, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return decoded.(*image.Gray).Pix
}
