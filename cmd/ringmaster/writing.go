package main

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"ringmaster/internal/generate"
	"ringmaster/internal/model"
)

// language is what the tokens of a trained model's texts stand for.
type language struct {
	encode func(text string) ([]int32, error)
	// after is the text of tokens behind a prompt's. How a token is written may depend on those before it.
	after   func(prompt, tokens []int32) string
	end     []int32
	answers bool // the model answers a prompt by another text, and does not continue it
}

// language finds what the model's tokens stand for; the error says that it writes no text.
func (t *trained) language() (*language, error) {
	if l := t.data.Lexicon; l != nil {
		return &language{
			encode:  l.Encode,
			after:   func(_, tokens []int32) string { return l.Decode(tokens) },
			end:     []int32{l.End()},
			answers: true,
		}, nil
	}
	v := t.data.Vocabulary
	if v == nil || t.data.ClassifiesTexts() || t.job.Data.Mask > 0 {
		a := t.ability()
		return nil, fmt.Errorf("job %s %s, so it writes no text: ask it by %s", t.job.Name, a.does, a.by)
	}
	return &language{encode: v.Encode, end: v.End(), after: func(prompt, tokens []int32) string {
		all := v.Decode(append(prompt[:len(prompt):len(prompt)], tokens...))
		if rest, ok := strings.CutPrefix(all, v.Decode(prompt)); ok {
			return rest
		}
		return v.Decode(tokens)
	}}, nil
}

// draft is how many tokens are guessed ahead unless told otherwise.
const draft = 15

// writer writes texts by a trained model. How its texts are shown is the caller's.
type writer struct {
	*language
	options generate.Options
	stop    []string // texts that end one, and are not part of it
	decoder *model.Decoder
}

// newWriter makes a writer for the prompts with the model, which has been loaded.
func (t *trained) newWriter(l *language, o generate.Options, stop []string, prompts [][]int32) (*writer, error) {
	longest := 0
	for _, prompt := range prompts {
		longest = max(longest, len(prompt))
	}
	o.End = l.end
	need := len(prompts) * max(o.Return, 1)
	if o.Beams > 1 {
		need = len(prompts) * o.Beams
	}
	o.Batch = min(o.Batch, need)
	_, most := o.Slots()
	w := &writer{language: l, options: o, stop: stop}
	room := model.DecoderOptions{Slots: most, Length: longest + o.MaxTokens}
	if l.answers {
		room.Length, room.Source = 0, longest
	}
	var err error
	w.decoder, err = t.plan.Model.NewDecoder(t.team, t.state.Params, t.state.Stats, room)
	return w, err
}

// before is the text before the first of the texts that end one; found reports whether there is one.
func (w *writer) before(text string) (rest string, found bool) {
	at := len(text)
	for _, stop := range w.stop {
		if i := strings.Index(text, stop); i >= 0 && i < at {
			at, found = i, true
		}
	}
	return text[:at], found
}

// settled is the part of a text that will stay as it is: without the beginning of a character, or of what ends a text.
func (w *writer) settled(text string) string {
	text, found := w.before(text)
	if found {
		return text
	}
	text = wholeCharacters(text)
	held := 0
	for _, stop := range w.stop {
		for n := min(len(stop)-1, len(text)); n > held; n-- {
			if strings.HasSuffix(text, stop[:n]) {
				held = n
				break
			}
		}
	}
	return text[:len(text)-held]
}

// wholeCharacters is a text without a last character of which a part is missing: bytes, or what a tokenizer writes for them.
func wholeCharacters(text string) string {
	text = strings.TrimRight(text, string(utf8.RuneError))
	for n := 1; n <= min(len(text), utf8.UTFMax); n++ {
		if last := text[len(text)-n:]; utf8.RuneStart(last[0]) {
			if !utf8.FullRuneInString(last) {
				text = text[:len(text)-n]
			}
			break
		}
	}
	return text
}

// write writes texts for the prompts. show, if not nil, is given those pieces of the first text of the only prompt that are settled, as they come.
func (w *writer) write(prompts [][]int32, show func(piece string)) ([][]written, error) {
	o := w.options
	if len(w.stop) > 0 {
		o.Stop = func(tokens []int32) bool {
			_, found := w.before(w.after(nil, tokens))
			return found
		}
	}
	var tokens []int32
	shown := 0
	emit := func(_, _ int, token int32) bool {
		tokens = append(tokens, token)
		if text := w.settled(w.after(prompts[0], tokens)); show != nil && len(text) > shown {
			show(text[shown:])
			shown = len(text)
		}
		return true
	}
	if show == nil {
		emit = nil
	}
	all, err := generate.Write(w.decoder, prompts, o, emit)
	if err != nil {
		return nil, err
	}
	out := make([][]written, len(all))
	for i, texts := range all {
		for _, text := range texts {
			rest, _ := w.before(w.after(prompts[i], text.Tokens))
			out[i] = append(out[i], written{text, rest})
		}
	}
	if show != nil {
		show(out[0][0].text[shown:])
	}
	return out, nil
}

// written is a text with what its tokens stand for, up to what ended it.
type written struct {
	generate.Text
	text string
}

// check says which of several prompts cannot be written for, as where has it.
func (w *writer) check(prompts [][]int32, where func(i int) string) error {
	for i, prompt := range prompts {
		if err := w.decoder.Check(prompt); err != nil {
			return fmt.Errorf("%s: %w", where(i), err)
		}
	}
	return nil
}

var errNoPrompt = errors.New("give --prompt TEXT, or --prompts FILE with one a line (- is standard input)")
