// Command peers measures Ringmaster beside programs of PyTorch and JAX that do the same work, in turn on one machine: ours, theirs in each of
// its modes, then the other way round, and so on for several rounds. It prints the medians, and the median of the ratios within the rounds
// to the peer for which it is worst for us; ratios within rounds are what counts where the machine's speed drifts.
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
	"slices"
	"strings"
	"syscall"
	"time"
)

// options are what the command line says.
type options struct {
	python, peers, ringmaster, job, data, only string
	made                                       string // folder of the data that are made for the run
	rounds                                     int
}

func main() {
	var o options
	flag.StringVar(&o.python, "python", "python3", "interpreter that has torch, jax and optax")
	flag.StringVar(&o.peers, "peers", "../shared/peers", "folder of the programs of PyTorch and JAX")
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
	why, err := check(ctx, o)
	if err != nil {
		return err
	}
	var results []row
	var failures []failure
	for _, c := range chosen {
		c.theirs = present(c.theirs, why)
		rows, failed, err := compare(ctx, c, o)
		if err != nil {
			return err
		}
		results, failures = append(results, rows...), append(failures, failed...)
	}
	return show(os.Stdout, results, failures)
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

// compare runs one comparison round by round, in every other one in the opposite order.
func compare(ctx context.Context, c comparison, o options) ([]row, []failure, error) {
	if c.prepare != nil {
		if err := c.prepare(); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", c.name, err)
		}
	}
	rows := newRows(c)
	var failures []failure
	for round := range o.rounds {
		fmt.Fprintf(os.Stderr, "%s: round %d of %d\n", c.name, round+1, o.rounds)
		turns := append([]peer{{commands: c.ours}}, c.theirs...)
		if round%2 == 1 {
			slices.Reverse(turns)
		}
		for _, p := range turns {
			out, err := output(ctx, p, o)
			if err == nil {
				err = note(rows, c, p.name, out)
			}
			switch {
			case err == nil:
			case p.name == "" || ctx.Err() != nil || len(c.theirs) == 1:
				return nil, nil, fmt.Errorf("%s: %w", c.name, err)
			default:
				failures = append(failures, failure{c.name, p.name, brief(err)})
				c.theirs = slices.DeleteFunc(slices.Clone(c.theirs), func(other peer) bool { return other.name == p.name })
				forget(rows, p.name)
			}
		}
	}
	return rows, failures, nil
}

// peakLine begins the line that output adds for the peak memory of each command's own process.
const peakLine = "peak memory of the process"

// commandBound is how long one command may take: a busy machine needs several times what an idle one does.
const commandBound = 20 * time.Minute

// output is what a peer's commands print, one after another.
func output(ctx context.Context, p peer, o options) (string, error) {
	var all bytes.Buffer
	for _, command := range p.commands {
		bounded, cancel := context.WithTimeout(ctx, commandBound)
		cmd := exec.CommandContext(bounded, command[0], command[1:]...)
		cmd.Env = append(os.Environ(), "PYTHON="+o.python, "OMP_NUM_THREADS=1")
		if p.mode != "" {
			cmd.Env = append(cmd.Env, "MODE="+p.mode)
		}
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
