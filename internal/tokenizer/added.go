package tokenizer

import (
	"fmt"
	"unicode"
	"unicode/utf8"

	"ringmaster/internal/printable"
)

// addedToken is a token that is found in a text before the model sees it.
type addedToken struct {
	id         int32
	content    string
	written    string // content as the normalizer writes it, where normalized is set
	special    bool   // it can be left out when tokens are decoded
	left       bool   // it takes the blanks before it
	right      bool   // it takes the blanks after it
	singleWord bool   // it is found between words only
	normalized bool   // it is found in the normalized text, not in the original one
}

// addedTokens are a tokenizer's added tokens.
type addedTokens struct {
	list       []addedToken
	byID       map[int32]int // places in list
	contents   map[string]bool
	next       int32 // one more than the greatest id
	original   *trie // of those that are found in the original text
	normalized *trie
}

// add adds a token whose id the file tells. The tokenizers library takes the model's id of a token, and numbers the others from the model's
// size on; a file that says otherwise would give other ids there, and is refused.
func (a *addedTokens) add(token addedToken, m model) error {
	shown := printable.Typed(token.content)
	if token.content == "" {
		return fmt.Errorf("an added token is empty")
	}
	if len(token.content) > maxTokenLen {
		return fmt.Errorf("added token %s has more than %d bytes", shown, maxTokenLen)
	}
	if a.contents[token.content] {
		return fmt.Errorf("added token %s is there twice", shown)
	}
	want := max(int32(m.size()), a.next)
	if id, ok := m.id(token.content); ok {
		want = id
	}
	if _, taken := a.byID[token.id]; taken {
		return fmt.Errorf("id %d belongs to two added tokens, the second is %s", token.id, shown)
	}
	if token.id != want {
		return fmt.Errorf("added token %s has id %d, but the vocabulary gives it %d", shown, token.id, want)
	}
	if a.byID == nil {
		a.byID, a.contents = map[int32]int{}, map[string]bool{}
	}
	a.contents[token.content], a.next = true, max(a.next, token.id+1)
	a.byID[token.id] = len(a.list)
	a.list = append(a.list, token)
	return nil
}

// prepare makes what finds the tokens. normalize is the tokenizer's normalizer or nil.
func (a *addedTokens) prepare(normalize normalizer) {
	var original, normalized []key
	w := &work{}
	for i := range a.list {
		t := &a.list[i]
		t.written = t.content
		if !t.normalized {
			original = append(original, key{t.content, int32(i)})
			continue
		}
		if normalize != nil {
			w.part.reset(t.content, 0)
			normalize.normalize(w, &w.part)
			t.written = string(w.part.text)
		}
		if t.written != "" {
			normalized = append(normalized, key{t.written, int32(i)})
		}
	}
	if original != nil {
		a.original = trieOf(original)
	}
	if normalized != nil {
		a.normalized = trieOf(normalized)
	}
}

// find calls do with the stretches that cover a text, in order: id is an added token's, or -1 for what is between. The leftmost match
// is taken, of several the longest.
func (a *addedTokens) find(text []byte, in *trie, do func(from, to int, id int32)) {
	done := 0
	for at := 0; in != nil && at < len(text); {
		if in.start[text[at]] < 0 {
			at++
			continue
		}
		place, n := in.longest(text[at:])
		if n == 0 {
			at++
			continue
		}
		t, from, to := &a.list[place], at, at+n
		at = to
		if t.singleWord && (inWord(utf8.DecodeLastRune(text[:from])) || inWord(utf8.DecodeRune(text[to:]))) {
			continue
		}
		if t.left {
			for from > done {
				r, n := utf8.DecodeLastRune(text[:from])
				if !unicode.IsSpace(r) {
					break
				}
				from -= n
			}
			from = max(from, done)
		}
		if t.right {
			to = while(classes(), text, to, blank, 0)
		}
		if from > done {
			do(done, from, -1)
		}
		from = max(from, done) // blanks that the token before has taken
		do(from, max(from, to), t.id)
		done, at = max(from, to), max(at, to)
	}
	if done < len(text) {
		do(done, len(text), -1)
	}
}

func inWord(r rune, n int) bool { return n > 0 && classes()[r]&wordPart != 0 }
