package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"ringmaster/internal/checkpoint"
)

// pretrained is a folder of weights as another program wrote it, with a tokenizer of the given tokens; "" is none.
func pretrained(t *testing.T, name, tokens string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("..", "..", "bench", "hf", "testdata", name))); err != nil {
		t.Fatal(err)
	}
	if tokens != "" {
		if err := os.WriteFile(filepath.Join(dir, "vocab.txt"), []byte(strings.ReplaceAll(tokens, " ", "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const thirteen = "[PAD] [UNK] [CLS] [SEP] [MASK] a b c d e f g h"

// A folder of weights that another program trained writes texts by its own tokenizer.
func TestFoldersOfOthersWriteTexts(t *testing.T) {
	dir := pretrained(t, "gpt2", thirteen)
	f := trainedFlags{threads: 1, folders: true}
	found, err := f.findFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := found.recall(); err != nil {
		t.Fatal(err)
	}
	defer found.close()
	if err := found.load(1); err != nil {
		t.Fatal(err)
	}
	weights, err := checkpoint.OpenWeights(dir)
	if err != nil || weights.Path == "" {
		t.Fatal(err)
	}
	if m := found.job.Model; m.Depth != 2 || m.Width != 16 || m.Vocabulary != 13 || found.job.Data.Context != 9 || len(found.state.Params) == 0 {
		t.Errorf("%+v, context %d", m, found.job.Data.Context)
	}
	for _, test := range []struct {
		args []string
		code int
	}{
		{[]string{"generate", dir, "--prompt", "a b c", "--max-tokens", "4", "--threads", "1"}, 0},
		{[]string{"generate", dir, "--prompt", "a b c", "--max-tokens", "4", "--threads", "1", "--beams", "2", "--json"}, 0},
		{[]string{"generate", dir, "--prompt", "a", "--step", "5"}, 2},
		{[]string{"generate", pretrained(t, "gpt2", ""), "--prompt", "a"}, 2},
		{[]string{"generate", pretrained(t, "gpt2", thirteen+" i j k"), "--prompt", "a"}, 2},
		{[]string{"generate", pretrained(t, "bert", thirteen), "--prompt", "a"}, 2},
	} {
		if code := run(test.args); code != test.code {
			t.Errorf("%v: exit code %d, want %d", test.args, code, test.code)
		}
	}
}

// Folders of BERT answer by the names in their config.json, and a job that names data evaluates them as what its model begins from.
func TestFoldersOfOthersAreAskedAndEvaluated(t *testing.T) {
	classes, masked := pretrained(t, "bert-classes", thirteen), pretrained(t, "bert", thirteen)
	rows, job := filepath.Join(t.TempDir(), "rows.csv"), filepath.Join(t.TempDir(), "job.yaml")
	lines := "text,kind\n"
	for i := range 20 {
		lines += strings.Repeat("a b c d e f ", 1+i%2) + "," + string(rune('p'+i%5)) + "\n"
	}
	yaml := "name: rows\nseats: 1\nmodel: {kind: bert}\ndata: {kind: csv, train: " + rows + ", eval: " + rows + ", texts: [text], target: kind, categories: [kind], tokenizer: " + classes +
		", context: 12}\ntrain: {steps: 1, batch_per_seat: 1}\n"
	for path, text := range map[string]string{rows: lines, job: yaml} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		args []string
		code int
		want string // what is written, or the error
	}{
		{[]string{"predict", classes, "--prompt", "a b c", "--top", "9"}, 0, "LABEL_4"},
		{[]string{"predict", masked, "--prompt", "a [MASK] c", "--top", "2"}, 0, "%"},
		{[]string{"generate", classes, "--prompt", "a"}, 2, "ask it by ringmaster predict"},
		{[]string{"eval", classes}, 2, classes + " is a folder of weights, which names no data: add --job JOB.yaml"},
		{[]string{"eval", classes, "--job", job}, 0, "test accuracy"},
		{[]string{"eval", classes, "--job", job, "--step", "4"}, 2, "is a folder of weights, which has no steps"},
		{[]string{"eval", pretrained(t, "gpt2", thirteen), "--job", job}, 2, "is of a model of type \"gpt2\", and model.kind: bert reads \"bert\""},
		{[]string{"export", classes, "--job", job, "--out", filepath.Join(t.TempDir(), "x.onnx")}, 0, "x.onnx"},
	} {
		code, out, errs := typed(t, test.args)
		if said := out + errs; code != test.code || !strings.Contains(said, test.want) {
			t.Errorf("%v: exit code %d, want %d:\n%s\nwant %s", test.args, code, test.code, said, test.want)
		}
	}
}

// piecesOf is a SentencePiece model of a T5's special pieces and some of text.
func piecesOf(texts ...string) []byte {
	var model []byte
	piece := func(text string, score float32, kind uint64) {
		p := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), text)
		p = protowire.AppendFixed32(protowire.AppendTag(p, 2, protowire.Fixed32Type), math.Float32bits(score))
		p = protowire.AppendVarint(protowire.AppendTag(p, 3, protowire.VarintType), kind)
		model = protowire.AppendBytes(protowire.AppendTag(model, 1, protowire.BytesType), p)
	}
	piece("<pad>", 0, 3)
	piece("</s>", 0, 3)
	piece("<unk>", 0, 2)
	for i, text := range texts {
		piece(text, -float32(i+1), 1)
	}
	return model
}

// The files of a tokenizer that is no tokenizer.json are found by whatever takes a folder, and give transformers' ids.
func TestFoldersWithSideFiles(t *testing.T) {
	gpt2, t5 := pretrained(t, "gpt2", ""), pretrained(t, "t5", "")
	for path, text := range map[string]string{
		filepath.Join(gpt2, "vocab.json"):          `{"<|endoftext|>": 0, "a": 1, "b": 2, "c": 3, "Ġ": 4, "Ġa": 5, "Ġb": 6, "Ġc": 7, "ab": 8, "d": 9, "e": 10, "f": 11, "g": 12}`,
		filepath.Join(gpt2, "merges.txt"):          "#version: 0.2\nĠ a\nĠ b\nĠ c\na b\n",
		filepath.Join(t5, "spiece.model"):          string(piecesOf("▁", "▁a", "▁b", "a", "b", "c", "d", "e")),
		filepath.Join(t5, "tokenizer_config.json"): `{"tokenizer_class": "T5Tokenizer", "extra_ids": 2}`,
	} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	text, pairs := filepath.Join(dir, "text.txt"), filepath.Join(dir, "pairs.csv")
	jobs := map[string]string{
		"gpt.yaml": "name: gpt\nseats: 1\nmodel: {kind: gpt, init: " + gpt2 + "}\ndata: {kind: text, dir: " + text + ", tokenizer: " + gpt2 + ", context: 8}\ntrain: {steps: 1, batch_per_seat: 1}\n",
		"t5.yaml": "name: t5\nseats: 1\nmodel: {kind: t5, init: " + t5 + "}\ndata: {kind: pairs, train: " + pairs + ", eval: " + pairs + ", source: de, target: en, tokenizer: " + t5 +
			", context: 8, target_context: 8}\ntrain: {steps: 1, batch_per_seat: 1}\n",
		"text.txt": strings.Repeat("ab a b c ", 40), "pairs.csv": "de,en\n" + strings.Repeat("a b,b a\n", 20),
	}
	for name, content := range jobs {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"tokenizer", "encode", "--tokenizer", gpt2, "ab a<|endoftext|>"}, "[8,5,0]"},
		{[]string{"tokenizer", "encode", "--tokenizer", t5, "a b<extra_id_1>"}, "[4,5,11,1]"},
		{[]string{"tokenizer", "decode", "--tokenizer", t5, "[4, 5, 12, 1]"}, "a b"},
		{[]string{"generate", gpt2, "--prompt", "ab a", "--max-tokens", "3", "--threads", "1", "--json"}, `"prompt_tokens":[8,5]`},
		{[]string{"generate", t5, "--prompt", "a b", "--max-tokens", "3", "--threads", "1", "--json"}, `"prompt_tokens":[4,5,1]`},
		{[]string{"eval", gpt2, "--job", filepath.Join(dir, "gpt.yaml"), "--threads", "1"}, "test loss"},
		{[]string{"eval", t5, "--job", filepath.Join(dir, "t5.yaml"), "--threads", "1"}, "test loss"},
		{[]string{"validate", filepath.Join(dir, "gpt.yaml")}, ""},
		{[]string{"validate", filepath.Join(dir, "t5.yaml")}, ""},
	} {
		code, out, errs := typed(t, test.args)
		if said := strings.ReplaceAll(out, " ", ""); code != 0 || !strings.Contains(said, strings.ReplaceAll(test.want, " ", "")) {
			t.Errorf("%v: exit code %d\n%s%s\nwant %s", test.args, code, out, errs, test.want)
		}
	}
}
