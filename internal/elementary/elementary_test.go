package elementary

import (
	"math"
	"testing"
)

func TestExpIsNearTheLibrarys(t *testing.T) {
	for x := -740.0; x < 709; x += 0.37 {
		if got, want := Exp(x), math.Exp(x); math.Abs(got-want) > 4e-16*want && want > 1e-300 {
			t.Fatalf("Exp(%v) is %v, want %v", x, got, want)
		}
	}
	for x, want := range map[float64]float64{0: 1, math.Inf(1): math.Inf(1), math.Inf(-1): 0, 800: math.Inf(1), -745: 4.9e-324} {
		if got := Exp(x); got != want {
			t.Errorf("Exp(%v) is %v, want %v", x, got, want)
		}
	}
	if !math.IsNaN(Exp(math.NaN())) {
		t.Error("Exp of no number is a number")
	}
}

func TestLogIsNearTheLibrarys(t *testing.T) {
	for i := range 20000 {
		x := math.Ldexp(1+float64(i%500)/500, -i/500)
		want := math.Log(x)
		if got := Log(x); math.Abs(got-want) > 5e-16*math.Abs(want) {
			t.Fatalf("Log(%v) = %.17g, want %.17g", x, got, want)
		}
	}
}

func TestCosPiIsNearTheLibrarys(t *testing.T) {
	for i := 0; i <= 1000; i++ {
		x := float64(i) / 1000
		if have, want := CosPi(x), math.Cos(math.Pi*x); math.Abs(have-want) > 5e-16 {
			t.Errorf("CosPi(%v) = %v, want %v", x, have, want)
		}
	}
}

func TestSinCosIsNearTheLibrarys(t *testing.T) {
	for i := 0; i <= 3000; i++ {
		x := math.Pi * float64(i) / 3000
		sin, cos := SinCos(x)
		if math.Abs(sin-math.Sin(x)) > 2.3e-16 || math.Abs(cos-math.Cos(x)) > 2.3e-16 {
			t.Errorf("SinCos(%v) = %v, %v", x, sin, cos)
		}
	}
}
