package config

import (
	"slices"
	"strings"

	"ringmaster/internal/printable"
)

// validateStack checks layers that follow one another.
func validateStack(c *checker, key string, stack []Layer, depth int) {
	if len(stack) > maxLayers || depth > maxNesting {
		c.require(key, false, "%s has more than %d layers, or residual blocks stand more than %d deep", key, maxLayers, maxNesting)
		return
	}
	names := map[string]string{}
	for i := range stack {
		l, at := &stack[i], indexed(key, i)
		if !l.validateKind(c, at) {
			continue
		}
		c.require(at+".kind", !l.Joins(), "%s: %s joins several inputs, so it exists only among the nodes of model.kind: graph", at, l.Kind)
		c.require(at+".inputs", !c.b.origin.written(at+".inputs"), "%s.inputs exists only for nodes of model.kind: graph; here a layer reads the one before it", at)
		c.require(at+".weights", !c.b.origin.written(at+".weights"), "%s.weights exists only for nodes of model.kind: graph", at)
		if l.Name != "" {
			validateLayerName(c, names, at, l.Name)
		}
		l.validate(c, at, depth)
	}
}

// validateLayerName checks the name of one layer among others.
func validateLayerName(c *checker, names map[string]string, at, name string) {
	c.require(at+".name", validTensorName(name), "%s.name %s must be up to 64 letters, digits, '-' and '_' in parts divided by '.'", at, printable.Typed(name))
	first, twice := names[name]
	c.require(at+".name", !twice, "%s.name: %s is the name of %s already", at, printable.Typed(name), first)
	names[name] = at
}

func validTensorName(name string) bool {
	if len(name) > 64 || slices.Contains(strings.Split(name, "."), "") {
		return false
	}
	return strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") == ""
}

// validateKind reports whether the layer has a kind that is known.
func (l *Layer) validateKind(c *checker, at string) bool {
	return c.present(at+".kind", "say which layer it is; there are "+strings.Join(LayerKinds, ", ")) && c.oneOf(at+".kind", l.Kind, LayerKinds)
}

// validate checks the keys of the layer's own.
func (l *Layer) validate(c *checker, at string, depth int) {
	switch l.Kind {
	case "linear", "conv", "conv1d", "conv_transpose", "conv_transpose1d", "embedding", "lstm", "gru":
		if c.present(at+".out", "say how many channels or features leave the layer, like out: 64") {
			between(c, at+".out", l.Out, 1, maxFeatures)
		}
	case "batch_norm", "layer_norm", "rms_norm", "group_norm", "instance_norm":
		epsilon(c, at+".epsilon", l.Epsilon)
	case "residual":
		c.require(at+".stack", len(l.Stack) > 0, "%s.stack lists no layers; a residual block needs at least one", at)
		validateStack(c, at+".stack", l.Stack, depth+1)
		validateStack(c, at+".shortcut", l.Shortcut, depth+1)
	}
	l.validateNumbers(c, at)
	l.validateSequence(c, at)
	l.validateWindow(c, at)
	l.validateInit(c, at)
}

// validateNumbers checks the keys of layers that have one of their own.
func (l *Layer) validateNumbers(c *checker, at string) {
	switch l.Kind {
	case "batch_norm":
		between(c, at+".momentum", l.Momentum, 0, 1)
	case "group_norm":
		if c.present(at+".groups", "say into how many groups the channels are divided, like groups: 8") {
			between(c, at+".groups", l.Groups, 1, 1<<16)
		}
	case "leaky_relu":
		between(c, at+".slope", l.Slope, -10, 10)
	case "elu":
		between(c, at+".alpha", l.Alpha, -10, 10)
	case "upsample":
		between(c, at+".scale", l.Scale, 1, 64)
		c.oneOf(at+".mode", l.Mode, []string{UpsampleNearest, UpsampleBilinear})
	case "dropout":
		below(c, at+".rate", l.Rate, 0, 1)
	case "reshape":
		l.validateShape(c, at)
	case "quantize":
		if c.present(at+".codes", "say how many codes there are, like codes: 64") {
			between(c, at+".codes", l.Codes, 2, 1<<16)
		}
		between(c, at+".commitment", l.Commitment, 0, 1e3)
	}
}

func (l *Layer) validateShape(c *checker, at string) {
	if !c.present(at+".shape", "list the lengths of a sample's axes, like shape: [28, 28]; one may be -1 for what is left") {
		return
	}
	free := 0
	for i, d := range l.Shape {
		c.require(indexed(at+".shape", i), d == -1 || d >= 1 && d <= maxFeatures, "%s.shape[%d] must be from 1 to %d, or -1 for what is left, not %d", at, i, maxFeatures, d)
		if d == -1 {
			free++
		}
	}
	c.require(at+".shape", len(l.Shape) >= 1 && len(l.Shape) <= 3, "%s.shape must list 1 to 3 lengths: of a vector, of a sequence (steps, features) or of images (channels, height, width), not %d", at, len(l.Shape))
	c.require(at+".shape", free <= 1, "%s.shape has -1 more than once; only one length can be what is left", at)
}

// validateSequence checks the keys of layers that read sequences.
func (l *Layer) validateSequence(c *checker, at string) {
	switch l.Kind {
	case "attention":
		between(c, at+".heads", l.Heads, 1, 1<<10)
		below(c, at+".rate", l.Rate, 0, 1)
	case "lstm", "gru":
		between(c, at+".layers", l.Layers, 1, 64)
		below(c, at+".rate", l.Rate, 0, 1)
		c.require(at+".rate", l.Rate == 0 || l.Layers > 1 || l.Layers < 1, "%s.rate drops elements between layers, but there is one; write layers: 2 or more, or leave it out", at)
	case "positions":
		c.oneOf(at+".form", l.Form, []string{PositionsLearned, PositionsSinusoidal})
		learns := l.Form != PositionsSinusoidal
		c.require(at+".init", l.Init == "" || learns, "%s.init: sinusoidal positions are not learned, so they have no first values", at)
		c.require(at+".weights", l.Weights == "" || learns, "%s.weights: sinusoidal positions have no weights", at)
	}
}

// validateWindow checks the keys of layers that slide a window over an image or a signal.
func (l *Layer) validateWindow(c *checker, at string) {
	pool := l.Kind == "max_pool" || l.Kind == "average_pool"
	if !pool && !strings.HasPrefix(l.Kind, "conv") {
		return
	}
	if c.present(at+".kernel", "say how wide the window is, like kernel: 3") {
		between(c, at+".kernel", l.Kernel, 1, 1<<10)
	}
	if c.b.origin.written(at+".stride") || !pool { // else it is the kernel
		between(c, at+".stride", l.Stride, 1, 1<<10)
	}
	between(c, at+".padding", l.Padding, 0, 1<<10)
	if pool {
		c.require(at+".padding", l.Kernel < 1 || 2*l.Padding <= l.Kernel, "%s.padding must be at most half of the kernel, not %d of %d", at, l.Padding, l.Kernel)
		return
	}
	between(c, at+".dilation", l.Dilation, 1, 1<<10)
	between(c, at+".groups", l.Groups, 1, 1<<16)
	c.require(at+".out", l.Out < 1 || l.Groups < 1 || l.Out%l.Groups == 0, "%s.out %d cannot be divided into %d groups", at, l.Out, l.Groups)
	if strings.HasPrefix(l.Kind, "conv_transpose") {
		between(c, at+".output_padding", l.OutputPadding, 0, 1<<10)
		c.require(at+".output_padding", l.OutputPadding < max(l.Stride, l.Dilation, 1), "%s.output_padding must be below the stride or the dilation, not %d", at, l.OutputPadding)
	}
}

// validateInit checks how first values are chosen.
func (l *Layer) validateInit(c *checker, at string) {
	for _, key := range []string{".gain", ".fan"} {
		c.require(at+key, l.Init != "" || !c.b.origin.written(at+key), "%s%s belongs to init, which is not written; take init: kaiming_normal, say", at, key)
	}
	if l.Init == "" || !c.oneOf(at+".init", l.Init, initKinds) {
		return
	}
	c.require(at+".weights", l.Weights == "", "%s.weights: the node has the weights of %s, so it has no init of its own", at, printable.Typed(l.Weights))
	kaiming := l.Init == InitKaimingNormal || l.Init == InitKaimingUniform
	c.require(at+".gain", l.Init != InitZeros || !c.b.origin.written(at+".gain"), "%s.gain has no meaning for init: zeros", at)
	c.require(at+".fan", kaiming || !c.b.origin.written(at+".fan"), "%s.fan exists only for init: kaiming_normal and kaiming_uniform", at)
	if l.Init != InitZeros {
		positive(c, at+".gain", l.Gain, 1e3)
	}
	if kaiming {
		c.oneOf(at+".fan", l.Fan, []string{FanIn, FanOut})
	}
}
