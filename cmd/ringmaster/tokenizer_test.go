package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/tokenizer"
)

// trainedOn trains a tokenizer on a text and returns its file's path and what the command said.
func trainedOn(t *testing.T, o tokenizer.Training, text string) (path, said string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "tokenizer.json")
	var out bytes.Buffer
	if err := trainTokenizer(o, path, nil, strings.NewReader(text), &out); err != nil {
		t.Fatal(err)
	}
	return path, out.String()
}

func TestLinesAreEncodedAndDecoded(t *testing.T) {
	text := strings.Repeat("the dog and the cat\nthe cat and the dog\n", 5)
	for _, kind := range []string{"bpe", "unigram"} {
		path, said := trainedOn(t, tokenizer.Training{Kind: kind, Size: 300, MinCount: 2, Threads: 2, Special: []string{"<s>"}}, text)
		if !strings.HasPrefix(said, path+": "+kind+", ") || !strings.HasSuffix(said, "from 10 lines\n") {
			t.Errorf("train says %q", said)
		}
		tok, err := tokenizer.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		lines := "the dog\n\nthe <s>élan ☃"
		var ids, back, details bytes.Buffer
		if err := encodeLines(tok, &feed{}, nil, strings.NewReader(lines), &ids, false); err != nil {
			t.Fatal(err)
		}
		var first []int32
		if err := json.Unmarshal([]byte(strings.SplitN(ids.String(), "\n", 2)[0]), &first); err != nil || len(first) == 0 {
			t.Errorf("%q: %v", ids.String(), err)
		}
		if err := decodeLines(tok, &feed{}, nil, &ids, &back, true); err != nil || back.String() != lines+"\n" {
			t.Errorf("%s: %q, %v", kind, back.String(), err)
		}
		back.Reset()
		if err := encodeLines(tok, &feed{json: true}, []string{"the <s>élan"}, nil, &details, false); err != nil {
			t.Fatal(err)
		}
		var e encoded
		if err := json.Unmarshal(details.Bytes(), &e); err != nil || len(e.IDs) != len(e.Tokens) || len(e.IDs) != len(e.Offsets) || e.Offsets[len(e.Offsets)-1][1] != 11 {
			t.Errorf("%s, %v", details.String(), err)
		}
		// What encode writes with --json, decode reads; special tokens are left out unless they are wanted.
		if err := decodeLines(tok, &feed{json: true}, nil, &details, &back, false); err != nil || back.String() != "{\"text\":\"the élan\"}\n" {
			t.Errorf("%s: %q, %v", kind, back.String(), err)
		}
	}
}

func TestLinesThatAreWrongAreNamed(t *testing.T) {
	path, _ := trainedOn(t, tokenizer.Training{Kind: "bpe", Size: 260, MinCount: 1, Threads: 1}, "a a a a\n")
	tok, err := tokenizer.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for lines, want := range map[string]string{
		"1 2\n3 x": "standard input:2: x is no token id", "[1\n": "standard input:1: a list of ids has both its brackets or none: [1",
		"[1, 99999]": "standard input:1: id 99999 (number 2 of the list) has no token", `{"ids": 5}`: "standard input:1: not an object with ids",
	} {
		if err := decodeLines(tok, &feed{}, nil, strings.NewReader(lines), &bytes.Buffer{}, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", lines, err, want)
		}
	}
	if err := encodeLines(tok, &feed{}, nil, strings.NewReader("a\nb\xff\n"), &bytes.Buffer{}, false); err == nil || err.Error() != "standard input:2: the text is not UTF-8: byte 0xff at offset 1" {
		t.Errorf("%v", err)
	}
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"tokenizer", "encode", "x"}, "--tokenizer is missing"},
		{[]string{"tokenizer", "encode", "--tokenizer", path, "--input", path, "x"}, "arguments and --input do not go together"},
		{[]string{"tokenizer", "decode", "--tokenizer", filepath.Dir(path) + "/no"}, "does not exist: name a tokenizer.json"},
		{[]string{"tokenizer", "train", "--out", "t.model", path}, "a tokenizer is written as JSON"},
		{[]string{"tokenizer", "train", path}, "--out is missing"},
		{[]string{"tokenizer", "train", "--vocab", "100", "--out", path, path}, "a vocabulary of 100 tokens is out of bounds"},
		{[]string{"tokenizer", "train", "--threads", "0", "--out", path, path}, "must be at least 1"},
	} {
		root := rootCommand()
		root.SetArgs(c.args)
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %s", c.args, err, c.want)
		}
	}
	if text, err := os.ReadFile(path); err != nil || len(text) == 0 {
		t.Errorf("a training that was refused has touched the file: %v", err)
	}
}
