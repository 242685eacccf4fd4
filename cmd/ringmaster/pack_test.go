package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
)

// TestPackAndSplit packs and splits a table that is named by its path, and reads what is written.
func TestPackAndSplit(t *testing.T) {
	dir := t.TempDir()
	table := filepath.Join(dir, "rows.csv")
	if err := os.WriteFile(table, []byte("x,y\n"+strings.Repeat("1,a\n2,b\n", 50)), 0o600); err != nil {
		t.Fatal(err)
	}
	sets := []string{"--set", "data.target=y", "--set", "data.categories=[y]"}
	for name, args := range map[string][]string{"pack": nil, "split": {"--eval", "0.1", "--by", "stratified"}} {
		out := filepath.Join(dir, name)
		cmd := dataCommand()
		cmd.SetArgs(append(append([]string{name, table, "--out", out}, args...), sets...))
		if err := cmd.Execute(); err != nil {
			t.Fatal(err)
		}
		job, err := config.Parse("job.yaml", []byte("model: {kind: mlp, layers: [1, 2]}\ndata: {kind: shards, path: "+out+"}\n"), nil)
		if err == nil {
			err = dataset.Settle(job)
		}
		if err != nil {
			t.Fatal(err)
		}
		d, err := dataset.Open(job.Data)
		if err != nil {
			t.Fatal(err)
		}
		if want := map[string]int{"pack": 100, "split": 90}[name]; d.Train.Len() != want || (d.Eval != nil) != (name == "split") {
			t.Errorf("%s: %d rows for training, want %d", name, d.Train.Len(), want)
		}
	}
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("a text"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := dataCommand()
	cmd.SilenceErrors, cmd.SilenceUsage = true, true
	cmd.SetArgs([]string{"split", text, "--out", filepath.Join(dir, "none")})
	if err := cmd.Execute(); err == nil || !strings.Contains(err.Error(), "only tables and pictures are split") {
		t.Errorf("a text is split: %v", err)
	}
}

// TestSplitPictures writes the parts of a folder of pictures as lists, and refuses forms that do not fit.
func TestSplitPictures(t *testing.T) {
	dir := t.TempDir()
	pictures, out := filepath.Join(dir, "pictures"), filepath.Join(dir, "out")
	raw, err := os.ReadFile("../../internal/dataset/picture/testdata/gray.png")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		folder := filepath.Join(pictures, []string{"cat", "dog"}[i%2])
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("p%d_%d.png", i/4, i)), raw, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	split := func(args ...string) error {
		cmd := dataCommand()
		cmd.SilenceErrors, cmd.SilenceUsage = true, true
		cmd.SetArgs(append([]string{"split", pictures, "--out", out, "--test", "0.2"}, args...))
		return cmd.Execute()
	}
	if err := split("--as", "tables"); err == nil || !strings.Contains(err.Error(), "--as tables: data of kind images are written as shards, links, copies, lists") {
		t.Errorf("--as tables: %v", err)
	}
	if err := split("--as", "lists", "--by", "group", "--group", "^[a-z]+/p[0-9]+"); err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, name := range []string{"train.csv", "val.csv", "test.csv"} {
		text, err := os.ReadFile(filepath.Join(out, name))
		if err != nil || !strings.HasPrefix(string(text), "image,label\n") {
			t.Errorf("%s: %v", name, err)
		}
		lines += strings.Count(string(text), "\n") - 1
	}
	if lines != 10 {
		t.Errorf("the lists have %d pictures", lines)
	}
}
