package model

import (
	"fmt"
	"math"
	"testing"

	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
)

// TestBFloat16IsTheSameEverywhere trains every family in bfloat16: the same digest on every tier, with one thread and with two, and where activations
// are computed again; and another one than in float32.
func TestBFloat16IsTheSameEverywhere(t *testing.T) {
	team := kernel.NewTeam(2)
	defer team.Close()
	for name, c := range families {
		plain := mustBuild(t, c.cfg, c.spec)
		m := plain.InBFloat16()
		const steps = 3
		want := trainModel(t, m, c, steps, nil)
		if want == trainModel(t, plain, c, steps, nil) {
			t.Errorf("%s: bfloat16 changes nothing", name)
		}
		if got := trainModel(t, m.Recomputing(), c, steps, team); got != want {
			t.Errorf("%s: digest %x where activations are computed again, %x where they are kept", name, got, want)
		}
		for _, tier := range kernel.Tiers() {
			restore := kernel.Force(tier)
			if got := trainModel(t, m, c, steps, team); got != want {
				t.Errorf("%s, %v: digest %x, want %x", name, tier, got, want)
			}
			restore()
		}
	}
}

// TestBFloat16DecodersGiveTheBitsOfWholeTexts is TestDecodersGiveTheBitsOfWholeTexts in bfloat16.
func TestBFloat16DecodersGiveTheBitsOfWholeTexts(t *testing.T) {
	for name, c := range writers {
		m := mustBuild(t, c.cfg, c.spec).InBFloat16()
		params := filled(m)
		for _, tier := range kernel.Tiers() {
			t.Run(fmt.Sprintf("%s %v", name, tier), func(t *testing.T) {
				defer kernel.Force(tier)()
				grown, err := m.NewDecoder(nil, params, nil, DecoderOptions{Slots: 4})
				if err != nil {
					t.Fatal(err)
				}
				whole, err := m.NewDecoder(nil, params, nil, DecoderOptions{Slots: 4, Recompute: true})
				if err != nil || grown.rows == nil || whole.rows != nil {
					t.Fatal(err, grown.rows == nil)
				}
				compareDecoders(t, grown, whole)
			})
		}
	}
}

// TestBFloat16HalvesActivations wants the planned memory of a gradient to be about half, and the gradient to point where that of float32 does.
func TestBFloat16HalvesActivations(t *testing.T) {
	for name, c := range deepModels {
		m := mustBuild(t, c.cfg, c.spec)
		whole, halved := m.TrainingBytes(c.samples), m.InBFloat16().TrainingBytes(c.samples)
		t.Logf("%s: %d KiB of %d, %.3f", name, halved>>10, whole>>10, float64(halved)/float64(whole))
		if float64(halved) > 0.56*float64(whole) {
			t.Errorf("%s: %d bytes, %d in float32", name, halved, whole)
		}
		params, stats := initial(m, 1)
		gradient := func(m *Model) []float32 {
			grad := make([]float32, m.Len())
			m.NewReplica(nil).Gradient(params, stats, grad, randomBatch(c.spec, c.samples, 1), rng.SeatKey(1, 2, 3, 0), nil, nil)
			return grad
		}
		least := 0.99
		if name == "mobilenetv2" { // with 52 batch norms one after another, weights that are a thousandth other turn it to 0.6
			least = 0.3
		}
		if cos := cosine(gradient(m), gradient(m.InBFloat16())); !(cos > least) {
			t.Errorf("%s: the cosine between the gradients is %g", name, cos)
		}
	}
}

func cosine(a, b []float32) float64 {
	var dot, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		dot, aa, bb = dot+float64(x*y), aa+float64(x*x), bb+float64(y*y)
	}
	return dot / math.Sqrt(aa*bb)
}
