package tokenizer

// Encoding is a tokenized text. All slices have the same length; Tokens and Offsets are nil where no details were asked for.
type Encoding struct {
	IDs   []int32
	Types []int32 // 0 for the first text, 1 for the second, or as the template says
	// Tokens are the tokens as the vocabulary writes them; an unknown word and an added token with the blanks it took are written as
	// they are in the normalized text.
	Tokens []string
	// Offsets are where tokens begin and end in their text, in characters (code points) and not in bytes. Tokens that stand for no text
	// have 0 and 0. A token that is a part of a character has the whole character's.
	Offsets  [][2]int
	Special  []bool // tokens that a template or padding has added
	Attended []bool // false for padding
}

// append adds one token.
func (e *Encoding) append(id, kind int32, text string, offsets [2]int, special, attended, details bool) {
	e.IDs, e.Types = append(e.IDs, id), append(e.Types, kind)
	e.Special, e.Attended = append(e.Special, special), append(e.Attended, attended)
	if details {
		e.Tokens, e.Offsets = append(e.Tokens, text), append(e.Offsets, offsets)
	}
}

// join appends the tokens of another encoding.
func (e *Encoding) join(other *Encoding) {
	e.IDs, e.Types = append(e.IDs, other.IDs...), append(e.Types, other.Types...)
	e.Tokens, e.Offsets = append(e.Tokens, other.Tokens...), append(e.Offsets, other.Offsets...)
	e.Special, e.Attended = append(e.Special, other.Special...), append(e.Attended, other.Attended...)
}

// cut keeps tokens [from, to).
func (e *Encoding) cut(from, to int) {
	e.IDs, e.Types, e.Special, e.Attended = e.IDs[from:to], e.Types[from:to], e.Special[from:to], e.Attended[from:to]
	if e.Tokens != nil {
		e.Tokens, e.Offsets = e.Tokens[from:to], e.Offsets[from:to]
	}
}

func (e *Encoding) setType(kind int32) {
	for i := range e.Types {
		e.Types[i] = kind
	}
}
