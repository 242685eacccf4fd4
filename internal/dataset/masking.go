package dataset

// masking is the transform that makes of a stretch of tokens what BERT learns from: an input in which some tokens are hidden, and the
// target, the hidden ones at their places and -1, which counts for nothing, at all others. Each token is chosen with the chance
// share. Of the chosen 80 % become the mask, a token of its own behind the vocabulary, 10 % any token of the
// vocabulary, and 10 % stay (Devlin et al.: BERT, NAACL 2019, 3.1).
type masking struct {
	share      float64
	vocabulary int
}

// HiddenTokens is the name of the target that masking makes.
const HiddenTokens = "hidden"

// Fields implements Transform.
func (masking) Fields(schema Schema) ([]string, []Field, error) {
	text := schema[schema.Find(textField)]
	shape := []int{text.Shape[0] - 1}
	return []string{textField}, []Field{
		{Name: "tokens", Type: Int32, Role: Input, Shape: shape, Classes: text.Classes + 1},
		{Name: HiddenTokens, Type: Int32, Role: Target, Shape: shape, Classes: text.Classes + 1},
	}, nil
}

// Apply implements Transform. An evaluation hides the same tokens of a record each time.
func (h masking) Apply(out, in []Value, draw Draw) {
	tokens, target := out[0].Ints, out[1].Ints
	widen(tokens, in[0], 0)
	key, chosen := draw.Always().Key(streamMask), uint32(h.share*(1<<32))
	for i := range tokens {
		words := key.Block(uint64(i))
		target[i] = -1
		if words[0] >= chosen {
			continue
		}
		target[i] = tokens[i]
		switch {
		case words[1] < 8*tenth:
			tokens[i] = int32(h.vocabulary)
		case words[1] < 9*tenth:
			tokens[i] = int32(uint64(words[2]) * uint64(h.vocabulary) >> 32)
		}
	}
}

// tenth is a tenth of all words.
const tenth = (1 << 32) / 10
