package metric

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Figure is a metric with its value; NaN where it is not defined.
type Figure struct {
	Name  string
	Value float64
}

// Figures are the values of all metrics of the set, in order.
func (s *Set) Figures(sums *Sums) []Figure {
	figures := make([]Figure, len(s.names))
	for i, name := range s.names {
		figures[i] = Figure{name, s.Value(name, sums)}
	}
	return figures
}

// Format writes figures as one line, "f1=0.9375 auc=NaN", from which Parse reads every bit of them.
func Format(figures []Figure) string {
	words := make([]string, len(figures))
	for i, f := range figures {
		words[i] = f.Name + "=" + strconv.FormatFloat(f.Value, 'g', -1, 64)
	}
	return strings.Join(words, " ")
}

// MaxLine is the most that Parse reads, in bytes; no list of metrics takes half of it.
const MaxLine = 4096

// Parse reads what Format wrote.
func Parse(line string) ([]Figure, error) {
	if len(line) > MaxLine {
		return nil, fmt.Errorf("metric: %d characters of figures", len(line))
	}
	var figures []Figure
	for word := range strings.FieldsSeq(line) {
		name, text, found := strings.Cut(word, "=")
		value, err := strconv.ParseFloat(text, 64)
		if !found || name == "" || err != nil {
			return nil, fmt.Errorf("metric: %q is no figure", word)
		}
		figures = append(figures, Figure{name, value})
	}
	return figures, nil
}

// String is the value for people: shares of a whole in per cent.
func (f Figure) String() string {
	_, isTop := topOf(f.Name)
	switch {
	case math.IsNaN(f.Value):
		return "undefined"
	case isTop || f.Name == "accuracy":
		return fmt.Sprintf("%.2f %%", 100*f.Value)
	}
	return fmt.Sprintf("%.4f", f.Value)
}
