package sweep

import (
	"fmt"
	"math"
	"strings"
	"text/tabwriter"

	"ringmaster/internal/metric"
	"ringmaster/internal/plural"
)

// meanSD are the mean and the standard deviation (n-1) of values, of which there is at least one. nil: there is none.
func meanSD(values []float64) (mean, sd *float64) {
	sum := 0.0
	for _, v := range values {
		sum += v
	}
	m := sum / float64(len(values))
	if len(values) == 1 {
		return number(m), nil
	}
	squares := 0.0
	for _, v := range values {
		squares += (v - m) * (v - m)
	}
	return number(m), number(math.Sqrt(squares / float64(len(values)-1)))
}

// Table is the report for people: a line for each trial, and one for each point where trials differ in their seeds.
func (r *Report) Table() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "TRIAL\t%s\tSEED\tSTATE\tSTEP\tBEST %s\tEPOCH\tFINAL\tTIME\tDIGEST\n", r.heads(), strings.ToUpper(r.Metric))
	for i := range r.Trials {
		o := &r.Trials[i]
		mark := ""
		if o.Number == r.Best {
			mark = " *"
		}
		fmt.Fprintf(w, "%d%s\t%s\t%d\t%s\t%d\t%s\t%s\t%s\t%.1fs\t%s\n", o.Number, mark, cells(o.Sets), o.Seed, o.State, o.Step, r.figure(o.Best), epoch(o), r.figure(o.Final), o.TrainS, short(o.Digest))
	}
	_ = w.Flush() // a strings.Builder takes everything
	if len(r.Points) < len(r.Trials) {
		out.WriteString("\n")
		fmt.Fprintf(w, "POINT\t%s\tSEEDS\tMEAN %s\tSD\n", r.heads(), strings.ToUpper(r.Metric))
		for _, p := range r.Points {
			fmt.Fprintf(w, "%d\t%s\t%d\t%s\t%s\n", p.Point, cells(p.Sets), p.Trials, r.figure(p.Mean), r.figure(p.SD))
		}
		_ = w.Flush()
	}
	out.WriteString("\n" + r.conclusion())
	return out.String()
}

func (r *Report) conclusion() string {
	over := 0
	for i := range r.Trials {
		if r.Trials[i].over() {
			over++
		}
	}
	text := fmt.Sprintf("%d of %s over", over, plural.Of(len(r.Trials), "trial"))
	if r.Best == 0 {
		return text + "; none has a figure for " + r.Metric + "\n"
	}
	best := &r.Trials[r.Best-1]
	text += fmt.Sprintf("; the best is trial %d (%s): %s %s\n", best.Number, strings.Join(best.Settings(), " "), r.Metric, r.figure(best.Best))
	if best.Weights != "" {
		text += "weights: " + best.Weights + "\n"
	}
	return text
}

// heads are the keys as the columns' names: their last parts, which is what tells them apart in most sweeps.
func (r *Report) heads() string {
	var names []string
	for _, key := range r.Keys {
		name := key[strings.LastIndex(key, ".")+1:]
		for _, other := range r.Keys {
			if other != key && strings.HasSuffix(other, "."+name) {
				name = key
			}
		}
		names = append(names, strings.ToUpper(name))
	}
	return strings.Join(names, "\t")
}

func cells(sets []string) string {
	var values []string
	for _, set := range sets {
		_, value, _ := strings.Cut(set, "=")
		values = append(values, value)
	}
	return strings.Join(values, "\t")
}

func (r *Report) figure(v *float64) string {
	if v == nil {
		return "-"
	}
	return metric.Figure{Name: r.Metric, Value: *v}.String()
}

func epoch(o *Outcome) string {
	if o.BestEpoch == 0 {
		return "-"
	}
	return fmt.Sprint(o.BestEpoch)
}

// short is enough of a digest to tell it from others.
func short(digest string) string { return digest[:min(len(digest), 12)] }
