package model

import (
	"fmt"
	"math"
	"testing"

	"ringmaster/internal/config"
)

// TestInitKinds draws a large weight in every way that the job file has, and measures its deviation and its bound, which are those of
// torch.nn.init.
func TestInitKinds(t *testing.T) {
	const in, out = 48 * 3 * 3, 96 * 3 * 3 // fans of a convolution from 48 to 96 channels
	bounded, open := math.Sqrt(3), math.Inf(1)
	for _, c := range []struct {
		init             string
		deviation, bound float64 // bound in deviations
	}{
		{"", 1 / math.Sqrt(3*in), bounded}, // PyTorch's own: uniform within 1/sqrt(in)
		{"init: uniform, gain: 0.3", 0.3 / math.Sqrt(3), bounded},
		{"init: normal, gain: 0.02", 0.02, open},
		{"init: kaiming_normal", math.Sqrt(2.0 / in), open},
		{"init: kaiming_normal, fan: out", math.Sqrt(2.0 / out), open},
		{"init: kaiming_uniform, gain: 1", 1 / math.Sqrt(in), bounded},
		{"init: xavier_normal", math.Sqrt(2.0 / (in + out)), open},
		{"init: xavier_uniform, gain: 2", 2 * math.Sqrt(2.0/(in+out)), bounded},
		{"init: zeros", 0, open},
	} {
		layer := "kind: conv, out: 96, kernel: 3"
		if c.init != "" {
			layer += ", " + c.init
		}
		m := mustBuild(t, modelOf(t, fmt.Sprintf("model: {kind: sequential, stack: [{kind: conv, out: 48, kernel: 1}, {%s}, {kind: global_average_pool}, {kind: linear, out: 10}]}", layer)), photos(8, 10))
		params, _ := initial(m, 1)
		w := params[m.Params()[2].Interval.Begin:m.Params()[2].Interval.End]
		squares, most := 0.0, 0.0
		for _, v := range w {
			squares += float64(v) * float64(v)
			most = max(most, math.Abs(float64(v)))
		}
		deviation := math.Sqrt(squares / float64(len(w)))
		if math.Abs(deviation-c.deviation) > 0.02*c.deviation {
			t.Errorf("%s: deviation %g, want %g", c.init, deviation, c.deviation)
		}
		if bound := c.bound * c.deviation; most > bound*1.000001 || c.bound == bounded && most < 0.99*bound {
			t.Errorf("%s: largest %g, bound %g", c.init, most, bound)
		}
		for _, v := range params[m.Params()[3].Interval.Begin:m.Params()[3].Interval.End] {
			if math.Abs(float64(v)) > 1/math.Sqrt(in) || v == 0 {
				t.Errorf("%s: a bias begins at %g", c.init, v)
				break
			}
		}
	}
}

// TestLayersBeginAsInPyTorch checks the first values of layers that have their own.
func TestLayersBeginAsInPyTorch(t *testing.T) {
	m := mustBuild(t, modelOf(t, `
model:
    kind: sequential
    stack:
        - {name: embed, kind: embedding, out: 64}
        - {name: places, kind: positions}
        - {name: attn, kind: attention, heads: 4, causal: true}
        - {name: lstm, kind: lstm, out: 25}
        - {name: head, kind: linear, out: 65}
data: {kind: text, dir: x}
`), shakespeare)
	params, _ := initial(m, 1)
	uniformWithin := func(bound float64) float64 { return bound / math.Sqrt(3) }
	want := map[string]float64{ // deviations
		"embed.weight": 1, "places.weight": 1,
		"attn.in_proj_weight": uniformWithin(math.Sqrt(6.0 / (64 + 192))), "attn.in_proj_bias": 0, "attn.out_proj.bias": 0,
		"attn.out_proj.weight": uniformWithin(1 / math.Sqrt(64)),
		"lstm.weight_ih_l0":    uniformWithin(0.2), "lstm.weight_hh_l0": uniformWithin(0.2), "lstm.bias_ih_l0": uniformWithin(0.2), "lstm.bias_hh_l0": uniformWithin(0.2),
		"head.weight": uniformWithin(0.2), "head.bias": uniformWithin(0.2),
	}
	if len(m.Params()) != len(want) {
		t.Errorf("%d tensors, want %d", len(m.Params()), len(want))
	}
	for _, p := range m.Params() {
		squares := 0.0
		for _, v := range params[p.Interval.Begin:p.Interval.End] {
			squares += float64(v) * float64(v)
		}
		n := float64(p.Interval.Len())
		if got := math.Sqrt(squares / n); math.Abs(got-want[p.Name]) > 4*want[p.Name]/math.Sqrt(n) {
			t.Errorf("%s begins with a deviation of %g, want %g", p.Name, got, want[p.Name])
		}
	}
	if config.LayerKinds[len(config.LayerKinds)-1] != "residual" {
		t.Error("residual is not the last kind, which random models count on")
	}
}

// TestEveryKindIsMade wants a maker for every kind that the job file knows, and none besides.
func TestEveryKindIsMade(t *testing.T) {
	made := map[string]bool{}
	for kind := range makers {
		made[kind] = true
	}
	for kind := range joiners {
		made[kind] = true
	}
	for _, kind := range config.LayerKinds {
		if !made[kind] {
			t.Errorf("nobody makes %s", kind)
		}
		delete(made, kind)
	}
	for kind := range made {
		t.Errorf("%s is made but is no kind of config.LayerKinds", kind)
	}
}

// It compares the positions with the standard library's sine and cosine.
func TestPositionsAreSinesAndCosines(t *testing.T) {
	const steps, width = 3000, 10
	table := sinusoids(steps, width)
	for at := range steps {
		for c := range width {
			angle := float64(at) / math.Pow(10000, float64(c-c%2)/width)
			want := math.Sin(angle)
			if c%2 == 1 {
				want = math.Cos(angle)
			}
			if got := float64(table[at*width+c]); math.Abs(got-want) > 1e-7 {
				t.Fatalf("step %d, column %d: %g, want %g", at, c, got, want)
			}
		}
	}
}
