package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
)

// asShards is the form of a packed set.
const asShards = "shards"

// splitting is how data are divided, and in which form the parts are written.
type splitting struct {
	by, group   string
	eval, test  float64
	seed        uint64
	folds, fold int
	as          string
	evalGiven   bool
}

func splitCommand() *cobra.Command {
	var s splitting
	var out string
	var sets []string
	cmd := &cobra.Command{
		Use:   "split JOB|PATH",
		Short: "Divide a table or pictures for training, evaluation and test, and write the parts",
		Long: "Divide a table or pictures for training, evaluation and test, and write the parts.\n" +
			"The parts are those of a job with the same data.split, which needs nothing written. Tables are written as shards (see data pack).\n" +
			"A folder of pictures, train/CLASS/* or CLASS/*, becomes the folders train, val and test of links to its files (--as links) or of\n" +
			"copies, or lists of its files as tables (--as lists), or shards of decoded pictures. What exists is never overwritten.",
		Args: cli.Takes("JOB|PATH"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s.evalGiven = cmd.Flags().Changed("eval")
			return pack(args[0], append(s.keys(), sets...), out, &s)
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "the `folder` that is written; it must not exist, or be empty")
	cmd.Flags().Float64Var(&s.eval, "eval", 0.2, "the `share` of the samples for evaluation")
	cmd.Flags().Float64Var(&s.test, "test", 0, "the `share` of the samples for a test at the end")
	cmd.Flags().StringVar(&s.by, "by", config.SplitRandom, "`how`: random, stratified, group or hash")
	cmd.Flags().StringVar(&s.group, "group", "", "by group: the `column` that says which rows belong together; of pictures an expression that finds it in their paths")
	cmd.Flags().Uint64Var(&s.seed, "seed", 1, "another `seed` gives another split")
	cmd.Flags().IntVar(&s.folds, "folds", 0, "instead of a share: the `number` of parts of about one size")
	cmd.Flags().IntVar(&s.fold, "fold", 0, "the `part`, counted from 0, that is for evaluation")
	cmd.Flags().StringVar(&s.as, "as", "", "the `form`: shards, or of pictures links, copies or lists (default: shards, of pictures links)")
	cmd.Flags().StringArrayVar(&sets, "set", nil, "override a job key, `KEY=VALUE`; repeatable")
	return cmd
}

// keys are the keys of a job that divides its data so.
func (s *splitting) keys() []string {
	keys := []string{"data.split.by=" + s.by, fmt.Sprintf("data.split.seed=%d", s.seed)}
	if s.folds > 0 {
		keys = append(keys, fmt.Sprintf("data.split.folds=%d", s.folds), fmt.Sprintf("data.split.fold=%d", s.fold))
	}
	if s.folds == 0 || s.evalGiven {
		keys = append(keys, fmt.Sprintf("data.split.eval=%v", s.eval))
	}
	if s.test != 0 {
		keys = append(keys, fmt.Sprintf("data.split.test=%v", s.test))
	}
	if s.group != "" {
		keys = append(keys, "data.group="+s.group)
	}
	return keys
}

// check refuses what cannot be split, or not into the form, and settles the form.
func (s *splitting) check(path string, c config.Data) error {
	pictures := c.Kind == config.DataImages && c.Path == ""
	if !c.IsTable() && !c.HasPictures() && !pictures {
		return fmt.Errorf("%s: data of kind %s have parts of their own, and only tables and pictures are split: pack them as they are (ringmaster data pack)", path, c.Kind)
	}
	forms := []string{asShards}
	if pictures {
		forms = append(forms, dataset.SplitForms...)
	}
	if s.as == "" {
		s.as = forms[min(1, len(forms)-1)]
	}
	if !slices.Contains(forms, s.as) {
		return fmt.Errorf("--as %s: data of kind %s are written as %s", printable.Typed(s.as), c.Kind, strings.Join(forms, ", "))
	}
	return nil
}

// write writes the parts of pictures.
func (s *splitting) write(job *config.Job, out string) error {
	w, err := dataset.WriteSplit(job.Data, out, s.as)
	if err != nil {
		return failed(job.Blame("data", err))
	}
	warn([]string{"read " + w.Read})
	fmt.Printf("wrote %s for training and %d for evaluation, and %d for test, into %s as %s\ntrain on them by data: %s\n",
		plural.Of(w.Counts[0], "picture"), w.Counts[1], w.Counts[2], out, s.as, w.Keys)
	return nil
}
