package records

import (
	"bufio"
	"io"
	"strconv"
)

// WriteJSONL writes a line of JSON for every point and for every epoch, by step:
//
//	{"step":4,"loss":2.272496,"accuracy":0.140625,"learning_rate":0.000999998,"grad_norm":0.9428284}
//	{"step":625,"epoch":1,"train_loss":0.558,"eval_loss":0.145,"eval_accuracy":0.9645}
//
// A point's figures have the digits that bring the same float32 back, an epoch's those of a float64. What is not finite is null.
func (r *Run) WriteJSONL(w io.Writer) error {
	b := bufio.NewWriter(w)
	names := r.columns()
	var line []byte
	r.rows(func(step uint64, row []value) {
		line = append(line[:0], `{"step":`...)
		if line = strconv.AppendUint(line, step, 10); step == 0 {
			line = append(line[:len(line)-1], "null"...)
		}
		for i, v := range row {
			if !v.present() {
				continue
			}
			line = append(line, ',')
			line = strconv.AppendQuote(line, names[i])
			if line = append(line, ':'); v.finite() {
				line = strconv.AppendFloat(line, v.x, 'g', -1, v.bits)
			} else {
				line = append(line, "null"...)
			}
		}
		_, _ = b.Write(append(line, "}\n"...)) // Flush tells
	})
	return b.Flush()
}

// WriteCSV writes the same rows under a line of names. A cell is empty where the row has no such figure, and NaN, Inf or -Inf where it is not finite.
func (r *Run) WriteCSV(w io.Writer) error {
	b := bufio.NewWriter(w)
	_, _ = b.WriteString("step")
	for _, name := range r.columns() {
		_, _ = b.WriteString("," + name)
	}
	_ = b.WriteByte('\n')
	var line []byte
	r.rows(func(step uint64, row []value) {
		if line = line[:0]; step != 0 {
			line = strconv.AppendUint(line, step, 10)
		}
		for _, v := range row {
			if line = append(line, ','); !v.present() {
				continue
			}
			at := len(line)
			if line = strconv.AppendFloat(line, v.x, 'g', -1, v.bits); line[at] == '+' {
				line = append(line[:at], line[at+1:]...)
			}
		}
		_, _ = b.Write(append(line, '\n'))
	})
	return b.Flush()
}
