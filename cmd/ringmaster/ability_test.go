package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/trainer"
)

// untrained is the file of a job's first parameters, as ringmaster export writes it.
func untrained(t *testing.T, text string) string {
	t.Helper()
	job, err := config.Parse("job.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := trainer.Assemble(job)
	if err != nil {
		t.Fatal(err)
	}
	l, err := p.Layout()
	if err != nil {
		t.Fatal(err)
	}
	s := l.NewState()
	if err := p.Model.Init(t.Context(), s.Params, s.Stats, 1); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := l.WriteModel(&b, s, checkpoint.Origin{Job: string(job.Encode()), Data: string(p.Data.Describe())}); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "model.safetensors")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A model that is asked for what it does not do says what it does, and the command that asks for that.
func TestModelsSayWhatTheyDo(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	tokens := pretrained(t, "bert-classes", thirteen)
	for name, text := range map[string]string{
		"text.txt":  strings.Repeat("a b c d ", 200),
		"texts.csv": "text,kind,score\n" + strings.Repeat("a b,x,1\nc d,y,2\n", 6),
		"rows.csv":  "a,b,kind\n" + strings.Repeat("1,2,x\n3,4,y\n", 6),
		"pairs.csv": "de,en\n" + strings.Repeat("a b,c d\n", 12),
	} {
		if err := os.WriteFile(at(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const train = "\ntrain: {steps: 1, batch_per_seat: 1%s}\n"
	small := func(kind string) string { return "model: {kind: " + kind + ", depth: 1, heads: 1, width: 4}\n" }
	texts := fmt.Sprintf("data: {kind: csv, train: %s, texts: [text], tokenizer: %s, context: 8, ", at("texts.csv"), tokens)
	dvae := untrained(t, "name: dvae\nseats: 1\nmodel: {kind: sequential, stack: [{kind: conv, out: 4, kernel: 7, stride: 7}, {kind: quantize, codes: 5, init: uniform}, "+
		"{kind: conv_transpose, out: 1, kernel: 7, stride: 7}, {kind: flatten}]}\ndata: {kind: glyphs}"+fmt.Sprintf(train, ", loss: mse, target: pixels"))
	for name, c := range map[string]struct {
		job   string // or the file of its parameters
		fails string // of g(enerate), p(rompt), f(oto), i(nput)
		does  string
		by    string
	}{
		"gpt":     {small("gpt") + "data: {kind: text, dir: " + at("text.txt") + ", context: 8}" + train, "fi", "continues texts", "ringmaster generate --prompt TEXT"},
		"bert":    {small("bert") + "data: {kind: text, dir: " + at("text.txt") + ", context: 8, mask: 0.2}" + train, "gfi", "guesses hidden tokens", "ringmaster predict --prompt TEXT, with [MASK]"},
		"classes": {small("bert") + texts + "target: kind, categories: [kind]}" + train, "gf", "names the class of a text", "ringmaster predict --prompt TEXT"},
		"scores":  {small("bert") + texts + "target: score}" + fmt.Sprintf(train, ", loss: mse"), "gpf", "computes numbers from texts", "ringmaster predict --input FILE"},
		"t5":      {small("t5") + "data: {kind: pairs, train: " + at("pairs.csv") + ", source: de, target: en, context: 8}" + train, "fi", "answers texts by texts", "ringmaster generate --prompt TEXT"},
		"rows":    {"model: {kind: mlp, layers: [2, 4, 2]}\ndata: {kind: csv, train: " + at("rows.csv") + ", target: kind, categories: [kind]}" + train, "gpf", "answers rows", "ringmaster predict --input FILE"},
		"digits":  {"model: {kind: mlp, layers: [784, 4, 10]}\ndata: {kind: glyphs}" + train, "gp", "names what pictures show", "ringmaster predict --photo FILE"},
		"dvae":    {dvae, "gpf", "computes numbers from pictures", "ringmaster predict --input FILE"},
		"dalle":   {small("gpt") + "data: {kind: glyphs, codes: " + dvae + "}" + train, "pfi", "draws pictures of captions", "ringmaster generate --prompt TEXT --out FILE.png"},
	} {
		path := c.job
		if path != dvae {
			path = untrained(t, "name: "+name+"\nseats: 1\n"+strings.ReplaceAll(c.job, "%s", ""))
		}
		for way, args := range map[string][]string{
			"g": {"generate", path, "--prompt", "a b"},
			"p": {"predict", path, "--prompt", "a b"},
			"f": {"predict", path, "--photo", at("none.png")},
			"i": {"predict", path, "--input", at("none.txt")},
		} {
			if !strings.Contains(c.fails, way) {
				continue
			}
			code, out, said := typed(t, append(args, "--threads", "1"))
			if code != 2 || out != "" || strings.Count(said, "\n") != 1 || !strings.Contains(said, "job "+name+" "+c.does) || !strings.Contains(said, "ask it by "+c.by) {
				t.Errorf("%s: exit code %d: %s%swant: job %s %s: ask it by %s", way, code, out, said, name, c.does, c.by)
			}
		}
	}
}
