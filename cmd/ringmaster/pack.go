package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/plural"
)

func packCommand() *cobra.Command {
	var out string
	var sets []string
	cmd := &cobra.Command{
		Use:   "pack JOB|PATH",
		Short: "Write data as shards that workers read from a folder or over HTTP",
		Long: "Write data as shards that workers read from a folder or over HTTP.\n" +
			"JOB is a job file, whose section data says what is read; PATH is the data themselves (a table, a folder or archive of pictures,\n" +
			"the folder of MNIST, texts), of which --set says the rest. Pictures are packed decoded; what the job makes of records (means,\n" +
			"crops, standardising, windows of text) is not packed. A job that reads the set by data.path has the same bits as one that\n" +
			"reads the data, and resumes its checkpoints. Every record is checked against the set's Merkle root when it is read.",
		Args: cli.Takes("JOB|PATH"),
		RunE: func(_ *cobra.Command, args []string) error {
			return pack(args[0], sets, out, false)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the `folder` that is written; it must not exist, or be empty")
	cmd.Flags().StringArrayVar(&sets, "set", nil, "override a job key, `KEY=VALUE`; repeatable")
	return cmd
}

// pack writes the data of a job, or those at a path. splits says that they are divided for it, as only tables can be.
func pack(path string, sets []string, out string, splits bool) error {
	if out == "" {
		return wrong(errors.New("--out is missing: name the folder that the shards are written to"))
	}
	job, err := jobOrData(path, sets)
	if err != nil {
		return wrong(err)
	}
	if splits && !job.Data.IsTable() && !job.Data.HasPictures() {
		return wrong(fmt.Errorf("%s: data of kind %s have parts of their own, and only tables are split: pack them as they are (ringmaster data pack)", path, job.Data.Kind))
	}
	if err := dataset.Settle(job); err != nil {
		return wrong(job.Blame("data", err))
	}
	d, err := dataset.Pack(job.Data, out)
	if err != nil {
		return failed(job.Blame("data", err))
	}
	warn(d.Account())
	eval := 0
	if d.Eval != nil {
		eval = d.Eval.Len()
	}
	fmt.Printf("packed %s for training and %d for evaluation into %s, fingerprint %x\nread it by --set data.path=%s, from there or from an HTTP server that serves it\n",
		plural.Of(d.Train.Len(), "record"), eval, out, d.Fingerprint, out)
	return nil
}

func splitCommand() *cobra.Command {
	var out, by, group string
	var eval float64
	var seed uint64
	var folds, fold int
	var sets []string
	cmd := &cobra.Command{
		Use:   "split JOB|PATH",
		Short: "Divide the rows of a table for training and evaluation, and write both as shards",
		Long: "Divide the rows of a table for training and evaluation, and write both as shards.\n" +
			"The parts are those of a job with the same data.split; see data pack for what is written and how it is read.",
		Args: cli.Takes("JOB|PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			split := []string{"data.split.by=" + by, fmt.Sprintf("data.split.seed=%d", seed)}
			if folds > 0 {
				split = append(split, fmt.Sprintf("data.split.folds=%d", folds), fmt.Sprintf("data.split.fold=%d", fold))
			} else {
				split = append(split, fmt.Sprintf("data.split.eval=%v", eval))
			}
			if group != "" {
				split = append(split, "data.group="+group)
			}
			return pack(args[0], append(split, sets...), out, true)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the `folder` that is written; it must not exist, or be empty")
	cmd.Flags().Float64Var(&eval, "eval", 0.2, "the `share` of the rows for evaluation")
	cmd.Flags().StringVar(&by, "by", config.SplitRandom, "`how`: random, stratified, group or hash")
	cmd.Flags().StringVar(&group, "group", "", "by group: the `column` that says which rows belong together")
	cmd.Flags().Uint64Var(&seed, "seed", 1, "another `seed` gives another split")
	cmd.Flags().IntVar(&folds, "folds", 0, "instead of a share: the `number` of parts of about one size")
	cmd.Flags().IntVar(&fold, "fold", 0, "the `part`, counted from 0, that is for evaluation")
	cmd.Flags().StringArrayVar(&sets, "set", nil, "override a job key, `KEY=VALUE`; repeatable")
	return cmd
}

// jobOrData is the job in a file, or one for the data at a path.
func jobOrData(path string, sets []string) (*config.Job, error) {
	if slices.Contains([]string{".yaml", ".yml"}, strings.ToLower(filepath.Ext(path))) {
		return config.Load(path, sets)
	}
	text, err := dataset.JobFor(path)
	if err != nil {
		return nil, err
	}
	return config.Parse(path, text, sets)
}
