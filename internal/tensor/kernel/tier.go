package kernel

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
)

// Tier is an instruction set that the kernels can be carried out with. All tiers give the same bits.
type Tier int

// The tiers. PlainGo runs everywhere and defines what the others compute.
const (
	PlainGo Tier = iota
	AVX2
	AVX512
	NEON
)

// EnvironmentVariable forces a tier by name: go, avx2, avx512 or neon.
const EnvironmentVariable = "RINGMASTER_KERNEL"

// current is the tier in use. It is written at start and by Force.
var current atomic.Int32

func init() {
	current.Store(int32(Best()))
	// A value that cannot be had is left for the main program to report: it passes the variable to Select.
	_ = Select(os.Getenv(EnvironmentVariable))
}

// String is the name of the tier as the environment variable takes it.
func (t Tier) String() string {
	switch t {
	case PlainGo:
		return "go"
	case AVX2:
		return "avx2"
	case AVX512:
		return "avx512"
	case NEON:
		return "neon"
	}
	return fmt.Sprintf("tier %d", int(t))
}

// Tiers lists the tiers that this machine can run, the plainest first.
func Tiers() []Tier { return append([]Tier{PlainGo}, machineTiers()...) }

// Best is the fastest tier that this machine can run.
func Best() Tier {
	tiers := Tiers()
	return tiers[len(tiers)-1]
}

// Current is the tier in use.
func Current() Tier { return Tier(current.Load()) }

// Select makes the named tier current; the empty name means the best one. An unknown name, or a tier that this
// machine cannot run, is an error and changes nothing. So is a process that flushes denormal numbers to zero: its results
// would not be those of others.
func Select(name string) error {
	if !denormalsLive() {
		return fmt.Errorf("kernel: select a tier: this process flushes denormal numbers to zero")
	}
	if name == "" {
		current.Store(int32(Best()))
		return nil
	}
	names := make([]string, 0, 3)
	for _, t := range Tiers() {
		if t.String() == name {
			current.Store(int32(t))
			return nil
		}
		names = append(names, t.String())
	}
	return fmt.Errorf("kernel: %s=%q: this machine can run %s", EnvironmentVariable, name, strings.Join(names, ", "))
}

// denormalsLive reports whether a product of two numbers can be denormal, and a denormal number be multiplied, with the
// current tier. The SIMD tiers and Go's own arithmetic share the control register that says so.
func denormalsLive() bool {
	var team *Team
	half, product := []float32{0.5, 4}, make([]float32, 2)
	for i, x := range []float32{0x1p-126, 0x1p-127} {
		team.MatMul(&MatMul{M: 1, N: 1, K: 1, A: half[i:], LDA: 1, B: []float32{x}, LDB: 1, C: product[i:], LDC: 1})
	}
	return product[0] == 0x1p-127 && product[1] == 0x1p-125
}

// Force makes t current until restore is called, for tests and benchmarks. It panics if the machine cannot run t. The
// change holds for the whole process: calls of Force must nest and must not overlap in time.
func Force(t Tier) (restore func()) {
	for _, have := range Tiers() {
		if have == t {
			before := current.Swap(int32(t))
			return func() { current.Store(before) }
		}
	}
	panic(fmt.Sprintf("kernel: this machine cannot run tier %s", t))
}
