package main

import (
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"ringmaster/internal/median"
)

// row is one line of the result.
type row struct {
	name, unit string
	ours       []float64 // by round
	theirs     []rival
	share      []float64 // our GFLOP/s of the best product's
	smaller    bool      // is better
}

// rival is what a peer reached.
type rival struct {
	peer    string
	figures []float64 // by round
}

func newRows(c comparison) []row {
	rows := make([]row, len(c.figures))
	for i, f := range c.figures {
		rows[i] = row{name: c.name + f.name, unit: f.unit, smaller: f.smaller}
		for _, p := range c.theirs {
			rows[i].theirs = append(rows[i].theirs, rival{peer: p.name})
		}
	}
	return rows
}

// note adds to the rows the figures that a peer printed in a round, or, where its name is "", that we did.
func note(rows []row, c comparison, peer, out string) error {
	for i, f := range c.figures {
		pattern := f.theirs
		if peer == "" {
			pattern = f.ours
		}
		v, err := number(out, pattern)
		if err != nil {
			return fmt.Errorf("%w in what was printed:\n%s", err, out)
		}
		if peer != "" {
			k := slices.IndexFunc(rows[i].theirs, func(r rival) bool { return r.peer == peer })
			rows[i].theirs[k].figures = append(rows[i].theirs[k].figures, v)
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
		if err != nil {
			return fmt.Errorf("%w in what was printed:\n%s", err, out)
		}
		best, err := number(out, result(product, "gflops"))
		if err != nil {
			return fmt.Errorf("%w in what was printed:\n%s", err, out)
		}
		rows[i].share = append(rows[i].share, did/best)
	}
	return nil
}

// forget leaves out a peer that failed.
func forget(rows []row, peer string) {
	for i := range rows {
		rows[i].theirs = slices.DeleteFunc(rows[i].theirs, func(r rival) bool { return r.peer == peer })
	}
}

// number is the median of the numbers that the pattern finds in the text.
func number(text, pattern string) (float64, error) {
	var found []float64
	for _, match := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		v, err := strconv.ParseFloat(match[1], 64)
		if err != nil || v <= 0 {
			return 0, fmt.Errorf("%q is no figure", match[1])
		}
		found = append(found, v)
	}
	if len(found) == 0 {
		return 0, fmt.Errorf("nothing like %s", pattern)
	}
	return median.Of(found), nil
}

// best is the rival that leaves us the smallest ratio: the median of the rounds' ratios, above 1 where ours is better.
func (r row) best() (best rival, ratio float64) {
	for k, other := range r.theirs {
		ratios := make([]float64, len(other.figures))
		for i := range ratios {
			ratios[i] = r.ours[i] / other.figures[i]
			if r.smaller {
				ratios[i] = 1 / ratios[i]
			}
		}
		if m := median.Of(ratios); k == 0 || m < ratio {
			best, ratio = other, m
		}
	}
	return best, ratio
}

// bound is the ratio if we did nothing but products, all as fast as the best; 0 where that is not measured.
func (r row) bound() float64 {
	if len(r.share) == 0 {
		return 0
	}
	_, ratio := r.best()
	return ratio / median.Of(r.share)
}

// others are the peers besides the best one, with their medians.
func (r row) others() string {
	best, _ := r.best()
	var all []string
	for _, other := range r.theirs {
		if other.peer != best.peer {
			all = append(all, other.peer+" "+digits(median.Of(other.figures)))
		}
	}
	return strings.Join(all, ", ")
}

func show(out io.Writer, rows []row, failures []failure) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "\tours\tbest peer\t\tunit\tratio\tat most\tother peers")
	bounded := false
	for _, r := range rows {
		bound := ""
		if r.bound() > 0 {
			bound, bounded = fmt.Sprintf("%.2f", r.bound()), true
		}
		best, ratio := r.best()
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%.2f\t%s\t%s\n",
			r.name, digits(median.Of(r.ours)), digits(median.Of(best.figures)), best.peer, r.unit, ratio, bound, r.others())
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if bounded {
		fmt.Fprintln(out, "\nAt most: the ratio if a step were nothing but its products, all as fast as "+product+".")
	}
	for _, f := range failures {
		fmt.Fprintf(out, "Missing: %s in %s, since it failed: %s\n", f.peer, f.comparison, f.why)
	}
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
