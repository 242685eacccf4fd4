package tokenizer

// NoText is what a Slot stands for that is a special token.
const NoText = -1

// Slot is a place of a Frame: a special token, or where the tokens of a text are.
type Slot struct {
	Text int   // 0 or 1: the first text or the second; or NoText
	ID   int32 // of a special token
	Type int32 // segment
}

// Frame is what a tokenizer's template makes of one text or two that are tokens already: BERT's [CLS] first [SEP] second [SEP].
type Frame struct {
	Slots []Slot
	Added int // special tokens
}

// Frame is the tokenizer's template for one text, or for a pair. Without a template it is the texts alone.
func (t *Tokenizer) Frame(pair bool) Frame {
	parts := []*Encoding{{}}
	if pair {
		parts = append(parts, &Encoding{})
	}
	for i, e := range parts { // a token that stands for the text
		e.append(int32(-1-i), int32(i), "", [2]int{}, false, true, false)
	}
	if t.post != nil {
		parts = t.post.process(parts, true, false)
	}
	var f Frame
	for _, e := range parts {
		for i, id := range e.IDs {
			s := Slot{Text: NoText, ID: id, Type: e.Types[i]}
			if id < 0 {
				s.Text, s.ID = int(-1-id), 0
			} else {
				f.Added++
			}
			f.Slots = append(f.Slots, s)
		}
	}
	return f
}

// Fill writes the framed tokens of the texts to ids and their segments to types, which may be nil, and returns how many there are. Where ids
// is too short texts lose tokens at their ends, the longer one first. ids has room for the special tokens at least.
func (f *Frame) Fill(ids, types []int32, texts ...[]int32) int {
	room := len(ids) - f.Added
	if len(texts) == 2 {
		if a, b := len(texts[0]), len(texts[1]); a+b > room {
			a, b = shares(a, b, room)
			texts = [][]int32{texts[0][:a], texts[1][:b]}
		}
	} else if len(texts[0]) > room {
		texts = [][]int32{texts[0][:room]}
	}
	n := 0
	for _, s := range f.Slots {
		begin := n
		if s.Text == NoText {
			ids[n] = s.ID
			n++
		} else {
			n += copy(ids[n:], texts[s.Text])
		}
		if types != nil {
			for i := begin; i < n; i++ {
				types[i] = s.Type
			}
		}
	}
	return n
}
