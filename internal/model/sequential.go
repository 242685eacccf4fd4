package model

import (
	"fmt"
	"math"
	"strconv"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// sequential is a model written in the job file: layers one after another, named by their place as torch.nn.Sequential
// names them ("0.weight"; "3.1.weight" for layer 1 inside the residual block 3), with PyTorch's first values.
type sequential struct {
	field  string
	input  []int // of a sample as the data gives it
	square int   // edge of the images that flat samples are taken for; 0: as they are
	layers chain
}

// maxActivation bounds what a layer gives for one sample.
const maxActivation = 1 << 28

func buildSequential(b *builder, cfg config.Model, spec Spec) (network, error) {
	if err := spec.values(); err != nil {
		return nil, err
	}
	m := &sequential{field: spec.Field, input: spec.Input}
	shape := spec.Input
	if len(shape) == 2 {
		shape = []int{1, shape[0], shape[1]}
	}
	if len(shape) == 1 && len(cfg.Stack) > 0 && wantsImages(cfg.Stack[0]) {
		edge := int(math.Sqrt(float64(shape[0])))
		if edge*edge != shape[0] {
			return nil, fmt.Errorf("model.stack[0]: %s takes images but the data has %s a sample, which make no square", cfg.Stack[0].Kind, plural.Of(shape[0], "value"))
		}
		m.square = edge
		shape = []int{1, edge, edge}
	}
	s := &stack{builder: b}
	var err error
	if m.layers, shape, err = s.build("model.stack", "", cfg.Stack, shape); err != nil {
		return nil, err
	}
	if len(shape) != 1 || shape[0] != spec.Classes {
		last := len(cfg.Stack) - 1
		return nil, fmt.Errorf("model.stack[%d]: the last layer gives %s but the data has %s", last, values(shape), spec.wants)
	}
	return m, nil
}

// wantsImages reports whether a stack that begins with the layer can only mean images.
func wantsImages(l config.Layer) bool {
	switch l.Kind {
	case "conv", "max_pool", "average_pool", "global_average_pool":
		return true
	case "residual":
		return len(l.Stack) > 0 && wantsImages(l.Stack[0])
	}
	return false
}

func (m *sequential) record(r *recorder, n int) *tensor.Value {
	switch {
	case m.square > 0: // one channel: first is last
		in := r.Floats(m.field, n, m.square, m.square, 1)
		return m.layers.record(r, in)
	case len(m.input) == 1:
		in := r.Floats(m.field, n, m.input[0])
		return m.layers.record(r, in)
	case len(m.input) == 2:
		in := r.Floats(m.field, n, m.input[0], m.input[1], 1)
		return m.layers.record(r, in)
	}
	in := r.Floats(m.field, append([]int{n}, m.input...)...)
	return m.layers.record(r, r.ChannelsLast(in))
}

// stack builds layers from their description. Shapes are those of a sample: [values], or [channels height width].
type stack struct {
	builder *builder
}

// build makes the layers of one list. key is where the list stands in the job file, prefix what names begin with.
func (s *stack) build(key, prefix string, list []config.Layer, shape []int) (chain, []int, error) {
	var layers chain
	for k := 0; k < len(list); k++ {
		l := list[k]
		at := fmt.Sprintf("%s[%d]", key, k)
		made, out, err := s.layer(at, prefix+strconv.Itoa(k), l, shape)
		if err != nil {
			return nil, nil, err
		}
		if k+1 < len(list) && fuse(made, list[k+1].Kind) {
			k++
		}
		if tensor.Volume(out) > maxActivation {
			return nil, nil, fmt.Errorf("%s: %s gives %s values a sample, more than %d", at, l.Kind, extent(out), maxActivation)
		}
		if s.builder.model.length > maxParams {
			return nil, nil, fmt.Errorf("%s: with %s the model has more than %d parameters", at, l.Kind, maxParams)
		}
		layers, shape = append(layers, made), out
	}
	return layers, shape, nil
}

// fuse takes an activation into the layer before it where that has a form with it. The bits stay the same.
func fuse(l layer, next string) bool {
	switch l := l.(type) {
	case *linear:
		if next == "relu" {
			l.act = kernel.ReLUActivation
			return true
		}
	case *conv:
		if next == "relu" {
			l.options.ReLU = true
			return true
		}
	case *batchNorm:
		switch next {
		case "relu":
			l.act = tensor.ReLUNorm
			return true
		case "relu6":
			l.act = tensor.ReLU6Norm
			return true
		}
	}
	return false
}

// layer makes one layer and says what it gives.
func (s *stack) layer(at, name string, l config.Layer, shape []int) (layer, []int, error) {
	image := len(shape) == 3
	switch l.Kind {
	case "linear":
		if image {
			return nil, nil, fmt.Errorf("%s: linear takes a vector but gets images of %s; put flatten or global_average_pool before it", at, extent(shape))
		}
		return newLinear(s.builder, name, shape[0], l.Out, biases(l, shape[0]), kernel.None, torchUniform(shape[0])), []int{l.Out}, nil
	case "conv", "max_pool", "average_pool", "global_average_pool":
		if !image {
			return nil, nil, fmt.Errorf("%s: %s takes images but gets %s", at, l.Kind, values(shape))
		}
		return s.sliding(at, name, l, shape)
	case "batch_norm":
		return newBatchNorm(s.builder, name, shape[0], l.Epsilon, l.Momentum, tensor.PlainNorm), shape, nil
	case "layer_norm", "rms_norm":
		if image {
			return nil, nil, fmt.Errorf("%s: %s takes a vector but gets images of %s; put flatten before it, or take batch_norm", at, l.Kind, extent(shape))
		}
		if l.Kind == "rms_norm" {
			return newRMSNorm(s.builder, name, shape[0], l.Epsilon), shape, nil
		}
		return newLayerNorm(s.builder, name, shape[0], true, l.Epsilon), shape, nil
	case "flatten":
		return function((*recorder).flatten), []int{tensor.Volume(shape)}, nil
	case "dropout":
		rate := float32(l.Rate)
		return function(func(r *recorder, x *tensor.Value) *tensor.Value { return r.Dropout(x, rate) }), shape, nil
	case "residual":
		return s.residual(at, name, l, shape)
	}
	if f, ok := functions[l.Kind]; ok {
		return f, shape, nil
	}
	return nil, nil, fmt.Errorf("%s: there is no layer %q", at, l.Kind)
}

func biases(l config.Layer, inputs int) fill {
	if l.Bias {
		return torchUniform(inputs)
	}
	return nil
}

// sliding makes the layers that slide a window over images.
func (s *stack) sliding(at, name string, l config.Layer, shape []int) (layer, []int, error) {
	channels, height, width := shape[0], shape[1], shape[2]
	if l.Kind == "global_average_pool" {
		return function((*recorder).globalAverage), []int{channels}, nil
	}
	window := tensor.Window{Height: l.Kernel, Width: l.Kernel, Stride: l.Stride, Padding: l.Padding, Dilation: max(l.Dilation, 1)}
	oh, ow, err := window.Out(height, width)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %s: %v", at, l.Kind, err)
	}
	switch l.Kind {
	case "max_pool":
		return function(func(r *recorder, x *tensor.Value) *tensor.Value { return r.MaxPool(x, window) }), []int{channels, oh, ow}, nil
	case "average_pool":
		return function(func(r *recorder, x *tensor.Value) *tensor.Value { return r.AveragePool(x, window) }), []int{channels, oh, ow}, nil
	}
	groups := max(l.Groups, 1)
	if channels%groups != 0 || l.Out%groups != 0 {
		return nil, nil, fmt.Errorf("%s: conv in %d groups takes multiples of that many channels, not %d in and %d out", at, groups, channels, l.Out)
	}
	inputs := channels / groups * l.Kernel * l.Kernel
	options := tensor.ConvOptions{Stride: l.Stride, Padding: l.Padding, Dilation: window.Dilation, Groups: groups}
	return newConv(s.builder, name, channels, l.Out, l.Kernel, options, torchUniform(inputs), biases(l, inputs)), []int{l.Out, oh, ow}, nil
}

// residual is x + stack(x).
type residual struct {
	layers chain
}

func (s *stack) residual(at, name string, l config.Layer, shape []int) (layer, []int, error) {
	layers, out, err := s.build(at+".stack", name+".", l.Stack, shape)
	if err != nil {
		return nil, nil, err
	}
	if extent(out) != extent(shape) {
		return nil, nil, fmt.Errorf("%s: the residual block gives %s but its input is %s; they are added, so they must agree", at, extent(out), extent(shape))
	}
	return &residual{layers}, shape, nil
}

func (l *residual) record(r *recorder, x *tensor.Value) *tensor.Value {
	return r.Add(x, l.layers.record(r, x))
}

// function is a layer without parameters.
type function func(r *recorder, x *tensor.Value) *tensor.Value

func (f function) record(r *recorder, x *tensor.Value) *tensor.Value { return f(r, x) }

func (r *recorder) flatten(x *tensor.Value) *tensor.Value { return r.Flatten(x) }

func (r *recorder) globalAverage(x *tensor.Value) *tensor.Value {
	return r.Flatten(r.AdaptiveAveragePool(x, 1, 1))
}

var functions = map[string]function{
	"relu":    func(r *recorder, x *tensor.Value) *tensor.Value { return r.ReLU(x) },
	"relu6":   func(r *recorder, x *tensor.Value) *tensor.Value { return r.ReLU6(x) },
	"gelu":    func(r *recorder, x *tensor.Value) *tensor.Value { return r.GELU(x) },
	"silu":    func(r *recorder, x *tensor.Value) *tensor.Value { return r.SiLU(x) },
	"sigmoid": func(r *recorder, x *tensor.Value) *tensor.Value { return r.Sigmoid(x) },
	"tanh":    func(r *recorder, x *tensor.Value) *tensor.Value { return r.Tanh(x) },
}
