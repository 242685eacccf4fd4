package main

import (
	"bufio"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cli"
)

func historyCommand() *cobra.Command {
	var asJSON bool
	var step uint64
	cmd := &cobra.Command{
		Use:   "history DIR",
		Short: "Print the curve of a training: loss, accuracy, learning rate and gradient norm by step",
		Long: `Prints the history that the newest good checkpoint holds, as CSV or JSON. A point stands for as many steps as it
takes to keep the history within 1,024 points: loss and accuracy are the means of its steps, the learning rate and the gradient norm (of the
mean gradient, before clipping) those of its last step. Equal trainings have equal curves, with one digest, on any cluster.`,
		Example: "  ringmaster checkpoints history runs/quickstart-1 > curve.csv",
		Args:    cli.Takes("DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			entry, err := pick(args[0], cmd.Flags().Changed("step"), step)
			if err != nil {
				return err
			}
			h, err := entry.History()
			if err != nil {
				return failed(err)
			}
			if asJSON {
				return failed(writeJSON(os.Stdout, curveOf(h, entry.Step)))
			}
			fmt.Fprintf(os.Stderr, "curve of %d steps, digest %s\n", entry.Step, h.Digest(entry.Step))
			return failed(writeCurve(os.Stdout, h.Curve(entry.Step)))
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	cmd.Flags().Uint64Var(&step, "step", 0, "take the checkpoint after this step (default: the newest good one)")
	return cmd
}

// curvePoint is a point of a curve in JSON; figures that are not finite are null.
type curvePoint struct {
	Step         uint64   `json:"step"`
	Loss         *float32 `json:"loss"`
	Accuracy     *float32 `json:"accuracy"`
	LearningRate *float32 `json:"learning_rate"`
	GradNorm     *float32 `json:"grad_norm"`
}

func orNull(x float32) *float32 {
	if x-x != 0 {
		return nil
	}
	return &x
}

func curveOf(h checkpoint.History, step uint64) any {
	points := []curvePoint{}
	for _, p := range h.Curve(step) {
		points = append(points, curvePoint{p.Step, orNull(p.Loss), orNull(p.Accuracy), orNull(p.LearningRate), orNull(p.GradNorm)})
	}
	return map[string]any{"step": step, "stride": checkpoint.HistoryStride(step), "digest": h.Digest(step).String(), "points": points}
}

// writeCurve writes CSV. Numbers have the digits that give the same float32 again.
func writeCurve(w io.Writer, points []checkpoint.Point) error {
	b := bufio.NewWriter(w)
	fmt.Fprintln(b, "step,loss,accuracy,learning_rate,grad_norm")
	for _, p := range points {
		fmt.Fprintf(b, "%d,%v,%v,%v,%v\n", p.Step, p.Loss, p.Accuracy, p.LearningRate, p.GradNorm)
	}
	return b.Flush()
}
