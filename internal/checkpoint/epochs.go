package checkpoint

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
)

// The epochs come last in a manifest, one row each; without an evaluation a row has only the first three figures:
//
//	[epoch, step, training loss, evaluation's loss, accuracy, samples, metrics]
//
// The last, the text of the other metrics, is omitted if there are none.

// rows are epochs in the order of the manifest's version 2.
type rows []EpochMetrics

// MarshalJSON writes a row for every epoch, keeping every bit of the figures.
func (r rows) MarshalJSON() ([]byte, error) {
	if len(r) == 0 {
		return []byte("[]"), nil
	}
	out := []byte{'['}
	for i, e := range r {
		if i > 0 {
			out = append(out, ',')
		}
		out = appendRow(out, e)
	}
	return append(out, ']'), nil
}

func appendRow(out []byte, e EpochMetrics) []byte {
	figure := func(x float64) {
		text, _ := number(x).MarshalJSON() // never fails
		out = append(append(out, ','), text...)
	}
	out = strconv.AppendInt(append(out, '['), int64(e.Epoch), 10)
	out = strconv.AppendUint(append(out, ','), e.Step, 10)
	figure(e.TrainLoss)
	if e.HasEval {
		figure(e.EvalLoss)
		figure(e.EvalAccuracy)
		out = strconv.AppendUint(append(out, ','), e.EvalCount, 10)
		if e.Metrics != "" {
			text, _ := json.Marshal(e.Metrics) // never fails
			out = append(append(out, ','), text...)
		}
	}
	return append(out, ']')
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *rows) UnmarshalJSON(data []byte) error {
	var texts [][]json.RawMessage
	if err := json.Unmarshal(data, &texts); err != nil {
		return err
	}
	*r = make(rows, len(texts))
	for i, row := range texts {
		e := &(*r)[i]
		into := []any{&e.Epoch, &e.Step, (*number)(&e.TrainLoss), (*number)(&e.EvalLoss), (*number)(&e.EvalAccuracy), &e.EvalCount, &e.Metrics}
		if n := len(row); n != 3 && n != len(into)-1 && n != len(into) {
			return fmt.Errorf("epoch %d has %d figures", i+1, len(row))
		}
		e.HasEval = len(row) > 3
		for k, text := range row {
			if err := json.Unmarshal(text, into[k]); err != nil || bytes.Equal(text, []byte("null")) {
				return errors.Join(fmt.Errorf("figure %d of epoch %d is wrong", k+1, i+1), err)
			}
		}
	}
	return nil
}

// plain is a manifest's fields without its methods; versioned has the epochs of version 2 in their place.
type (
	plain     Manifest
	versioned struct {
		*plain
		Epochs rows `json:"epochs"`
	}
)

// fields are the manifest's fields as JSON, which its checksum covers.
func (m *Manifest) fields() ([]byte, error) {
	if m.Version == 1 {
		return json.Marshal((*plain)(m))
	}
	return json.Marshal(versioned{(*plain)(m), m.Epochs})
}

// text is the manifest as it is written in its file: one field a line, and in version 2 one epoch a line.
func (m *Manifest) text() ([]byte, error) {
	if m.Version == 1 {
		data, err := json.MarshalIndent((*plain)(m), "", "  ")
		return append(data, '\n'), err
	}
	data, err := json.MarshalIndent(versioned{plain: (*plain)(m)}, "", "  ")
	if err != nil || len(m.Epochs) == 0 {
		return append(data, '\n'), err
	}
	data = bytes.TrimSuffix(data, []byte("[]\n}"))
	for i, e := range m.Epochs {
		before := ",\n    "
		if i == 0 {
			before = "[\n    "
		}
		data = appendRow(append(data, before...), e)
	}
	return append(data, "\n  ]\n}\n"...), nil
}

// parseFields reads the fields of a manifest of that version.
func parseFields(data []byte, version int) (*Manifest, error) {
	m := &Manifest{}
	if version == 1 {
		return m, strictJSON(data, (*plain)(m))
	}
	v := versioned{plain: (*plain)(m)}
	err := strictJSON(data, &v)
	if m.Epochs = v.Epochs; len(m.Epochs) == 0 {
		m.Epochs = nil
	}
	return m, err
}
