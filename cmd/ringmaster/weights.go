package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/spf13/cobra"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/config"
	"ringmaster/internal/metric"
	"ringmaster/internal/objects"
	"ringmaster/internal/optim"
)

// bindChoice binds the flags that say which weights of a run are taken.
func (f *trainedFlags) bindChoice(cmd *cobra.Command) {
	cmd.Flags().Uint64Var(&f.step, "step", 0, "take the checkpoint after this step (default: the newest good one)")
	cmd.Flags().BoolVar(&f.best, "best", false, "take the checkpoint of the best epoch by checkpoint.keep_best, else by train.early_stop's metric or the loss")
	cmd.Flags().BoolVar(&f.noEMA, "no-ema", false, "of a job with train.ema take the trained parameters, not their average")
}

// pick is the checkpoint that the flags choose.
func (f *trainedFlags) pick(cmd *cobra.Command, path string) (*checkpoint.Entry, error) {
	f.byStep = cmd.Flags().Changed("step")
	if !f.best {
		return pick(path, f.byStep, f.step)
	}
	if f.byStep {
		return nil, wrong(errors.New("--best and --step name two checkpoints; leave one out"))
	}
	if objects.Is(path) {
		return nil, wrong(fmt.Errorf("--best looks at all checkpoints of a run: bring them to this machine by ringmaster checkpoints copy %s DIR, and name DIR", path))
	}
	newest, err := pick(path, false, 0)
	if err != nil {
		return nil, err
	}
	job, err := config.Decode([]byte(newest.Manifest.Config))
	if err != nil {
		return nil, wrong(fmt.Errorf("the job in %s: %w", newest.Path, err))
	}
	found, err := checkpoint.Locate(disk.OS{}, path)
	if err != nil {
		return nil, wrong(err)
	}
	entry, err := found.BestBy(cmp.Or(metric.KeepBest(job), metric.EarlyStop(job), &metric.Rule{Metric: "loss"}))
	if err != nil {
		return nil, wrong(fmt.Errorf("--best: %w; with checkpoint.keep_best the job keeps the one of its best epoch", err))
	}
	return entry, nil
}

// average puts the average of the parameters in their place, where the job keeps one.
func (t *trained) average() {
	k := slices.IndexFunc(t.state.Optim, func(b checkpoint.Buffer) bool { return b.Name == optim.AverageName })
	if t.entry != nil && k >= 0 && !t.noEMA {
		t.plan.Model.Scatter(t.state.Params, t.state.Optim[k].Data)
		t.averaged = optim.AverageName
	}
}

// writeWeights writes a checkpoint's parameters as a safetensors file, or their average where the job keeps one, and says which with
// their digest.
func writeWeights(w io.Writer, entry *checkpoint.Entry, noEMA bool) (what string, digest checkpoint.Hash, err error) {
	job, err := config.Decode([]byte(entry.Manifest.Config))
	if err != nil || job.Train.EMA == 0 || noEMA {
		return "the parameters", entry.Manifest.Digest, entry.Export(w)
	}
	digest, err = entry.ExportBuffer(w, optim.AverageName)
	return "the average of the parameters", digest, err
}
