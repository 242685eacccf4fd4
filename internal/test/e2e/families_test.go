package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/launch"
)

// textFamilies are small models of texts in the folder that familyTexts writes.
var textFamilies = map[string]string{
	"gpt":          "model: {kind: gpt, depth: 1, heads: 2, width: 16, dropout: 0.1}\ndata: {kind: text, dir: DIR/lines.txt, context: 24, documents: blank_lines}",
	"llama":        "model: {kind: llama, depth: 1, heads: 4, kv_heads: 2, width: 16, dropout: 0.1}\ndata: {kind: text, dir: DIR/lines.txt, context: 24}",
	"bert":         "model: {kind: bert, depth: 1, heads: 2, width: 16, dropout: 0.1}\ndata: {kind: text, dir: DIR/lines.txt, tokenizer: DIR/vocab.txt, context: 12, mask: 0.15}",
	"bert classes": "model: {kind: bert, depth: 1, heads: 2, width: 16, dropout: 0.1}\ndata: {kind: csv, train: DIR/rows.csv, texts: [text], target: kind, categories: [kind], tokenizer: DIR/vocab.txt, context: 12}",
	"t5":           "model: {kind: t5, depth: 1, heads: 2, width: 16, dropout: 0.1}\ndata: {kind: pairs, train: DIR/pairs.csv, source: a, target: b, context: 12}",
}

// familyTexts writes lines, rows with a category, pairs and a vocabulary.
func familyTexts(t *testing.T) (dir string) {
	t.Helper()
	words := []string{"sun", "moon", "star", "sea", "wind", "tree"}
	rows, pairs, lines := "text,kind\n", "a,b\n", ""
	for i := range 200 {
		var line []string
		for k := range 3 + i%7 {
			line = append(line, words[(i*i+k*(i%5+1))%len(words)])
		}
		text := strings.Join(line, " ")
		rows += text + "," + line[0] + "\n"
		pairs += text + "," + line[len(line)-1] + "\n"
		lines += text + "\n" + strings.Repeat("\n", i%2)
	}
	dir = t.TempDir()
	vocabulary := "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n" + strings.Join(words, "\n") + "\n"
	for name, text := range map[string]string{"lines.txt": lines, "rows.csv": rows, "pairs.csv": pairs, "vocab.txt": vocabulary} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// Each family of text on one worker; and on three of which one is killed, scaled to two, interrupted and resumed by one: the same bits.
func TestFamiliesOfText(t *testing.T) {
	dir, runs := familyTexts(t), map[string]string{}
	for _, name := range []string{"bert", "bert classes", "gpt", "llama", "t5"} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "family.yaml")
			text := fmt.Sprintf("seats: 4\n%s\ntrain: {batch_per_seat: 2, optimizer: {kind: adamw, lr: 0.01}}\n", strings.ReplaceAll(textFamilies[name], "DIR", dir))
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			until := func(steps string, more ...string) []string {
				return append([]string{"--set", "train.steps=" + steps}, more...)
			}
			whole := job{file: file, dir: filepath.Join(dir, strings.ReplaceAll(name, " ", "-")), workers: 1, args: until("60")}.start(t)
			want := whole.end(0)
			runs[name] = whole.dir

			env, release := slowly(t)
			cut := job{file: file, workers: 3, args: until("30"), env: env}.start(t)
			if err := kill(cut.step(4).Workers[1].PID); err != nil {
				t.Fatal(err)
			}
			cut.step(8)
			if code, out, stderr := run(t, t.TempDir(), "scale", "--workers", "2", "--dir", cut.dir); code != 0 {
				t.Fatalf("scale: exit code %d: %s%s", code, out, stderr)
			}
			cut.until(func(s *launch.Status) bool { return len(s.Workers) == 2 })
			release()
			cut.end(0)
			got := job{file: file, dir: cut.dir, workers: 1, args: until("60", "--resume")}.run(t, 0)
			if got.Digest != want.Digest || got.StateDigest != want.StateDigest {
				t.Errorf("on another cluster: digest %s, want %s", got.Digest, want.Digest)
			}
		})
	}
	if runs["bert"] == "" || runs["bert classes"] == "" {
		return
	}
	askFamilies(t, dir, runs)
}

// askFamilies asks a masked language model for a hidden word, a classifier for a text's class, and fine-tunes the one to become the other.
func askFamilies(t *testing.T, dir string, runs map[string]string) {
	type filled struct {
		Masks [][]struct {
			Token, Text string
			Probability float64
		}
	}
	if got := ask[filled](t, "predict", runs["bert"], "--prompt", "sun [MASK] star", "--top", "2", "--json"); len(got.Masks) != 1 || len(got.Masks[0]) != 2 ||
		got.Masks[0][0].Probability < got.Masks[0][1].Probability || got.Masks[0][0].Text != "sun "+got.Masks[0][0].Token+" star" {
		t.Errorf("the hidden word is answered by %+v", got)
	}
	type classified struct{ Classes []struct{ Class string } }
	if got := ask[classified](t, "predict", runs["bert classes"], "--prompt", "sun moon star", "--json"); len(got.Classes) != 4 {
		t.Errorf("the text is answered by %+v", got)
	}
	for _, c := range []struct {
		args  []string
		words []string
	}{
		{[]string{runs["bert"], "--prompt", "sun moon"}, []string{"no token is hidden; write [MASK]"}},
		{[]string{runs["bert"], "--prompt", "[MASK]" + strings.Repeat(" sun", 20)}, []string{"the text has 23 tokens, and the model reads at most 12"}},
		{[]string{runs["bert"], "--prompt", "[MASK]", "--tokens", "3"}, []string{"--tokens is for a model that continues texts; this one guesses hidden tokens"}},
	} {
		code, _, stderr := run(t, t.TempDir(), append([]string{"predict"}, c.args...)...)
		if code != 2 {
			t.Errorf("%v: exit code %d", c.args, code)
		}
		oneLine(t, stderr, c.words...)
	}
	file := filepath.Join(t.TempDir(), "tuned.yaml")
	text := fmt.Sprintf("seats: 2\n%s\ntrain: {steps: 4}\n", strings.ReplaceAll(textFamilies["bert classes"], "DIR", dir))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	tuned := job{file: file, workers: 1, args: []string{"--set", "model.init=" + runs["bert"], "--set", "model.init_strict=false"}}.start(t)
	tuned.end(0)
	if text := tuned.stdout.String(); !strings.Contains(text, "from the seed: bert.pooler.dense.weight, bert.pooler.dense.bias, classifier.weight, classifier.bias") {
		t.Errorf("launch does not say which tensors are new: %s", text)
	}
}
