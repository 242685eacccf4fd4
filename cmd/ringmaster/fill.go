package main

import (
	"fmt"
	"os"
	"strings"

	"ringmaster/internal/dataset"
	"ringmaster/internal/metric"
)

// filling is a token that may be hidden at a place.
type filling struct {
	Token       string  `json:"token"`
	ID          int     `json:"id"`
	Probability float32 `json:"probability"`
	Text        string  `json:"text,omitempty"` // with it, where one token is hidden
}

// shownFillings is how many guesses are shown, unless --top says.
const shownFillings = 5

// onlyTop refuses flags that have no meaning for what the model answers, and settles how many answers are shown.
func (q *question) onlyTop(what string) error {
	for _, name := range []string{"tokens", "seed", "temperature"} {
		if q.given(name) {
			return wrong(fmt.Errorf("--%s is for a model that continues texts; this one %s", name, what))
		}
	}
	if q.top == 0 {
		q.top = shownFillings
	}
	return nil
}

// fillIn guesses the hidden tokens of the prompt: of each the likeliest, by themselves, as in Hugging Face's pipeline fill-mask.
func (q *question) fillIn(t *trained) error {
	if err := q.onlyTop("guesses hidden tokens"); err != nil {
		return err
	}
	blanks, err := t.data.Vocabulary.Hide(q.prompt)
	if err != nil {
		return wrong(fmt.Errorf("--prompt: %w", err))
	}
	if most := t.data.Schema[0].Width(); len(blanks.Tokens) > most {
		return wrong(fmt.Errorf("--prompt: the text has %d tokens, and the model reads at most %d; shorten it", len(blanks.Tokens), most))
	}
	if err := t.load(q.threads); err != nil {
		return err
	}
	logits, classes, err := t.plan.Model.NewReplica(t.team).Fill(t.state.Params, t.state.Stats, blanks.Tokens)
	if err != nil {
		return failed(fmt.Errorf("--prompt: %w", err))
	}
	answers := make([][]filling, len(blanks.Places))
	for i, place := range blanks.Places {
		guesses, err := rank(logits[place*classes:(place+1)*classes], nil)
		if err != nil {
			return failed(fmt.Errorf("--prompt: %w", err))
		}
		answers[i] = q.fillings(t.data.Vocabulary, blanks, guesses)
	}
	if q.asJSON {
		return failed(writeJSON(os.Stdout, struct {
			origin
			Prompt string      `json:"prompt"`
			Masks  [][]filling `json:"masks"` // of each hidden token, likeliest first
		}{t.origin(), q.prompt, answers}))
	}
	return failed(showFillings(answers))
}

// fillings are the likeliest tokens that a text can have.
func (q *question) fillings(v *dataset.Vocabulary, blanks *dataset.Blanks, guesses []guess) []filling {
	var found []filling
	for _, g := range guesses {
		token, ok := v.Token(int32(g.Label))
		if !ok {
			continue
		}
		f := filling{Token: token, ID: g.Label, Probability: g.Probability}
		if len(blanks.Places) == 1 {
			f.Text = blanks.Filled(int32(g.Label))
		}
		if found = append(found, f); len(found) == q.top {
			break
		}
	}
	return found
}

// showFillings writes a table of the guesses, of several hidden tokens below each other.
func showFillings(answers [][]filling) error {
	for i, fillings := range answers {
		if len(answers) > 1 {
			fmt.Printf("hidden token %d:\n", i+1)
		}
		var rows []string
		for _, f := range fillings {
			row := fmt.Sprintf("%.2f %%\t%s", 100*f.Probability, quotedBlank(f.Token))
			if f.Text != "" {
				row += "\t" + strings.ReplaceAll(f.Text, "\n", "\\n")
			}
			rows = append(rows, row)
		}
		if err := table(os.Stdout, rows); err != nil {
			return err
		}
	}
	return nil
}

// quotedBlank quotes what would not be seen.
func quotedBlank(token string) string {
	if strings.TrimSpace(token) != token || token == "" {
		return fmt.Sprintf("%q", token)
	}
	return token
}

// classifyText says of which class the prompt is.
func (q *question) classifyText(t *trained) error {
	if err := q.onlyTop("classifies texts"); err != nil {
		return err
	}
	var batch dataset.Batch
	notes, err := t.data.ReadText(&batch, q.prompt)
	if err != nil {
		return wrong(fmt.Errorf("--prompt: %w", err))
	}
	warn(notes)
	if err := t.load(q.threads); err != nil {
		return err
	}
	if t.plan.Model.Loss().Task().Kind != metric.Classes {
		return t.refuse("--prompt")
	}
	logits, _, classes := t.plan.Model.NewReplica(t.team).Predict(t.state.Params, t.state.Stats, &batch)
	first := t.answerings()[0]
	_, labels := first.classes(classes)
	guesses, err := rank(logits[:classes], labels)
	if err != nil {
		return failed(fmt.Errorf("--prompt: %w", err))
	}
	guesses = guesses[:min(q.top, classes)]
	if q.asJSON {
		return failed(writeJSON(os.Stdout, struct {
			origin
			Prompt  string  `json:"prompt"`
			Classes []guess `json:"classes"` // likeliest first
		}{t.origin(), q.prompt, guesses}))
	}
	return failed(q.showNamed(t, []named{{Classes: guesses}}))
}
