package tokenizer

import (
	"slices"
	"sync"
	"testing"
)

// Several goroutines may use a tokenizer at once.
func TestATokenizerIsSharedByGoroutines(t *testing.T) {
	lines := fuzzed(200, 5)
	for _, name := range []string{"llama3.json", "unigram.model", "pieces.json"} {
		tok := opened(t, name)
		var want [][]int32
		for _, line := range lines {
			ids, err := tok.AppendIDs(nil, line)
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, ids)
		}
		var done sync.WaitGroup
		for range 4 {
			done.Go(func() {
				for i, line := range lines {
					if ids, err := tok.AppendIDs(nil, line); err != nil || !slices.Equal(ids, want[i]) {
						t.Errorf("%s: %q: %v, %v; want %v", name, line, ids, err, want[i])
						return
					}
				}
			})
		}
		done.Wait()
	}
}

// matches lists what a pattern finds.
func matches(find pattern, text string) (found []string) {
	for start, end := find([]byte(text), 0); start >= 0; start, end = find([]byte(text), end) {
		found = append(found, text[start:end])
	}
	return found
}

func TestKnownExpressionsMatchWhatTheySay(t *testing.T) {
	for _, c := range []struct {
		expression, text string
		want             []string
	}{
		{gpt2Expression, "I'm  not\n\n sure,  12!? ", []string{"I", "'m", " ", " not", "\n\n", " sure", ",", " ", " 12", "!?", " "}},
		{gpt2Expression, "a \u3000 b'S", []string{"a", " \u3000", " b", "'", "S"}},
		{clipExpression, "a cat's 12 <|endoftext|>!? 'x", []string{"a", "cat", "'s", "1", "2", "<|endoftext|>", "!?", "'", "x"}},
		{`\s{2,}|[\n\r\t]`, "a b  c\td\n\n e ", []string{"  ", "\t", "\n\n "}},
		{` {2,}`, "a  b c    d", []string{"  ", "    "}},
		{`\p{N}{1,3}`, "1234 ٣", []string{"123", "4", "٣"}},
		{`[0-9][0-9][0-9]`, "12345 678", []string{"123", "678"}},
	} {
		if got := matches(patterns[c.expression](), c.text); !slices.Equal(got, c.want) {
			t.Errorf("%s in %q: %q, want %q", c.expression, c.text, got, c.want)
		}
	}
}

// Only of tokenizers that write a text's bytes and nothing else is it known how many bytes a token stands for.
func TestByteLevel(t *testing.T) {
	for name, want := range map[string]bool{"trained_bpe.json": false, "qwen.json": false, "llama3.json": true, "roberta.json": false, "prefix.json": false, "bert.json": false, "trained_unigram.json": false, "bpe.model": false} {
		k := opened(t, name)
		if k.ByteLevel() != want {
			t.Errorf("%s: %v", name, !want)
			continue
		}
		text := "Übergrößen: ☃ \n 12"
		ids, err := k.AppendIDs(nil, text)
		bytes := 0
		for _, id := range ids {
			bytes += k.Bytes(id)
		}
		if err != nil || want && bytes != len(text) {
			t.Errorf("%s: %d bytes of %d, %v", name, bytes, len(text), err)
		}
	}
}
