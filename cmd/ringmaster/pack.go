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
			return pack(args[0], sets, out, nil)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the `folder` that is written; it must not exist, or be empty")
	cmd.Flags().StringArrayVar(&sets, "set", nil, "override a job key, `KEY=VALUE`; repeatable")
	return cmd
}

// pack writes the data of a job, or those at a path. split is how they are divided for it, as only tables and pictures can be; else nil.
func pack(path string, sets []string, out string, split *splitting) error {
	if out == "" {
		return wrong(errors.New("--out is missing: name the folder that is written"))
	}
	job, err := jobOrData(path, sets)
	if err != nil {
		return wrong(err)
	}
	if split != nil {
		if err := split.check(path, job.Data); err != nil {
			return wrong(err)
		}
	}
	if err := dataset.Settle(job); err != nil {
		return wrong(job.Blame("data", err))
	}
	if split != nil && split.as != asShards {
		return split.write(job, out)
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
	test := ""
	if n := d.TestLen(); n > 0 {
		test = fmt.Sprintf(", and %d for test,", n)
	}
	fmt.Printf("packed %s for training and %d for evaluation%s into %s, fingerprint %x\nread it by --set data.path=%s, from there or from an HTTP server that serves it\n",
		plural.Of(d.Train.Len(), "record"), eval, test, out, d.Fingerprint, out)
	return nil
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
