// Command vector times the vector kernels beside C loops (gcc -O3 -march=native) and PyTorch, one thread each. All take
// turns within a round; the figures are medians over the rounds, those of ratios too.
//
//	go run ./internal/tensor/kernel/rival/vector -kernels add,adam -n 16384,10000000 -python python3
package main

import (
	"bufio"
	_ "embed"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"ringmaster/internal/bench/kernels"
	"ringmaster/internal/median"
	"ringmaster/internal/tensor/kernel"
)

//go:embed c/vector.c
var cSource []byte

//go:embed vector.py
var pythonSource string

// contestant times calls of a kernel on n elements; it reports false for a kernel that it does not have.
type contestant interface {
	run(name string, n, calls int) (took time.Duration, known bool, err error)
}

// ours is this repository's kernels. It remembers its operands.
type ours struct {
	clock string
	n     int
	calls []kernels.Call
}

func (o *ours) call(name string, n int) func() {
	if o.n != n {
		o.n, o.calls = n, kernels.Calls(n)
	}
	for _, c := range o.calls {
		if c.Name == name {
			return c.Run
		}
	}
	return nil
}

func (o *ours) run(name string, n, calls int) (time.Duration, bool, error) {
	f := o.call(name, n)
	if f == nil {
		return 0, false, nil
	}
	f()
	start, err := now(o.clock)
	for range calls {
		f()
	}
	end, err2 := now(o.clock)
	return end - start, true, errors.Join(err, err2)
}

// now reads a clock: the time that this thread has been running, or any.
func now(clock string) (time.Duration, error) {
	id := int32(unix.CLOCK_MONOTONIC)
	if clock == "cpu" {
		id = unix.CLOCK_THREAD_CPUTIME_ID
	}
	var t unix.Timespec
	if err := unix.ClockGettime(id, &t); err != nil {
		return 0, fmt.Errorf("read the %s clock: %w", clock, err)
	}
	return time.Duration(t.Nano()), nil
}

// process is another program that times its own kernels.
type process struct {
	label string
	in    io.WriteCloser
	out   *bufio.Reader
	cmd   *exec.Cmd
}

func start(label string, command ...string) (*process, error) {
	p := &process{label: label, cmd: exec.Command(command[0], command[1:]...)}
	p.cmd.Env = append(p.cmd.Environ(), "OMP_NUM_THREADS=1")
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", label, err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", label, err)
	}
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", label, err)
	}
	p.in, p.out = in, bufio.NewReader(out)
	return p, nil
}

func (p *process) run(name string, n, calls int) (time.Duration, bool, error) {
	if _, err := fmt.Fprintln(p.in, name, n, calls); err != nil {
		return 0, false, fmt.Errorf("ask %s for %s: %w", p.label, name, err)
	}
	line, err := p.out.ReadString('\n')
	if err != nil {
		return 0, false, fmt.Errorf("read the time of %s for %s: %w", p.label, name, err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		return 0, false, fmt.Errorf("read the time of %s for %s: %w", p.label, name, err)
	}
	return time.Duration(ns), ns >= 0, nil
}

// startC compiles the C program in dir and starts it.
func startC(dir, clock string) (*process, error) {
	file, program := filepath.Join(dir, "vector.c"), filepath.Join(dir, "vector")
	if err := os.WriteFile(file, cSource, 0o644); err != nil {
		return nil, fmt.Errorf("write the C program: %w", err)
	}
	if out, err := exec.Command("gcc", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-o", program, file, "-lmvec", "-lm").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("compile the C program: %w: %s", err, out)
	}
	return start("C", program, clock)
}

// compare lets the contestants take turns. It prints the nanoseconds of each and the others' time over ours.
func compare(all []contestant, name string, n, rounds int, turn time.Duration) error {
	calls, known := make([]int, len(all)), make([]bool, len(all))
	for i, c := range all {
		took, ok, err := c.run(name, n, 2)
		if err != nil {
			return err
		}
		calls[i], known[i] = max(1, int(2*turn/max(took, 1))), ok
	}
	if !known[0] {
		return fmt.Errorf("kernel %q is not known", name)
	}
	times := make([][]float64, len(all))
	for round := range rounds {
		for k := range all {
			i := (k + round) % len(all)
			if !known[i] {
				continue
			}
			took, _, err := all[i].run(name, n, calls[i])
			if err != nil {
				return err
			}
			times[i] = append(times[i], float64(took.Nanoseconds())/float64(calls[i]))
		}
	}
	fmt.Printf("%-16s %9d %12.0f", name, n, median.Of(times[0]))
	for i := 1; i < len(all); i++ {
		if !known[i] {
			fmt.Printf(" %12s       ", "-")
			continue
		}
		ratios := make([]float64, rounds)
		for r := range ratios {
			ratios[r] = times[i][r] / times[0][r]
		}
		fmt.Printf(" %12.0f (%4.2f)", median.Of(times[i]), median.Of(ratios))
	}
	fmt.Println()
	return nil
}

func run() error {
	names := flag.String("kernels", "add,relu-backward,adam,exp,tanh,gelu,gelu-tanh,softmax,layer-norm,dropout", "kernels to compare")
	lengths := flag.String("n", "16384,131072,10000384", "numbers of elements, multiples of 512")
	python := flag.String("python", "", "a Python interpreter that has torch; none: C only")
	rounds := flag.Int("rounds", 9, "rounds of turns")
	turn := flag.Duration("turn", 10*time.Millisecond, "about how long a turn lasts")
	clock := flag.String("clock", "wall", "wall, or cpu: the thread's own time, on a machine that is not idle")
	flag.Parse()
	runtime.LockOSThread()
	if err := kernel.Select(os.Getenv(kernel.EnvironmentVariable)); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "rival")
	if err != nil {
		return fmt.Errorf("make a directory for the C program: %w", err)
	}
	defer os.RemoveAll(dir)
	c, err := startC(dir, *clock)
	if err != nil {
		return err
	}
	defer c.in.Close()
	all := []contestant{&ours{clock: *clock}, c}
	fmt.Printf("%-16s %9s %12s %12s (their time / ours)", "kernel", "elements", kernel.Current().String()+", ns", "C")
	if *python != "" {
		torch, err := start("torch", *python, "-c", pythonSource, *clock)
		if err != nil {
			return err
		}
		defer torch.in.Close()
		all = append(all, torch)
		fmt.Print(" torch")
	}
	fmt.Println()
	for _, name := range strings.Split(*names, ",") {
		for _, length := range strings.Split(*lengths, ",") {
			n, err := strconv.Atoi(length)
			if err != nil || n <= 0 || n%kernels.Columns != 0 {
				return fmt.Errorf("number of elements %q is no positive multiple of %d", length, kernels.Columns)
			}
			if err := compare(all, name, n, *rounds, *turn); err != nil {
				return err
			}
		}
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "vector:", err)
		os.Exit(1)
	}
}
