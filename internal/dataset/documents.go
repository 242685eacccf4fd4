package dataset

import (
	"bytes"
	"fmt"
	"slices"
	"unicode/utf8"

	"ringmaster/internal/config"
	"ringmaster/internal/printable"
)

// placesField is the field of a stretch of tokens that has the place of each in its document, as far as the stretch holds it.
const placesField = "document places"

// withPlaces is the schema of stretches of a text, with places where its documents are kept apart.
func withPlaces(c config.Data, s Schema) Schema {
	if c.Documents == "" {
		return s
	}
	return append(s, Field{Name: placesField, Type: Int32, Role: Input, Shape: s[0].Shape, Classes: s[0].Shape[0]})
}

// documents is the transform that makes of a stretch of tokens an input, a target and the tokens' places, from which a model knows what is of one document.
// Places begin at 0 in each document. The first token of a document does not follow from another one, so it is no target (-1).
type documents struct{}

// Fields implements Transform.
func (documents) Fields(schema Schema) ([]string, []Field, error) {
	_, made, err := successors{}.Fields(schema)
	if err != nil {
		return nil, nil, err
	}
	places := Field{Name: WindowPlaces, Type: Int32, Role: Input, Shape: made[0].Shape, Classes: made[0].Shape[0]}
	return []string{textField, placesField}, []Field{made[0], places, made[1]}, nil
}

// Apply implements Transform.
func (documents) Apply(out, in []Value, _ Draw) {
	places, next := in[1].Ints, out[2].Ints
	widen(out[0].Ints, in[0], 0)
	copy(out[1].Ints, places)
	widen(next, in[0], 1)
	for i := range next {
		if places[i+1] == 0 {
			next[i] = -1
		}
	}
}

// place writes to dst the place of each token from begin on in its document, as far as it lies behind begin. starts are where documents begin, but the first.
func place(dst []int32, starts []int32, begin int) {
	next, _ := slices.BinarySearch(starts, int32(begin)+1)
	at := int32(0)
	for i := range dst {
		if next < len(starts) && int(starts[next]) == begin+i {
			at = 0
			next++
		}
		dst[i] = at
		at++
	}
}

// borders are where the documents of a text begin in bytes, but the first. files are where its files begin. It is nil where tokens divide the documents.
func borders(c config.Data, text []byte, files []int) []int {
	switch c.Documents {
	case config.DocumentsFiles:
		return files
	case config.DocumentsLines, config.DocumentsBlankLines:
	default:
		return nil
	}
	var found []int
	blank := false // the line before is
	for at := 0; at < len(text); {
		end := len(text)
		if n := bytes.IndexByte(text[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		empty := len(bytes.TrimSpace(text[at:end])) == 0
		if at > 0 && (c.Documents == config.DocumentsLines || blank && !empty) {
			found = append(found, at)
		}
		at, blank = end, empty
	}
	return found
}

// startsBehind are where documents begin that a token ends.
func (v *Vocabulary) startsBehind(word string, all Value, n int) ([]int32, error) {
	var end int32
	ids, err := v.Encode(word)
	known := err == nil && len(ids) == 1
	if known {
		end = ids[0]
	}
	if v.tokenizer != nil {
		end, known = v.tokenizer.ID(word)
	}
	if !known {
		return nil, config.KeyErrorf("data.documents", "%s is neither %s, %s nor %s, nor a token of the vocabulary, which would end a document", printable.Typed(word),
			config.DocumentsFiles, config.DocumentsBlankLines, config.DocumentsLines)
	}
	var starts []int32
	for i := range n - 1 {
		token := int32(0)
		if all.Ints != nil {
			token = all.Ints[i]
		} else {
			token = int32(all.Bytes[i])
		}
		if token == end {
			starts = append(starts, int32(i+1))
		}
	}
	return starts, nil
}

// divide finds where the documents of a text begin in its tokens: there are n, all of them in the value. at are the tokens before each of the borders.
func (v *Vocabulary) divide(c config.Data, at []int32, all Value, n int) ([]int32, error) {
	if c.Documents == "" {
		return nil, nil
	}
	starts := at
	if !slices.Contains([]string{config.DocumentsFiles, config.DocumentsBlankLines, config.DocumentsLines}, c.Documents) {
		var err error
		if starts, err = v.startsBehind(c.Documents, all, n); err != nil {
			return nil, err
		}
	}
	if len(starts) == 0 {
		return nil, config.KeyErrorf("data.documents", "the text is a single document by %s; divide it otherwise, or leave it out", printable.Typed(c.Documents))
	}
	return starts, nil
}

// splitStarts divides starts at a token between two parts of a text.
func splitStarts(starts []int32, cut int) (before, behind []int32) {
	k, _ := slices.BinarySearch(starts, int32(cut))
	before = starts[:k]
	for _, at := range starts[k:] {
		if at := at - int32(cut); at > 0 {
			behind = append(behind, at)
		}
	}
	return before, behind
}

// charactersBefore are the numbers of characters before each of the borders of a text.
func (v *Vocabulary) charactersBefore(text []byte, borders []int) []int32 {
	at := make([]int32, len(borders))
	count, before := 0, 0
	for i, b := range borders {
		if v.characters == nil {
			count = b
		} else {
			count += utf8.RuneCount(text[before:b])
		}
		at[i], before = int32(count), b
	}
	return at
}

// documentsRead says how many documents there are.
func documentsRead(c config.Data, parts *[2]passage) string {
	if c.Documents == "" {
		return ""
	}
	return fmt.Sprintf("; %d documents, each by itself", len(parts[0].starts)+len(parts[1].starts)+1)
}
