package main

import (
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The picture in the repository is drawn from the run that is written down beside it, and that run ended with the digest that
// README shows.
func TestPictureShowsTheRun(t *testing.T) {
	r, err := load("run.json")
	if err != nil {
		t.Fatal(err)
	}
	svg, err := os.ReadFile(filepath.Join("..", "killed.svg"))
	if err != nil || string(svg) != draw(r) {
		t.Errorf("docs/killed.svg is not what docs/picture/run.json shows (%v): go run ./docs/picture -redraw", err)
	}
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil || !strings.Contains(string(readme), r.Digest) || r.Digest != r.Undisturbed {
		t.Errorf("the run's digests %s and %s are not README's (%v)", r.Digest, r.Undisturbed, err)
	}
}

func TestPictureIsXML(t *testing.T) {
	r := &run{Before: []seated{{"a", [2]int{0, 3}}, {"b", [2]int{3, 4}}}, Killed: "b", After: []seated{{"a", [2]int{0, 4}}}, Digest: strings.Repeat("0", 64), Undisturbed: strings.Repeat("1", 64)}
	text := draw(r)
	for d := xml.NewDecoder(strings.NewReader(text)); ; {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"seats 0-2", "seat 3", "seats 0-3", "other bits!"} {
		if !strings.Contains(text, want) {
			t.Errorf("the picture does not say %q", want)
		}
	}
}
