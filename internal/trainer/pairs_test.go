package trainer

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/tokenizer"
)

// assemblePairs is a T5 that writes words backwards, of a tokenizer's tokens.
func assemblePairs(t *testing.T, extra string) *Plan {
	t.Helper()
	dir := t.TempDir()
	words := []string{"red", "green", "blue", "dog", "cat", "bird", "runs", "sings", "sleeps"}
	trainer, err := tokenizer.NewTrainer(tokenizer.Training{Kind: "unigram", Size: 290, MinCount: 2, Threads: 1, Special: []string{"<pad>", "</s>"}})
	if err != nil {
		t.Fatal(err)
	}
	var from, to strings.Builder
	for i := range 70 {
		text := ""
		for k := range 1 + i*i%7 {
			text += words[(i*5+k*(i+2))%len(words)] + " "
		}
		reversed := []byte(text)
		for a, b := 0, len(reversed)-1; a < b; a, b = a+1, b-1 {
			reversed[a], reversed[b] = reversed[b], reversed[a]
		}
		fmt.Fprintln(&from, text)
		fmt.Fprintln(&to, string(reversed))
		if err := trainer.Add(text); err != nil {
			t.Fatal(err)
		}
	}
	file, _, err := trainer.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"t.a": from.String(), "t.b": to.String(), "tokenizer.json": string(file)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	job, err := config.Parse("pairs.yaml", []byte(fmt.Sprintf(`
seats: 5
model: {kind: t5, depth: 1, heads: 2, width: 16, dropout: 0.1}
data: {kind: pairs, train: %q, eval: %q, source: a, target: b, tokenizer: %q, context: 48%s}
train: {steps: 9, batch_per_seat: 3, label_smoothing: 0.1, optimizer: {kind: adamw}}
`, filepath.Join(dir, "t"), filepath.Join(dir, "t"), filepath.Join(dir, "tokenizer.json"), extra)), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Assemble(job)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestTokenizedPairsOnAnyRing trains on a tokenizer's tokens: batches that are sorted and trimmed give one state on any ring, too, and another
// one than whole batches.
func TestTokenizedPairsOnAnyRing(t *testing.T) {
	whole := digestOf(sameEverywhere(t, assemblePairs(t, "")))
	if digestOf(sameEverywhere(t, assemblePairs(t, ", by_length: true"))) == whole {
		t.Error("data.by_length changes nothing")
	}
}

// TestSpanCorruptionOnAnyRing pre-trains a T5: hidden spans are drawn, and are the same on any ring.
func TestSpanCorruptionOnAnyRing(t *testing.T) {
	dir := t.TempDir()
	trainer, err := tokenizer.NewTrainer(tokenizer.Training{Kind: "unigram", Size: 300, MinCount: 2, Threads: 1, Special: []string{"<pad>", "</s>", "<extra_id_0>", "<extra_id_1>"}})
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Repeat("the cat sat on the mat\nand the dog sat on the cat\n", 60)
	for line := range strings.Lines(text) {
		if err := trainer.Add(strings.TrimSpace(line)); err != nil {
			t.Fatal(err)
		}
	}
	file, _, err := trainer.Finish()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"text.txt": text, "tokenizer.json": string(file)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	digests := map[string]bool{}
	for _, corrupt := range []string{"0.15", "0.25"} {
		job, err := config.Parse("spans.yaml", fmt.Appendf(nil, `
seats: 4
model: {kind: t5, depth: 1, heads: 2, width: 16, dropout: 0.1}
data: {kind: text, dir: %q, tokenizer: %q, context: 24, corrupt: %s, span: 4}
train: {steps: 8, batch_per_seat: 2, optimizer: {kind: adamw}}
`, filepath.Join(dir, "text.txt"), filepath.Join(dir, "tokenizer.json"), corrupt), nil)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Assemble(job)
		if err != nil {
			t.Fatal(err)
		}
		digests[digestOf(sameEverywhere(t, p))] = true
	}
	if len(digests) != 2 {
		t.Error("another share of hidden tokens gives the same state")
	}
}
