package tokenizer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// charsMap is SentencePiece's compiled normalization rule: it replaces what it finds in a double array (Darts) by a text.
//
//	4 bytes: length of the array | the array's units, 4 bytes each | the replacements, each ended by a zero byte
//
// A unit of the array has a label (bits 0-7 and 31), an offset to its children (bits 10-30, times 256 where bit 9 is set) and says by bit 8
// whether a value ends there, which is then in bits 0-30 of the first child.
type charsMap struct {
	units []uint32
	texts []byte
}

// maxReplacement is the most bytes that a rule writes; the longest of SentencePiece's own have 33.
const maxReplacement = 256

// readCharsMap reads a compiled rule. An offset that leads out of the array is not an error here: looking a text up stops there.
func readCharsMap(blob []byte) (*charsMap, error) {
	if len(blob) < 4 {
		return nil, fmt.Errorf("a precompiled map of %d bytes is truncated", len(blob))
	}
	size := binary.LittleEndian.Uint32(blob)
	if int64(size) >= int64(len(blob)-4) || size%4 != 0 || size < 4 {
		return nil, fmt.Errorf("a precompiled map of %d bytes says that its array has %d", len(blob), size)
	}
	c := &charsMap{units: make([]uint32, size/4), texts: blob[4+size:]}
	for i := range c.units {
		c.units[i] = binary.LittleEndian.Uint32(blob[4+4*i:])
	}
	if c.texts[len(c.texts)-1] != 0 {
		return nil, errors.New("the replacements of a precompiled map do not end with a zero byte")
	}
	if !utf8.Valid(c.texts) {
		return nil, errors.New("the replacements of a precompiled map are not UTF-8")
	}
	for text := range bytes.SplitSeq(c.texts, []byte{0}) {
		if len(text) > maxReplacement {
			return nil, fmt.Errorf("a replacement of a precompiled map has %d bytes, and %d is the most", len(text), maxReplacement)
		}
	}
	return c, nil
}

// find calls found with the value and the length of every rule that a text begins with, the shortest first, until it returns false.
func (c *charsMap) find(text []byte, found func(value, n int) bool) {
	offset := func(unit uint32) uint32 { return unit >> 10 << (unit & (1 << 9) >> 6) }
	at := offset(c.units[0])
	for i, b := range text {
		at ^= uint32(b)
		if b == 0 || int(at) >= len(c.units) {
			return
		}
		unit := c.units[at]
		if unit&(1<<31|0xff) != uint32(b) {
			return
		}
		at ^= offset(unit)
		if unit>>8&1 == 1 {
			if int(at) >= len(c.units) || !found(int(c.units[at]&(1<<31-1)), i+1) {
				return
			}
		}
	}
}

// text is the replacement at an offset; there is none where the offset is out of bounds or within a character.
func (c *charsMap) text(at int) ([]byte, bool) {
	if at >= len(c.texts) || !utf8.RuneStart(c.texts[at]) {
		return nil, false
	}
	return c.texts[at : at+bytes.IndexByte(c.texts[at:], 0)], true
}

// longest is the replacement for the longest rule that a text begins with, and that rule's length; 0 where there is none.
func (c *charsMap) longest(text []byte) ([]byte, int) {
	var by []byte
	length := 0
	c.find(text, func(value, n int) bool {
		if t, ok := c.text(value); ok {
			by, length = t, n
		}
		return true
	})
	// A hostile rule may end within a character.
	if length > 0 && length < len(text) && !utf8.RuneStart(text[length]) {
		return nil, 0
	}
	return by, length
}

// shortest is the replacement for the shortest rule that a text begins with.
func (c *charsMap) shortest(text []byte) (by []byte, ok bool) {
	c.find(text, func(value, _ int) bool {
		by, ok = c.text(value)
		return false
	})
	return by, ok
}

// precompiled applies a rule as the tokenizers library does, which is not quite as SentencePiece does: a grapheme of fewer than six bytes is
// replaced as a whole where the rule knows its beginning, and otherwise every character is.
type precompiled struct{ rule *charsMap }

func (p precompiled) normalize(w *work, a *aligned) {
	w.changes = w.changes[:0]
	modified := false
	replaced := func(part []byte) bool {
		by, ok := p.rule.shortest(part)
		if ok {
			modified = true
			w.changes = appendReplacement(w.changes, part, by)
		}
		return ok
	}
	clusters := graphemes.FromBytes(a.text)
	for clusters.Next() {
		cluster := clusters.Value()
		if len(cluster) < 6 && replaced(cluster) {
			continue
		}
		for i := 0; i < len(cluster); {
			n := runeLen(cluster[i])
			if !replaced(cluster[i : i+n]) {
				r, _ := utf8.DecodeRune(cluster[i:])
				w.changes = append(w.changes, change{r, 0})
			}
			i += n
		}
	}
	if modified {
		a.apply(w.changes, 0)
	}
}

// appendReplacement appends the characters that replace others: those that are more are added, and where they are fewer, the last one
// also takes away the rest. Where there are none at all, that is the one before.
func appendReplacement(to []change, old, by []byte) []change {
	more := utf8.RuneCount(by) - utf8.RuneCount(old)
	for _, r := range string(by) {
		to = append(to, change{r, 0})
	}
	for i := 1; i <= more; i++ {
		to[len(to)-i].by = 1
	}
	if more < 0 && len(to) > 0 {
		to[len(to)-1].by += more
	}
	return to
}
