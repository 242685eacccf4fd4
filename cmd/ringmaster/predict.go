package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/generate"
	"ringmaster/internal/model"
	"ringmaster/internal/tensor/kernel"
)

// question is what a model is asked.
type question struct {
	trainedFlags
	sheet
	isSheet     bool
	photos      []string
	prompt      string
	isPhoto     bool
	tokens, top int
	seed        uint64
	temperature float64
	drawn       bool // by a temperature that was given
	given       func(flag string) bool
}

func predictCommand() *cobra.Command {
	q := question{trainedFlags: trainedFlags{folders: true, heeds: []string{"data.mean", "data.std"}}}
	cmd := &cobra.Command{
		Use:   "predict CHECKPOINT --photo FILE... | --prompt TEXT | --input FILE",
		Short: "Let a trained model name what a photo shows, continue or classify a text, guess hidden words, or answer each row of a table",
		Long: "Let a trained model name what photos show, continue or classify a text, guess its hidden words ([MASK], or the tokenizer's mask),\n" +
			"or answer each row of a table: always the same for one seed.\n" +
			"Rows are as in training, raw; their order stays. Of classes each answer is the likeliest and the probability of every one.\n" +
			"CHECKPOINT is the folder of a run, a folder of checkpoints, one checkpoint, or a .safetensors file: one that ringmaster export\n" +
			"wrote, or any with --job. The data need not be there; for a file with --job, --labels names the classes then. A folder of GPT-2,\n" +
			"BERT or T5 as Hugging Face's save_pretrained writes it, with the model's tokenizer, is taken too.",
		Args: cli.Takes("CHECKPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := q.check(cmd); err != nil {
				return err
			}
			t, err := q.find(cmd, args[0])
			if err != nil {
				return err
			}
			if err := t.recall(); err != nil {
				return err
			}
			defer t.close()
			switch {
			case q.isSheet:
				return q.answerAll(t)
			case q.isPhoto:
				return q.classify(t)
			}
			return q.continueText(t)
		},
	}
	q.trainedFlags.bind(cmd)
	q.sheet.bind(cmd)
	cmd.Flags().StringVar(&q.labels, "labels", "", "photo: the `file` that names the classes, one a line, in their order, instead of the data")
	cmd.Flags().StringArrayVar(&q.photos, "photo", nil, "picture `file` to be named ("+dataset.PictureFormats+"); repeatable")
	cmd.Flags().StringVar(&q.prompt, "prompt", "", "`text` to be continued, classified, or with [MASK] where a word is to be guessed; of a model of pairs the source of a target to be written")
	cmd.Flags().IntVar(&q.tokens, "tokens", 200, "text: number of tokens (characters, or bytes) to add")
	cmd.Flags().Uint64Var(&q.seed, "seed", 1, "text: everything random follows from it")
	cmd.Flags().Float64Var(&q.temperature, "temperature", 0.8, "text: divides the logits; 0: always the likeliest token, which is the default of a model of pairs")
	cmd.Flags().IntVar(&q.top, "top", 0, "photo, classes of a text, hidden words: number to show (default 5); text: draw from this many of the likeliest tokens (default all)")
	return cmd
}

func (q *question) check(cmd *cobra.Command) error {
	q.drawn, q.given = cmd.Flags().Changed("temperature"), cmd.Flags().Changed
	q.isPhoto, q.isSheet = cmd.Flags().Changed("photo"), cmd.Flags().Changed("input")
	ways := 0
	for _, name := range []string{"photo", "prompt", "input"} {
		if cmd.Flags().Changed(name) {
			ways++
		}
	}
	switch text := cmd.Flags().Changed("prompt"); {
	case ways != 1:
		return wrong(errors.New("give either --photo FILE or --prompt TEXT or --input FILE"))
	case text && q.prompt == "":
		return wrong(errors.New("--prompt is empty; give at least one character to continue from"))
	case q.tokens < 1:
		return wrong(errors.New("--tokens must be at least 1"))
	case q.top < 0:
		return wrong(errors.New("--top must not be negative"))
	case q.temperature != 0 && !(q.temperature >= 0.01 && q.temperature <= 100): // NaN too
		return wrong(errors.New("--temperature must be 0, or from 0.01 to 100"))
	}
	if err := q.checkFlags(cmd); err != nil {
		return wrong(err)
	}
	if q.isSheet {
		return wrong(q.sheet.check())
	}
	return nil
}

// checkFlags refuses flags that go with another way to ask.
func (q *question) checkFlags(cmd *cobra.Command) error {
	var others []string
	with := "--prompt"
	switch {
	case q.isSheet:
		others = []string{"tokens", "seed", "temperature", "top"}
	case q.isPhoto:
		others = []string{"tokens", "seed", "temperature"}
	}
	if !q.isSheet {
		for _, name := range []string{"input-format", "out", "keep"} {
			if cmd.Flags().Changed(name) {
				return fmt.Errorf("--%s goes with --input", name)
			}
		}
	}
	for _, name := range others {
		if cmd.Flags().Changed(name) {
			if name == "top" {
				with = "--photo and --prompt"
			}
			return fmt.Errorf("--%s goes with %s", name, with)
		}
	}
	return nil
}

// guess is one class that a photo may show.
type guess struct {
	Class       string  `json:"class"`
	Label       int     `json:"label"`
	Probability float32 `json:"probability"`
}

// named is what the model says of one photo.
type named struct {
	Photo   string  `json:"photo"`
	Classes []guess `json:"classes"` // likeliest first
}

// classify names what each photo shows. All of them are read before anything is answered.
func (q *question) classify(t *trained) error {
	if !t.data.ShowsPictures() || t.job.Train.Loss != config.LossCrossEntropy {
		return t.refuse("--photo")
	}
	batches := make([]dataset.Batch, len(q.photos))
	for i, photo := range q.photos {
		notes, err := t.data.ReadPhoto(&batches[i], photo)
		if err != nil {
			return wrong(err)
		}
		warn(notes)
	}
	if err := t.load(q.threads); err != nil {
		return err
	}
	if q.top == 0 {
		q.top = 5
	}
	answers := make([]named, len(q.photos))
	replica := t.plan.Model.NewReplica(t.team)
	for i, photo := range q.photos {
		logits, _, classes := replica.Predict(t.state.Params, t.state.Stats, &batches[i])
		guesses, err := rank(logits[:classes], t.data.Labels)
		if err != nil {
			return failed(fmt.Errorf("photo %s: %w", photo, err))
		}
		answers[i] = named{photo, guesses[:min(q.top, classes)]}
	}
	return failed(q.showNamed(t, answers))
}

// showNamed writes the answers: of one photo the classes alone, of several those of each below its name.
func (q *question) showNamed(t *trained, answers []named) error {
	if q.asJSON && len(answers) == 1 {
		return writeJSON(os.Stdout, struct {
			origin
			named
		}{t.origin(), answers[0]})
	}
	if q.asJSON {
		return writeJSON(os.Stdout, struct {
			origin
			Photos []named `json:"photos"`
		}{t.origin(), answers})
	}
	for _, answer := range answers {
		var rows []string
		for _, g := range answer.Classes {
			rows = append(rows, fmt.Sprintf("%.2f %%\t%s", 100*g.Probability, g.Class))
		}
		if len(answers) > 1 {
			fmt.Println(answer.Photo + ":")
		}
		if err := table(os.Stdout, rows); err != nil {
			return err
		}
	}
	return nil
}

// warn writes lines that are not the answer to stderr.
func warn(lines []string) {
	for _, line := range lines {
		fmt.Fprintln(os.Stderr, "ringmaster: "+line)
	}
}

// rank orders the classes by their probabilities, of equal ones the lower label first. Classes without a name have
// their number.
func rank(logits []float32, names []string) ([]guess, error) {
	chances := make([]float32, len(logits))
	kernel.Softmax(chances, logits, 1, len(logits))
	guesses := make([]guess, len(logits))
	for i, p := range chances {
		if p != p {
			return nil, model.ErrNotFinite
		}
		guesses[i] = guess{strconv.Itoa(i), i, p}
		if i < len(names) {
			guesses[i].Class = names[i]
		}
	}
	slices.SortStableFunc(guesses, func(a, b guess) int {
		switch {
		case a.Probability > b.Probability:
			return -1
		case a.Probability < b.Probability:
			return 1
		}
		return 0
	})
	return guesses, nil
}

// continueText writes what follows the prompt, or what answers it. generate says more of how.
func (q *question) continueText(t *trained) error {
	if t.data.ClassifiesTexts() {
		return q.classifyText(t)
	}
	if t.job.Data.Mask > 0 {
		return q.fillIn(t)
	}
	l, err := t.language()
	if err != nil {
		return t.refuse("--prompt")
	}
	prompt, err := l.encode(q.prompt)
	if err != nil {
		return wrong(fmt.Errorf("--prompt: %w", err))
	}
	if err := t.load(q.threads); err != nil {
		return err
	}
	how := generate.Options{MaxTokens: q.tokens, Temperature: q.temperature, TopK: q.top, Seed: q.seed, Draft: draft}
	if l.answers && !q.drawn {
		how.Temperature = 0
	}
	w, err := t.newWriter(l, how, nil, [][]int32{prompt})
	if err != nil {
		return failed(err)
	}
	if !l.answers {
		prompt = prompt[max(0, len(prompt)-w.decoder.Context()):]
	}
	var show func(string)
	if !q.asJSON {
		show = func(piece string) { fmt.Print(piece) } // as it comes: it takes a while
		if !l.answers {
			show(q.prompt)
		}
	}
	texts, err := w.write([][]int32{prompt}, show)
	if err != nil {
		return failed(fmt.Errorf("--prompt: %w", err))
	}
	if !q.asJSON {
		fmt.Println()
		return nil
	}
	return failed(writeJSON(os.Stdout, struct {
		origin
		Seed   uint64 `json:"seed"`
		Prompt string `json:"prompt"`
		Text   string `json:"text"` // what follows the prompt, or the target
	}{t.origin(), q.seed, q.prompt, texts[0][0].text}))
}
