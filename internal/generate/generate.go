// Package generate writes texts by a model, token by token: which token comes next, and when a text ends.
//
// Tokens go in and tokens come out; what they stand for is the caller's. What is written for a prompt depends on the model, the prompt and
// the options alone: not on the prompts beside it, on how many are worked on together or on the threads.
package generate

import (
	"fmt"

	"ringmaster/internal/model"
	"ringmaster/internal/plan"
)

// Options say how texts are written.
type Options struct {
	MaxTokens int     // of a text; a model that answers another text writes no more than its context
	End       []int32 // tokens that end a text, and are not part of it
	// Stop, if not nil, reports whether a text ends with these tokens, the ones written so far. It is called after each.
	Stop func(tokens []int32) bool

	Among plan.Interval // only these tokens are written; empty: all. Beams do not heed it

	Temperature       float64 // divides the logits; 0: the likeliest token is taken, of equal ones the first
	TopK              int     // draws from this many of the likeliest tokens; 0: from all
	TopP              float64 // draws from the likeliest tokens that have this probability together; 0 or 1: from all
	RepetitionPenalty float64 // of tokens that are in the text already: divides positive logits, multiplies others; 0 or 1: none
	Seed              uint64  // what is drawn is a pure function of it, of the text's number among those of its prompt, and of the token's place

	Beams         int // texts that beam search keeps; 0 or 1: no beam search
	Return        int // texts for a prompt; 0 is 1. Of beams the best, else each with draws of its own
	LengthPenalty float64
	Early         Early

	Batch int // texts that are worked on together; 0 is 1. Beams of one prompt always are
	Draft int // tokens that are guessed ahead and checked together, at most; no token depends on it. Beams do not heed it
}

// Early says when a beam search ends: transformers' early_stopping.
type Early uint8

// When a beam search ends.
const (
	EarlyEstimate Early = iota // when the best beam, as long as it is, is worse than all that have ended (false)
	EarlyFull                  // when as many as there are beams have ended (true)
	EarlyNever                 // when no beam can become better than those that have ended ("never")
)

// Text is what was written for a prompt.
type Text struct {
	Tokens []int32 // without the prompt and the end
	Ended  bool    // by a token of Options.End, or by Options.Stop
	Score  float32 // of beam search: the sum of the logarithms of the tokens' probabilities over the length to the power of LengthPenalty
}

// PromptError is what is wrong with one of several prompts.
type PromptError struct {
	Prompt int
	Err    error
}

// Error implements error.
func (e *PromptError) Error() string { return e.Err.Error() }

// Unwrap gives what is wrong.
func (e *PromptError) Unwrap() error { return e.Err }

// Slots is how many slots of a Decoder the options need at least, and how many they can use.
func (o *Options) Slots() (least, most int) {
	least = max(o.Beams, 1)
	return least, max(least, o.Batch/least*least)
}

// Check refuses options that say nothing sensible, before anything is computed.
func (o *Options) Check() error {
	switch {
	case o.MaxTokens < 1:
		return fmt.Errorf("at least 1 token must be written, not %d", o.MaxTokens)
	case o.Temperature < 0 || o.TopK < 0 || o.TopP < 0 || o.TopP > 1 || o.RepetitionPenalty < 0:
		return fmt.Errorf("temperature %g, top-k %d, top-p %g (at most 1) and repetition penalty %g must not be negative", o.Temperature, o.TopK, o.TopP, o.RepetitionPenalty)
	case o.Beams > 1 && o.Among.Len() > 0:
		return fmt.Errorf("beam search chooses from all tokens")
	case o.Beams > 1 && o.Temperature != 0:
		return fmt.Errorf("beam search takes the likeliest tokens; leave the temperature at 0, or take no beams")
	case o.Beams > 1 && o.Return > o.Beams:
		return fmt.Errorf("%d beams do not give %d texts", o.Beams, o.Return)
	case o.Beams <= 1 && o.Return > 1 && o.Temperature == 0:
		return fmt.Errorf("%d texts for a prompt would be equal without a temperature or beams", o.Return)
	}
	return nil
}

// job writes texts for one prompt, in slots of its own.
type job interface {
	// additions appends what it wants to know of next, with a draft of at most room tokens.
	additions(to []model.Addition, room int) []model.Addition
	// take takes the logits of its additions and reports whether it has ended. They may be overwritten.
	take(logits []float32) (done bool, err error)
	// texts are what it has written.
	texts() []Text
}

// Write writes texts for prompts, Return for each. emit, if not nil, is told each token as it comes, of texts that are not written by beam search;
// where it returns false, the text ends there. A PromptError says which prompt is at fault; nothing has been written then.
func Write(d *model.Decoder, prompts [][]int32, o Options, emit func(prompt, text int, token int32) bool) ([][]Text, error) {
	if err := o.Check(); err != nil {
		return nil, err
	}
	for i, prompt := range prompts {
		if err := d.Check(prompt); err != nil {
			return nil, &PromptError{i, err}
		}
	}
	w := &writing{decoder: d, options: o, prompts: prompts, emit: emit, written: make([][]Text, len(prompts))}
	w.each = max(o.Return, 1)
	if o.Beams > 1 {
		w.each = 1
	}
	return w.written, w.run()
}

// writing is prompts being worked on.
type writing struct {
	decoder *model.Decoder
	options Options
	prompts [][]int32
	emit    func(prompt, text int, token int32) bool
	written [][]Text
	each    int // jobs of a prompt
	begun   int // jobs
	active  []active
}

// active is a job in work.
type active struct {
	job
	prompt, slot int // the first of its slots
	text         int
	wants        int // logits
}

// run works on as many prompts together as there is room for; where one ends, the next begins.
func (w *writing) run() error {
	width, most := w.options.Slots()
	var free []int
	for slot := most - width; slot >= 0; slot -= width {
		free = append(free, slot)
	}
	const rowsTogether = 16 // so few that reading the parameters costs more than computing with them
	var additions []model.Addition
	for {
		for len(free) > 0 && w.begun < len(w.prompts)*w.each {
			if err := w.begin(free[len(free)-1]); err != nil {
				return err
			}
			free = free[:len(free)-1]
		}
		if len(w.active) == 0 {
			return nil
		}
		additions = additions[:0]
		for k := range w.active {
			before := len(additions)
			additions = w.active[k].additions(additions, rowsTogether/len(w.active)-1)
			w.active[k].wants = 0
			for i := range additions[before:] {
				w.active[k].wants += additions[before+i].Wants()
			}
		}
		logits, err := w.decoder.Append(additions...)
		if err != nil {
			return err
		}
		kept := w.active[:0]
		for _, a := range w.active {
			mine := logits[:a.wants*w.decoder.Vocabulary()]
			logits = logits[len(mine):]
			done, err := a.take(mine)
			if err != nil {
				return err
			}
			if done {
				w.end(a)
				free = append(free, a.slot)
			} else {
				kept = append(kept, a)
			}
		}
		w.active = kept
	}
}

// begin begins the next job.
func (w *writing) begin(slot int) error {
	number := w.begun
	w.begun++
	prompt, text := number/w.each, number%w.each
	if w.written[prompt] == nil {
		w.written[prompt] = make([]Text, w.each)
	}
	begin, most := w.prompts[prompt], w.options.MaxTokens
	if w.decoder.SourceContext() > 0 {
		if err := w.decoder.Read(slot, begin); err != nil {
			return &PromptError{prompt, err}
		}
		begin, most = []int32{w.decoder.Start()}, min(most, w.decoder.Context())
	}
	var j job
	if w.options.Beams > 1 {
		j = newBeams(w.decoder, w.options, slot, begin, most)
	} else {
		tell := func(token int32) bool { return w.emit == nil || w.emit(prompt, text, token) }
		j = newLine(w.decoder, w.options, slot, begin, most, uint64(text), tell)
	}
	w.active = append(w.active, active{job: j, prompt: prompt, slot: slot, text: text})
	return nil
}

// end takes what a job has written.
func (w *writing) end(a active) {
	if w.options.Beams > 1 {
		w.written[a.prompt] = a.texts()
		return
	}
	w.written[a.prompt][a.text] = a.texts()[0]
}

// next is what a slot is asked for after its text has grown by tokens: these, or where they do not fit into the context as much of the text's end as
// does.
func next(d *model.Decoder, slot, source int, text []int32) model.Addition {
	from := d.Len(slot)
	if len(text) > d.Context() {
		d.Clear(slot)
		from = len(text) - d.Context()
	}
	return model.Addition{Slot: slot, Source: source, Tokens: text[from:]}
}
