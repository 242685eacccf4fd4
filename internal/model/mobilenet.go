package model

import (
	"strconv"

	"ringmaster/internal/config"
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// mobileNetV2 is the network of Sandler et al. 2018 as torchvision or Keras has it. Its tensors have torchvision's names and shapes:
// "features.0.0.weight", ..., "classifier.1.bias"; those of Keras' form have Keras' too.
type mobileNetV2 struct {
	field    string
	input    []int // channels, height, width
	features chain
	dropout  float32
	head     *linear
}

const (
	mobileNetStem = 32
	mobileNetHead = 1280
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

// mobileNetBuilder declares the layers one after another.
type mobileNetBuilder struct {
	*builder
	keras         bool
	height, width int // of what the next layer reads
}

func buildMobileNetV2(b *builder, cfg config.Model, spec Spec) (network, error) {
	if err := spec.values(); err != nil {
		return nil, err
	}
	if len(spec.Input) != 3 {
		return nil, config.KeyErrorf("model.kind", "mobilenetv2 takes images of channels x height x width but the data has samples of %s", extent(spec.Input))
	}
	m := &mobileNetV2{field: spec.Field, input: spec.Input, dropout: float32(cfg.Dropout)}
	n := &mobileNetBuilder{b, cfg.Form == config.FormKeras, spec.Input[1], spec.Input[2]}
	stride, stages := mobileNetStages(cfg.Variant)
	m.features = append(m.features, n.convNorm("features.0", mobileNetNames{"Conv1", "bn_Conv1"}, spec.Input[0], mobileNetStem, 3, stride, 1, tensor.ReLU6Norm))
	in := mobileNetStem
	for _, s := range stages {
		for k := range s.blocks {
			stride := 1
			if k == 0 {
				stride = s.stride
			}
			m.features = append(m.features, n.inverted(len(m.features), in, s.channels, stride, s.expansion))
			in = s.channels
		}
	}
	name := "features." + strconv.Itoa(len(m.features))
	m.features = append(m.features, n.convNorm(name, mobileNetNames{"Conv_1", "Conv_1_bn"}, in, mobileNetHead, 1, 1, 1, tensor.ReLU6Norm))
	first := normal(0.01)
	if n.keras {
		first = glorotUniform(mobileNetHead, spec.Classes)
	}
	m.head = newLinear(b, "classifier.1", mobileNetHead, spec.Classes, zeros, kernel.None, first)
	if n.keras {
		b.alias(m.head.weight, "predictions/kernel", 1, 0)
		b.alias(m.head.bias, "predictions/bias", 0)
	}
	return m, nil
}

// mobileNetNames are what Keras calls a convolution and its batch norm.
type mobileNetNames struct{ conv, norm string }

func layersOf(block, layer string) mobileNetNames {
	return mobileNetNames{block + "_" + layer, block + "_" + layer + "_BN"}
}

// convNorm is a convolution that keeps the size (but for the stride), then batch norm: name.0 and name.1.
func (n *mobileNetBuilder) convNorm(name string, keras mobileNetNames, in, out, size, stride, groups int, act tensor.BatchNormActivation) chain {
	return chain{n.conv(name+".0", keras.conv, in, out, size, stride, groups), n.norm(name+".1", keras.norm, out, act)}
}

// conv pads by (size-1)/2 on each side. In Keras' form a stride of 2 has the last row and column of an even image in the middle of
// no window, so it pads these sides alone.
func (n *mobileNetBuilder) conv(name, keras string, in, out, size, stride, groups int) *conv {
	options := tensor.ConvOptions{Stride: stride, Padding: (size - 1) / 2, Dilation: 1, Groups: groups}
	first := kaimingNormal(out, size*size)
	if n.keras {
		first = glorotUniform(in/groups*size*size, out*size*size)
		if groups > 1 { // its kernel is (size, size, channels, 1)
			first = glorotUniform(in*size*size, size*size)
		}
		if stride == 2 && size == 3 {
			options = n.evenly(options)
		}
	}
	l := newConv(n.builder, name, in, out, size, options, first, nil)
	n.height, n.width = (n.height+stride-1)/stride, (n.width+stride-1)/stride
	switch {
	case n.keras && groups > 1:
		n.alias(l.weight, keras+"/kernel", 2, 3, 0, 1)
	case n.keras:
		n.alias(l.weight, keras+"/kernel", 2, 3, 1, 0)
	}
	return l
}

// evenly is Keras' padding of a kernel of 3 with a stride of 2: (0, 1) along an even axis, (1, 1) along an odd one.
func (n *mobileNetBuilder) evenly(options tensor.ConvOptions) tensor.ConvOptions {
	if n.height%2 != n.width%2 && n.fault == nil {
		n.fault = config.KeyErrorf("model.form", "keras: images get %d x %d pixels before a stride of 2; they must be even or odd along both axes, as square images are", n.height, n.width)
	}
	if n.height%2 == 0 {
		options.Padding, options.Extra = 0, 1
	}
	return options
}

func (n *mobileNetBuilder) norm(name, keras string, channels int, act tensor.BatchNormActivation) *batchNorm {
	if !n.keras {
		return newBatchNorm(n.builder, name, channels, 1e-5, 0.1, act)
	}
	l := newBatchNorm(n.builder, name, channels, 1e-3, 0.001, act)
	l.options.Biased = true
	n.alias(l.weight, keras+"/gamma", 0)
	n.alias(l.bias, keras+"/beta", 0)
	n.statAlias(l.mean, keras+"/moving_mean", 0)
	n.statAlias(l.variance, keras+"/moving_variance", 0)
	return l
}

// inverted is torchvision's InvertedResidual: expand by 1x1, depthwise 3x3, project by 1x1; added to its input where the
// shapes agree.
type inverted struct {
	layers   chain
	residual bool
}

// inverted declares the block with the given number of the features.
func (n *mobileNetBuilder) inverted(number, in, out, stride, expansion int) *inverted {
	l := &inverted{residual: stride == 1 && in == out}
	name, keras := "features."+strconv.Itoa(number), "block_"+strconv.Itoa(number-1)
	if number == 1 {
		keras = "expanded_conv"
	}
	hidden, at := in*expansion, 0
	part := func() string { at++; return name + ".conv." + strconv.Itoa(at-1) }
	if expansion != 1 {
		l.layers = append(l.layers, n.convNorm(part(), layersOf(keras, "expand"), in, hidden, 1, 1, 1, tensor.ReLU6Norm))
	}
	l.layers = append(l.layers, n.convNorm(part(), layersOf(keras, "depthwise"), hidden, hidden, 3, stride, hidden, tensor.ReLU6Norm))
	project := layersOf(keras, "project")
	l.layers = append(l.layers, n.conv(part(), project.conv, hidden, out, 1, 1, 1), n.norm(part(), project.norm, out, tensor.PlainNorm))
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
