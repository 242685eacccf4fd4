package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"ringmaster/internal/report"
	"ringmaster/internal/wholefile"
)

func reportCommand() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "report RUN...",
		Short: "Write a page of plots and tables that compares runs",
		Long: `Writes one HTML file that shows runs side by side and needs nothing else, neither a server nor the internet: curves of loss, accuracy, evaluations, learning rate,
gradient norm and throughput with marks where the cluster changed; tables of the last figures, of the keys that differ, of digests and
checkpoints, and of views and faults. It follows the reader's choice of light or dark, and prints.

RUN is a run's folder, a folder of checkpoints, or one checkpoint. Throughput, views and faults are known of runs that ringmaster launch recorded here.`,
		Example: `  ringmaster report runs/quickstart-1
  ringmaster report runs/quickstart-1 runs/quickstart-2 --out compared.html`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return fmt.Errorf("RUN is missing: ringmaster report RUN")
			}
			if len(args) > report.MaxRuns {
				return fmt.Errorf("%d runs are too many for one page; name at most %d", len(args), report.MaxRuns)
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := errors.Join(checkTarget("--out", out), onlyReports(out)); err != nil {
				return wrong(err)
			}
			var runs []*report.Run
			for _, arg := range args {
				run, err := loadRun(arg)
				if err != nil {
					return err
				}
				runs = append(runs, run)
			}
			if err := wholefile.Write(out, 0o666, func(w io.Writer) error { return report.WritePage(w, runs) }); err != nil {
				return failed(err)
			}
			_, err := fmt.Fprintf(os.Stdout, "%s: open it in a browser\n", out)
			return failed(err)
		},
	}
	cmd.Flags().StringVar(&out, "out", "report.html", "`file` to write; an earlier report is replaced")
	return cmd
}

// onlyReports refuses to replace a file that is no report.
func onlyReports(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // there is none, or writing will tell
	}
	defer f.Close()
	beginning := make([]byte, 1<<10)
	n, _ := io.ReadFull(f, beginning) // it may be shorter
	if n == 0 || report.Own(beginning[:n]) {
		return nil
	}
	return fmt.Errorf("--out %s is there already and no report; name another file", path)
}
