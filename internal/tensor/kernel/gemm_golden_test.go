package kernel

import (
	"crypto/sha256"
	"encoding/hex"
	"math"
	"testing"
)

// goldenProducts is the digest of the products below on every CPU, in every tier and with any number of threads. It
// changes only with the numerics contract.
const goldenProducts = "14bcf5619bfef09718f09cf4e30b493949b944b363a0ddcc60ee9a7111cab6b8"

func TestMatMulHasTheGoldenBits(t *testing.T) {
	for _, tier := range Tiers() {
		for _, threads := range []int{1, 2, 3, 8} {
			restore := Force(tier)
			team := NewTeam(threads)
			got := digestOfProducts(team)
			team.Close()
			restore()
			if got != goldenProducts {
				t.Errorf("tier %s, %d threads: the products have digest %s, want %s", tier, threads, got, goldenProducts)
			}
		}
	}
}

func digestOfProducts(team *Team) string {
	hash := sha256.New()
	for seed, s := range [][3]int{{32, 784, 128}, {32, 128, 10}, {128, 32, 784}, {65, 67, 71}, {1, 300, 5}} {
		m, k, n := s[0], s[1], s[2]
		for form := range 4 {
			p := MatMul{M: m, N: n, K: k, A: sequence(m*k, uint32(seed)), LDA: k, B: sequence(k*n, uint32(seed+9)), LDB: n,
				C: sequence(m*n, 77), LDC: n, TransA: form&1 != 0, TransB: form&2 != 0}
			if p.TransA {
				p.LDA = m
			}
			if p.TransB {
				p.LDB = k
			}
			switch form {
			case 0:
				p.Bias = sequence(n, 5)
			case 1:
				p.RowBias = sequence(m, 6)
			case 2:
				p.Accumulate, p.Act = true, ReLUActivation
			}
			team.MatMul(&p)
			for _, v := range p.C {
				b := math.Float32bits(v)
				hash.Write([]byte{byte(b), byte(b >> 8), byte(b >> 16), byte(b >> 24)})
			}
		}
	}
	return hex.EncodeToString(hash.Sum(nil))
}
