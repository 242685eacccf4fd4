package tokenizer

import (
	"fmt"
	"strings"

	"ringmaster/internal/printable"
)

// lines calls do with every line of a text that is UTF-8 and its number, from 1.
func lines(name string, text []byte, do func(number int, line string) error) error {
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r")
		if at := invalidUTF8([]byte(line)); at >= 0 {
			return fmt.Errorf("%s:%d:%d: byte %#02x is not UTF-8", name, number, at+1, line[at])
		}
		if err := do(number, line); err != nil {
			return fmt.Errorf("%s:%d: %w", name, number, err)
		}
	}
	return nil
}

// readWordPieces reads BERT's vocab.txt: a token a line, its number from 0 the id. It says nothing of lower case, so that is told by
// the vocabulary: BERT's uncased ones have no token with an ASCII capital beside those in brackets.
func readWordPieces(name string, text []byte) (*Tokenizer, error) {
	m := &wordPiece{prefix: "##", maxRunes: 100, unknown: -1}
	cased := false
	err := lines(name, text, func(number int, line string) error {
		token := strings.TrimRight(line, " \t\r\v\f\u0085\u00a0\u2028\u2029")
		bracketed := strings.HasPrefix(token, "[") && strings.HasSuffix(token, "]")
		cased = cased || !bracketed && strings.ContainsAny(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
		if number > maxTokens {
			return fmt.Errorf("more than %d tokens", maxTokens)
		}
		return m.add(token, int32(number-1))
	})
	if err != nil {
		return nil, err
	}
	var ok bool
	if m.unknown, ok = m.id("[UNK]"); !ok {
		return nil, fmt.Errorf("%s: a vocabulary of word pieces needs a token [UNK]", name)
	}
	m.prepare()
	t := &Tokenizer{kind: "WordPiece", model: m, normalize: bertNormalizer{true, true, !cased, !cased}, split: bertSplitter{},
		decoder: wordDecoder{"##", true}}
	for _, special := range []string{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"} {
		if id, ok := m.id(special); ok {
			if err := t.added.add(addedToken{id: id, content: special, special: true}, m); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	t.added.prepare(t.normalize)
	cls, hasCLS := m.id("[CLS]")
	sep, hasSEP := m.id("[SEP]")
	if hasCLS && hasSEP {
		t.post = around("[CLS]", cls, "[SEP]", sep, 1, true)
	}
	return t, nil
}

// around is the template [CLS] A [SEP] and, for two texts, [CLS] A [SEP] B [SEP], B and its [SEP] of a type.
func around(clsToken string, cls int32, sepToken string, sep int32, second int32, joined bool) *template {
	special := func(token string, id, kind int32) slot { return slot{-1, kind, []int32{id}, []string{token}} }
	single := []slot{special(clsToken, cls, 0), {text: 0}, special(sepToken, sep, 0)}
	pair := append(append([]slot{}, single...), slot{text: 1, kind: second}, special(sepToken, sep, second))
	return &template{single, pair, joined}
}

// readGPT2 reads GPT-2's files: a vocabulary in JSON and the merges, one a line.
func readGPT2(name string, text []byte, mergesName string, merges []byte) (*Tokenizer, error) {
	root, err := parseDocument(name, text)
	if err != nil {
		return nil, err
	}
	m := &bpe{merges: map[uint64]merge{}, unknown: -1}
	if err := m.readVocabulary(root); err != nil {
		return nil, err
	}
	rank := 0
	err = lines(mergesName, merges, func(number int, line string) error {
		if line == "" || number == 1 && strings.HasPrefix(line, "#version") {
			return nil
		}
		left, right, found := strings.Cut(line, " ")
		if !found || strings.Contains(right, " ") {
			return fmt.Errorf("a merge is two tokens with a space between them, not %s", printable.Typed(line))
		}
		if strings.HasSuffix(right, "</w>") {
			return fmt.Errorf("merges with </w>, an end of words, are not GPT-2's; such a vocabulary needs its tokenizer.json")
		}
		rank++
		return m.addMerge(left, right, rank-1)
	})
	if err != nil {
		return nil, err
	}
	m.prepare()
	t := &Tokenizer{kind: "BPE", model: m, split: byteLevel{useRule: true}, decoder: byteDecoder{}}
	if id, ok := m.id("<|endoftext|>"); ok {
		if err := t.added.add(addedToken{id: id, content: "<|endoftext|>", special: true}, m); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	t.added.prepare(nil)
	return t, nil
}

// readVocabulary reads an object of tokens and their ids. Ids may have gaps, but not so large ones that the table by id would be mostly empty.
func (v *vocabulary) readVocabulary(n node) error {
	count := 0
	if err := n.each(func(node, node) error { count++; return nil }); err != nil {
		return err
	}
	greatest := min(maxTokens-1, 4*count+1<<16)
	return n.each(func(key, value node) error {
		token, err := key.string()
		if err != nil {
			return err
		}
		id, err := value.integer(greatest)
		if err != nil {
			return err
		}
		if err := v.add(token, int32(id)); err != nil {
			return key.errorf("%w", err)
		}
		return nil
	})
}
