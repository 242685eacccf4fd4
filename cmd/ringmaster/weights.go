package main

import (
	"io"
	"slices"

	"github.com/spf13/cobra"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/optim"
)

// bindNoEMA binds the flag that takes the trained parameters where the job has train.ema.
func bindNoEMA(cmd *cobra.Command, noEMA *bool) {
	cmd.Flags().BoolVar(noEMA, "no-ema", false, "of a job with train.ema take the trained parameters, not their average")
}

// average puts the average of the parameters in their place, where the job keeps one.
func (t *trained) average() {
	k := slices.IndexFunc(t.state.Optim, func(b checkpoint.Buffer) bool { return b.Name == optim.AverageName })
	if t.entry != nil && k >= 0 && !t.noEMA {
		t.state.Params, t.averaged = t.state.Optim[k].Data, optim.AverageName
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
