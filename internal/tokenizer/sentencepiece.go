package tokenizer

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"ringmaster/internal/printable"
)

// spaceMark is what SentencePiece writes for a space.
const spaceMark = "▁"

// pieceType is a piece's type in a .model file.
type pieceType uint8

const (
	normalPiece      pieceType = 1
	unknownPiece     pieceType = 2
	controlPiece     pieceType = 3
	userDefinedPiece pieceType = 4
	unusedPiece      pieceType = 5
	bytePiece        pieceType = 6
)

// sentencePiece is a SentencePiece model, which does all by itself: it normalizes, finds tokens, and decodes.
type sentencePiece struct {
	vocabulary
	types   []pieceType
	unknown int32

	rule           *charsMap // nil where characters stay as they are
	userDefined    *trie     // nil where there are none
	dummyPrefix    bool      // a space is added before the text
	suffix         bool      // ... or rather after it
	removeExtra    bool      // spaces at the ends go, and of several inside one stays
	escape         bool      // spaces are written as spaceMark
	unknownSurface string    // what an unknown token is decoded to
	unigram        *unigram
	pairs          *pairMerger
}

func (m *sentencePiece) tokenize(w *work, text []byte) error {
	if m.unigram != nil {
		return m.unigram.tokenize(w, text)
	}
	m.pairs.tokenize(m, w, text)
	return nil
}

// normalize implements normalizer. The span of a byte goes from where its rule began in the original text to where the next byte's did.
func (m *sentencePiece) normalize(_ *work, a *aligned) {
	text := a.text
	a.begin()
	at := m.leadingSpaces(text)
	if at == len(text) {
		a.commit()
		return
	}
	space := " "
	if m.escape {
		space = spaceMark
	}
	if m.dummyPrefix && !m.suffix {
		a.write(space, at)
	}
	afterSpace := m.removeExtra
	for at < len(text) {
		by, n := m.next(text[at:])
		for afterSpace && len(by) > 0 && by[0] == ' ' {
			by = by[1:]
		}
		if len(by) > 0 {
			a.write(strings.ReplaceAll(string(by), " ", space), at)
			afterSpace = by[len(by)-1] == ' '
		}
		afterSpace = afterSpace && m.removeExtra
		at += n
	}
	end := a.at[len(a.at)-1].to
	for m.removeExtra && bytes.HasSuffix(a.nextText, []byte(space)) {
		rest := len(a.nextText) - len(space)
		end = a.nextAt[rest].from
		a.nextText, a.nextAt = a.nextText[:rest], a.nextAt[:rest]
	}
	if m.dummyPrefix && m.suffix {
		a.nextText = append(a.nextText, space...)
		for range len(space) {
			a.nextAt = append(a.nextAt, span{end, 0})
		}
	}
	for i := len(a.nextAt) - 1; i >= 0; i-- {
		a.nextAt[i].to = end
		end = a.nextAt[i].from
	}
	a.commit()
}

// leadingSpaces is the length of the spaces before a text that are to go.
func (m *sentencePiece) leadingSpaces(text []byte) int {
	at := 0
	for m.removeExtra && at < len(text) {
		by, n := m.next(text[at:])
		if string(by) != " " {
			break
		}
		at += n
	}
	return at
}

// write writes a text that comes from the byte at an offset on.
func (a *aligned) write(text string, at int) {
	if len(a.nextText) > a.room {
		a.full = true
		return
	}
	a.nextText = append(a.nextText, text...)
	for range len(text) {
		a.nextAt = append(a.nextAt, span{a.at[at].from, 0})
	}
}

// next is what the beginning of a text, n bytes of it, is normalized to.
func (m *sentencePiece) next(text []byte) (by []byte, n int) {
	if m.userDefined != nil {
		if _, n := m.userDefined.longest(text); n > 0 {
			return text[:n], n
		}
	}
	if m.rule != nil {
		if by, n := m.rule.longest(text); n > 0 {
			return by, n
		}
	}
	n = runeLen(text[0])
	return text[:n], n
}

// decodeIDs turns ids, all of the vocabulary, into text.
func (m *sentencePiece) decodeIDs(ids []int32) string {
	var out, pending []byte
	atStart, hadMark := true, false
	for _, id := range ids {
		piece := m.tokens[id]
		if m.types[id] == bytePiece {
			b, _ := byteToken(piece)
			pending = append(pending, b)
			continue
		}
		out, pending = appendBytes(out, pending), pending[:0]
		if hadMark || len(out) > 0 {
			atStart = false
		}
		hadMark = false
		switch m.types[id] {
		case controlPiece:
		case unknownPiece:
			out = append(out, m.unknownSurface...)
		default:
			if atStart && (m.dummyPrefix || m.removeExtra) {
				piece, hadMark = strings.CutPrefix(piece, spaceMark)
				hadMark = hadMark && !m.removeExtra
			}
			out = append(out, strings.ReplaceAll(piece, spaceMark, " ")...)
		}
	}
	return string(appendBytes(out, pending))
}

// appendBytes appends bytes as characters; those that make none are U+FFFD, each.
func appendBytes(to, text []byte) []byte {
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		to = utf8.AppendRune(to, r)
		text = text[n:]
	}
	return to
}

// The fields of SentencePiece's ModelProto, by number.
const (
	fieldPieces, fieldTrainer, fieldNormalizer, fieldDenormalizer   = 1, 2, 3, 5
	fieldPiece, fieldScore, fieldType                               = 1, 2, 3
	fieldModelType, fieldSuffix, fieldByteFallback, fieldUnkSurface = 3, 24, 35, 44
	fieldRule, fieldDummyPrefix, fieldRemoveExtra, fieldEscape      = 2, 3, 4, 5
)

// message calls do with every field of a message: its number and what it holds, a number for varints and fixed ones, bytes otherwise.
func message(text []byte, at int, do func(number protowire.Number, value uint64, data []byte, at int) error) error {
	for len(text) > 0 {
		number, kind, n := protowire.ConsumeTag(text)
		if n < 0 {
			return fmt.Errorf("offset %d: %w", at, protowire.ParseError(n))
		}
		text, at = text[n:], at+n
		var value uint64
		var data []byte
		switch kind {
		case protowire.VarintType:
			value, n = protowire.ConsumeVarint(text)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(text)
			value = uint64(v)
		case protowire.Fixed64Type:
			value, n = protowire.ConsumeFixed64(text)
		case protowire.BytesType:
			data, n = protowire.ConsumeBytes(text)
		default:
			return fmt.Errorf("offset %d: a field of wire type %d is not part of a SentencePiece model", at, kind)
		}
		if n < 0 {
			return fmt.Errorf("offset %d: %w", at, protowire.ParseError(n))
		}
		if err := do(number, value, data, at+n-len(data)); err != nil {
			return err
		}
		text, at = text[n:], at+n
	}
	return nil
}

// modelFile is what a .model file says.
type modelFile struct {
	model        *sentencePiece
	scores       []float64
	kind         uint64
	byteFallback bool
}

// readModelFile reads a .model file.
func readModelFile(name string, text []byte) (*modelFile, error) {
	f := &modelFile{model: &sentencePiece{dummyPrefix: true, removeExtra: true, escape: true, unknownSurface: " ⁇ ", unknown: -1}, kind: 1}
	err := message(text, 0, func(number protowire.Number, _ uint64, data []byte, at int) error {
		switch number {
		case fieldPieces:
			return f.readPiece(data, at)
		case fieldTrainer:
			return f.readTrainer(data, at)
		case fieldNormalizer:
			return f.readNormalizer(data, at)
		case fieldDenormalizer:
			return message(data, at, func(number protowire.Number, _ uint64, data []byte, at int) error {
				if number == fieldRule && len(data) > 0 {
					return fmt.Errorf("offset %d: a denormalizer is not implemented", at)
				}
				return nil
			})
		}
		return nil
	})
	if err == nil {
		err = f.finish()
	}
	if err != nil {
		return nil, fmt.Errorf("SentencePiece model %s: %w", name, err)
	}
	return f, nil
}

// readSentencePiece reads a .model file, whose ids are SentencePiece's.
func readSentencePiece(name string, text []byte) (*Tokenizer, error) {
	f, err := readModelFile(name, text)
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{kind: "SentencePiece Unigram", model: f.model, normalize: f.model}
	if f.model.pairs != nil {
		t.kind = "SentencePiece BPE"
	}
	return t, nil
}

func (f *modelFile) readPiece(data []byte, at int) error {
	piece, score, kind := "", float64(0), normalPiece
	err := message(data, at, func(number protowire.Number, value uint64, data []byte, at int) error {
		switch number {
		case fieldPiece:
			piece = string(data)
		case fieldScore:
			score = float64(math.Float32frombits(uint32(value)))
		case fieldType:
			if value < 1 || value > 6 {
				return fmt.Errorf("offset %d: a piece of type %d is not implemented", at, value)
			}
			kind = pieceType(value)
		}
		return nil
	})
	switch id := int32(len(f.scores)); {
	case err != nil:
		return err
	case piece == "" || !utf8.ValidString(piece):
		return fmt.Errorf("offset %d: piece %d is empty or not UTF-8", at, id)
	case math.IsNaN(score) || math.IsInf(score, 0):
		return fmt.Errorf("offset %d: piece %d, %s, has score %v", at, id, printable.Typed(piece), score)
	case kind == unknownPiece && f.model.unknown >= 0:
		return fmt.Errorf("offset %d: piece %d, %s, is the second for what is unknown", at, id, printable.Typed(piece))
	case kind == bytePiece && !isByteToken(piece):
		return fmt.Errorf("offset %d: piece %d, %s, stands for no byte", at, id, printable.Typed(piece))
	default:
		if kind == unknownPiece {
			f.model.unknown = id
		}
		if err := f.model.add(piece, id); err != nil {
			return fmt.Errorf("offset %d: %w", at, err)
		}
		f.scores, f.model.types = append(f.scores, score), append(f.model.types, kind)
		return nil
	}
}

func isByteToken(piece string) bool {
	b, ok := byteToken(piece)
	return ok && piece == fmt.Sprintf("<0x%02X>", b)
}

func (f *modelFile) readTrainer(data []byte, at int) error {
	return message(data, at, func(number protowire.Number, value uint64, data []byte, at int) error {
		switch number {
		case fieldModelType:
			if f.kind = value; value != 1 && value != 2 {
				kind := map[uint64]string{3: "WORD", 4: "CHAR"}[value]
				return fmt.Errorf("offset %d: a model of type %d %s is not implemented; UNIGRAM and BPE are", at, value, kind)
			}
		case fieldSuffix:
			f.model.suffix = value != 0
		case fieldByteFallback:
			f.byteFallback = value != 0
		case fieldUnkSurface:
			if f.model.unknownSurface = string(data); !utf8.Valid(data) {
				return fmt.Errorf("offset %d: the surface of unknown pieces is not UTF-8", at)
			}
		}
		return nil
	})
}

func (f *modelFile) readNormalizer(data []byte, at int) error {
	return message(data, at, func(number protowire.Number, value uint64, data []byte, at int) (err error) {
		switch number {
		case fieldRule:
			if len(data) > 0 {
				if f.model.rule, err = readCharsMap(data); err != nil {
					return fmt.Errorf("offset %d: %w", at, err)
				}
			}
		case fieldDummyPrefix:
			f.model.dummyPrefix = value != 0
		case fieldRemoveExtra:
			f.model.removeExtra = value != 0
		case fieldEscape:
			f.model.escape = value != 0
		}
		return nil
	})
}

// finish checks the model as a whole and makes its tables.
func (f *modelFile) finish() error {
	m := f.model
	if m.unknown < 0 {
		return fmt.Errorf("none of its %d pieces is for what is unknown", len(m.tokens))
	}
	var usable, userDefined []key
	least, most, byteCount := math.Inf(1), float64(math.SmallestNonzeroFloat32)*(1<<23), 0 // the smallest normal float32
	for id, kind := range m.types {
		k := key{m.tokens[id], int32(id)}
		switch kind {
		case normalPiece:
			usable = append(usable, k)
			least, most = min(least, f.scores[id]), max(most, f.scores[id])
		case userDefinedPiece:
			usable, userDefined = append(usable, k), append(userDefined, k)
		case bytePiece:
			byteCount++
		}
	}
	if f.byteFallback != (byteCount > 0) || f.byteFallback && byteCount != 256 {
		return fmt.Errorf("it has %d pieces for bytes, where 256 are wanted for byte_fallback and none without it", byteCount)
	}
	if userDefined != nil {
		m.userDefined = trieOf(userDefined)
	}
	if f.kind == 2 {
		m.pairs = newPairMerger(m, f.scores, f.byteFallback)
		return nil
	}
	if len(usable) == 0 {
		return fmt.Errorf("none of its %d pieces is for text", len(m.tokens))
	}
	for id, kind := range m.types {
		if kind == userDefinedPiece { // it is always to be taken
			f.scores[id] = float64(float32(float64(len(m.tokens[id]))*most)) - 0.1
		}
	}
	m.unigram = &unigram{vocabulary: m.vocabulary, scores: f.scores, unknown: m.unknown, byteFallback: f.byteFallback, single: true, whole: true,
		pieces: trieOf(usable), unknownScore: float64(float32(least - unknownPenalty))}
	m.unigram.prepare()
	return nil
}
