package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// What the transformers' shapes are evaluated on at the end of a run: enough for a figure, and few seconds' work.
const (
	excerptBytes = 100_000 // of a text, a tenth of which is evaluated
	excerptPairs = 32
)

// excerpts writes the beginnings of the texts that large models are trained on, so that the evaluation at a run's end is short.
func excerpts(data, dir string) error {
	if err := os.MkdirAll(filepath.Join(dir, "text"), 0o755); err != nil {
		return fmt.Errorf("make a folder for a text: %w", err)
	}
	text, err := os.ReadFile(filepath.Join(data, "tinyshakespeare", "input.txt"))
	if err != nil {
		return fmt.Errorf("read a text: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "text", "input.txt"), text[:min(excerptBytes, len(text))], 0o644); err != nil {
		return fmt.Errorf("write a text: %w", err)
	}
	for _, name := range []string{"val.de", "val.en"} {
		all, err := unzipped(filepath.Join(data, "multi30k", name+".gz"))
		if err != nil {
			return fmt.Errorf("read pairs: %w", err)
		}
		lines := bytes.SplitAfterN(all, []byte("\n"), excerptPairs+1)
		if err := os.WriteFile(filepath.Join(dir, name), bytes.Join(lines[:min(excerptPairs, len(lines))], nil), 0o644); err != nil {
			return fmt.Errorf("write pairs: %w", err)
		}
	}
	return nil
}

// unzipped is what a file holds that gzip wrote.
func unzipped(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return io.ReadAll(z)
}
