// Command rival times the matrix product beside other libraries' on this machine: Debian's OpenBLAS, the OpenBLAS that
// numpy's wheel carries, and the BLAS inside PyTorch, as far as they are installed. A small C program, compiled when the
// comparison runs, loads each library and calls it in a loop, so that no caller's overhead flatters us. All take turns
// within a round; the figures are medians over the rounds, those of ratios too.
//
//	go run ./internal/tensor/kernel/rival -sizes 256x256x256,32x784x128 -forms NN,TN,NT -rounds 11
package main

import (
	"bufio"
	"embed"
	"encoding/json"
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

	"ringmaster/internal/median"
	"ringmaster/internal/tensor/kernel"
)

//go:embed c
var sources embed.FS

// peak is the name of the contestant that only multiplies and adds, which is no rival.
const peak = "peak"

// defaultSizes are the shapes M x K x N whose speed matters to training.
const defaultSizes = "64x64x64,128x128x128,256x256x256,512x512x512,1024x1024x1024,2048x2048x2048,32x784x128,32x128x128," +
	"128x784x128,32x128x10,1024x256x1024,784x32x128,4096x64x64"

// shape is one product to time; form is NN, NT, TN or TT, the letters for A and B. So many sets of operands are used in turn: with
// enough of them operands come from a far cache, as they do in training.
type shape struct {
	m, k, n int
	form    string
	sets    int
}

func (s shape) String() string { return fmt.Sprintf("%dx%dx%d %s", s.m, s.k, s.n, s.form) }
func (s shape) flops() float64 { return 2 * float64(s.m) * float64(s.k) * float64(s.n) }

// contestant carries out a product some times in a row and says how long that took.
type contestant interface {
	name() string
	run(s shape, calls int) (time.Duration, error)
}

// ours is this repository's product. It remembers its operands.
type ours struct {
	team     *kernel.Team
	clock    string
	shape    shape
	products []kernel.MatMul // of each set
}

func (o *ours) name() string { return "ringmaster" }

func (o *ours) run(s shape, calls int) (time.Duration, error) {
	if o.shape != s {
		o.shape, o.products = s, nil
		for range s.sets {
			p := kernel.MatMul{M: s.m, N: s.n, K: s.k, LDA: s.k, LDB: s.n, LDC: s.n, TransA: s.form[0] == 'T', TransB: s.form[1] == 'T',
				A: numbers(s.m * s.k), B: numbers(s.k * s.n), C: make([]float32, s.m*s.n)}
			if p.TransA {
				p.LDA = s.m
			}
			if p.TransB {
				p.LDB = s.k
			}
			o.products = append(o.products, p)
		}
	}
	for i := range max(calls/4+1, s.sets) {
		o.team.MatMul(&o.products[i%s.sets])
	}
	start, err := now(o.clock)
	for i := range calls {
		o.team.MatMul(&o.products[i%s.sets])
	}
	end, err2 := now(o.clock)
	return end - start, errors.Join(err, err2)
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

func numbers(n int) []float32 {
	s, seed := make([]float32, n), uint32(1)
	for i := range s {
		seed = seed*1664525 + 1013904223
		s[i] = float32(int32(seed)>>8) / (1 << 23)
	}
	return s
}

// library is a process that times another library.
type library struct {
	label   string
	in      io.WriteCloser
	out     *bufio.Reader
	process *exec.Cmd
}

func (l *library) name() string { return l.label }

func (l *library) run(s shape, calls int) (time.Duration, error) {
	trans := func(b byte) int {
		if b == 'T' {
			return 1
		}
		return 0
	}
	if _, err := fmt.Fprintln(l.in, trans(s.form[0]), trans(s.form[1]), s.m, s.n, s.k, calls, s.sets); err != nil {
		return 0, fmt.Errorf("ask %s for %s: %w", l.label, s, err)
	}
	line, err := l.out.ReadString('\n')
	if err != nil {
		return 0, fmt.Errorf("read the time of %s for %s: %w", l.label, s, err)
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read the time of %s for %s: %w", l.label, s, err)
	}
	return time.Duration(ns), nil
}

// candidate is a library to look for: the pattern of its file, the symbol and its calling convention.
type candidate struct{ label, pattern, symbol, convention string }

// candidates are the libraries to look for; numpy and PyTorch are those that the Python interpreter would import.
func candidates(python string) []candidate {
	all := []candidate{{"openblas", "/usr/lib/*/openblas-pthread/libopenblas.so.0", "cblas_sgemm", "cblas32"}}
	const find = `import importlib.util as u
for n in "numpy", "torch":
    if u.find_spec(n): print(n, u.find_spec(n).submodule_search_locations[0])`
	out, err := exec.Command(python, "-c", find).Output()
	if err != nil {
		fmt.Fprintf(os.Stderr, "rival: ask %s for numpy and torch: %v\n", python, err)
		return all
	}
	for line := range strings.Lines(string(out)) {
		switch name, folder, _ := strings.Cut(strings.TrimSpace(line), " "); name {
		case "numpy":
			pattern := filepath.Join(filepath.Dir(folder), "numpy.libs", "libscipy_openblas64_*.so")
			all = append(all, candidate{"openblas-new", pattern, "scipy_cblas_sgemm64_", "cblas64"})
		case "torch":
			all = append(all, candidate{"torch", filepath.Join(folder, "lib", "libtorch_cpu.so"), "sgemm_", "fortran"})
		}
	}
	return all
}

// compile compiles one of the C programs in dir for this machine.
func compile(dir, name string) (program string, err error) {
	source, err := sources.ReadFile("c/" + name + ".c")
	if err != nil {
		return "", fmt.Errorf("read the C program %s: %w", name, err)
	}
	file, program := filepath.Join(dir, name+".c"), filepath.Join(dir, name)
	if err := os.WriteFile(file, source, 0o644); err != nil {
		return "", fmt.Errorf("write the C program %s: %w", name, err)
	}
	if out, err := exec.Command("gcc", "-O2", "-march=native", "-o", program, file, "-ldl").CombinedOutput(); err != nil {
		return "", fmt.Errorf("compile the C program %s: %w: %s", name, err, out)
	}
	return program, nil
}

// start starts a C program as a contestant.
func start(label, program string, threads int, arguments ...string) (*library, error) {
	cmd := exec.Command(program, arguments...)
	for _, name := range []string{"OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS"} {
		cmd.Env = append(cmd.Environ(), name+"="+strconv.Itoa(threads))
	}
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", label, err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", label, err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", label, err)
	}
	return &library{label: label, in: in, out: bufio.NewReader(out), process: cmd}, nil
}

// startLibraries starts a contestant for each library that is there, and with one thread the peak.
func startLibraries(dir, python string, threads int, clock string) ([]contestant, error) {
	program, err := compile(dir, "sgemm")
	if err != nil {
		return nil, err
	}
	var all []contestant
	for _, c := range candidates(python) {
		paths, err := filepath.Glob(c.pattern)
		if err != nil || len(paths) == 0 {
			fmt.Fprintf(os.Stderr, "rival: %s is not installed (%s)\n", c.label, c.pattern)
			continue
		}
		l, err := start(c.label, program, threads, paths[0], c.symbol, c.convention, clock)
		if err != nil {
			return nil, err
		}
		all = append(all, l)
	}
	if threads > 1 {
		return all, nil
	}
	if program, err = compile(dir, peak); err != nil {
		return nil, err
	}
	l, err := start(peak, program, threads, clock)
	if err != nil {
		return nil, err
	}
	return append(all, l), nil
}

// result is what is reported for one shape.
type result struct {
	Case      string             `json:"case"`
	Gflops    map[string]float64 `json:"gflops"`     // medians
	Ratio     map[string]float64 `json:"ratio"`      // medians of ours over the other's, round by round
	RatioBest float64            `json:"ratio_best"` // the least of these but for the peak: against the best rival
}

// compare lets the contestants, ours first, take turns on a shape, with a rest before each.
func compare(all []contestant, s shape, rounds int, turn, rest time.Duration) (result, error) {
	calls := make([]int, len(all))
	for i, c := range all {
		took, err := c.run(s, 3)
		if err != nil {
			return result{}, err
		}
		calls[i] = max(1, int(3*turn/max(took, 1)))
	}
	gflops := make([][]float64, len(all))
	for round := range rounds {
		for turn := range all {
			i := (turn + round) % len(all)
			time.Sleep(rest)
			took, err := all[i].run(s, calls[i])
			if err != nil {
				return result{}, err
			}
			gflops[i] = append(gflops[i], s.flops()*float64(calls[i])/float64(took.Nanoseconds()))
		}
	}
	r := result{Case: s.String(), Gflops: map[string]float64{}, Ratio: map[string]float64{}}
	for i, c := range all {
		r.Gflops[c.name()] = median.Of(gflops[i])
		if i == 0 {
			continue
		}
		ratios := make([]float64, rounds)
		for round := range ratios {
			ratios[round] = gflops[0][round] / gflops[i][round]
		}
		r.Ratio[c.name()] = median.Of(ratios)
		if c.name() == peak {
			continue
		}
		if r.RatioBest == 0 || r.Ratio[c.name()] < r.RatioBest {
			r.RatioBest = r.Ratio[c.name()]
		}
	}
	return r, nil
}

func parseShapes(sizes, forms string, sets int) ([]shape, error) {
	if sets < 1 {
		return nil, fmt.Errorf("-sets is %d, not 1 or more", sets)
	}
	var shapes []shape
	for _, form := range strings.Split(forms, ",") {
		if len(form) != 2 || strings.Trim(form, "NT") != "" {
			return nil, fmt.Errorf("form %q is none of NN, NT, TN, TT", form)
		}
		for _, size := range strings.Split(sizes, ",") {
			s := shape{form: form, sets: sets}
			if n, err := fmt.Sscanf(size, "%dx%dx%d", &s.m, &s.k, &s.n); n != 3 || s.m <= 0 || s.k <= 0 || s.n <= 0 {
				return nil, fmt.Errorf("size %q is not of the form MxKxN: %v", size, err)
			}
			shapes = append(shapes, s)
		}
	}
	return shapes, nil
}

func run() error {
	sizes := flag.String("sizes", defaultSizes, "products MxKxN")
	forms := flag.String("forms", "NN", "forms of the operands: NN, NT, TN, TT")
	sets := flag.Int("sets", 1, "sets of operands, used in turn: with many they come from a far cache")
	threads := flag.Int("threads", 1, "threads of each library")
	rounds := flag.Int("rounds", 9, "rounds of turns")
	turn := flag.Duration("turn", 20*time.Millisecond, "about how long a turn lasts")
	clock := flag.String("clock", "wall", "wall, or cpu: the thread's own time, for one thread on a machine that is not idle")
	python := flag.String("python", "python3", "interpreter whose numpy and PyTorch are compared with")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	if *clock != "wall" && (*clock != "cpu" || *threads != 1) {
		return fmt.Errorf("the clock is wall, or with one thread cpu, not %q", *clock)
	}
	runtime.LockOSThread()
	shapes, err := parseShapes(*sizes, *forms, *sets)
	if err != nil {
		return err
	}
	if err := kernel.Select(os.Getenv(kernel.EnvironmentVariable)); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "rival")
	if err != nil {
		return fmt.Errorf("make a directory for the C program: %w", err)
	}
	defer os.RemoveAll(dir)
	libraries, err := startLibraries(dir, *python, *threads, *clock)
	if err != nil {
		return err
	}
	team := kernel.NewTeam(*threads)
	defer team.Close()
	all := append([]contestant{&ours{team: team, clock: *clock}}, libraries...)
	defer stop(libraries)
	// The threads of a library spin for a while after a product, on the cores that the next in turn needs.
	var rest time.Duration
	if *threads > 1 {
		rest = 150 * time.Millisecond
	}
	var results []result
	for _, s := range shapes {
		r, err := compare(all, s, *rounds, *turn, rest)
		if err != nil {
			return err
		}
		results = append(results, r)
		if !*asJSON {
			printLine(all, r, len(results) == 1)
		}
	}
	if *asJSON {
		return json.NewEncoder(os.Stdout).Encode(map[string]any{"tier": kernel.Current().String(), "threads": *threads, "results": results})
	}
	return nil
}

// printLine prints GF/s of each contestant, ratio to it in brackets, and the ratio to the best.
func printLine(all []contestant, r result, header bool) {
	if header {
		fmt.Printf("%-20s", "M x K x N, GF/s")
		for _, c := range all {
			fmt.Printf(" %14s", c.name())
		}
		fmt.Println("        best")
	}
	fmt.Printf("%-20s", r.Case)
	for i, c := range all {
		if i == 0 {
			fmt.Printf(" %14.1f", r.Gflops[c.name()])
		} else {
			fmt.Printf(" %7.1f (%4.2f)", r.Gflops[c.name()], r.Ratio[c.name()])
		}
	}
	fmt.Printf("   %9.3f\n", r.RatioBest)
}

// stop ends the processes by closing their input.
func stop(libraries []contestant) {
	for _, c := range libraries {
		l := c.(*library)
		l.in.Close()
		if err := l.process.Wait(); err != nil {
			fmt.Fprintf(os.Stderr, "rival: end %s: %v\n", l.label, err)
		}
	}
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "rival:", err)
		os.Exit(1)
	}
}
