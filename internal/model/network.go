package model

import (
	"fmt"
	"slices"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/tensor"
)

// graph is a model written in the job file. Its tensors begin with PyTorch's first values unless the file says otherwise.
type graph struct {
	sources []source
	nodes   []node
	outputs []int // the values that targets are compared with
}

// node is a layer with the values that it reads: those of the sources, then those of the nodes. A node without a layer is the value
// that it reads: its activation has been taken into the layer before it.
type node struct {
	layer layer
	reads []int
}

// joining is a layer of several inputs.
type joining interface {
	join(r *recorder, xs []*tensor.Value) *tensor.Value
}

func (m *graph) record(r *recorder, _ int) *tensor.Value {
	var values []*tensor.Value
	for _, s := range m.sources {
		values = append(values, s.record(r))
	}
	for _, n := range m.nodes {
		var xs []*tensor.Value
		for _, v := range n.reads {
			xs = append(xs, values[v])
		}
		switch {
		case n.layer == nil:
			values = append(values, xs[0])
		case len(xs) == 1:
			values = append(values, n.layer.record(r, xs[0]))
		default:
			values = append(values, n.layer.(joining).join(r, xs))
		}
	}
	for _, k := range m.outputs {
		r.outputs = append(r.outputs, r.Reshape(values[k], -1, values[k].Dim(-1)))
	}
	if len(r.outputs) > 1 {
		for _, output := range r.outputs { // which are read when all have been computed
			r.Hold(output)
		}
	}
	return r.outputs[0]
}

// checkOutput wants what the loss compares with: a vector of each sample or, where it has a row for each element of a sequence, a
// sequence of them.
func checkOutput(at, which string, out shape, l loss.Loss) error {
	want, has := vectorOf(l.Width()), l.Wants()
	if l.Rows() > 1 || out.form == sequence && out.dims[0] == 1 {
		want, has = sequenceOf(l.Rows(), l.Width()), fmt.Sprintf("%s for each of %d steps", has, l.Rows())
	}
	if !out.equals(want) {
		return config.KeyErrorf(at, "%s gives %s but the data has %s", which, out, has)
	}
	return nil
}

// buildSequential makes layers one after another, named by their place as torch.nn.Sequential names them ("0.weight";
// "3.1.weight" for layer 1 inside the residual block 3) where the file gives no name.
func buildSequential(b *builder, cfg config.Model) (network, error) {
	field, err := b.model.schema.Only(dataset.Input)
	if err != nil {
		return nil, config.KeyErrorf("model.kind", "a sequential model reads one input, but %w", err)
	}
	from, err := newSource("model.stack[0]", field, cfg.Stack[:min(1, len(cfg.Stack))])
	if err != nil {
		return nil, err
	}
	layers, out, err := buildStack(b, "model.stack", "", cfg.Stack, from.gives)
	if err != nil {
		return nil, err
	}
	m := &graph{sources: []source{from}, nodes: []node{{layers, []int{0}}}, outputs: []int{1}}
	return m, checkOutput(fmt.Sprintf("model.stack[%d]", len(cfg.Stack)-1), "the last layer", out, b.model.loss)
}

// graphBuilder makes the nodes of a graph.
type graphBuilder struct {
	*builder
	cfg    config.Model
	graph  *graph
	at     map[string]int // by name: which value
	shapes []shape        // by value
}

func buildGraph(b *builder, cfg config.Model) (network, error) {
	g := &graphBuilder{builder: b, cfg: cfg, graph: &graph{}, at: map[string]int{}}
	order, stuck := cfg.TopologicalOrder()
	if len(stuck) > 0 {
		return nil, config.KeyErrorf(fmt.Sprintf("model.nodes[%d]", stuck[0]), "node %s reads what is not there before it", cfg.Nodes[stuck[0]].Name)
	}
	if err := g.takeInputs(); err != nil {
		return nil, err
	}
	if err := g.build(order); err != nil {
		return nil, err
	}
	for k, part := range loss.PartsOf(b.model.loss) {
		name, key := cfg.Output, "model.output"
		if part.Output != "" {
			name, key = part.Output, fmt.Sprintf("train.losses[%d]", k)
		}
		output := slices.IndexFunc(cfg.Nodes, func(n config.Layer) bool { return n.Name == name })
		if output < 0 {
			return nil, config.KeyErrorf(key, "there is no node %q", name)
		}
		at := g.at[name]
		if err := checkOutput(fmt.Sprintf("model.nodes[%d]", output), "node "+name, g.shapes[at], part); err != nil {
			return nil, err
		}
		g.graph.outputs = append(g.graph.outputs, at)
	}
	return g.graph, nil
}

// takeInputs finds the data's fields of the model's inputs: the only one there is, whatever its name, else those of the names.
func (g *graphBuilder) takeInputs() error {
	fields := g.model.schema.Of(dataset.Input)
	var names []string
	for _, f := range fields {
		names = append(names, f.Name)
	}
	for i, name := range g.cfg.Inputs {
		k := slices.Index(names, name)
		switch {
		case k >= 0:
		case len(fields) == 1 && len(g.cfg.Inputs) == 1:
			k = 0
		case len(fields) == 0:
			return config.KeyErrorf(fmt.Sprintf("model.inputs[%d]", i), "the data has no input")
		default:
			return config.KeyErrorf(fmt.Sprintf("model.inputs[%d]", i), "the data has no input %s; there are %s", name, strings.Join(names, ", "))
		}
		var readers []config.Layer
		first := -1
		for at, n := range g.cfg.Nodes {
			if slices.Contains(n.Inputs, name) {
				readers = append(readers, n)
				if first < 0 {
					first = at
				}
			}
		}
		if first < 0 {
			return config.KeyErrorf(fmt.Sprintf("model.inputs[%d]", i), "no node reads %s", name)
		}
		from, err := newSource(fmt.Sprintf("model.nodes[%d]", first), fields[k], readers)
		if err != nil {
			return err
		}
		g.at[name] = len(g.shapes)
		g.graph.sources, g.shapes = append(g.graph.sources, from), append(g.shapes, from.gives)
	}
	for _, f := range fields {
		if len(fields) > 1 && !slices.Contains(g.cfg.Inputs, f.Name) {
			return config.KeyErrorf("model.inputs", "the data's input %s is none of the model's inputs: %s; name it there and read it, or leave it out of the data", f.Name, strings.Join(g.cfg.Inputs, ", "))
		}
	}
	return nil
}

// build makes the nodes in the order given.
func (g *graphBuilder) build(order []int) error {
	for _, i := range order {
		n := g.cfg.Nodes[i]
		if g.fused(n) {
			continue
		}
		made, out, reads, err := g.node(i, n)
		if err != nil {
			return err
		}
		g.add(n.Name, node{made, reads}, out)
	}
	return nil
}

func (g *graphBuilder) add(name string, n node, out shape) {
	g.at[name] = len(g.shapes)
	g.graph.nodes, g.shapes = append(g.graph.nodes, n), append(g.shapes, out)
}

// fused takes a node that is an activation into the layer that it reads, where nothing else reads that.
func (g *graphBuilder) fused(n config.Layer) bool {
	if len(n.Inputs) != 1 || slices.Contains(g.cfg.OutputNodes(), n.Inputs[0]) || n.Weights != "" {
		return false
	}
	readers := 0
	for _, other := range g.cfg.Nodes {
		for _, name := range other.Inputs {
			if name == n.Inputs[0] {
				readers++
			}
		}
	}
	from := g.at[n.Inputs[0]]
	before := from - len(g.graph.sources)
	if readers != 1 || before < 0 || !fuse(g.graph.nodes[before].layer, n.Kind) {
		return false
	}
	g.add(n.Name, node{reads: []int{from}}, g.shapes[from])
	return true
}

// node makes one node.
func (g *graphBuilder) node(i int, n config.Layer) (made layer, out shape, reads []int, err error) {
	p := &part{Layer: n, builder: g.builder, at: fmt.Sprintf("model.nodes[%d]", i), name: n.Name, node: true}
	var in []shape
	for _, name := range n.Inputs {
		reads = append(reads, g.at[name])
		in = append(in, g.shapes[g.at[name]])
	}
	if n.Weights != "" {
		if _, known := g.at[n.Weights]; !known {
			return nil, out, nil, p.errorf("node %s uses the weights of %s, which must come before it", n.Name, n.Weights)
		}
		g.loan = &loan{from: n.Weights, to: n.Name}
		defer func() { g.loan = nil }()
	}
	made, out, err = p.makeNode(in)
	if err == nil && n.Weights != "" && !g.loan.used {
		err = p.errorf("%s has no weights, so it cannot use those of node %s", p.what(), n.Weights)
	}
	return made, out, reads, err
}
