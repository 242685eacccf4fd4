package kernel

import (
	"fmt"
	"testing"

	"ringmaster/internal/caches"
)

// level describes a level of a cache in KiB.
func level(kib, ways, line, sharers int) caches.Level {
	return caches.Level{Size: kib << 10, Ways: ways, Line: line, Sharers: sharers}
}

// cpus are as their makers describe them; a system cache that CPUs of Arm share counts as the third level.
var cpus = map[string]caches.CPU{
	"Zen 1":           {L1: level(32, 8, 64, 2), L2: level(512, 8, 64, 2), L3: level(8<<10, 16, 64, 8), Pages: 64, FarPages: 1536},
	"Zen 2":           {L1: level(32, 8, 64, 2), L2: level(512, 8, 64, 2), L3: level(16<<10, 16, 64, 8), Pages: 64, FarPages: 2048},
	"Zen 3":           {L1: level(32, 8, 64, 2), L2: level(512, 8, 64, 2), L3: level(32<<10, 16, 64, 16), Pages: 64, FarPages: 2048},
	"Zen 4":           {L1: level(32, 8, 64, 2), L2: level(1<<10, 8, 64, 2), L3: level(32<<10, 16, 64, 16), Pages: 72, FarPages: 3072},
	"Zen 5":           {L1: level(48, 12, 64, 2), L2: level(1<<10, 16, 64, 2), L3: level(32<<10, 16, 64, 16), Pages: 96, FarPages: 4096},
	"Skylake":         {L1: level(32, 8, 64, 2), L2: level(256, 4, 64, 2), L3: level(8<<10, 16, 64, 8), Pages: 64, FarPages: 1536},
	"Skylake SP":      {L1: level(32, 8, 64, 2), L2: level(1<<10, 16, 64, 2), L3: level(39424, 11, 64, 56), Pages: 64, FarPages: 1536},
	"Ice Lake SP":     {L1: level(48, 12, 64, 2), L2: level(1280, 20, 64, 2), L3: level(60<<10, 12, 64, 80), Pages: 64, FarPages: 2048},
	"Sapphire Rapids": {L1: level(48, 12, 64, 2), L2: level(2<<10, 16, 64, 2), L3: level(105<<10, 15, 64, 112), Pages: 96, FarPages: 2048},
	"Graviton 2":      {L1: level(64, 4, 64, 1), L2: level(1<<10, 8, 64, 1), L3: level(32<<10, 16, 64, 64), Pages: 48, FarPages: 1280},
	"Graviton 3":      {L1: level(64, 4, 64, 1), L2: level(1<<10, 8, 64, 1), L3: level(32<<10, 16, 64, 64), Pages: 40, FarPages: 2048},
	"Graviton 4":      {L1: level(64, 4, 64, 1), L2: level(2<<10, 8, 64, 1), L3: level(36<<10, 12, 64, 96), Pages: 48, FarPages: 2048},
	"Apple M1":        {L1: level(128, 8, 64, 1), L2: level(12<<10, 12, 128, 4), Pages: 160, FarPages: 3072},
	"Ampere Altra":    {L1: level(64, 4, 64, 1), L2: level(1<<10, 8, 64, 1), L3: level(32<<10, 16, 64, 80), Pages: 48, FarPages: 1280},
	"AmpereOne":       {L1: level(64, 4, 64, 1), L2: level(2<<10, 8, 64, 1), L3: level(64<<10, 16, 64, 192), Pages: 48, FarPages: 1280},
	"tiny":            {L1: level(8, 2, 64, 1), L2: level(128, 4, 64, 1), Pages: 16, FarPages: 64},
	"unknown":         {},
	"huge":            {L1: level(512, 64, 256, 1), L2: level(64<<10, 64, 256, 1), L3: level(2<<20, 64, 256, 1), Pages: 4096, FarPages: 1 << 16},
}

// tiles are shapes of the tiers, of those too that this machine lacks.
var tiles = map[Tier]*shape{
	AVX2:   {lanes: 8, log: 3, vectors: 2, rows: [5]int{0, 12, 6}, copying: 6, turnWide: 48},
	AVX512: {lanes: 16, log: 4, vectors: 4, rows: [5]int{0, 16, 14, 8, 6}, copying: 10, turnWide: 192},
	NEON:   {lanes: 4, log: 2, vectors: 4, rows: [5]int{0, 6, 6, 6, 6}, copying: 10, turnWide: 192},
}

// sizes are what is compared of a blocking.
func (b *blocking) sizes() string {
	return fmt.Sprintf("k %d in place, %d turned, %d packed; %d columns, %d at once; %d K of A, %d K whole", b.inPlace, b.turned, b.packed,
		b.width, b.few, b.rowsA>>10, b.whole>>10)
}

func TestBlocksForCPUs(t *testing.T) {
	for _, c := range []struct {
		cpu  string
		tier Tier
		want string
	}{
		{"Zen 1", AVX2, "k 512 in place, 192 turned, 512 packed; 1024 columns, 64 at once; 42 K of A, 64 K whole"},
		{"Zen 2", AVX2, "k 512 in place, 192 turned, 512 packed; 2048 columns, 64 at once; 42 K of A, 64 K whole"},
		{"Zen 3", AVX2, "k 512 in place, 192 turned, 512 packed; 2048 columns, 64 at once; 42 K of A, 64 K whole"},
		{"Zen 4", AVX2, "k 512 in place, 192 turned, 512 packed; 2048 columns, 128 at once; 85 K of A, 128 K whole"},
		{"Zen 4", AVX512, "k 512 in place, 64 turned, 512 packed; 2048 columns, 128 at once; 85 K of A, 128 K whole"},
		{"Zen 5", AVX512, "k 672 in place, 112 turned, 672 packed; 1536 columns, 64 at once; 85 K of A, 128 K whole"},
		{"Skylake", AVX2, "k 512 in place, 192 turned, 512 packed; 1024 columns, 32 at once; 21 K of A, 32 K whole"},
		{"Skylake SP", AVX512, "k 512 in place, 64 turned, 512 packed; 704 columns, 128 at once; 85 K of A, 128 K whole"},
		{"Ice Lake SP", AVX512, "k 672 in place, 112 turned, 672 packed; 576 columns, 64 at once; 106 K of A, 160 K whole"},
		{"Sapphire Rapids", AVX512, "k 672 in place, 112 turned, 672 packed; 704 columns, 192 at once; 170 K of A, 256 K whole"},
		{"Graviton 2", NEON, "k 672 in place, 384 turned, 672 packed; 192 columns, 96 at once; 85 K of A, 128 K whole"},
		{"Graviton 3", NEON, "k 672 in place, 384 turned, 672 packed; 192 columns, 96 at once; 85 K of A, 128 K whole"},
		{"Graviton 4", NEON, "k 672 in place, 384 turned, 672 packed; 384 columns, 192 at once; 170 K of A, 256 K whole"},
		{"Apple M1", NEON, "k 1024 in place, 768 turned, 1024 packed; 384 columns, 192 at once; 256 K of A, 384 K whole"},
		{"Ampere Altra", NEON, "k 672 in place, 384 turned, 672 packed; 192 columns, 96 at once; 85 K of A, 128 K whole"},
		{"AmpereOne", NEON, "k 672 in place, 384 turned, 672 packed; 384 columns, 192 at once; 170 K of A, 256 K whole"},
		{"unknown", AVX2, "k 512 in place, 192 turned, 512 packed; 128 columns, 64 at once; 42 K of A, 64 K whole"},
	} {
		s := tiles[c.tier]
		if got := s.fit(cpus[c.cpu].Bounded()).sizes(); got != c.want {
			t.Errorf("%s, %s: %s\n want %s", c.cpu, c.tier, got, c.want)
		}
	}
}

// TestBlocksFitTheCaches checks for all CPUs and tiers, odd ones included, that what is used again has room where it is used from, and
// that scratch memory stays bounded.
func TestBlocksFitTheCaches(t *testing.T) {
	for name, c := range cpus {
		for tier, s := range tiles {
			c := c.Bounded()
			s.fit(c)
			wide, tall := s.lanes*s.vectors, s.rows[s.vectors]
			fail := func(what string) { t.Errorf("%s, %s: %s: %s", name, tier, what, s.sizes()) }
			least := 4 * depthUnit // which may not fit a cache that no CPU has
			if 4*tall*s.inPlace > c.L1.Size/2 && s.inPlace > least {
				fail("a tile's rows of A take more than half of the first level")
			}
			if s.turned*(1+(4*wide+63)/64)*64 > c.L1.Size && s.turned > least {
				fail("columns of A and a panel of B exceed the first level")
			}
			if 4*s.packed*wide > c.Share(c.L2)/2 && s.packed > least {
				fail("a packed panel takes more than half of the second level")
			}
			if 4*(s.rowsA+s.packed*wide) > c.Share(c.L2) && s.packed > least || 4*(s.whole+s.packed*s.few) > c.Share(c.L2)*5/4 && s.few > wide {
				fail("rows of A and panels of B exceed the second level")
			}
			if bytes := 4 * s.packed * s.width; bytes > max(c.Share(c.L3), c.Share(c.L2)) && s.width > s.few || bytes > 8<<20 {
				fail("packed panels exceed the third level, or a bound of memory")
			}
			if s.width%wide != 0 || s.few%wide != 0 || s.width < s.few || s.few < wide {
				fail("columns are not whole panels")
			}
			for _, k := range []int{s.inPlace, s.turned, s.packed} {
				if k < depthUnit || k > mostDepth || k%depthUnit != 0 {
					fail("a length of k is out of bounds")
				}
			}
		}
	}
}

// TestWhatIsPackedOnAZen3 holds what measurements there showed; see docs/benchmarks.md.
func TestWhatIsPackedOnAZen3(t *testing.T) {
	s := tiles[AVX2]
	s.fit(cpus["Zen 3"].Bounded())
	s.choice.begun.Store(true) // the model alone
	for _, c := range []struct {
		m, k, n int
		form    string
		a, b    bool // packed
	}{
		{64, 64, 64, "NN", false, false},
		{128, 128, 128, "NN", false, false},
		{256, 256, 256, "NN", false, true},
		{512, 512, 512, "NN", false, true},
		{1024, 1024, 1024, "NN", true, true},
		{32, 784, 128, "NN", false, false},
		{128, 784, 128, "NN", false, false},
		{32, 1024, 1024, "NN", true, true},
		{12, 1024, 1024, "NN", false, false},
		{4096, 64, 64, "NN", false, false},
		{128, 300, 1000, "NN", false, true},
		{64, 64, 64, "TN", false, false},
		{128, 128, 128, "TN", true, false},
		{256, 256, 256, "TN", true, true},
		{784, 32, 128, "TN", false, false},
		{4096, 64, 64, "TN", true, false},
		{32, 784, 128, "TN", true, false},
		{384, 768, 128, "TN", true, true},
	} {
		p := MatMul{M: c.m, K: c.k, N: c.n, LDA: c.k, LDB: c.n, TransA: c.form == "TN"}
		if p.TransA {
			p.LDA = c.m
		}
		if b := p.packsB(s); b != c.b {
			t.Errorf("%d x %d x %d %s: packs B: %v, reach %d", c.m, c.k, c.n, c.form, b, p.reach(s))
		}
		if a := p.packsA(s, c.n, c.b); a != c.a {
			t.Errorf("%d x %d x %d %s: packs A: %v", c.m, c.k, c.n, c.form, a)
		}
	}
}
