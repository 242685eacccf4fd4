// Command peers measures Ringmaster beside PyTorch programs that do the same work, in turn on one machine: ours, theirs,
// theirs, ours, and so on for several rounds. It prints the median of each and the median of the ratios within the rounds,
// which is what counts where the machine's speed drifts.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"ringmaster/internal/median"
)

// options are what the command line says.
type options struct {
	python, peers, ringmaster, job, data, only string
	made                                       string // folder of the data that are made for the run
	rounds                                     int
}

func main() {
	var o options
	flag.StringVar(&o.python, "python", "python3", "interpreter that has torch")
	flag.StringVar(&o.peers, "peers", "../shared/peers", "folder of the PyTorch programs")
	flag.StringVar(&o.ringmaster, "ringmaster", "bin/ringmaster", "our program")
	flag.StringVar(&o.job, "job", "configs/quickstart.yaml", "job file whose model the training cases use")
	flag.StringVar(&o.data, "data", "../shared/data", "folder with mnist, tinyshakespeare and cifar10")
	flag.StringVar(&o.only, "only", "", "run only the comparisons whose names contain this")
	flag.IntVar(&o.rounds, "rounds", 5, "rounds")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "peers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) error {
	if flag.NArg() > 0 || o.rounds < 1 {
		return errors.New("usage: peers [flags]; -rounds is at least 1")
	}
	dir, err := os.MkdirTemp("", "ringmaster-peers-")
	if err != nil {
		return fmt.Errorf("make a folder for data: %w", err)
	}
	defer os.RemoveAll(dir)
	o.made = dir
	chosen, err := choose(comparisons(o), o.only)
	if err != nil {
		return err
	}
	if err := check(ctx, o); err != nil {
		return err
	}
	var results []row
	for _, c := range chosen {
		rows, err := compare(ctx, c, o)
		if err != nil {
			return err
		}
		results = append(results, rows...)
	}
	return show(results)
}

// choose is the comparisons whose names contain a text.
func choose(all []comparison, only string) ([]comparison, error) {
	chosen := slices.DeleteFunc(slices.Clone(all), func(c comparison) bool { return !strings.Contains(c.name, only) })
	if len(chosen) > 0 {
		return chosen, nil
	}
	var names []string
	for _, c := range all {
		names = append(names, c.name)
	}
	return nil, fmt.Errorf("no comparison's name contains %q; there are: %s", only, strings.Join(names, "; "))
}

// check says what is missing and how to get it, before anything is measured.
func check(ctx context.Context, o options) error {
	if _, err := os.Stat(filepath.Join(o.peers, "launch.sh")); err != nil {
		return fmt.Errorf("no PyTorch programs in %s: name their folder, make bench-peers PEERS=FOLDER", o.peers)
	}
	if _, err := os.Stat(o.ringmaster); err != nil {
		return fmt.Errorf("%s is missing: run make build", o.ringmaster)
	}
	out, err := exec.CommandContext(ctx, o.python, "-c", "import torch; print(torch.__version__)").Output()
	if err != nil {
		return fmt.Errorf("%s has no torch: make bench-peers PYTHON=/usr/bin/python3 after apt-get install python3-torch, "+
			"or PYTHON=.venv/bin/python after python3 -m venv .venv && .venv/bin/pip install torch", o.python)
	}
	fmt.Printf("Beside PyTorch %s, %d rounds in turn, medians. A ratio above 1 is in our favour.\n\n", strings.TrimSpace(string(out)), o.rounds)
	return nil
}

// row is one line of the result.
type row struct {
	name, unit   string
	ours, theirs []float64
	share        []float64 // our GFLOP/s of the best product's
	smaller      bool      // is better
}

// compare runs one comparison round by round, each side first in every other one.
func compare(ctx context.Context, c comparison, o options) ([]row, error) {
	rows := make([]row, len(c.figures))
	for i, f := range c.figures {
		rows[i] = row{name: c.name + f.name, unit: f.unit, smaller: f.smaller}
	}
	if c.prepare != nil {
		if err := c.prepare(); err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", c.name, round+1, o.rounds)
		sides := []bool{true, false}
		if round%2 == 1 {
			sides = []bool{false, true}
		}
		for _, ours := range sides {
			commands, parse := c.theirs, func(f figure) string { return f.theirs }
			if ours {
				commands, parse = c.ours, func(f figure) string { return f.ours }
			}
			out, err := output(ctx, commands, o)
			if err != nil {
				return nil, err
			}
			for i, f := range c.figures {
				v, err := number(out, parse(f))
				if err != nil {
					return nil, fmt.Errorf("%s: %w in what %s printed:\n%s", c.name, err, strings.Join(commands[0], " "), out)
				}
				if !ours {
					rows[i].theirs = append(rows[i].theirs, v)
					continue
				}
				if f.scale != 0 {
					v *= f.scale
				}
				rows[i].ours = append(rows[i].ours, v)
				if f.work == "" {
					continue
				}
				did, err := number(out, f.work)
				best, err2 := number(out, result(product, "gflops"))
				if err := errors.Join(err, err2); err != nil {
					return nil, fmt.Errorf("%s: %w in what %s printed:\n%s", c.name, err, strings.Join(commands[0], " "), out)
				}
				rows[i].share = append(rows[i].share, did/best)
			}
		}
	}
	return rows, nil
}

// peakLine begins the line that output adds for the peak memory of each command's own process.
const peakLine = "peak memory of the process"

// commandBound is how long one command may take: a busy machine needs several times what an idle one does.
const commandBound = 20 * time.Minute

// output is what the commands print, one after another.
func output(ctx context.Context, commands [][]string, o options) (string, error) {
	var all bytes.Buffer
	for _, command := range commands {
		bounded, cancel := context.WithTimeout(ctx, commandBound)
		cmd := exec.CommandContext(bounded, command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "PYTHON="+o.python, "OMP_NUM_THREADS=1")
		var problems bytes.Buffer
		cmd.Stdout, cmd.Stderr = &all, &problems
		err := cmd.Run()
		cancel()
		if err != nil {
			return "", fmt.Errorf("%s: %w\n%s", strings.Join(command, " "), err, problems.String())
		}
		if usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
			fmt.Fprintf(&all, "%s %.1f MiB\n", peakLine, float64(usage.Maxrss)/1024) // Linux counts in KiB
		}
	}
	return all.String(), nil
}

func show(rows []row) error {
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "\tours\tPyTorch\tunit\tratio\tat most\t")
	for _, r := range rows {
		bound := ""
		if r.bound() > 0 {
			bound = fmt.Sprintf("%.2f", r.bound())
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%.2f\t%s\t\n", r.name, digits(median.Of(r.ours)), digits(median.Of(r.theirs)), r.unit, r.ratio(), bound)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Println("\nAt most: the ratio if a step were nothing but its products, all as fast as " + product + ".")
	return nil
}

// digits writes a figure with about three digits that matter.
func digits(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.2f", v)
}
