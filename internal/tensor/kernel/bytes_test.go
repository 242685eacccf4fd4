package kernel

import "testing"

// Two multiplications stand for the division; a test of all bytes is the proof.
func TestUnitBytes(t *testing.T) {
	const most = 256 + 37 // whole blocks and a rest, and every value in both
	src, dst := make([]byte, most), make([]float32, most+1)
	for _, tier := range Tiers() {
		t.Run(tier.String(), func(t *testing.T) {
			defer Force(tier)()
			for first := range 256 {
				for i := range src {
					src[i] = byte(first + i)
				}
				n := most - first%40
				dst[n] = -1
				UnitBytes(dst[:n], src[:n], src[len(src)-n:])
				for i, v := range src[:n] {
					if want := float32(v) / 255; dst[i] != want {
						t.Fatalf("element %d of %d: %d gives %x, want %x", i, n, v, dst[i], want)
					}
				}
				if dst[n] != -1 {
					t.Fatalf("%d elements: one more was written", n)
				}
			}
		})
	}
}
