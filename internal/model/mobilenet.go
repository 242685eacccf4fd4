package model

import (
	"strconv"

	"ringmaster/internal/config"
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// mobileNetV2 is the network of Sandler et al. 2018 as torchvision has it, with its names, shapes and first values:
// "features.0.0.weight", ..., "classifier.1.bias".
type mobileNetV2 struct {
	field    string
	input    []int // channels, height, width
	features chain
	dropout  float32
	head     *linear
}

// The constants of torchvision's form.
const (
	mobileNetEpsilon  = 1e-5
	mobileNetMomentum = 0.1
	mobileNetStem     = 32
	mobileNetHead     = 1280
)

// mobileNetStage is a row of the paper's table 2.
type mobileNetStage struct{ expansion, channels, blocks, stride int }

func mobileNetStages(variant string) (stem int, stages []mobileNetStage) {
	stages = []mobileNetStage{
		{1, 16, 1, 1}, {6, 24, 2, 2}, {6, 32, 3, 2}, {6, 64, 4, 2}, {6, 96, 3, 1}, {6, 160, 3, 2}, {6, 320, 1, 1},
	}
	if variant == "cifar" {
		stages[1].stride = 1
		return 1, stages
	}
	return 2, stages
}

func buildMobileNetV2(b *builder, cfg config.Model, spec Spec) (network, error) {
	if err := spec.values(); err != nil {
		return nil, err
	}
	if len(spec.Input) != 3 {
		return nil, config.KeyErrorf("model.kind", "mobilenetv2 takes images of channels x height x width but the data has samples of %s", extent(spec.Input))
	}
	m := &mobileNetV2{field: spec.Field, input: spec.Input, dropout: float32(cfg.Dropout)}
	stride, stages := mobileNetStages(cfg.Variant)
	m.features = append(m.features, convNorm(b, "features.0", spec.Input[0], mobileNetStem, 3, stride, 1, tensor.ReLU6Norm))
	in := mobileNetStem
	for _, s := range stages {
		for k := range s.blocks {
			stride := 1
			if k == 0 {
				stride = s.stride
			}
			name := "features." + strconv.Itoa(len(m.features))
			m.features = append(m.features, newInverted(b, name, in, s.channels, stride, s.expansion))
			in = s.channels
		}
	}
	name := "features." + strconv.Itoa(len(m.features))
	m.features = append(m.features, convNorm(b, name, in, mobileNetHead, 1, 1, 1, tensor.ReLU6Norm))
	m.head = newLinear(b, "classifier.1", mobileNetHead, spec.Classes, zeros, kernel.None, normal(0.01))
	return m, nil
}

// convNorm is a convolution that keeps the size (but for the stride), then batch norm: name.0 and name.1.
func convNorm(b *builder, name string, in, out, size, stride, groups int, act tensor.BatchNormActivation) chain {
	options := tensor.ConvOptions{Stride: stride, Padding: (size - 1) / 2, Dilation: 1, Groups: groups}
	return chain{
		newConv(b, name+".0", in, out, size, options, kaimingNormal(out, size*size), nil),
		newBatchNorm(b, name+".1", out, mobileNetEpsilon, mobileNetMomentum, act),
	}
}

// inverted is torchvision's InvertedResidual: expand by 1x1, depthwise 3x3, project by 1x1; added to its input where the
// shapes agree.
type inverted struct {
	layers   chain
	residual bool
}

func newInverted(b *builder, name string, in, out, stride, expansion int) *inverted {
	l := &inverted{residual: stride == 1 && in == out}
	hidden, at := in*expansion, 0
	part := func() string { at++; return name + ".conv." + strconv.Itoa(at-1) }
	if expansion != 1 {
		l.layers = append(l.layers, convNorm(b, part(), in, hidden, 1, 1, 1, tensor.ReLU6Norm))
	}
	l.layers = append(l.layers, convNorm(b, part(), hidden, hidden, 3, stride, hidden, tensor.ReLU6Norm))
	project := tensor.ConvOptions{Stride: 1, Dilation: 1, Groups: 1}
	l.layers = append(l.layers, newConv(b, part(), hidden, out, 1, project, kaimingNormal(out, 1), nil))
	l.layers = append(l.layers, newBatchNorm(b, part(), out, mobileNetEpsilon, mobileNetMomentum, tensor.PlainNorm))
	return l
}

func (l *inverted) record(r *recorder, x *tensor.Value) *tensor.Value {
	y := l.layers.record(r, x)
	if l.residual {
		y = r.Add(x, y)
	}
	return y
}

func (m *mobileNetV2) record(r *recorder, n int) *tensor.Value {
	in := r.Floats(m.field, n, m.input[0], m.input[1], m.input[2])
	x := m.features.record(r, r.ChannelsLast(in))
	x = r.Flatten(r.AdaptiveAveragePool(x, 1, 1))
	return m.head.record(r, r.Dropout(x, m.dropout))
}
