package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"ringmaster/internal/dataset"
	"ringmaster/internal/generate"
	"ringmaster/internal/metric"
	"ringmaster/internal/model"
	"ringmaster/internal/plural"
)

// translation is how eval translates the evaluation pairs and scores them by BLEU.
type translation struct {
	wanted       bool
	beams, batch int
	penalty      float64
	out          string
	asJSON       bool
	threads      int
}

func (b *translation) bind(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&b.wanted, "bleu", false, "pairs: translate the sources of data.eval and compare with its targets, as sacrebleu does by default")
	cmd.Flags().IntVar(&b.beams, "beams", 1, "with --bleu: `number` of beams; 1 takes the likeliest token each time")
	cmd.Flags().IntVar(&b.batch, "batch", 32, "with --bleu: `number` of texts that a thread works on together")
	cmd.Flags().Float64Var(&b.penalty, "length-penalty", 1, "with --beams: `power` of the length that a beam's score is divided by")
	cmd.Flags().StringVar(&b.out, "out", "", "with --bleu: `file` to write the translations to, one a line")
}

func (b *translation) check(cmd *cobra.Command) error {
	if !b.wanted {
		for _, name := range []string{"beams", "batch", "length-penalty", "out"} {
			if cmd.Flags().Changed(name) {
				return fmt.Errorf("--%s goes with --bleu", name)
			}
		}
		return nil
	}
	const most = 1024
	switch {
	case cmd.Flags().Changed("part"):
		return errors.New("--part does not go with --bleu: name the pairs by --set data.eval=PLACE")
	case b.beams < 1 || b.beams > most:
		return fmt.Errorf("--beams must be from 1 to %d, not %d", most, b.beams)
	case b.batch < 1 || b.batch > most:
		return fmt.Errorf("--batch must be from 1 to %d, not %d", most, b.batch)
	case cmd.Flags().Changed("length-penalty") && b.beams == 1:
		return errors.New("--length-penalty goes with --beams")
	case b.out != "":
		return checkTarget("--out", b.out)
	}
	return nil
}

// bleuScore is what eval --bleu writes as JSON.
type bleuScore struct {
	origin
	BLEU      float64    `json:"bleu"`
	Precision [4]float64 `json:"precisions"`
	Brevity   float64    `json:"brevity_penalty"`
	Length    int        `json:"length"`           // words of the translations
	Reference int        `json:"reference_length"` // of the targets
	Texts     int        `json:"texts"`
	Cut       int        `json:"cut,omitempty"` // sources that were longer than the model reads
	Beams     int        `json:"beams"`
	Signature string     `json:"signature"`
}

// score translates and compares. The data that the model was trained on need not be there.
func (b *translation) score(t *trained) error {
	if err := t.recall(); err != nil {
		return err
	}
	if t.data.Lexicon == nil {
		return wrong(fmt.Errorf("job %s was not trained on pairs of texts, so it translates nothing: leave --bleu out", t.job.Name))
	}
	pairs, leftOut, err := dataset.EvalPairs(t.job.Data)
	if err != nil {
		return wrong(t.job.Blame("data", err))
	}
	if leftOut != "" {
		warn([]string{"left out: " + leftOut})
	}
	if err := t.load(1); err != nil {
		return err
	}
	defer t.close()
	translations, cut, err := b.translate(t, pairs)
	if err != nil {
		return failed(err)
	}
	if b.out != "" {
		if err := writeWhole(b.out, func(w io.Writer) error { return writeLines(w, translations) }); err != nil {
			return failed(err)
		}
	}
	var score metric.BLEU
	for i, text := range translations {
		score.Add(text, pairs[i].Target)
	}
	return failed(b.show(t, &score, cut))
}

func (b *translation) show(t *trained, score *metric.BLEU, cut int) error {
	if cut > 0 {
		warn([]string{plural.Of(cut, "source") + " longer than the model reads were cut"})
	}
	if b.asJSON {
		return writeJSON(os.Stdout, bleuScore{t.origin(), score.Score(), score.Precisions(), score.BrevityPenalty(), score.Length, score.Reference, score.Texts, cut, b.beams, metric.BLEUSignature})
	}
	o := t.origin()
	rows := []string{"checkpoint\t" + o.Checkpoint, "digest\t" + o.Digest, fmt.Sprintf("texts\t%d", score.Texts), fmt.Sprintf("beams\t%d", b.beams)}
	if t.averaged != "" {
		rows = append(rows, "weights\taverage (train.ema)")
	}
	if err := table(os.Stdout, rows); err != nil {
		return err
	}
	_, err := fmt.Println(score)
	return err
}

// writeLines writes texts, one a line: line ends in them become spaces.
func writeLines(to io.Writer, texts []string) error {
	w := bufio.NewWriter(to)
	for _, text := range texts {
		if _, err := fmt.Fprintln(w, strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ").Replace(text)); err != nil {
			return err
		}
	}
	return w.Flush()
}

// translate translates the sources, several at a time in each thread. Sources that are too long are cut as in training: the end stays.
func (b *translation) translate(t *trained, pairs []dataset.Pair) (texts []string, cut int, err error) {
	l := t.data.Lexicon
	most := t.data.Schema[t.data.Schema.Find(dataset.SourceTokens)].Width()
	sources := make([][]int32, len(pairs))
	for i, p := range pairs {
		if sources[i], err = l.Encode(p.Source); err != nil {
			return nil, 0, fmt.Errorf("pair %d: %w", i+1, err)
		}
		if len(sources[i]) > most {
			sources[i] = append(sources[i][:most-1], l.End())
			cut++
		}
	}
	work := &translating{translation: b, trained: t, sources: sources, texts: make([]string, len(pairs))}
	var all sync.WaitGroup
	for range min(b.threads, len(sources)) {
		all.Go(work.run)
	}
	all.Wait()
	if work.shown {
		fmt.Fprint(os.Stderr, "\r\033[K")
	}
	return work.texts, cut, work.err
}

// translating is threads that share out sources among them. What is written for one does not depend on the others.
type translating struct {
	*translation
	*trained
	sources [][]int32
	texts   []string

	lock  sync.Mutex
	begun int
	done  int
	shown bool
	err   error
}

// take takes the next sources; there are none after an error.
func (w *translating) take() (begin, end int) {
	w.lock.Lock()
	defer w.lock.Unlock()
	begin = w.begun
	w.begun = min(begin+4*w.batch, len(w.sources))
	if w.err != nil {
		return begin, begin
	}
	return begin, w.begun
}

func (w *translating) run() {
	options := generate.Options{MaxTokens: w.plan.Data.Schema[w.plan.Data.Schema.Find(dataset.ShiftedTokens)].Width(), End: []int32{w.data.Lexicon.End()},
		Beams: w.beams, LengthPenalty: w.penalty, Batch: max(w.batch, w.beams)}
	_, slots := options.Slots()
	decoder, err := w.plan.Model.NewDecoder(nil, w.state.Params, w.state.Stats, model.DecoderOptions{Slots: slots})
	for begin, end := w.take(); err == nil && begin < end; begin, end = w.take() {
		var written [][]generate.Text
		if written, err = generate.Write(decoder, w.sources[begin:end], options, nil); err == nil {
			for i, each := range written {
				w.texts[begin+i] = w.data.Lexicon.Decode(each[0].Tokens)
			}
			w.tell(end - begin)
		}
	}
	w.lock.Lock()
	defer w.lock.Unlock()
	w.err = errors.Join(w.err, err)
}

// tell shows on a terminal how many have been translated.
func (w *translating) tell(n int) {
	w.lock.Lock()
	defer w.lock.Unlock()
	w.done += n
	if term.IsTerminal(int(os.Stderr.Fd())) {
		fmt.Fprintf(os.Stderr, "\rtranslated %d of %d", w.done, len(w.sources))
		w.shown = true
	}
}
