package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

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
	f := trainedFlags{threads: 1}
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
