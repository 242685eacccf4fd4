package tokenizer

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
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
// SentencePiece .model, or the folder of one of them. In a folder without a tokenizer.json the files beside the vocabulary say how texts are
// read by it (folder.go), as in transformers; a file that is named itself says all.
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
	files, err := filesOf(path)
	if err != nil {
		return nil, err
	}
	return fromFiles(files)
}

// filesOf reads a tokenizer's file, and the merges that belong to it.
func filesOf(path string) ([]file, error) {
	text, err := readFile(path)
	if err != nil {
		return nil, err
	}
	files := []file{{path, text}}
	if isVocabulary(path) {
		mergesPath, merges, err := mergesBeside(path)
		if err != nil {
			return nil, err
		}
		files = append(files, file{mergesPath, merges})
	}
	return files, nil
}

// file is one of the files that a tokenizer is read from.
type file struct {
	name string
	text []byte
}

// File is one of the files that a tokenizer was read from.
type File struct {
	Name string // without its folder
	Text []byte
}

// Files are the files that the tokenizer was read from, without what was said beside them (Settings). Their texts must not be changed.
func (t *Tokenizer) Files() []File {
	var files []File
	for _, f := range t.files {
		if f.name != settingsName {
			files = append(files, File{f.name, f.text})
		}
	}
	return files
}

// isVocabulary reports whether a file is GPT-2's vocabulary, which needs its merges.
func isVocabulary(name string) bool {
	base := filepath.Base(name)
	return base == "vocab.json" || strings.HasSuffix(base, "encoder.json")
}

// fromFiles tells the format by the first file's name. The last file may be what a folder says beside a vocabulary.
func fromFiles(files []file) (*Tokenizer, error) {
	name, text := files[0].name, files[0].text
	said, all := &beside{}, files
	if last := files[len(files)-1]; len(files) > 1 && filepath.Base(last.name) == settingsName {
		files = files[:len(files)-1]
		if err := json.Unmarshal(last.text, said); err != nil {
			return nil, fmt.Errorf("tokenizer %s: its settings are damaged: %w", name, err)
		}
	}
	var t *Tokenizer
	var err error
	switch ext := strings.ToLower(filepath.Ext(name)); {
	case ext == ".model" && said.t5():
		t, err = readT5(name, text, said)
	case ext == ".model":
		t, err = readSentencePiece(name, text)
	case ext == ".txt":
		t, err = readWordPieces(name, text)
	case ext == ".json" && !isVocabulary(name):
		t, err = readTokenizer(name, text)
	case ext == ".json" && len(files) == 2:
		t, err = readGPT2(name, text, files[1].name, files[1].text)
	default:
		return nil, fmt.Errorf("tokenizer %s: its name does not tell its format: it is a .json, a .txt or a .model", name)
	}
	if err != nil {
		return nil, err
	}
	if len(all) > len(files) {
		if err := said.apply(t); err != nil {
			return nil, fmt.Errorf("tokenizer %s, with what is said beside it: %w", name, err)
		}
		t.said = said
	}
	sum := sha256.New()
	for _, f := range all {
		sum.Write(f.text)
		t.files = append(t.files, file{filepath.Base(f.name), f.text})
	}
	sum.Sum(t.digest[:0])
	return t, nil
}

// Pack is the files that the tokenizer was read from, compressed, for where it goes with a model. Unpack reads it.
func (t *Tokenizer) Pack() []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	for _, f := range t.files {
		for _, part := range [][]byte{[]byte(f.name), f.text} {
			head := binary.LittleEndian.AppendUint32(nil, uint32(len(part)))
			if _, err := w.Write(append(head, part...)); err != nil {
				panic(err) // memory takes everything
			}
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// Unpack reads what Pack has packed.
func Unpack(packed []byte) (*Tokenizer, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("packed tokenizer: %w", err)
	}
	all, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil || len(all) > maxFile {
		return nil, fmt.Errorf("packed tokenizer: it is damaged, or has more than %d bytes: %w", maxFile, err)
	}
	var parts [][]byte
	for len(all) > 0 {
		if len(all) < 4 || uint64(binary.LittleEndian.Uint32(all)) > uint64(len(all)-4) || len(parts) == 6 {
			return nil, errors.New("packed tokenizer: it is damaged")
		}
		n := 4 + binary.LittleEndian.Uint32(all)
		parts, all = append(parts, all[4:n:n]), all[n:]
	}
	if len(parts)%2 != 0 || len(parts) == 0 {
		return nil, errors.New("packed tokenizer: it is damaged")
	}
	var files []file
	for ; len(parts) > 0; parts = parts[2:] {
		files = append(files, file{string(parts[0]), parts[1]})
	}
	return fromFiles(files)
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
