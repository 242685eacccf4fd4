package tensor

import (
	"math"

	"ringmaster/internal/tensor/kernel"
)

// binary is the sum over the labels of all rows of the cross-entropy of sigmoid(x) against the label.
type binary struct {
	rowLoss
	labels  *Value    // or
	classes *Integers // of two classes: 0 and 1
	powers  *buffer   // e^-|x|
	logs    *buffer   // ln(1 + e^-|x|)
}

// BinaryCrossEntropy ends a graph: every value of x is the logit of one yes-or-no label, and the loss is the sum over the labels of
// max(x, 0) - x y + ln(1 + e^-|x|), as PyTorch's BCEWithLogitsLoss(reduction='sum'). It counts labels. The labels y are an input of x's
// size with values from 0 to 1, or whole numbers 0 and 1; negative ones are ignored, and the loss of one above 1 is not a number. A
// label is answered rightly where x >= 0 says the same as y > 1/2. Rows of weight 0 do not count; weights, one a sample, may be nil.
func (g *Graph) BinaryCrossEntropy(x, labels, weights *Value) {
	invariant(labels.role == input && labels.size == x.size, "labels of %v for %v", labels.Shape, x.Shape)
	g.binary(&binary{labels: labels}, x, weights)
}

// BinaryCrossEntropyOf is BinaryCrossEntropy against whole numbers.
func (g *Graph) BinaryCrossEntropyOf(x *Value, labels *Integers, weights *Value) {
	invariant(labels.Size() == x.size, "labels of %v for %v", labels.Shape, x.Shape)
	g.binary(&binary{classes: labels}, x, weights)
}

func (g *Graph) binary(op *binary, x, weights *Value) {
	n := op.end(g, x, weights, 16, op, op.computeRows)
	op.powers, op.logs = newBuffer(x.size), newBuffer(x.size)
	n.forward = append(n.forward, op.powers, op.logs)
}

func (o *binary) label(k int) float32 {
	if o.classes != nil {
		return float32(o.classes.data[k])
	}
	return o.labels.Data()[k]
}

func (o *binary) computeRows(begin, end int) {
	i, j := begin*o.width, end*o.width
	x, powers, logs := o.x.Data()[i:j], o.powers.data[i:j], o.logs.data[i:j]
	for k, v := range x {
		powers[k] = -float32(math.Abs(float64(v)))
	}
	kernel.Exp(powers, powers)
	for k, e := range powers {
		logs[k] = 1 + e
	}
	kernel.Log(logs, logs)
	if d := o.gradient(begin, end); d != nil {
		kernel.Sigmoid(d, x)
	}
	count, correct := 0, 0
	for row := begin; row < end; row++ {
		n, right := o.computeRow(row)
		count, correct = count+n, correct+right
	}
	o.count.Add(int64(count))
	o.correct.Add(int64(correct))
}

// computeRow sums up a row's labels that count.
func (o *binary) computeRow(row int) (count, correct int) {
	x, d, w := o.x.Data(), o.gradient(row, row+1), o.weight(row)
	total := 0.0
	for k := row * o.width; k < (row+1)*o.width; k++ {
		y, at := o.label(k), k-row*o.width
		if y < 0 || w == 0 {
			if d != nil {
				d[at] = 0
			}
			continue
		}
		count++
		if (x[k] >= 0) == (y > 0.5) {
			correct++
		}
		if y > 1 {
			y = float32(math.NaN())
		}
		total += max(float64(x[k]), 0) - float64(float64(x[k])*float64(y)) + logOfOneMore(o.powers.data[k], o.logs.data[k])
		if d != nil {
			d[at] -= y
		}
	}
	o.losses[row] = total
	o.scale(row, w)
	return count, correct
}

// logOfOneMore is ln(1+e) from the logarithm of the rounded sum, whose rounding it undoes (Kahan): small losses keep their digits.
func logOfOneMore(e, log float32) float64 {
	rounded := (1 + e) - 1
	if rounded == 0 {
		return float64(e)
	}
	return float64(log) * (float64(e) / float64(rounded))
}
