package metric

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"ringmaster/internal/elementary"
)

// bleuOrder is the longest n-grams that BLEU counts.
const bleuOrder = 4

// BLEUSignature is how BLEU's figures are meant, as sacrebleu writes it: one reference for each text, its case heeded, sums over the whole
// corpus, words by mteval-v13a, precisions of 0 smoothed exponentially.
const BLEUSignature = "nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp|version:2.6.0"

// BLEU compares translations with references as sacrebleu does by default (Post, A Call for Clarity in Reporting BLEU Scores, 2018). Its zero
// value has seen no texts.
type BLEU struct {
	Correct, Total [bleuOrder]int // n-grams of the translations: those that are in the reference, too, and all
	Length         int            // words of the translations
	Reference      int            // words of the references
	Texts          int
}

// Add takes in one translation and its reference.
func (b *BLEU) Add(translation, reference string) {
	words, wanted := BLEUWords(translation), BLEUWords(reference)
	b.Texts++
	b.Length += len(words)
	b.Reference += len(wanted)
	for n := range bleuOrder {
		there := nGrams(wanted, n+1)
		for gram, count := range nGrams(words, n+1) {
			b.Correct[n] += min(count, there[gram])
			b.Total[n] += count
		}
	}
}

// nGrams counts the stretches of n words.
func nGrams(words []string, n int) map[string]int {
	counts := map[string]int{}
	for i := range max(0, len(words)-n+1) {
		counts[strings.Join(words[i:i+n], " ")]++
	}
	return counts
}

// Precisions are the shares of n-grams that are in the references, in percent. Where there are n-grams and none is right, the k-th such share is
// that of 1/2^k n-grams.
func (b *BLEU) Precisions() (p [bleuOrder]float64) {
	halved := 1.0
	for n := range bleuOrder {
		switch {
		case b.Correct == [bleuOrder]int{} || b.Total[n] == 0:
			return p
		case b.Correct[n] == 0:
			halved *= 2
			p[n] = 100 / (halved * float64(b.Total[n]))
		default:
			p[n] = 100 * float64(b.Correct[n]) / float64(b.Total[n])
		}
	}
	return p
}

// BrevityPenalty is what translations that are shorter than their references together are multiplied by.
func (b *BLEU) BrevityPenalty() float64 {
	switch {
	case b.Length >= b.Reference:
		return 1
	case b.Length == 0:
		return 0
	}
	return elementary.Exp(1 - float64(b.Reference)/float64(b.Length))
}

// Score is from 0 to 100.
func (b *BLEU) Score() float64 {
	sum := 0.0
	for _, p := range b.Precisions() {
		if p == 0 {
			return 0
		}
		sum += elementary.Log(p)
	}
	return b.BrevityPenalty() * elementary.Exp(sum/bleuOrder)
}

// String is the figures as sacrebleu writes them.
func (b *BLEU) String() string {
	p := b.Precisions()
	ratio := 0.0
	if b.Reference > 0 {
		ratio = float64(b.Length) / float64(b.Reference)
	}
	return fmt.Sprintf("BLEU|%s = %.2f %.1f/%.1f/%.1f/%.1f (BP = %.3f ratio = %.3f hyp_len = %d ref_len = %d)",
		BLEUSignature, b.Score(), p[0], p[1], p[2], p[3], b.BrevityPenalty(), ratio, b.Length, b.Reference)
}

// The rules of mteval-v13a, in their order.
var bleuRules = []struct {
	find *regexp.Regexp
	put  string
}{
	{regexp.MustCompile(`([\x7b-\x7e\x5b-\x60\x20-\x26\x28-\x2b\x3a-\x40/])`), " $1 "}, // punctuation but ' , - .
	{regexp.MustCompile(`([^0-9])([.,])`), "$1 $2 "},                                   // full stops and commas that are not behind a digit
	{regexp.MustCompile(`([.,])([^0-9])`), " $1 $2"},                                   // or not before one
	{regexp.MustCompile(`([0-9])(-)`), "$1 $2 "},                                       // dashes behind a digit
}

var bleuEntities = []string{"&quot;", `"`, "&amp;", "&", "&lt;", "<", "&gt;", ">"}

// BLEUWords are the words of a text by mteval-v13a.
func BLEUWords(text string) []string {
	text = strings.TrimRightFunc(text, isSpace)
	text = strings.ReplaceAll(text, "<skipped>", "")
	text = strings.ReplaceAll(text, "-\n", "")
	text = strings.ReplaceAll(text, "\n", " ")
	for i := 0; i < len(bleuEntities); i += 2 { // one after another: &amp;lt; becomes <
		text = strings.ReplaceAll(text, bleuEntities[i], bleuEntities[i+1])
	}
	text = " " + text + " "
	for _, rule := range bleuRules {
		text = rule.find.ReplaceAllString(text, rule.put)
	}
	return strings.FieldsFunc(text, isSpace)
}

// isSpace is Python's str.isspace of one character.
func isSpace(r rune) bool { return unicode.IsSpace(r) || r >= 0x1c && r <= 0x1f }
