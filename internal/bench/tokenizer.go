package bench

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"ringmaster/internal/launch"
	"ringmaster/internal/regularfile"
	"ringmaster/internal/tokenizer"
)

// TokenizerResult is the speed of encoding the lines of a text, one after another on one thread.
type TokenizerResult struct {
	Case   string  `json:"case"`     // the tokenizer's file, and whether ids alone are made or tokens and offsets, too
	MBPerS float64 `json:"mb_per_s"` // millions of bytes of text in a second
	Tokens int     `json:"tokens"`   // of the whole text

	seconds float64 // for the whole text, the median round
	rounds  int
}

func (r TokenizerResult) row() []string {
	return []string{r.Case, fmt.Sprintf("%.1f", r.MBPerS), fmt.Sprintf("%d", r.Tokens)}
}

func (r TokenizerResult) sample() sample {
	return sample{name: "Tokenizer/" + r.Case, n: r.rounds, values: []value{{r.seconds * 1e9, "ns/op"}, {r.MBPerS, "MB/s"}}}
}

// maxTokenizedText is the most bytes of a text that is encoded again and again.
const maxTokenizedText = 256 << 20

// Tokenizer measures how fast the tokenizer in a file encodes the lines of a text file: ids alone, and with tokens and offsets.
func Tokenizer(path, text string) (*Report, error) {
	t, err := tokenizer.Open(path)
	if err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	lines, bytes, err := textLines(text)
	if err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	report := &Report{Columns: []string{"CASE", "MB/S", "TOKENS"}}
	var failed error
	var ids []int32
	for _, c := range []struct {
		name   string
		encode func(line string) int
	}{
		{"ids", func(line string) int {
			ids, err = t.AppendIDs(ids[:0], line)
			failed = errors.Join(failed, err)
			return len(ids)
		}},
		{"offsets", func(line string) int {
			e, err := t.Encode(line, tokenizer.Options{Details: true})
			if err != nil {
				failed = errors.Join(failed, err)
				return 0
			}
			return len(e.IDs)
		}},
	} {
		const rounds = 7
		tokens := 0
		seconds, calls := repeat(rounds, 100*time.Millisecond, func() {
			tokens = 0
			for i := 0; i < len(lines) && failed == nil; i++ {
				tokens += c.encode(lines[i])
			}
		})
		if failed != nil {
			return nil, &launch.UsageError{Err: failed}
		}
		report.Results = append(report.Results, TokenizerResult{Case: filepath.Base(path) + "/" + c.name, MBPerS: float64(bytes) / seconds / 1e6,
			Tokens: tokens, seconds: seconds, rounds: rounds * calls})
	}
	return report, nil
}

// textLines are the lines of a file, and how many bytes they have.
func textLines(path string) (lines []string, bytes int, err error) {
	f, err := regularfile.Open(path)
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTokenizedText+1))
	switch {
	case err != nil:
		return nil, 0, err
	case len(text) == 0 || len(text) > maxTokenizedText:
		return nil, 0, fmt.Errorf("text %s is empty, or has more than %d bytes", path, maxTokenizedText)
	}
	lines = strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	return lines, len(text), nil
}
