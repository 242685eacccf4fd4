package launch

import (
	"fmt"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"ringmaster/internal/plural"
	"ringmaster/internal/progress"
)

// Table is a summary for people: the figures, where the checkpoint is, and what to try next.
func (s *Summary) Table(next []string) string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		fmt.Fprintf(w, "  %s\t"+format+"\n", append([]any{name}, args...)...)
	}
	row("job", "%s, %s after step %d", s.Job, s.State, s.Step)
	if s.Reason != "" {
		row("reason", "%s", s.Reason)
	}
	if loss := float64(s.TrainLoss); !math.IsNaN(loss) {
		row("train loss", "%.4f", loss)
	}
	if s.Eval != nil {
		row("test loss", "%.4f", float64(s.Eval.Loss))
		for _, f := range s.Eval.Metrics {
			row("test "+f.Name, "%s", f)
		}
		if f, ok := s.Eval.first(); ok && len(s.Eval.Metrics) == 0 {
			row("test "+f.Name, "%s", f)
		}
	}
	if s.SamplesPerS > 0 {
		row("speed", "%s samples/s, %s, %s", progress.Rate(float64(s.SamplesPerS)), plural.Of(s.Workers, "worker"), seconds(float64(s.WallS)))
	}
	if s.Digest != "" {
		row("digest", "%s", s.Digest)
	}
	if n := len(s.Checkpoints); n > 0 {
		row("checkpoint", "%s", s.Checkpoints[n-1].Path)
	}
	for i, line := range next {
		name := ""
		if i == 0 {
			name = "next"
		}
		row(name, "%s", line)
	}
	_ = w.Flush() // a strings.Builder takes everything
	return out.String()
}

func seconds(s float64) string {
	if s < 60 {
		return fmt.Sprintf("%.1fs", s)
	}
	return progress.Duration(time.Duration(s * float64(time.Second)))
}
