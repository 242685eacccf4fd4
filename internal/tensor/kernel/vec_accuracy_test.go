package kernel

import (
	"flag"
	"math"
	"math/big"
	"testing"
)

// everyFloat makes the accuracy tests visit all float32 numbers: go test -run Accuracy -every-float (minutes).
var everyFloat = flag.Bool("every-float", false, "test the elementary functions on every float32")

// ulpError is the distance of have from want in units of the last place of a float32 of want's size.
func ulpError(have float32, want float64) float64 {
	_, exponent := math.Frexp(want)
	unit := math.Ldexp(1, max(exponent-24, -149))
	return math.Abs(float64(have)-want) / unit
}

func TestFunctionsKeepTheirPromisedAccuracy(t *testing.T) {
	cases := []struct {
		name  string
		run   func(dst, x []float32)
		exact func(float64) float64
		ulps  float64 // the bound promised
	}{
		{"Exp", Exp, math.Exp, 1},
		{"Log", Log, math.Log, 1},
		{"Tanh", Tanh, math.Tanh, 2},
		{"Erf", Erf, math.Erf, 2},
		{"Sigmoid", Sigmoid, func(x float64) float64 {
			if x < -87.683 {
				return 0
			}
			return 1 / (1 + math.Exp(-x))
		}, 3},
	}
	stride := uint64(4001) // prime, so that all patterns of low bits come up
	if *everyFloat {
		stride = 1
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			const batch = 4096
			x, y := make([]float32, 0, batch), make([]float32, batch)
			worst, worstAt := 0.0, float32(0)
			flush := func() {
				c.run(y[:len(x)], x)
				for i, v := range x {
					want := c.exact(float64(v))
					if float32(want) == y[i] || want != want && y[i] != y[i] {
						continue
					}
					if e := ulpError(y[i], want); !(e <= worst) {
						worst, worstAt = e, v
					}
				}
				x = x[:0]
			}
			for b := uint64(0); b < 1<<32; b += stride {
				if x = append(x, math.Float32frombits(uint32(b))); len(x) == batch {
					flush()
				}
			}
			x = append(x, specials...)
			flush()
			t.Logf("worst error %.3f ulp at %x (%v)", worst, worstAt, worstAt)
			if !(worst <= c.ulps) {
				t.Errorf("error of %.3f ulp at %x (%v), at most %v are promised", worst, worstAt, worstAt, c.ulps)
			}
		})
	}
}

// The constants of the range reductions are the wanted numbers, rounded to float32.
func TestReductionConstants(t *testing.T) {
	ln2, _, err := big.ParseFloat("0.693147180559945309417232121458176568075500134360255", 10, 200, big.ToNearestEven)
	if err != nil {
		t.Fatal(err)
	}
	high, _ := ln2.Float32()
	low, _ := new(big.Float).Sub(ln2, big.NewFloat(float64(high))).Float32()
	inverse, _ := new(big.Float).Quo(big.NewFloat(1), ln2).Float32()
	for _, c := range []struct {
		name       string
		have, want float32
	}{{"ln2High", ln2High, high}, {"ln2Low", ln2Low, low}, {"log2E", log2E, inverse}} {
		if c.have != c.want {
			t.Errorf("%s is %x, want %x", c.name, c.have, c.want)
		}
	}
}

func TestActivationsFollowTextbook(t *testing.T) {
	sigmoid := func(x float64) float64 { return 1 / (1 + math.Exp(-x)) }
	cdf := func(x float64) float64 { return math.Erfc(-x/math.Sqrt2) / 2 }
	inner := func(x float64) float64 { return math.Sqrt(2/math.Pi) * (x + 0.044715*x*x*x) }
	// slope sets y to the function of x, as run does, and d to its derivative.
	backward := func(f func(dst, x []float32), back func(dx, dy, y []float32)) func(y, d, x []float32) {
		return func(y, d, x []float32) {
			f(y, x)
			for i := range d {
				d[i] = 1
			}
			back(d, d, y)
		}
	}
	cases := []struct {
		name  string
		run   func(dst, x []float32)
		exact func(x float64) float64
		slope func(y, d, x []float32)
	}{
		{"SiLU", SiLU, func(x float64) float64 { return x * sigmoid(x) }, SiLUSlope},
		{"GELU", GELU, func(x float64) float64 { return x * cdf(x) }, GELUSlope},
		{"GELUTanh", GELUTanh, func(x float64) float64 { return x / 2 * (1 + math.Tanh(inner(x))) }, GELUTanhSlope},
		{"Sigmoid", Sigmoid, sigmoid, backward(Sigmoid, SigmoidBackward)},
		{"Tanh", Tanh, math.Tanh, backward(Tanh, TanhBackward)},
	}
	var x []float32
	for v := float32(-12); v <= 12; v += 0.0137 {
		x = append(x, v)
	}
	y, again, d := make([]float32, len(x)), make([]float32, len(x)), make([]float32, len(x))
	for _, c := range cases {
		c.run(y, x)
		c.slope(again, d, x)
		same(t, c.name+" with its slope", again, y)
		for i, v := range x {
			if want := c.exact(float64(v)); math.Abs(float64(y[i])-want) > 3e-7*max(1, math.Abs(float64(v))) {
				t.Fatalf("%s(%v) = %v, want %v", c.name, v, y[i], want)
			}
			const h = 1e-5
			slope := (c.exact(float64(v)+h) - c.exact(float64(v)-h)) / (2 * h)
			if math.Abs(float64(d[i])-slope) > 7e-7*max(1, math.Abs(float64(v))) {
				t.Fatalf("%s at %v: slope %v, want %v", c.name, v, d[i], slope)
			}
		}
	}
}

// Far from zero GELU is the identity and zero, and never has the wrong sign.
func TestGELUFarOut(t *testing.T) {
	var x []float32
	for v := float32(4); v < math.MaxFloat32/2; v *= 1.03 {
		x = append(x, -v, v)
	}
	y, d := make([]float32, len(x)), make([]float32, len(x))
	GELUSlope(y, d, x)
	for i, v := range x {
		if v > 6 && (y[i] != v || d[i] != 1) || v < -6 && (y[i] > 0 || y[i] < -2e-8 || math.Abs(float64(d[i])) > 1e-7) || y[i]*v < 0 {
			t.Fatalf("GELU(%v) = %v, slope %v", v, y[i], d[i])
		}
	}
}
