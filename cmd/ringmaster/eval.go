package main

import (
	"fmt"
	"math"
	"os"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/trainer"
)

func evalCommand() *cobra.Command {
	flags := trainedFlags{heeds: []string{"data.kind", "data.train_per_class", "data.eval_per_class", "data.mean", "data.std"}}
	cmd := &cobra.Command{
		Use:   "eval CHECKPOINT",
		Short: "Compute a checkpoint's loss and accuracy on the job's evaluation set, the same in every bit as its run did",
		Long: "Compute a checkpoint's loss and accuracy on the job's evaluation set, the same in every bit as its run did.\n" +
			"CHECKPOINT is the folder of a run, a folder of checkpoints, one checkpoint, or a .safetensors file with --job.",
		Args: cli.Takes("CHECKPOINT"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := flags.find(cmd, args[0])
			if err != nil {
				return err
			}
			if err := t.open(); err != nil {
				return err
			}
			if t.data.Eval == nil || t.data.Eval.Len() == 0 {
				return wrong(fmt.Errorf("job %s has no evaluation set; name data that have one by --set data.dir=DIR", t.job.Name))
			}
			defer t.close()
			if err := t.load(flags.threads); err != nil {
				return err
			}
			e, err := t.plan.Score(t.team, t.state.Params, t.state.Stats)
			if err != nil {
				return failed(err)
			}
			return failed(t.showEvaluation(e, flags.asJSON))
		},
	}
	flags.bind(cmd)
	return cmd
}

// evaluation is what eval writes as JSON. SameData says whether the data are those of the training run; it is missing for
// a file of parameters, which does not tell.
type evaluation struct {
	origin
	Loss     *float64 `json:"loss"` // null: not finite
	Accuracy float64  `json:"accuracy"`
	Count    uint64   `json:"count"` // of targets: samples, or tokens of text
	SameData *bool    `json:"same_data,omitempty"`
}

func (t *trained) showEvaluation(e *trainer.Evaluation, asJSON bool) error {
	out := evaluation{origin: t.origin(), Accuracy: e.Accuracy, Count: e.Count}
	if !math.IsNaN(e.Loss) && !math.IsInf(e.Loss, 0) {
		out.Loss = &e.Loss
	}
	if t.manifest != nil {
		same := t.data.Fingerprint == [32]byte(t.manifest.Fingerprint)
		out.SameData = &same
		if !same {
			fmt.Fprintf(os.Stderr, "ringmaster: the data in %s are not those that job %s was trained with\n", t.job.Data.Dir, t.job.Name)
		}
	}
	if asJSON {
		return writeJSON(os.Stdout, out)
	}
	rows := []string{"checkpoint\t" + out.Checkpoint, "digest\t" + out.Digest,
		fmt.Sprintf("test loss\t%.4f", e.Loss), fmt.Sprintf("test accuracy\t%.2f %%", 100*e.Accuracy), fmt.Sprintf("targets\t%d", e.Count)}
	return table(os.Stdout, rows)
}
