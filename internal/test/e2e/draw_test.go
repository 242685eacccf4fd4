package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	dvaeJob = `
seats: 3
model:
    kind: sequential
    stack:
        - {kind: conv, out: 6, kernel: 7, stride: 7}
        - {kind: batch_norm}
        - {kind: quantize, codes: 5, init: uniform}
        - {kind: conv_transpose, out: 1, kernel: 7, stride: 7}
        - {kind: flatten}
data: {kind: glyphs}
train: {steps: 12, batch_per_seat: 4, loss: mse, target: pixels, optimizer: {kind: adam, lr: 0.01}}
checkpoint: {every_steps: 0}
`
	dalleJob = `
seats: 3
model: {kind: gpt, depth: 1, heads: 2, width: 12}
data: {kind: glyphs, codes: %q}
train: {steps: 12, batch_per_seat: 4, optimizer: {kind: adam, lr: 0.01}}
checkpoint: {every_steps: 0}
`
)

// A chain of two jobs: a discrete VAE, and a gpt that writes its codes behind captions, with the same bits on any cluster. The second run is
// all that drawing needs, and what is drawn depends on the prompts and the seed alone.
func TestDrawCaptions(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first := job{file: write("dvae.yaml", dvaeJob), workers: 2}.start(t)
	first.end(0)
	file := write("dalle.yaml", fmt.Sprintf(dalleJob, first.dir))
	want := job{file: file, workers: 1}.run(t, 0)
	second := job{file: file, workers: 3, args: []string{"--set", "train.steps=5"}}.start(t)
	second.end(0)
	if text := second.stdout.String(); !strings.Contains(text, ", written as 4 x 4 of 5 codes") {
		t.Errorf("launch does not say what it read: %s", text)
	}
	if got := (job{file: file, dir: second.dir, args: []string{"--resume"}, workers: 2}).run(t, 0); got.StateDigest != want.StateDigest || got.Step != 12 {
		t.Errorf("resumed: %s at step %d, want %s", got.StateDigest, got.Step, want.StateDigest)
	}
	if err := os.RemoveAll(first.dir); err != nil {
		t.Fatal(err)
	}
	generate := func(args ...string) []byte {
		out := filepath.Join(t.TempDir(), "grid.png")
		code, _, stderr := run(t, dir, append([]string{"generate", second.dir, "--prompt", "a seven", "--prompt", "A two.", "--count", "3", "--out", out}, args...)...)
		if code != 0 {
			t.Fatalf("%v: exit code %d, %s", args, code, stderr)
		}
		grid, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		return grid
	}
	grid := generate()
	if m, err := png.Decode(bytes.NewReader(grid)); err != nil || m.Bounds().Dx() != 2+3*30 || m.Bounds().Dy() != 2+2*30 {
		t.Errorf("the grid is %v, %v", m.Bounds(), err)
	}
	if !bytes.Equal(grid, generate("--batch", "1", "--threads", "2")) || bytes.Equal(grid, generate("--seed", "2")) {
		t.Error("what is drawn does not depend on the seed alone")
	}
	each := filepath.Join(dir, "each")
	code, out, stderr := run(t, dir, "generate", second.dir, "--prompt", "a seven", "--count", "2", "--pictures", each, "--json")
	if files, _ := filepath.Glob(filepath.Join(each, "*")); code != 0 || !slices.Equal(files, []string{filepath.Join(each, "00001-a-seven.png"), filepath.Join(each, "00002-a-seven.png")}) {
		t.Errorf("exit code %d, files %v: %s", code, files, stderr)
	}
	for line := range strings.Lines(out) {
		var r struct {
			Tokens       []int32 `json:"tokens"`
			PromptTokens []int32 `json:"prompt_tokens"`
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || len(r.Tokens) != 16 || slices.Min(r.Tokens) < 13 || slices.Max(r.Tokens) >= 18 || !slices.Equal(r.PromptTokens, []int32{0, 2, 8}) {
			t.Errorf("%s (%v)", line, err)
		}
	}
	refuseToDraw(t, dir, second.dir, file, first.dir)
}

// refuseToDraw asks a run for what it does not draw, and goes on with it without the autoencoder's run.
func refuseToDraw(t *testing.T, dir, from, file, gone string) {
	t.Helper()
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"generate", from, "--prompt", "a cat", "--out", "x.png"}, "--prompt: the word cat is in no caption; there are a, eight, five"},
		{[]string{"generate", from, "--prompt", "a two a two", "--out", "x.png"}, "has 4 words, but captions have at most 2"},
		{[]string{"generate", from, "--prompt", "a two"}, "draws pictures: give --out FILE.png"},
		{[]string{"predict", from, "--prompt", "a two"}, "draws pictures of captions: ask it by ringmaster generate"},
		{[]string{"launch", file, "--dir", from, "--resume", "--set", "train.steps=14"}, "data.codes: " + gone + ": look for checkpoints in " + gone + ": no such file or directory"},
	} {
		code, _, stderr := run(t, dir, c.args...)
		if code != 2 || !strings.Contains(stderr, c.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%v: exit code %d, %s, want %s", c.args, code, stderr, c.want)
		}
	}
}
