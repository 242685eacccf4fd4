package model

import (
	"math"
	"strings"
	"testing"

	"ringmaster/internal/config"
)

// TestRotaryAngles compares with the formula in float64, near and far: rounding the frequency to float32 moves an angle by at most 2^-23 of itself.
func TestRotaryAngles(t *testing.T) {
	const positions, dim, theta = 4096, 64, 500000.0
	table := rotaryAngles(positions, dim, theta)
	for at := 0; at < positions; at += 13 {
		for i := range dim / 2 {
			angle := float64(at) * math.Pow(theta, -2*float64(i)/dim)
			cos, sin := float64(table[at*dim+i]), float64(table[at*dim+dim/2+i])
			if bound := 1e-7 + angle*0x1p-22; math.Abs(cos-math.Cos(angle)) > bound || math.Abs(sin-math.Sin(angle)) > bound {
				t.Fatalf("position %d, pair %d: cos %v and sin %v, want %v and %v", at, i, cos, sin, math.Cos(angle), math.Sin(angle))
			}
		}
	}
}

func TestLLaMAMustFit(t *testing.T) {
	spec := Spec{Tokens: true, Classes: 13, Context: 9}
	for _, c := range []struct {
		spec Spec
		edit func(*config.Model)
		want string
	}{
		{digits, func(*config.Model) {}, "model.kind: llama reads tokens but the data are not text"},
		{spec, func(m *config.Model) { m.Heads = 3 }, "model.heads: 3 heads do not divide the width 16"},
		{spec, func(m *config.Model) { m.KVHeads = 3 }, "model.kv_heads: 3 heads of keys and values do not divide the 4 heads"},
		{spec, func(m *config.Model) { m.HeadWidth = 5 }, "model.heads: a head is 5 wide"},
		{spec, func(m *config.Model) { m.Positions = 8 }, "model.positions: 8 positions are fewer than the 9 tokens of a sample"},
		{Spec{Tokens: true, Classes: 13, Context: 1 << 16}, func(m *config.Model) { m.HeadWidth = 2048 }, "lower data.context"},
		{Spec{Tokens: true, Classes: 3, Vocabulary: 13, Context: 9, Rows: 1}, func(*config.Model) {}, "llama gives one of 13 tokens for each of 9 but"},
	} {
		cfg := smallLLaMA(2, 0, false)
		c.edit(&cfg)
		if _, err := build(cfg, c.spec); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// TestLLaMADecaysMatrices has the norms' weights stay out of weight decay.
func TestLLaMADecaysMatrices(t *testing.T) {
	m := mustBuild(t, smallLLaMA(2, 0, false), Spec{Tokens: true, Classes: 13, Context: 9})
	for _, p := range m.Params() {
		if p.Decay == strings.Contains(p.Name, "norm") {
			t.Errorf("%s: decay %v", p.Name, p.Decay)
		}
	}
}
