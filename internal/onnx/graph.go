package onnx

import (
	"fmt"
	"slices"
	"strings"

	"ringmaster/internal/dataset"
	"ringmaster/internal/model"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor"
)

// graph is a file's graph under way. Nodes are made on demand, from the outputs back, so each comes after those that it reads, and what
// nobody reads is left out.
type graph struct {
	params, stats []float32
	tensors       []model.Tensor
	statistics    []model.Tensor

	steps        map[int]tensor.Step // by the number of the value that they make
	values       map[int]*layouts    // by number
	tokens       map[*tensor.Integers]string
	lengths      string // the input of the samples' lengths, where one is read
	names        map[string]bool
	constants    map[string]string // initializers of constants, by what they hold
	nodes        message
	initializers []initializer
	inputs       []message
	outputs      []message
	fault        error // the first operation that has no form in ONNX
}

// layouts are the orders of elements in which a value is at hand: as in the program's memory, with the channels last, or with those before
// the positions.
type layouts struct {
	last  *order
	first map[int]channelsFirst // by the number of channels
}

// channelsFirst is a value as (samples, channels, positions), which may have several axes.
type channelsFirst struct {
	*order
	samples, positions int
}

// order is a tensor of the file, in one order of elements, under the names of its shapes.
type order struct {
	name  string
	shape []int // where it belongs to a batch, the first axis is that of one sample
	fixed bool  // it belongs to no batch
	views map[string]string
}

// translate makes the graph of a computation with tensors of the given names and elements.
func translate(c *model.Computation, tensors, statistics []model.Tensor, params, stats []float32) (*graph, error) {
	g := &graph{params: params, stats: stats, tensors: tensors, statistics: statistics, steps: map[int]tensor.Step{}, values: map[int]*layouts{},
		tokens: map[*tensor.Integers]string{}, names: map[string]bool{"": true}, constants: map[string]string{}}
	for _, s := range c.Steps {
		g.steps[s.Makes.Number()] = s
	}
	for _, t := range slices.Concat(g.tensors, g.statistics) {
		g.names[t.Name] = true
	}
	g.takeInputs(c.Reads)
	if c.Lengths != nil {
		g.lengths = g.unique(c.Lengths.Name + "_length")
		g.inputs = append(g.inputs, port(g.lengths, int64Elements, nil))
	}
	var names []string
	for _, out := range c.Outputs {
		names = append(names, g.unique(out.Name)) // before nodes take it
	}
	for k, out := range c.Outputs {
		width := out.Dim(-1)
		shape := []int{width}
		if out.Rows > 1 {
			shape = []int{out.Rows, width}
		}
		from := g.last(viewed(out.Value, append([]int{1}, shape...)))
		g.node("Identity", "", []string{from}, names[k])
		g.outputs = append(g.outputs, port(names[k], floatElements, shape))
	}
	return g, g.fault
}

// takeInputs declares an input for each field that is read. Numbers may be read in several shapes.
func (g *graph) takeInputs(reads []model.Read) {
	byField := map[*dataset.Field]*order{}
	for _, r := range reads {
		o := byField[r.Field]
		if o == nil {
			shape, kind := r.Field.Shape, floatElements
			if len(shape) == 0 {
				shape = []int{1}
			}
			if r.Integers != nil {
				kind = int64Elements
			}
			o = &order{name: g.unique(r.Field.Name), shape: append([]int{1}, shape...)}
			byField[r.Field] = o
			g.inputs = append(g.inputs, port(o.name, kind, shape))
		}
		if r.Integers != nil {
			g.tokens[r.Integers] = g.as(o, r.Integers.Shape)
			continue
		}
		g.values[r.Floats.Number()] = &layouts{last: o}
	}
}

// unique is the wanted name, or one like it that is still free.
func (g *graph) unique(wanted string) string {
	name := wanted
	for k := 2; g.names[name]; k++ {
		name = fmt.Sprintf("%s_%d", wanted, k)
	}
	g.names[name] = true
	return name
}

// node adds a node that makes the output of the given name. Where the layer has a name, the node has it too.
func (g *graph) node(op, layer string, inputs []string, output string, attributes ...attribute) {
	var m message
	for _, in := range inputs {
		m.text(nodeInput, in)
	}
	m.text(nodeOutput, output)
	if layer == "" {
		layer = output
	}
	m.text(nodeName, layer)
	m.text(nodeOp, op)
	for _, a := range attributes {
		m.inner(nodeAttribute, a.encode())
	}
	g.nodes.inner(graphNode, m)
}

// make adds a node whose output is named after its operation.
func (g *graph) make(op string, inputs []string, attributes ...attribute) string {
	name := g.unique(strings.ToLower(op))
	g.node(op, "", inputs, name, attributes...)
	return name
}

// makeLayer adds the node of a layer with parameters, whose output is named after the layer.
func (g *graph) makeLayer(op string, weight *tensor.Value, inputs []string, attributes ...attribute) string {
	if weight == nil {
		return g.make(op, inputs, attributes...)
	}
	layer, _ := g.tensorOf(weight)
	if i := strings.LastIndexByte(layer, '.'); i > 0 {
		layer = layer[:i]
	}
	name := g.unique(layer)
	g.node(op, "", inputs, name, attributes...)
	return name
}

// of is the value's layouts; a value that is not there yet is computed.
func (g *graph) of(v *tensor.Value) *layouts {
	if l := g.values[v.Number()]; l != nil {
		return l
	}
	if _, is := v.Parameter(); is {
		g.values[v.Number()] = &layouts{last: g.parameter(v)}
	} else if data := v.Constant(); data != nil {
		g.values[v.Number()] = &layouts{last: g.hold(g.unique("constant"), v.Shape, data)}
	} else {
		g.operation(g.steps[v.Number()])
	}
	return g.values[v.Number()]
}

// hold adds an initializer.
func (g *graph) hold(name string, shape []int, data []float32) *order {
	g.initializers = append(g.initializers, initializer{name: name, shape: shape, floats: data})
	return &order{name: name, shape: shape, fixed: true}
}

// parameter is the initializer of a parameter, in its own shape. A part of one has an initializer of its own.
func (g *graph) parameter(v *tensor.Value) *order {
	name, shape := g.tensorOf(v)
	at, _ := v.Parameter()
	return g.hold(name, shape, g.params[at.Begin:at.End])
}

// tensorOf is the name and the shape of the tensor that a value is, or is a part of.
func (g *graph) tensorOf(v *tensor.Value) (string, []int) {
	at, _ := v.Parameter()
	k := slices.IndexFunc(g.tensors, func(t model.Tensor) bool { return t.Interval.Begin <= at.Begin && at.End <= t.Interval.End })
	t := g.tensors[k]
	if t.Interval == at {
		return t.Name, t.Shape
	}
	row := t.Interval.Len() / t.Shape[0]
	return fmt.Sprintf("%s[%d:%d]", t.Name, (at.Begin-t.Interval.Begin)/row, (at.End-t.Interval.Begin)/row), v.Shape
}

// statistic is the initializer of a running statistic.
func (g *graph) statistic(at plan.Interval) string {
	k := slices.IndexFunc(g.statistics, func(t model.Tensor) bool { return t.Interval == at })
	t := g.statistics[k]
	if !slices.ContainsFunc(g.initializers, func(i initializer) bool { return i.name == t.Name }) {
		g.hold(t.Name, t.Shape, g.stats[at.Begin:at.End])
	}
	return t.Name
}

// integers is an initializer of whole numbers, in one axis.
func (g *graph) integers(values ...int) string {
	key := fmt.Sprint(values)
	if g.constants[key] == "" {
		g.constants[key] = g.unique("integers")
		g.initializers = append(g.initializers, initializer{name: g.constants[key], shape: []int{len(values)}, integers: values})
	}
	return g.constants[key]
}

// numbers is an initializer of numbers, in one axis; number is one without axes.
func (g *graph) numbers(values ...float32) string { return g.floats([]int{len(values)}, values) }
func (g *graph) number(value float32) string      { return g.floats([]int{}, []float32{value}) }

func (g *graph) floats(shape []int, values []float32) string {
	key := fmt.Sprint(shape, values)
	if g.constants[key] == "" {
		g.constants[key] = g.hold(g.unique("number"), shape, values).name
	}
	return g.constants[key]
}

// as is the tensor in another shape.
func (g *graph) as(o *order, shape []int) string {
	if slices.Equal(o.shape, shape) {
		return o.name
	}
	key := fmt.Sprint(shape)
	if name := o.views[key]; name != "" {
		return name
	}
	lengths := slices.Clone(shape)
	if !o.fixed {
		lengths[0] = -1 // the batch's
	}
	if o.views == nil {
		o.views = map[string]string{}
	}
	o.views[key] = g.make("Reshape", []string{o.name, g.integers(lengths...)})
	return o.views[key]
}

// last is the value as it is in the program's memory.
func (g *graph) last(v *tensor.Value) string { return g.as(g.memory(v), v.Shape) }

// memory is the value in the program's order, in any shape.
func (g *graph) memory(v *tensor.Value) *order {
	l := g.of(v)
	if l.last == nil {
		l.last = g.lastOf(l)
	}
	return l.last
}

// lastOf brings the channels to the end.
func (g *graph) lastOf(l *layouts) *order {
	for channels, first := range l.first { // there is one
		if channels == 1 || first.positions == 1 {
			return first.order
		}
		shape := first.shape
		if len(shape) < 3 || shape[0] != first.samples || shape[1] != channels {
			shape = []int{first.samples, channels, first.positions}
		}
		axes, turned := []int{0}, []int{shape[0]}
		for k := 2; k < len(shape); k++ {
			axes, turned = append(axes, k), append(turned, shape[k])
		}
		name := g.make("Transpose", []string{g.as(first.order, shape)}, attribute{"perm", append(axes, 1)})
		return &order{name: name, shape: append(turned, channels)}
	}
	panic("onnx: a value in no order")
}

// first is the value, of at least three axes, with the channels before the positions.
func (g *graph) first(v *tensor.Value) string {
	l, channels := g.of(v), v.Dim(-1)
	if l.first == nil {
		l.first = map[int]channelsFirst{}
	}
	turned := turn(v.Shape)
	if at, is := l.first[channels]; is && at.samples == v.Shape[0] {
		return g.as(at.order, turned)
	}
	o := g.memory(v)
	if channels > 1 && tensor.Volume(turned[2:]) > 1 {
		axes := []int{0, len(v.Shape) - 1}
		for k := 1; k < len(v.Shape)-1; k++ {
			axes = append(axes, k)
		}
		o = &order{name: g.make("Transpose", []string{g.last(v)}, attribute{"perm", axes}), shape: turned}
	}
	l.first[channels] = channelsFirst{o, v.Shape[0], tensor.Volume(turned[2:])}
	return g.as(o, turned)
}

// turn is a shape with its last axis behind the first.
func turn(shape []int) []int {
	n := len(shape) - 1
	return append([]int{shape[0], shape[n]}, shape[1:n]...)
}

// leads reports whether a value is at hand with the channels first, and not otherwise.
func (g *graph) leads(v *tensor.Value) bool {
	l := g.of(v)
	at, is := l.first[v.Dim(-1)]
	return len(v.Shape) > 2 && l.last == nil && is && at.samples == v.Shape[0]
}

// put says what a step makes, in the shape of v unless said otherwise.
func (g *graph) put(v *tensor.Value, name string, shape ...int) {
	if len(shape) == 0 {
		shape = v.Shape
	}
	g.values[v.Number()] = &layouts{last: &order{name: name, shape: shape}}
}

// putFirst is put for what has the channels first.
func (g *graph) putFirst(v *tensor.Value, name string) {
	shape := turn(v.Shape)
	first := channelsFirst{&order{name: name, shape: shape}, shape[0], tensor.Volume(shape[2:])}
	g.values[v.Number()] = &layouts{first: map[int]channelsFirst{shape[1]: first}}
}

// viewed is the value in another shape.
func viewed(v *tensor.Value, shape []int) *tensor.Value {
	view := *v
	view.Shape = shape
	return &view
}
