package tensor

import "ringmaster/internal/tensor/kernel"

// gruCell has the gates reset, update and new, in PyTorch's order: new = tanh(x + reset*(w·y' + b)), y = new + update*(y' - new).
type gruCell struct {
	carried *buffer // (samples, steps, hidden): w·y' + b of the gate new
}

// GRU is the part of torch.nn.GRU (batch_first) after the inputs' products x (samples, steps, 3 hidden): w is weight_hh (3 hidden,
// hidden), b is bias_hh (3 hidden) or nil, and the result is what every step gives, (samples, steps, hidden). It begins with zeros;
// with reverse at the last step.
func (g *Graph) GRU(x, w, b *Value, reverse bool) *Value {
	op, n := g.recurrent(x, w, b, 3, reverse)
	op.cell = &gruCell{carried: n.saved(op.y.size)}
	op.dacross = n.temporaryBackward(x.size)
	return op.y
}

const (
	gruReset = iota
	gruUpdate
	gruNew
)

func (l *gruCell) forward(o *recurrent, sample int) {
	width := 3 * o.hidden
	across := o.across.data[sample*width : (sample+1)*width]
	x := o.of(o.x.Data(), sample, o.at, width)
	gates := o.of(o.active.data, sample, o.at, width)
	both := 2 * o.hidden
	kernel.Add(gates[:both], x[:both], across[:both])
	kernel.Sigmoid(gates[:both], gates[:both])
	carried, fresh := o.of(l.carried.data, sample, o.at, o.hidden), o.split(gates, gruNew)
	copy(carried, o.split(across, gruNew))
	kernel.Mul(fresh, o.split(gates, gruReset), carried)
	kernel.AddTo(fresh, o.split(x, gruNew))
	kernel.Tanh(fresh, fresh)
	y := o.of(o.y.Data(), sample, o.at, o.hidden)
	kernel.Sub(y, o.previous(o.y.Data(), sample), fresh)
	kernel.Mul(y, y, o.split(gates, gruUpdate))
	kernel.AddTo(y, fresh)
}

func (l *gruCell) begin() {}

func (l *gruCell) backward(o *recurrent, sample int) {
	width := 3 * o.hidden
	gates := o.of(o.active.data, sample, o.at, width)
	d, across := o.of(o.dx.data(), sample, o.at, width), o.of(o.dacross.data, sample, o.at, width)
	dh := o.dh.data[sample*o.hidden : (sample+1)*o.hidden]
	kernel.AddTo(dh, o.of(o.y.grad.data, sample, o.at, o.hidden))

	reset, update, fresh := o.split(gates, gruReset), o.split(gates, gruUpdate), o.split(gates, gruNew)
	dReset, dUpdate, dFresh := o.split(d, gruReset), o.split(d, gruUpdate), o.split(d, gruNew)
	kernel.Sub(dUpdate, o.previous(o.y.Data(), sample), fresh)
	kernel.Mul(dUpdate, dUpdate, dh)
	kernel.SigmoidBackward(dUpdate, dUpdate, update)
	kernel.Mul(dReset, dh, update) // what goes to the step before by itself, for now
	kernel.Sub(dFresh, dh, dReset)
	copy(dh, dReset)
	kernel.TanhBackward(dFresh, dFresh, fresh)
	kernel.Mul(dReset, dFresh, o.of(l.carried.data, sample, o.at, o.hidden))
	kernel.SigmoidBackward(dReset, dReset, reset)

	copy(across, d[:2*o.hidden])
	kernel.Mul(o.split(across, gruNew), dFresh, reset)
}
