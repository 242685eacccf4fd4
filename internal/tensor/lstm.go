package tensor

import "ringmaster/internal/tensor/kernel"

// lstmCell has the gates input, forget, new and output, in PyTorch's order: c = forget*c' + input*new, y = output*tanh(c).
type lstmCell struct {
	c, root *buffer // (samples, steps, hidden): the cells and their tanh
	dc      *buffer // scratch (samples, hidden): gradient of the cells, from the step after
}

// LSTM is the part of torch.nn.LSTM (batch_first) after the inputs' products x (samples, steps, 4 hidden): w is weight_hh (4 hidden,
// hidden), b is bias_hh (4 hidden) or nil, and the result is what every step gives, (samples, steps, hidden). It begins with zeros;
// with reverse at the last step.
func (g *Graph) LSTM(x, w, b *Value, reverse bool) *Value {
	op, n := g.recurrent(x, w, b, 4, reverse)
	op.cell = &lstmCell{c: n.saved(op.y.size), root: n.saved(op.y.size), dc: n.temporaryBackward(op.samples * op.hidden)}
	return op.y
}

const (
	lstmInput = iota
	lstmForget
	lstmNew
	lstmOutput
)

func (l *lstmCell) forward(o *recurrent, sample int) {
	width := 4 * o.hidden
	across := o.across.data[sample*width : (sample+1)*width]
	gates := o.of(o.active.data, sample, o.at, width)
	kernel.Add(gates, o.of(o.x.Data(), sample, o.at, width), across)
	kernel.Sigmoid(gates[:2*o.hidden], gates[:2*o.hidden])
	fresh, output := o.split(gates, lstmNew), o.split(gates, lstmOutput)
	kernel.Tanh(fresh, fresh)
	kernel.Sigmoid(output, output)
	c, root := o.of(l.c.data, sample, o.at, o.hidden), o.of(l.root.data, sample, o.at, o.hidden)
	kernel.Mul(c, o.split(gates, lstmForget), o.previous(l.c.data, sample))
	kernel.Mul(root, o.split(gates, lstmInput), fresh)
	kernel.AddTo(c, root)
	kernel.Tanh(root, c)
	kernel.Mul(o.of(o.y.Data(), sample, o.at, o.hidden), output, root)
}

func (l *lstmCell) begin() { clear(l.dc.data) }

func (l *lstmCell) backward(o *recurrent, sample int) {
	width := 4 * o.hidden
	gates := o.of(o.active.data, sample, o.at, width)
	d := o.of(o.carried(), sample, o.at, width)
	dh, dc := o.dh.data[sample*o.hidden:(sample+1)*o.hidden], l.dc.data[sample*o.hidden:(sample+1)*o.hidden]
	root := o.of(l.root.data, sample, o.at, o.hidden)
	kernel.AddTo(dh, o.of(o.y.grad.data, sample, o.at, o.hidden))

	output, dOutput := o.split(gates, lstmOutput), o.split(d, lstmOutput)
	kernel.Mul(dOutput, dh, output) // the cells' part for now
	kernel.TanhBackward(dOutput, dOutput, root)
	kernel.AddTo(dc, dOutput)
	kernel.Mul(dOutput, dh, root)
	kernel.SigmoidBackward(dOutput, dOutput, output)

	in, dIn := o.split(gates, lstmInput), o.split(d, lstmInput)
	fresh, dFresh := o.split(gates, lstmNew), o.split(d, lstmNew)
	kernel.Mul(dIn, dc, fresh)
	kernel.SigmoidBackward(dIn, dIn, in)
	kernel.Mul(dFresh, dc, in)
	kernel.TanhBackward(dFresh, dFresh, fresh)

	forget, dForget := o.split(gates, lstmForget), o.split(d, lstmForget)
	kernel.Mul(dForget, dc, o.previous(l.c.data, sample))
	kernel.SigmoidBackward(dForget, dForget, forget)
	kernel.Mul(dc, dc, forget)
	clear(dh)
}
