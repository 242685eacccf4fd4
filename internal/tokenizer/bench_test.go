package tokenizer

import (
	"path/filepath"
	"testing"
)

// Speed beside the libraries that the files come from: bench/peers does it in turn.
func BenchmarkEncode(b *testing.B) {
	lines := texts(b)
	bytes := 0
	for _, line := range lines {
		bytes += len(line)
	}
	for _, name := range []string{"tokenizers/gpt2_encoder.json", "tokenizers/bert-base-uncased-vocab.txt", "sentencepiece/test_model.model"} {
		tok, err := Open(filepath.Join(shared, name))
		if err != nil {
			b.Fatal(err)
		}
		b.Run(filepath.Base(name)+"/ids", func(b *testing.B) {
			b.SetBytes(int64(bytes))
			var ids []int32
			for b.Loop() {
				for _, line := range lines {
					if ids, err = tok.AppendIDs(ids[:0], line); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
		b.Run(filepath.Base(name)+"/offsets", func(b *testing.B) {
			b.SetBytes(int64(bytes))
			for b.Loop() {
				for _, line := range lines {
					if _, err = tok.Encode(line, Options{Details: true}); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
