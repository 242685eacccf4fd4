// Package bench measures what this machine does: matrix products, vector kernels, the ring all-reduce, and training on whole
// clusters. It returns figures; the command line chooses their form.
package bench

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"

	"github.com/klauspost/cpuid/v2"

	"ringmaster/internal/tensor/kernel"
)

// Report is what one benchmark measured. Its results marshal to the JSON objects that scripts read.
type Report struct {
	Columns []string
	Results []Result
	Notes   []string // lines below the table
}

// Result is the figures of one case.
type Result interface {
	row() []string  // the cells of a table
	sample() sample // for benchstat
}

// sample is a result as Go's benchmarks print one: a name, how often it ran, and values with their units.
type sample struct {
	name   string
	n      int
	values []value
}

type value struct {
	figure float64
	unit   string
}

// better says of every unit of the samples, apart from ns/op, in which direction benchstat finds it better.
var better = []struct{ unit, direction string }{
	{"GFLOP/s", "higher"}, {"GiB/s", "higher"}, {"steps/s", "higher"}, {"samples/s", "higher"}, {"peak-MiB", "lower"}, {"MB/s", "higher"},
	{"of-ideal", "higher"}, {"of-apart", "higher"}, {"of-shown", "higher"}, {"even-of-ideal", "higher"},
	{"efficiency", "higher"}, {"added-ms", "lower"}, {"cpu-ms", "lower"}, {"switches", "lower"},
}

// Rows are the lines of a table, cells separated by tabs, with the columns' names first.
func (r *Report) Rows() []string {
	rows := []string{strings.Join(r.Columns, "\t")}
	for _, result := range r.Results {
		rows = append(rows, strings.Join(result.row(), "\t"))
	}
	return rows
}

// WriteBenchstat writes the results in the text format of Go's benchmarks, which golang.org/x/perf/cmd/benchstat compares.
func (r *Report) WriteBenchstat(w io.Writer) error {
	var out strings.Builder
	fmt.Fprintf(&out, "goos: %s\ngoarch: %s\npkg: ringmaster\ncpu: %s\nkernel: %s\n", runtime.GOOS, runtime.GOARCH, cpu(), kernel.Current())
	var samples []sample
	for _, result := range r.Results {
		samples = append(samples, result.sample())
	}
	for _, b := range better {
		if slices.ContainsFunc(samples, func(s sample) bool {
			return slices.ContainsFunc(s.values, func(v value) bool { return v.unit == b.unit })
		}) {
			fmt.Fprintf(&out, "Unit %s better=%s\n", b.unit, b.direction)
		}
	}
	for _, s := range samples {
		fmt.Fprintf(&out, "Benchmark%s\t%d", strings.ReplaceAll(s.name, " ", "-"), s.n)
		for _, v := range s.values {
			fmt.Fprintf(&out, "\t%.6g %s", v.figure, v.unit)
		}
		out.WriteString("\n")
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// Add appends the results of another measurement of the same thing.
func (r *Report) Add(other *Report) {
	r.Columns = other.Columns
	r.Results = append(r.Results, other.Results...)
	r.Notes = append(r.Notes, other.Notes...)
}

// cpu is the name that the CPU gives itself, in one line.
func cpu() string {
	if name := strings.TrimSpace(cpuid.CPU.BrandName); name != "" {
		return name
	}
	return "unknown"
}
