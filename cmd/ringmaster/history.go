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
mean gradient, before clipping) those of its last step. With train.gradient_noise there are also the estimated square of the true gradient and
the variance of a target's gradient, means of the steps, and their quotient, the noise scale: the number of targets in a batch at which both weigh the
same. Equal trainings have equal curves, with one digest, on any cluster.`,
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
			return failed(writeCurve(os.Stdout, h.Curve(entry.Step), h.Noisy()))
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

	GradSquare   *float32 `json:"gradient_square,omitempty"`
	GradVariance *float32 `json:"gradient_variance,omitempty"`
	NoiseScale   *float32 `json:"noise_scale,omitempty"`
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
		point := curvePoint{Step: p.Step, Loss: orNull(p.Loss), Accuracy: orNull(p.Accuracy), LearningRate: orNull(p.LearningRate), GradNorm: orNull(p.GradNorm)}
		if h.Noisy() {
			point.GradSquare, point.GradVariance, point.NoiseScale = orNull(p.GradSquare), orNull(p.GradVariance), orNull(float32(p.NoiseScale()))
		}
		points = append(points, point)
	}
	return map[string]any{"step": step, "stride": checkpoint.HistoryStride(step), "digest": h.Digest(step).String(), "points": points}
}

// writeCurve writes CSV. Numbers have the digits that give the same float32 again.
func writeCurve(w io.Writer, points []checkpoint.Point, noise bool) error {
	b := bufio.NewWriter(w)
	more := ""
	if noise {
		more = ",gradient_square,gradient_variance,noise_scale"
	}
	fmt.Fprintf(b, "step,loss,accuracy,learning_rate,grad_norm%s\n", more)
	for _, p := range points {
		fmt.Fprintf(b, "%d,%v,%v,%v,%v", p.Step, p.Loss, p.Accuracy, p.LearningRate, p.GradNorm)
		if noise {
			fmt.Fprintf(b, ",%v,%v,%v", p.GradSquare, p.GradVariance, float32(p.NoiseScale()))
		}
		fmt.Fprintln(b)
	}
	return b.Flush()
}
