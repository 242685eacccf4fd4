package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/generate"
	"ringmaster/internal/regularfile"
)

// wish is which texts are to be written.
type wish struct {
	trainedFlags
	generate.Options
	canvas
	prompts []string
	file    string
	early   string
	stop    []string
	crop    bool
}

func generateCommand() *cobra.Command {
	w := wish{}
	w.folders = true
	cmd := &cobra.Command{
		Use:   "generate CHECKPOINT|FOLDER --prompt TEXT... | --prompts FILE",
		Short: "Let a trained model write texts, or draw pictures of captions",
		Long: "Let a trained model write texts: a language model continues prompts, a model of pairs answers them. What is written for a\n" +
			"prompt depends on the model, the prompt, the flags and --seed alone: not on other prompts, --batch, --draft or --threads.\n" +
			"Without --temperature and --beams each token is the likeliest one. A text longer than the model's context is continued\n" +
			"from as much of its end as that holds. Standard output has the texts: of one prompt as they come, of several in the\n" +
			"prompts' order, with --json as lines of JSON.\n" +
			"A model that was trained with data.codes draws pictures of captions, --count of each prompt, into --out and --pictures.\n" +
			"CHECKPOINT is the folder of a run, a folder of checkpoints, one checkpoint, or a .safetensors file: one that ringmaster export\n" +
			"wrote, or any with --job. The data need not be there. FOLDER is one of GPT-2, LLaMA or T5 as Hugging Face's save_pretrained\n" +
			"writes it, with the model's tokenizer.",
		Example: "  ringmaster generate runs/gpt-1 --prompt 'ROMEO:' --temperature 0.8 --top-k 50 --max-tokens 200\n" +
			"  ringmaster generate runs/t5-1 --prompts test.de --beams 4 --batch 32 > test.en\n" +
			"  ringmaster generate runs/mnist-dalle-1 --prompt 'a seven' --count 16 --out sevens.png\n" +
			"  ringmaster generate models/gpt2 --prompt 'Once upon a time'",
		Args: cli.Takes("CHECKPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := w.check(cmd); err != nil {
				return wrong(err)
			}
			t, err := w.find(cmd, args[0])
			if err != nil {
				return err
			}
			if err := t.recall(); err != nil {
				return err
			}
			defer t.close()
			if t.data.Captions != nil {
				return w.draw(t)
			}
			if draws(cmd) {
				return wrong(fmt.Errorf("job %s does not draw pictures: --out, --pictures and --count go with one that was trained with data.codes", t.job.Name))
			}
			return w.write(t)
		},
	}
	w.bind(cmd)
	return cmd
}

func (w *wish) bind(cmd *cobra.Command) {
	w.trainedFlags.bind(cmd)
	w.canvas.bind(cmd, &w.Return)
	f := cmd.Flags()
	f.StringArrayVar(&w.prompts, "prompt", nil, "`text` to be continued, or answered; repeatable")
	f.StringVar(&w.file, "prompts", "", "`file` with a prompt on each line, or a .jsonl with {\"prompt\": \"...\"} on each; - for standard input")
	f.IntVar(&w.MaxTokens, "max-tokens", 128, "tokens of a text at most")
	f.Float64Var(&w.Temperature, "temperature", 0, "divides the logits before a token is drawn; 0: the likeliest token (default 1 with --top-k or --top-p, else 0)")
	f.IntVar(&w.TopK, "top-k", 0, "draw from this many of the likeliest tokens (default all)")
	f.Float64Var(&w.TopP, "top-p", 1, "draw from the likeliest tokens that have this probability together")
	f.Float64Var(&w.RepetitionPenalty, "repetition-penalty", 1, "make tokens less likely that are in the text already; above 1")
	f.Uint64Var(&w.Seed, "seed", 1, "everything random follows from it")
	f.IntVar(&w.Beams, "beams", 1, "keep this many of the likeliest texts, and give the best (beam search)")
	f.Float64Var(&w.LengthPenalty, "length-penalty", 1, "beams: the score is divided by the length to the power of this")
	f.StringVar(&w.early, "early-stopping", "false", "beams: `when` to stop: false (transformers' estimate), true (as many texts have ended as there are beams) or never (none can improve)")
	f.IntVar(&w.Return, "return", 1, "texts for each prompt: the best of the beams, or several draws")
	f.StringArrayVar(&w.stop, "stop", nil, "`text` that ends a text and is not part of it; repeatable")
	f.BoolVar(&w.crop, "crop", false, "continue a prompt that is longer than the model's context from its end")
	f.IntVar(&w.Batch, "batch", 8, "texts to write at a time")
	f.IntVar(&w.Draft, "draft", draft, "guess this many tokens ahead at most, where a text repeats itself, and check them together: quicker, and the same text; 0: none")
}

// check refuses flags before anything is read.
func (w *wish) check(cmd *cobra.Command) error {
	early := map[string]generate.Early{"false": generate.EarlyEstimate, "true": generate.EarlyFull, "never": generate.EarlyNever}
	var known bool
	w.Early, known = early[w.early]
	if f := cmd.Flags(); !f.Changed("temperature") && (f.Changed("top-k") || f.Changed("top-p")) {
		w.Temperature = 1
	}
	if draws(cmd) {
		if err := w.canvas.check(cmd); err != nil {
			return err
		}
		if !cmd.Flags().Changed("temperature") {
			w.Temperature = 1
		}
	}
	switch {
	case w.Draft < 0 || w.Draft > 1024:
		return fmt.Errorf("--draft must be from 0 to 1024, not %d", w.Draft)
	case len(w.prompts) == 0 && w.file == "" || len(w.prompts) > 0 && w.file != "":
		return errNoPrompt
	case !known:
		return fmt.Errorf("--early-stopping %s is not known; there are false, true, never", w.early)
	case !(w.Temperature == 0 || w.Temperature >= 0.01 && w.Temperature <= 100): // NaN too
		return errors.New("--temperature must be 0, or from 0.01 to 100")
	case !(w.TopP > 0 && w.TopP <= 1):
		return errors.New("--top-p must be above 0 and at most 1")
	case !(w.RepetitionPenalty >= 0.01 && w.RepetitionPenalty <= 100):
		return errors.New("--repetition-penalty must be from 0.01 to 100")
	case !(w.LengthPenalty >= -100 && w.LengthPenalty <= 100):
		return errors.New("--length-penalty must be from -100 to 100")
	case w.TopK < 0:
		return errors.New("--top-k must not be negative")
	}
	for _, n := range []struct {
		name  string
		value int
		most  int
	}{{"max-tokens", w.MaxTokens, 1 << 20}, {"beams", w.Beams, 256}, {"return", w.Return, 1 << 16}, {"batch", w.Batch, 1024}} {
		if n.name == "return" && cmd.Flags().Changed("count") {
			n.name = "count"
		}
		if n.value < 1 || n.value > n.most {
			return fmt.Errorf("--%s must be from 1 to %d, not %d", n.name, n.most, n.value)
		}
	}
	for _, name := range []string{"length-penalty", "early-stopping"} {
		if cmd.Flags().Changed(name) && w.Beams == 1 {
			return fmt.Errorf("--%s goes with --beams", name)
		}
	}
	for _, stop := range w.stop {
		if stop == "" {
			return errors.New("--stop is empty; give a text")
		}
	}
	if err := w.Options.Check(); err != nil {
		return fmt.Errorf("--beams, --return, --temperature: %w", err)
	}
	return nil
}

// maxPrompts bounds what prompts take in memory.
const maxPrompts = 1 << 30

// read reads the prompts; where says where one comes from.
func (w *wish) read() (prompts []string, where func(i int) string, err error) {
	if w.file == "" {
		where = func(i int) string {
			if len(w.prompts) == 1 {
				return "--prompt"
			}
			return fmt.Sprintf("--prompt %d", i+1)
		}
		return w.prompts, where, nil
	}
	name, in := "standard input", io.Reader(os.Stdin)
	if w.file != "-" {
		f, err := regularfile.Open(w.file)
		if err != nil {
			return nil, nil, fmt.Errorf("--prompts: %w", err)
		}
		defer f.Close()
		name, in = w.file, f
	}
	size := 0
	err = eachLine(name, in, func(line string) error {
		line = strings.TrimRight(line, "\r\n")
		if strings.EqualFold(filepath.Ext(w.file), ".jsonl") {
			var object struct{ Prompt *string }
			if err := json.Unmarshal([]byte(line), &object); err != nil || object.Prompt == nil {
				return errors.New("a line of prompts is {\"prompt\": \"...\"}")
			}
			line = *object.Prompt
		}
		if size += len(line) + 16; size > maxPrompts {
			return fmt.Errorf("prompts of more than %d bytes; give them in several files", maxPrompts)
		}
		prompts = append(prompts, line)
		return nil
	})
	if err == nil && len(prompts) == 0 {
		err = fmt.Errorf("%s has no prompts", name)
	}
	return prompts, func(i int) string { return fmt.Sprintf("%s:%d", name, i+1) }, err
}

// write writes the texts.
func (w *wish) write(t *trained) error {
	l, err := t.language()
	if err != nil {
		return wrong(err)
	}
	prompts, where, err := w.read()
	if err != nil {
		return wrong(err)
	}
	tokens := make([][]int32, len(prompts))
	for i, prompt := range prompts {
		if tokens[i], err = l.encode(prompt); err == nil && len(tokens[i]) == 0 {
			err = errors.New("the prompt is empty; give at least one character to continue from")
		}
		if err != nil {
			return wrong(fmt.Errorf("%s: %w", where(i), err))
		}
	}
	if err := t.load(w.threads); err != nil {
		return err
	}
	writer, err := t.newWriter(l, w.Options, w.stop, tokens)
	if err != nil {
		return wrong(fmt.Errorf("job %s: %w", t.job.Name, err))
	}
	if w.crop && !l.answers {
		for i, prompt := range tokens {
			tokens[i] = prompt[max(0, len(prompt)-writer.decoder.Context()):]
		}
	}
	if err := writer.check(tokens, where); err != nil {
		if !l.answers {
			err = fmt.Errorf("%w; shorten it, or continue it from its end by --crop", err)
		}
		return wrong(err)
	}
	return failed(w.show(writer, prompts, tokens))
}

// record is what generate writes of a text as JSON.
type record struct {
	Prompt       string   `json:"prompt"`
	Text         string   `json:"text"` // what was written
	Tokens       []int32  `json:"tokens"`
	PromptTokens []int32  `json:"prompt_tokens"`
	Ended        bool     `json:"ended"`           // by a token that ends texts or by --stop, not by --max-tokens
	Score        *float32 `json:"score,omitempty"` // of beams
}

// show writes texts to standard output, those of some prompts before the next are worked on.
func (w *wish) show(writer *writer, prompts []string, tokens [][]int32) error {
	const together = 16 // times as many as are worked on at a time
	single := len(prompts) == 1 && w.Return == 1 && w.Beams == 1 && !w.asJSON
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for begin, size := 0, together*w.Batch; begin < len(prompts); begin += size {
		end := min(begin+size, len(prompts))
		var piece func(string)
		if single {
			if !writer.answers {
				fmt.Print(prompts[0])
			}
			piece = func(text string) { fmt.Print(text) }
		}
		texts, err := writer.write(tokens[begin:end], piece)
		if err != nil {
			return err
		}
		if single {
			_, err := fmt.Println()
			return err
		}
		for i, all := range texts {
			if err := w.showTexts(out, writer, prompts[begin+i], tokens[begin+i], all, begin+i == 0); err != nil {
				return err
			}
		}
	}
	return nil
}

// showTexts writes what was written for one prompt.
func (w *wish) showTexts(out *json.Encoder, writer *writer, prompt string, tokens []int32, texts []written, first bool) error {
	for k, text := range texts {
		var err error
		switch {
		case w.asJSON:
			r := record{prompt, text.text, append([]int32{}, text.Tokens...), tokens, text.Ended, nil}
			if w.Beams > 1 {
				r.Score = &text.Score
			}
			err = out.Encode(r)
		case writer.answers:
			_, err = fmt.Println(text.text)
		default:
			if !first || k > 0 {
				fmt.Println() // between texts that may have several lines
			}
			_, err = fmt.Println(prompt + text.text)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
