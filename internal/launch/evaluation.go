package launch

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"ringmaster/internal/metric"
)

// EvalSummary is an evaluation. As JSON it is one object of the loss, the accuracy and the metrics that the job asks for, by their
// names; what is not defined is null.
type EvalSummary struct {
	Loss     figure
	Accuracy figure
	Metrics  []metric.Figure // in the order of train.metrics
}

func evalSummary(has bool, loss, accuracy float64, metrics string) *EvalSummary {
	if !has {
		return nil
	}
	figures, err := metric.Parse(metrics)
	if err != nil {
		figures = nil // of another version's program: the loss and the accuracy are told all the same
	}
	return &EvalSummary{figure(loss), figure(accuracy), figures}
}

// MarshalJSON writes the object.
func (e EvalSummary) MarshalJSON() ([]byte, error) {
	var out bytes.Buffer
	put := func(before, name string, value float64) error {
		text, err := figure(value).MarshalJSON()
		fmt.Fprintf(&out, "%s%q:%s", before, name, text)
		return err
	}
	if err := put("{", "loss", float64(e.Loss)); err != nil {
		return nil, err
	}
	if err := put(",", "accuracy", float64(e.Accuracy)); err != nil {
		return nil, err
	}
	for _, f := range e.Metrics {
		if f.Name == "accuracy" { // which is listed above, with this value
			continue
		}
		if err := put(",", f.Name, f.Value); err != nil {
			return nil, err
		}
	}
	return append(out.Bytes(), '}'), nil
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *EvalSummary) UnmarshalJSON(text []byte) error {
	*e = EvalSummary{figure(math.NaN()), figure(math.NaN()), nil}
	d := json.NewDecoder(bytes.NewReader(text))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(errors.New("an evaluation is no object"), err)
	}
	for d.More() {
		name, err := d.Token()
		var value figure
		if err = errors.Join(err, d.Decode(&value)); err != nil {
			return err
		}
		switch name {
		case "loss":
			e.Loss = value
		case "accuracy":
			e.Accuracy = value
		default:
			e.Metrics = append(e.Metrics, metric.Figure{Name: fmt.Sprint(name), Value: float64(value)})
		}
	}
	return nil
}

// Same reports whether two evaluations agree in every figure; those that are not defined agree.
func (e *EvalSummary) Same(o *EvalSummary) bool {
	if e == nil || o == nil {
		return e == o
	}
	all := func(e *EvalSummary) string {
		return metric.Format(append([]metric.Figure{{Name: "loss", Value: float64(e.Loss)}, {Name: "accuracy", Value: float64(e.Accuracy)}}, e.Metrics...))
	}
	return all(e) == all(o)
}

// first is the metric that lines show: the one asked for first, or the accuracy where there is one.
func (e *EvalSummary) first() (metric.Figure, bool) {
	if len(e.Metrics) > 0 {
		return e.Metrics[0], true
	}
	return metric.Figure{Name: "accuracy", Value: float64(e.Accuracy)}, e.Accuracy.finite()
}
