package tokenizer

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"ringmaster/internal/regularfile"
)

// maxFile is the most bytes of a tokenizer's file. The largest in use have some 40 MiB.
const maxFile = 128 << 20

// Open reads a tokenizer: a tokenizer.json, a vocab.json or gpt2_encoder.json (with its merges beside it), a vocab.txt, a
// SentencePiece .model, or the folder of one of them.
func Open(path string) (*Tokenizer, error) {
	info, err := os.Stat(path)
	if err == nil && info.IsDir() {
		return openFolder(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("tokenizer %s does not exist: name a tokenizer.json, vocab.json, vocab.txt or .model, or their folder", path)
	}
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return openFile(path)
}

// openFolder opens the first of the files that a folder may hold.
func openFolder(dir string) (*Tokenizer, error) {
	names := []string{"tokenizer.json", "tokenizer.model", "spiece.model", "vocab.json", "vocab.txt"}
	for _, name := range names {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return openFile(path)
		} else if !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("tokenizer: %w", err)
		}
	}
	return nil, fmt.Errorf("tokenizer folder %s has none of %s", dir, strings.Join(names, ", "))
}

// openFile tells a file's format by its name and what it holds.
func openFile(path string) (*Tokenizer, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	base := filepath.Base(path)
	var t *Tokenizer
	files := [][]byte{text}
	switch ext := strings.ToLower(filepath.Ext(base)); {
	case ext == ".model":
		t, err = readSentencePiece(path, text)
	case ext == ".txt":
		t, err = readWordPieces(path, text)
	case ext == ".json" && base != "vocab.json" && !strings.HasSuffix(base, "encoder.json"):
		t, err = readTokenizer(path, text)
	case ext == ".json":
		var merges []byte
		var mergesPath string
		if mergesPath, merges, err = mergesBeside(path); err == nil {
			t, err = readGPT2(path, text, mergesPath, merges)
			files = append(files, merges)
		}
	default:
		return nil, fmt.Errorf("tokenizer %s: its name does not tell its format: it is a .json, a .txt or a .model", path)
	}
	if err != nil {
		return nil, err
	}
	sum := sha256.New()
	for _, f := range files {
		sum.Write(f)
	}
	sum.Sum(t.digest[:0])
	return t, nil
}

// mergesBeside finds and reads the merges that belong to a vocabulary.
func mergesBeside(vocabulary string) (string, []byte, error) {
	dir, base := filepath.Split(vocabulary)
	names := []string{"merges.txt"}
	if before, ok := strings.CutSuffix(base, "encoder.json"); ok {
		names = []string{before + "vocab.bpe"}
	}
	for _, name := range names {
		text, err := readFile(filepath.Join(dir, name))
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return filepath.Join(dir, name), text, err
		}
	}
	return "", nil, fmt.Errorf("tokenizer %s needs its merges in %s beside it", vocabulary, names[0])
}

// readFile reads a file of at most maxFile bytes.
func readFile(path string) ([]byte, error) {
	f, err := regularfile.Open(path)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("tokenizer %s has more than %d bytes", path, maxFile)
	}
	return text, nil
}
