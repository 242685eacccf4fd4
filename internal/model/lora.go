package model

import (
	"fmt"

	"ringmaster/internal/config"
	"ringmaster/internal/tensor"
)

// lora is low-rank adapters (Hu et al. 2021) as they are declared; nil: none.
type lora struct {
	config.LoRA
	targets *config.Patterns
}

func newLoRA(c config.LoRA) *lora {
	if c.Rank == 0 {
		return nil
	}
	return &lora{c, config.NewPatterns(c.Targets)}
}

// unused is an error where a pattern has named no linear layer.
func (l *lora) unused() error {
	if l == nil {
		return nil
	}
	for _, i := range l.targets.Unused() {
		return config.KeyErrorf(fmt.Sprintf("model.lora.targets[%d]", i), "no linear layer of the model is named %s", l.Targets[i])
	}
	return nil
}

// adapter adds alpha/rank · B·A·x to a linear layer's W·x: A (rank, in) begins as PyTorch's linear layers do and B (out, rank) at zero.
// They are named as PEFT names them: lora_A.weight, lora_B.weight.
type adapter struct {
	a, b  int
	scale float32
	rate  float32 // of dropout on x
}

// adapt declares the adapter of the linear layer under the prefix name; nil where it has none.
func (b *builder) adapt(name string, in, out int) *adapter {
	owner := name
	if b.loan != nil {
		rest, _ := under(name+".weight", b.loan.to)
		owner = b.loan.from + "." + rest[:len(rest)-min(len(rest), len(".weight"))]
	}
	if b.lora == nil || !b.lora.targets.Match(owner+".weight") {
		return nil
	}
	l := &adapter{scale: float32(b.lora.Alpha / float64(b.lora.Rank)), rate: float32(b.lora.Dropout)}
	l.a = b.parameter(name+".lora_A.weight", true, torchUniform(in), b.lora.Rank, in)
	l.b = b.parameter(name+".lora_B.weight", true, zeros, out, b.lora.Rank)
	for _, k := range []int{l.a, l.b} {
		if k >= 0 {
			b.model.params[k].Adapter = true
		}
	}
	if l.a >= 0 && b.loan == nil {
		b.model.adapted = append(b.model.adapted, adapted{name, l})
	}
	return l
}

// adapted is a linear layer with an adapter.
type adapted struct {
	name string
	*adapter
}

// record is y plus what the adapter gives of x.
func (l *adapter) record(r *recorder, x, y *tensor.Value) *tensor.Value {
	low := r.Linear(r.Dropout(x, l.rate), r.param(l.a), nil, 0)
	return r.Add(y, r.Scale(r.Linear(low, r.param(l.b), nil, 0), l.scale))
}

// Adapted are the names of the linear layers that have adapters.
func (m *Model) Adapted() []string {
	var names []string
	for _, l := range m.adapted {
		names = append(names, l.name)
	}
	return names
}

// Merge adds what the adapters give to the weights that they belong to, as PEFT's merge does: W += alpha/rank · B·A. The adapters stay as
// they are in the vector.
func (m *Model) Merge(params []float32) {
	at := map[string]Tensor{}
	for _, p := range m.params {
		at[p.Name] = p
	}
	for _, l := range m.adapted {
		w, a, b := at[l.name+".weight"], m.params[l.a], m.params[l.b]
		rank, in := a.Shape[0], a.Shape[1]
		down, up := params[a.Interval.Begin:a.Interval.End], params[b.Interval.Begin:b.Interval.End]
		values := params[w.Interval.Begin:w.Interval.End]
		for i := range values {
			sum := float32(0)
			for k := range rank {
				sum += float32(up[i/in*rank+k] * down[k*in+i%in])
			}
			values[i] += float32(l.scale * sum)
		}
	}
}
