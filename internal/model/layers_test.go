package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/optim"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
)

// modelOf reads a model as it stands in a job file, with the defaults.
func modelOf(t testing.TB, text string) config.Model {
	t.Helper()
	job, err := config.Parse("job.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return job.Model
}

// resnet18 is torchvision's ResNet-18, or its usual form for small images.
func resnet18(classes int, small bool) string {
	var s strings.Builder
	line := func(indent int, format string, args ...any) {
		fmt.Fprintf(&s, "%s- {%s}\n", strings.Repeat(" ", indent), fmt.Sprintf(format, args...))
	}
	s.WriteString("model:\n  kind: sequential\n  stack:\n")
	if small {
		line(4, "name: conv1, kind: conv, out: 64, kernel: 3, padding: 1, bias: false")
	} else {
		line(4, "name: conv1, kind: conv, out: 64, kernel: 7, stride: 2, padding: 3, bias: false")
	}
	line(4, "name: bn1, kind: batch_norm")
	line(4, "kind: relu")
	if !small {
		line(4, "kind: max_pool, kernel: 3, stride: 2, padding: 1")
	}
	for k, out := range []int{64, 128, 256, 512} {
		for block := range 2 {
			stride := 1
			if k > 0 && block == 0 {
				stride = 2
			}
			fmt.Fprintf(&s, "    - name: layer%d.%d\n      kind: residual\n      stack:\n", k+1, block)
			line(8, "name: conv1, kind: conv, out: %d, kernel: 3, stride: %d, padding: 1, bias: false", out, stride)
			line(8, "name: bn1, kind: batch_norm")
			line(8, "kind: relu")
			line(8, "name: conv2, kind: conv, out: %d, kernel: 3, padding: 1, bias: false", out)
			line(8, "name: bn2, kind: batch_norm")
			if stride > 1 {
				s.WriteString("      shortcut:\n")
				line(8, "name: downsample.0, kind: conv, out: %d, kernel: 1, stride: 2, bias: false", out)
				line(8, "name: downsample.1, kind: batch_norm")
			}
			line(4, "kind: relu")
		}
	}
	line(4, "kind: global_average_pool")
	line(4, "name: fc, kind: linear, out: %d", classes)
	return s.String()
}

// textLSTM, tied and parts are the script's models of those names.
const (
	textLSTM = `
model:
    kind: sequential
    stack:
        - {name: embed, kind: embedding, out: 10}
        - {name: lstm, kind: lstm, out: 16, layers: 2}
        - {name: head, kind: linear, out: 13}
data: {kind: text, dir: x, context: 9}
`
	tied = `
model:
    kind: graph
    nodes:
        - {name: embed, kind: embedding, out: 16}
        - {name: places, kind: positions}
        - {name: norm, kind: layer_norm}
        - {name: attn, kind: attention, heads: 4, causal: true}
        - {name: sum, kind: add, inputs: [places, attn]}
        - {name: gru, kind: gru, out: 16, bias: false}
        - {name: head, kind: linear, out: 13, bias: false, weights: embed}
data: {kind: text, dir: x, context: 9}
`
	parts = `
model:
    kind: graph
    inputs: [pixels]
    nodes:
        - {name: stem, kind: conv, out: 8, kernel: 3, padding: 1}
        - {name: gn, kind: group_norm, groups: 4}
        - {name: first, kind: elu}
        - {name: down, kind: conv, out: 12, kernel: 3, stride: 2, padding: 1}
        - {name: norm, kind: instance_norm, affine: true}
        - {name: second, kind: leaky_relu, slope: 0.1}
        - {name: up, kind: conv_transpose, out: 8, kernel: 3, stride: 2, padding: 1, output_padding: 1}
        - {name: nearest, kind: upsample, inputs: [second]}
        - {name: bilinear, kind: upsample, inputs: [second], mode: bilinear}
        - {name: all, kind: concat, inputs: [first, up, nearest, bilinear]}
        - {name: squeeze, kind: conv, out: 8, kernel: 1}
        - {name: gate, kind: conv, inputs: [all], out: 8, kernel: 1}
        - {name: open, kind: sigmoid}
        - {name: gated, kind: multiply, inputs: [squeeze, open]}
        - {kind: to_sequence}
        - {name: placed, kind: positions, form: sinusoidal}
        - {name: attn, kind: attention, heads: 2}
        - {name: seq, kind: add, inputs: [placed, attn]}
        - {kind: transpose}
        - {name: conv1, kind: conv1d, out: 12, kernel: 3, stride: 2, padding: 1}
        - {kind: softplus}
        - {kind: max_pool, kernel: 2}
        - {name: wide, kind: conv_transpose1d, out: 8, kernel: 2, stride: 2}
        - {kind: average_pool, kernel: 2}
        - {name: short, kind: transpose}
        - {name: cross, kind: attention, heads: 4, inputs: [short, seq]}
        - {name: gru, kind: gru, out: 5, bidirectional: true}
        - {name: lstm, kind: lstm, out: 6, layers: 2, bidirectional: true}
        - {name: enc, kind: linear, out: 12}
        - {kind: tanh}
        - {name: again, kind: linear, out: 12, weights: enc}
        - {name: last, kind: last_step}
        - {name: most, kind: global_max_pool, inputs: [again]}
        - {name: mean, kind: global_average_pool, inputs: [again]}
        - {name: both, kind: concat, inputs: [last, most, mean]}
        - {name: fc, kind: linear, out: 7}
        - {kind: log_softmax}
`
)

// squeeze has a factor for each channel of each sample: squeeze and excitation.
const squeeze = `
model:
    kind: graph
    nodes:
        - {name: conv, kind: conv, out: 6, kernel: 3}
        - {kind: global_average_pool}
        - {name: fc1, kind: linear, out: 6}
        - {name: gate, kind: sigmoid}
        - {name: scaled, kind: multiply, inputs: [conv, gate]}
        - {kind: global_max_pool}
        - {name: fc2, kind: linear, out: 7}
`

func init() {
	job, err := config.Parse("job.yaml", []byte(squeeze), nil)
	if err != nil {
		panic(err)
	}
	families["squeeze"] = goldenCase{cfg: job.Model, spec: photos(8, 7), samples: 5}
	for name, c := range map[string]struct {
		text      string
		spec      Spec
		samples   int
		tolerance float64
	}{
		"resnet18":       {resnet18(6, false), photos(64, 6), 4, 1e-4},
		"resnet18 cifar": {resnet18(10, true), photos(16, 10), 4, 1e-4},
		"lstm":           {textLSTM, Spec{Tokens: true, Classes: 13, Context: 9}, 3, 2e-6},
		"tied":           {tied, Spec{Tokens: true, Classes: 13, Context: 9}, 3, 2e-6},
		"parts":          {parts, photos(8, 7), 4, 1e-5},
	} {
		job, err := config.Parse("job.yaml", []byte(c.text), nil)
		if err != nil {
			panic(err)
		}
		goldenCases[name] = goldenCase{cfg: job.Model, spec: c.spec, samples: c.samples, tolerance: c.tolerance}
		if !strings.HasPrefix(name, "resnet18") {
			families[name] = goldenCase{cfg: job.Model, spec: c.spec, samples: 5}
		}
	}
}

// goldenStep is what PyTorch has after one step of an optimizer.
type goldenStep struct {
	Optimizer string
	Loss      float64
	Tensors   []struct {
		Name        string
		Norm        float64
		Projections []float64
	}
}

// check takes the same step and compares the loss after it and every parameter.
func (g *goldenStep) check(t *testing.T, c goldenCase, m *Model, params, stats, grad []float32, count uint64) {
	t.Helper()
	o := goldenOptimizer(t, g.Optimizer, map[string]float64{"sgd": 0.01, "adam": 0.001, "adamw": 0.001}[g.Optimizer], m)
	params = append([]float32(nil), params...)
	o.Step(nil, 1, params, grad, plan.Interval{End: m.Len()}, float64(count), 1)
	after := m.NewReplica(nil).Gradient(params, stats, make([]float32, m.Len()), goldenBatch(c.spec, c.samples), rng.Key{}, nil, nil)
	const tolerance = 1e-5
	if math.Abs(after.Loss-g.Loss) > tolerance*g.Loss {
		t.Errorf("the loss after a step of %s is %.9g, PyTorch's %.9g", g.Optimizer, after.Loss, g.Loss)
	}
	for k, want := range g.Tensors { // Adam's step has the gradient's sign, so noise moves elements whose gradient is nearly 0
		p := m.Params()[k]
		norm, sums := projectionsOf(k, params[p.Interval.Begin:p.Interval.End])
		bound := tolerance * math.Sqrt(float64(p.Interval.Len()))
		if math.Abs(norm-want.Norm) > bound || math.Abs(sums[0]-want.Projections[0]) > bound || math.Abs(sums[1]-want.Projections[1]) > bound {
			t.Errorf("after a step of %s %s has norm %g and projections %g, PyTorch's %g and %g", g.Optimizer, p.Name, norm, sums, want.Norm, want.Projections)
		}
	}
}

// goldenOptimizer is the script's optimizer of that kind.
func goldenOptimizer(t *testing.T, kind string, rate float64, m *Model) optim.Optimizer {
	t.Helper()
	cfg := map[string]config.Optimizer{
		"sgd":   {Kind: "sgd", Momentum: 0.9, WeightDecay: 0.0005},
		"adam":  {Kind: "adam", Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8},
		"adamw": {Kind: "adamw", Beta1: 0.9, Beta2: 0.999, Epsilon: 1e-8, WeightDecay: 0.01},
	}[kind]
	cfg.Form, cfg.LR = config.FormPyTorch, rate
	o, err := optim.New(cfg, config.Schedule{Kind: config.ScheduleConstant}, m.Len(), []optim.Group{{Interval: plan.Interval{End: m.Len()}, LRFactor: 1, WeightDecay: cfg.WeightDecay}})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// checkRun takes ten steps, each with a batch of its own, and compares the losses. Differences in rounding grow from step to step.
func (g *golden) checkRun(t *testing.T, c goldenCase, m *Model, from []float32) {
	t.Helper()
	kind, rate, samples := "adam", 0.001, c.samples
	if m.StatsLen() > 0 {
		kind, rate, samples = "sgd", 0.0005, 8
	}
	o, r := goldenOptimizer(t, kind, rate, m), m.NewReplica(nil)
	params, grad := append([]float32(nil), from...), make([]float32, m.Len())
	_, stats := initial(m, 1)
	tolerance := 1e-5
	for step, want := range g.Run {
		result := r.Gradient(params, stats, grad, hashedBatch(c.spec, samples, uint32(600+step), uint32(700+step)), rng.Key{}, nil, nil)
		if got := result.Loss / float64(result.Count); math.Abs(got-want) > tolerance*want {
			t.Errorf("the loss of step %d is %.9g, PyTorch's %.9g", step, got, want)
		}
		o.Step(nil, uint64(step+1), params, grad, plan.Interval{End: m.Len()}, float64(result.Count), 1)
		tolerance *= 2
	}
}

// flattened is a sequential model as a graph: residual blocks become nodes that end in a sum.
func flattened(cfg config.Model) config.Model {
	g := config.Model{Kind: config.ModelGraph, Inputs: []string{"x"}}
	at := "x"
	var add func(prefix string, stack []config.Layer)
	add = func(prefix string, stack []config.Layer) {
		for i, l := range stack {
			if l.Name == "" {
				l.Name = strconv.Itoa(i)
			}
			l.Name = prefix + l.Name
			if l.Kind != "residual" {
				l.Inputs = []string{at}
				g.Nodes, at = append(g.Nodes, l), l.Name
				continue
			}
			from := at
			add(l.Name+".", l.Stack)
			stacked := at
			at = from
			add(l.Name+".", l.Shortcut)
			g.Nodes = append(g.Nodes, config.Layer{Kind: "add", Name: l.Name, Inputs: []string{at, stacked}})
			at = l.Name
		}
	}
	add("", cfg.Stack)
	g.Output = at
	return g
}

// TestGraphIsTheSequentialModel writes models as graphs: the same tensors, and the same gradient bit for bit.
func TestGraphIsTheSequentialModel(t *testing.T) {
	for _, name := range []string{"resnet18 cifar", "sequential", "lstm"} {
		c := goldenCases[name]
		var digests [2][32]byte
		var names [2]string
		for k, cfg := range []config.Model{c.cfg, flattened(c.cfg)} {
			m := mustBuild(t, cfg, c.spec)
			for _, p := range append(m.Params(), m.Stats()...) {
				names[k] += fmt.Sprintln(p.Name, p.Shape, p.Interval)
			}
			params, stats := initial(m, 1)
			grad := make([]float32, m.Len())
			r := m.NewReplica(nil)
			r.Gradient(params, stats, grad, randomBatch(c.spec, 3, 1), rng.Key{}, nil, nil)
			digests[k] = digest(append(grad, r.Statistics()...))
		}
		if names[0] != names[1] {
			t.Errorf("%s: the graph's tensors are\n%s, the sequential model's\n%s", name, names[1], names[0])
		}
		if digests[0] != digests[1] {
			t.Errorf("%s: the graph's gradient has other bits", name)
		}
	}
}

// TestNodesInAnyOrder lists nodes before those that they read.
func TestNodesInAnyOrder(t *testing.T) {
	nodes := func(order ...int) config.Model {
		lines := []string{
			"        - {name: a, kind: linear, inputs: [input], out: 8}\n", "        - {name: b, kind: tanh, inputs: [a]}\n",
			"        - {name: c, kind: linear, inputs: [b], out: 10}\n",
		}
		text := "model:\n    kind: graph\n    nodes:\n"
		for _, k := range order {
			text += lines[k]
		}
		return modelOf(t, text)
	}
	params, _ := initial(mustBuild(t, nodes(0, 1, 2), digits), 1)
	other, _ := initial(mustBuild(t, nodes(2, 1, 0), digits), 1)
	if digest(params) != digest(other) {
		t.Error("the order of the nodes in the file changes the first values")
	}
}

// TestGraphMustFit gives graphs whose shapes do not fit together: the message names the node and the shapes.
func TestGraphMustFit(t *testing.T) {
	for _, c := range []struct {
		spec        Spec
		nodes, want string
	}{
		{photos(8, 10), "{name: a, kind: conv, out: 4, kernel: 3}; {name: b, kind: add, inputs: [a, input]}; {kind: flatten}; {kind: linear, out: 10}",
			"model.nodes[1]: node b (add) takes equal shapes but gets images of 4 x 6 x 6 and images of 3 x 8 x 8"},
		{photos(8, 10), "{name: a, kind: conv, out: 4, kernel: 3}; {name: b, kind: concat, inputs: [a, input]}; {kind: flatten}; {kind: linear, out: 10}",
			"model.nodes[1]: node b (concat) takes shapes that agree but for channels or features, and gets images of 4 x 6 x 6 and images of 3 x 8 x 8"},
		{photos(8, 10), "{name: fc, kind: linear, out: 10}", "model.nodes[0]: node fc (linear) takes a vector or a sequence but gets images of 3 x 8 x 8; put flatten"},
		{photos(8, 10), "{kind: flatten}; {name: fc, kind: linear, out: 9}", "model.nodes[1]: node fc gives 9 values but the data has 10 classes"},
		{digits, "{name: a, kind: linear, out: 8}; {name: b, kind: linear, out: 10, weights: a}",
			"model.nodes[1]: node b (linear): it would need weight of 10 x 8 but that of node a is 8 x 784"},
		{digits, "{name: a, kind: linear, out: 10}; {name: b, kind: relu, weights: a}", "model.nodes[1]: node b (relu) has no weights, so it cannot use those of node a"},
		{digits, "{name: a, kind: batch_norm}; {name: b, kind: batch_norm, weights: a}; {kind: linear, out: 10}", "running statistics belong to one node"},
		{digits, "{name: a, kind: relu}; {name: b, kind: linear, out: 10, weights: a}", "node b (linear): node a has no tensor weight to lend"},
		{digits, "{name: a.b, kind: linear, out: 10}; {name: a, kind: residual, stack: [{name: b, kind: linear, out: 10}]}",
			"model.nodes[1].stack[0]: linear: two tensors would be named a.b.weight"},
		{digits, "{name: a, kind: lstm, out: 3}", "node a (lstm) takes a sequence but gets 784 values"},
		{digits, "{kind: reshape, shape: [28, -1]}; {name: a, kind: attention, heads: 3}", "node a (attention) of 3 heads cannot divide the width 28 among them"},
		{digits, "{kind: reshape, shape: [28, 29]}", "model.nodes[0]: node 0 (reshape) cannot make 28 x 29 of 784 values: there are 784 values"},
		{digits, "{kind: reshape, shape: [28, 28]}; {kind: linear, out: 10}", "model.nodes[1]: node 1 gives a sequence of 28 steps of 10 values but the data has 10 classes"},
		{photos(8, 10), "{name: g, kind: group_norm, groups: 2}; {kind: flatten}; {kind: linear, out: 10}", "node g (group_norm) cannot divide 3 channels into 2 groups"},
		{shakespeare, "{name: a, kind: relu}", "node a (relu) takes values but gets 64 tokens; put an embedding before it"},
		{shakespeare, "{kind: embedding, out: 8}; {kind: last_step}; {kind: linear, out: 65}", "gives 65 values but the data has 65 classes for each of 64 steps"},
		{shakespeare, "{kind: embedding, out: 8}; {name: a, kind: lstm, out: 8, bidirectional: true}; {kind: linear, out: 65}", "node a (lstm) is bidirectional, so it would see the tokens that it is to predict"},
		{shakespeare, "{kind: embedding, out: 8}; {name: a, kind: attention}; {kind: linear, out: 65}", "node a (attention) would see the tokens that it is to predict; write causal: true"},
		{digits, "{name: a, kind: embedding, out: 8}", "node a (embedding) takes tokens of text but gets 784 values; leave it out"},
	} {
		_, err := build(modelOf(t, "model:\n  kind: graph\n  nodes: ["+strings.ReplaceAll(c.nodes, ";", ",")+"]\n"), c.spec)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.nodes, err, c.want)
		}
	}
}

// randomGraph draws nodes that read any before them, and ends in all that nobody reads, side by side.
func randomGraph(r *rand.Rand) config.Model {
	g := config.Model{Kind: config.ModelGraph, Inputs: []string{"x"}}
	names := []string{"x"}
	unread := map[string]bool{}
	add := func(l config.Layer, inputs ...string) {
		l.Name, l.Inputs = "n"+strconv.Itoa(len(g.Nodes)), inputs
		for _, name := range inputs {
			delete(unread, name)
		}
		unread[l.Name] = true
		g.Nodes, names = append(g.Nodes, l), append(names, l.Name)
	}
	for range 1 + r.IntN(6) {
		l := randomStack(r, 2)[0]
		from := names[len(names)-1-r.IntN(min(len(names), 3))]
		if other := names[r.IntN(len(names))]; l.Joins() || l.Kind == "attention" && r.IntN(2) == 0 {
			add(l, from, other)
			continue
		}
		if l.Kind == "residual" {
			l.Kind = "tanh"
		}
		add(l, from)
	}
	var rest []string
	for _, name := range names[1:] {
		if unread[name] {
			add(config.Layer{Kind: "flatten"}, name)
			rest = append(rest, g.Nodes[len(g.Nodes)-1].Name)
		}
	}
	if len(rest) > 1 {
		add(config.Layer{Kind: "concat"}, rest...)
	}
	add(config.Layer{Kind: "linear", Out: 5}, g.Nodes[len(g.Nodes)-1].Name)
	g.Output = g.Nodes[len(g.Nodes)-1].Name
	return g
}

// TestWhatGraphBuildsRuns wants every graph either refused with a reason or to train, with finite numbers and the same bits on several threads.
func TestWhatGraphBuildsRuns(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	specs := []Spec{photos(6, 5), {Input: []int{36}, Classes: 5}, {Input: []int{5, 6}, Classes: 5}}
	team := kernel.NewTeam(3)
	defer team.Close()
	built := 0
	for range 4000 {
		cfg, spec := randomGraph(r), specs[r.IntN(len(specs))]
		m, err := build(cfg, spec)
		if err != nil {
			continue
		}
		built++
		params, stats := initial(m, 1)
		batch := randomBatch(spec, 3, 1)
		var grads [2][]float32
		for k, team := range []*kernel.Team{nil, team} {
			grads[k] = make([]float32, m.Len())
			if result := m.NewReplica(team).Gradient(params, stats, grads[k], batch, rng.SeatKey(1, 0, 0, 0), nil, nil); result.Count != 3 || !result.Finite {
				t.Fatalf("%+v: %+v", cfg, result)
			}
		}
		if digest(grads[0]) != digest(grads[1]) {
			t.Fatalf("%+v: three threads give other bits", cfg)
		}
	}
	if built < 300 {
		t.Errorf("only %d of 4000 graphs were built; the draw should fit more often", built)
	}
}
