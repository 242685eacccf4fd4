package main

import (
	"fmt"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/metric"
	"ringmaster/internal/model"
	"ringmaster/internal/printable"
	"ringmaster/internal/trainer"
)

func evalCommand() *cobra.Command {
	flags := trainedFlags{metrics: true, heeds: []string{"data.kind", "data.train_per_class", "data.eval_per_class", "data.mean", "data.std"}}
	var part string
	var bleu translation
	cmd := &cobra.Command{
		Use:   "eval CHECKPOINT",
		Short: "Compute a checkpoint's loss and metrics on the job's evaluation set, the same in every bit as its run did",
		Long: "Compute a checkpoint's loss and metrics on the job's evaluation set, the same in every bit as its run did.\n" +
			"With train.metrics, of the job or by --set train.metrics=[f1,auc], also precision, recall and F1 of every class and the\n" +
			"confusion matrix, as far as they fit: in the table of up to 100 and 20 classes, as JSON of up to 1,000 and 64.\n" +
			"With --bleu the model translates the evaluation pairs instead, and the translations are scored as sacrebleu does.\n" +
			"CHECKPOINT is the folder of a run, a folder of checkpoints, one checkpoint, or, with --job, a .safetensors file or a folder as\n" +
			"Hugging Face's save_pretrained writes it.",
		Args: cli.Takes("CHECKPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := bleu.check(cmd); err != nil {
				return wrong(err)
			}
			t, err := flags.find(cmd, args[0])
			if err != nil {
				return err
			}
			if bleu.wanted {
				bleu.asJSON, bleu.threads = flags.asJSON, flags.threads
				return bleu.score(t)
			}
			if err := t.open(); err != nil {
				return err
			}
			if err := t.choosePart(part); err != nil {
				return wrong(err)
			}
			if t.data.Eval == nil || t.data.Eval.Len() == 0 {
				return wrong(fmt.Errorf("job %s has no evaluation set; name data that have one by --set data.dir=DIR", t.job.Name))
			}
			defer t.close()
			if err := t.load(flags.threads); err != nil {
				return err
			}
			if t.plan.Metrics, err = trainer.BuildMetrics(t.job, t.plan.Model, t.data); err != nil {
				return wrong(err)
			}
			if t.plan.Metrics != nil {
				t.plan.Metrics = t.plan.Metrics.Tables()
			}
			e, sums, err := t.plan.ScoreMetrics(t.team, t.state.Params, t.state.Stats)
			if err != nil {
				return failed(err)
			}
			if err := t.showEvaluation(e, sums, flags.asJSON, part); err != nil {
				return failed(err)
			}
			return failed(t.checkFinite(e))
		},
	}
	flags.bind(cmd)
	bleu.bind(cmd)
	cmd.Flags().StringVar(&part, "part", evalPart, "the `part` of the data: eval, the evaluation set, or test, what data.split.test or a folder test keeps for the end")
	return cmd
}

// The parts of the data that eval evaluates.
const (
	evalPart = "eval"
	testPart = "test"
)

// choosePart makes a part of the data the one that is evaluated.
func (t *trained) choosePart(part string) error {
	switch part {
	case evalPart:
		return nil
	case testPart:
		before := len(t.data.Warnings)
		if err := t.data.UseTest(); err != nil {
			return t.job.Blame("data", err)
		}
		warn(t.data.Warnings[before:])
		return nil
	}
	return fmt.Errorf("--part must be %s or %s, not %s", evalPart, testPart, printable.Typed(part))
}

// evaluation is what eval writes as JSON. SameData says whether the data are those of the training run; it is missing for
// a file of parameters, which does not tell.
type evaluation struct {
	origin
	Loss     *float64 `json:"loss"`     // null: not finite
	Accuracy *float64 `json:"accuracy"` // null: the targets are no classes, or the loss is not finite, so there was nothing to compare
	Count    uint64   `json:"count"`    // of targets: samples, or tokens of text
	SameData *bool    `json:"same_data,omitempty"`
	Part     string   `json:"part,omitempty"` // test; missing: the evaluation set
	scores
}

func (t *trained) showEvaluation(e *trainer.Evaluation, sums *metric.Sums, asJSON bool, part string) error {
	out := evaluation{origin: t.origin(), Count: e.Count, scores: t.scores(sums)}
	accuracy := "none"
	if finite(e.Loss) {
		out.Loss = &e.Loss
		if finite(e.Accuracy) {
			out.Accuracy = &e.Accuracy
			accuracy = fmt.Sprintf("%.2f %%", 100*e.Accuracy)
		}
	}
	if t.manifest != nil {
		same := t.data.Fingerprint == [32]byte(t.manifest.Fingerprint)
		out.SameData = &same
		if !same {
			fmt.Fprintf(os.Stderr, "ringmaster: the data in %s are not those that job %s was trained with\n", strings.Join(t.job.Data.Places(), ", "), t.job.Name)
		}
	}
	if part == testPart {
		out.Part = part
	}
	if asJSON {
		return writeJSON(os.Stdout, out)
	}
	rows := []string{"checkpoint\t" + out.Checkpoint, "digest\t" + out.Digest,
		fmt.Sprintf("test loss\t%.4f", e.Loss)}
	if t.averaged != "" {
		rows = slices.Insert(rows, 1, "weights\taverage (train.ema)")
	}
	if t.plan.Model.Classifies() {
		rows = append(rows, "test accuracy\t"+accuracy)
	}
	for _, f := range out.figures {
		if f.Name != "accuracy" || !t.plan.Model.Classifies() {
			rows = append(rows, "test "+f.Name+"\t"+f.String())
		}
	}
	rows = append(rows, fmt.Sprintf("targets\t%d", e.Count))
	if err := table(os.Stdout, rows); err != nil {
		return err
	}
	return out.tables(os.Stdout)
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// checkFinite makes an error of a loss that is not finite, and names a tensor that is to blame, where one is.
func (t *trained) checkFinite(e *trainer.Evaluation) error {
	if finite(e.Loss) {
		return nil
	}
	for _, part := range []struct {
		tensors []model.Tensor
		values  []float32
	}{{t.plan.Model.Params(), t.state.Params}, {t.plan.Model.Stats(), t.state.Stats}} {
		for _, tensor := range part.tensors {
			values := part.values[tensor.Interval.Begin:tensor.Interval.End]
			if k := slices.IndexFunc(values, func(v float32) bool { return !finite(float64(v)) }); k >= 0 {
				return fmt.Errorf("the test loss is %v: tensor %s of %s holds %v (value %d): take an earlier checkpoint, or train again", e.Loss, tensor.Name, t.path, values[k], k)
			}
		}
	}
	return fmt.Errorf("the test loss is %v, although all parameters of %s are finite: look for values in the data that are too large", e.Loss, t.path)
}
