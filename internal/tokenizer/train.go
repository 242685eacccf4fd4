package tokenizer

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"ringmaster/internal/printable"
)

// Training says what vocabulary is wanted.
type Training struct {
	Kind      string   // bpe or unigram
	Size      int      // of the vocabulary, special tokens included
	MinCount  int      // bpe: a pair that is rarer is not merged; at least 1
	Special   []string // special tokens; they have the first ids, in this order
	Template  string   // what is put around texts: bert ([CLS] and [SEP]), t5 (</s>), or nothing
	Normalize string   // none, nfc, nfkc or lowercase
	Apart     bool     // unigram: punctuation is split off, so that no token mixes it with letters
	Threads   int      // how many count words and look for the best vocabulary; the result does not depend on it
}

// Bounds on training.
const (
	maxTrainedSize = 1 << 20
	maxWords       = 1 << 24 // different words
	batchBytes     = 1 << 20 // of text that is counted at once
)

// Trainer makes a vocabulary of the texts that it is given. The same texts give the same file, byte for byte, in whatever order they
// come, on any number of threads and on any CPU.
type Trainer struct {
	o      Training
	split  *Tokenizer // what divides texts into words
	batch  []string
	bytes  int
	queue  chan []string
	done   sync.WaitGroup
	lock   sync.Mutex
	counts map[string]uint64
	err    error
}

// word is a word of the texts, with how often it is there.
type word struct {
	text  string
	count uint64
}

// NewTrainer checks what is wanted. Finish or Close must be called in the end.
func NewTrainer(o Training) (*Trainer, error) {
	o.Threads = max(o.Threads, 1)
	o.MinCount = max(o.MinCount, 1)
	least := 256 + len(o.Special)
	if o.Kind == "unigram" {
		least += 2 // the unknown token and one for text
	}
	switch {
	case o.Kind != "bpe" && o.Kind != "unigram":
		return nil, fmt.Errorf("kind %s is not implemented: it is bpe or unigram", printable.Typed(o.Kind))
	case o.Apart && o.Kind != "unigram":
		return nil, errors.New("punctuation is split off by unigram alone: bpe has a rule of its own for what a word is")
	case o.Size < least || o.Size > maxTrainedSize:
		return nil, fmt.Errorf("a vocabulary of %d tokens is out of bounds: at least %d (all bytes and the special tokens) and at most %d", o.Size, least, maxTrainedSize)
	}
	for i, token := range o.Special {
		if token == "" || !utf8.ValidString(token) || slices.Contains(o.Special[:i], token) {
			return nil, fmt.Errorf("special token %s is empty, not UTF-8, or there twice", printable.Typed(token))
		}
		if utf8.RuneCountInString(token) == 1 {
			return nil, fmt.Errorf("special token %s is one character, which is a token already", printable.Typed(token))
		}
	}
	if err := o.checkTemplate(); err != nil {
		return nil, err
	}
	split := &Tokenizer{split: byteLevel{useRule: true}}
	if o.Kind == "unigram" {
		split.split = metaspace{spaceMark, prependAlways, true}
		if o.Apart {
			split.split = splitters{split.split, splitAt{one(punctuation), isolated, false}}
		}
	}
	switch o.Normalize {
	case "", "none":
	case "nfc":
		split.normalize = compose{}
	case "nfkc":
		split.normalize = compose{compatible: true}
	case "lowercase":
		split.normalize = lowercase{}
	default:
		return nil, fmt.Errorf("normalizer %s is not implemented: it is none, nfc, nfkc or lowercase", printable.Typed(o.Normalize))
	}
	t := &Trainer{o: o, split: split, counts: map[string]uint64{}, queue: make(chan []string)}
	for range o.Threads {
		t.done.Add(1)
		go t.countWords()
	}
	return t, nil
}

// Add takes a text, which is best a line: words do not cross texts. Where line ends are to be tokens, it has its end.
func (t *Trainer) Add(text string) error {
	if at := invalidUTF8([]byte(text)); at >= 0 {
		return fmt.Errorf("the text is not UTF-8: byte %#02x at offset %d", text[at], at)
	}
	t.batch = append(t.batch, text)
	if t.bytes += len(text); t.bytes >= batchBytes {
		t.flush()
	}
	return nil
}

func (t *Trainer) flush() {
	if len(t.batch) > 0 {
		t.queue <- t.batch
	}
	t.batch, t.bytes = nil, 0
}

// countWords counts the words of batches until there are no more.
func (t *Trainer) countWords() {
	defer t.done.Done()
	counts := map[string]uint64{}
	w := &work{}
	var failed error
	for batch := range t.queue {
		for _, text := range batch {
			if err := t.split.prepare(w, text); err != nil {
				failed = errors.Join(failed, err)
				break
			}
			for _, p := range w.pieces {
				counts[string(w.text[p.from:p.to])]++
			}
		}
		if len(counts) > maxWords {
			failed = fmt.Errorf("the texts have more than %d different words; use fewer of them", maxWords)
			clear(counts)
		}
	}
	t.lock.Lock()
	defer t.lock.Unlock()
	for text, count := range counts {
		t.counts[text] += count
	}
	if t.err == nil {
		t.err = failed
	}
}

// Close ends the training without a result.
func (t *Trainer) Close() {
	if t.queue != nil {
		close(t.queue)
		t.done.Wait()
		t.queue = nil
	}
}

// Finish makes the vocabulary and returns the tokenizer.json, and how many tokens it has: fewer than were wanted where the texts do
// not give more.
func (t *Trainer) Finish() (file []byte, tokens int, err error) {
	t.flush()
	t.Close()
	if t.err != nil {
		return nil, 0, t.err
	}
	words := make([]word, 0, len(t.counts))
	for text, count := range t.counts {
		words = append(words, word{text, count})
	}
	if len(words) == 0 {
		return nil, 0, errors.New("the texts are empty: there is nothing to train on")
	}
	t.counts = nil
	slices.SortFunc(words, func(a, b word) int {
		return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.text, b.text))
	})
	if t.o.Kind == "bpe" {
		vocabulary, merges := trainPairs(words, t.o)
		return writePairs(vocabulary, merges, t.o), len(vocabulary), nil
	}
	pieces := trainPieces(words, t.o)
	return writePieces(pieces, t.o), len(withUnknown(t.o.Special)) + 256 + len(pieces), nil
}
