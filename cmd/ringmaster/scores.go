package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"ringmaster/internal/metric"
)

// scores is what eval tells of the metrics that the job asks for.
type scores struct {
	figures   []metric.Figure
	Classes   []classScores `json:"classes,omitempty"`
	Confusion [][]float64   `json:"confusion,omitempty"` // [actual][predicted]
}

// classScores are those of one class or label. Targets is the weight of those that are of it, their number where samples have no weights.
type classScores struct {
	Name      string  `json:"name"`
	Precision float64 `json:"precision"`
	Recall    float64 `json:"recall"`
	F1        float64 `json:"f1"`
	Targets   float64 `json:"targets"`
}

func (t *trained) scores(sums *metric.Sums) scores {
	if sums == nil {
		return scores{}
	}
	out := scores{figures: t.plan.Metrics.Figures(sums), Confusion: sums.Confusion()}
	target := t.plan.Model.Loss().Target()
	for c, by := range sums.Classes() {
		name := fmt.Sprint(c)
		if c < len(target.Labels) && t.plan.Metrics.Task().Kind == metric.Classes {
			name = target.Labels[c]
		}
		out.Classes = append(out.Classes, classScores{name, by.Precision, by.Recall, by.F1, by.Weight})
	}
	return out
}

// MarshalJSON writes the metrics beside the loss, by their names; what is not defined is null.
func (e evaluation) MarshalJSON() ([]byte, error) {
	type plain evaluation
	text, err := json.Marshal(plain(e))
	if err != nil {
		return nil, err
	}
	text = text[:len(text)-1]
	for _, f := range e.figures {
		if f.Name == "accuracy" {
			continue // which stands there already
		}
		value := []byte("null")
		if finite(f.Value) {
			if value, err = json.Marshal(f.Value); err != nil {
				return nil, err
			}
		}
		text = fmt.Appendf(text, ",%q:%s", f.Name, value)
	}
	return append(text, '}'), nil
}

// The most classes of which the table for people has a row each, and a confusion matrix.
const (
	mostRows   = 100
	mostMatrix = 20
)

// tables writes the classes' figures and the confusion matrix for people.
func (s *scores) tables(out io.Writer) error {
	if n := len(s.Classes); n < 2 || n > mostRows {
		return nil
	}
	rows := []string{"", "class\tprecision\trecall\tf1\ttargets"}
	for _, c := range s.Classes {
		rows = append(rows, fmt.Sprintf("%s\t%.4f\t%.4f\t%.4f\t%g", c.Name, c.Precision, c.Recall, c.F1, c.Targets))
	}
	if err := table(out, rows); err != nil || len(s.Confusion) == 0 || len(s.Confusion) > mostMatrix {
		return err
	}
	head := []string{"actual, predicted"}
	for _, c := range s.Classes {
		head = append(head, c.Name)
	}
	rows = []string{"", strings.Join(head, "\t")}
	for actual, weights := range s.Confusion {
		row := s.Classes[actual].Name
		for _, w := range weights {
			row += fmt.Sprintf("\t%g", w)
		}
		rows = append(rows, row)
	}
	return table(out, rows)
}
