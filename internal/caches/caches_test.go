package caches

import (
	"math/rand/v2"
	"testing"
	"testing/fstest"
)

// registers are what a leaf of cpuid answers.
type registers [4]uint32

// answers makes a cpuid of a table.
func answers(table map[[2]uint32]registers) cpuid {
	return func(leaf, sub uint32) (a, b, c, d uint32) {
		r := table[[2]uint32{leaf, sub}]
		return r[0], r[1], r[2], r[3]
	}
}

// listed4 is an entry of Intel's and AMD's lists of caches.
func listed4(kind, level, sharers, line, ways, sets uint32) registers {
	return registers{kind | level<<5 | (sharers-1)<<14, line - 1 | (ways-1)<<22, sets - 1}
}

const vendorAMD = 'A' | 'u'<<8 | 't'<<16 | 'h'<<24

func TestCPUIDOfCPUs(t *testing.T) {
	for _, c := range []struct {
		name  string
		table map[[2]uint32]registers
		want  CPU
	}{
		{"Zen 3 with its list", map[[2]uint32]registers{
			{0, 0}: {16, vendorAMD}, {leafExtended, 0}: {0x80000023}, {leafFeatures, 0}: {0, 0, 1 << 22},
			{leafAMDFirst, 0}:  {0, 64<<16 | 0xff<<24, 32<<24 | 8<<16 | 1<<8 | 64},
			{leafAMDSecond, 0}: {0, 6<<28 | 2048<<16, 512<<16 | 6<<12 | 64, 64<<18 | 9<<12 | 64},
			{leafAMDCaches, 0}: listed4(1, 1, 2, 64, 8, 64), {leafAMDCaches, 1}: listed4(2, 1, 2, 64, 8, 64),
			{leafAMDCaches, 2}: listed4(3, 2, 2, 64, 8, 1024), {leafAMDCaches, 3}: listed4(3, 3, 16, 64, 16, 32768),
		}, CPU{Level{32 << 10, 64, 8, 2}, Level{512 << 10, 64, 8, 2}, Level{32 << 20, 64, 16, 16}, 64, 2048}},
		{"an older AMD", map[[2]uint32]registers{
			{0, 0}: {13, vendorAMD}, {leafExtended, 0}: {0x8000001b}, {leafFeatures, 0}: {},
			{leafAMDFirst, 0}:  {0, 48 << 16, 64<<24 | 2<<16 | 64},
			{leafAMDSecond, 0}: {0, 4<<28 | 512<<16, 512<<16 | 8<<12 | 64, 12<<18 | 11<<12 | 64},
		}, CPU{Level{64 << 10, 64, 2, 1}, Level{512 << 10, 64, 16, 1}, Level{6 << 20, 64, 48, 1}, 48, 512}},
		{"Sapphire Rapids", map[[2]uint32]registers{
			{0, 0}: {0x20, vendorIntel}, {leafExtended, 0}: {0x80000008},
			{4, 0}: listed4(1, 1, 2, 64, 12, 64), {4, 1}: listed4(2, 1, 2, 64, 8, 64), {4, 2}: listed4(3, 2, 2, 64, 16, 2048),
			{4, 3}:    listed4(3, 3, 128, 64, 15, 114688),
			{0x18, 0}: {4}, {0x18, 1}: {0, 1 | 6<<16, 16, 4 | 1<<5}, {0x18, 2}: {0, 2 | 4<<16, 8, 4 | 1<<5},
			{0x18, 3}: {0, 1 | 16<<16, 1, 5 | 1<<5}, {0x18, 4}: {0, 3 | 8<<16, 256, 3 | 2<<5},
		}, CPU{Level{48 << 10, 64, 12, 2}, Level{2 << 20, 64, 16, 2}, Level{105 << 20, 64, 15, 128}, 96, 2048}},
		{"Haswell, with bytes for its translations", map[[2]uint32]registers{
			{0, 0}: {13, vendorIntel}, {leafExtended, 0}: {0x80000008}, {2, 0}: {0x76036301, 0x00f0b5ff, 0, 0x00c10000},
			{4, 0}: listed4(1, 1, 2, 64, 8, 64), {4, 1}: listed4(3, 2, 2, 64, 8, 512), {4, 2}: listed4(3, 3, 16, 64, 16, 8192),
		}, CPU{Level{32 << 10, 64, 8, 2}, Level{256 << 10, 64, 8, 2}, Level{8 << 20, 64, 16, 16}, 64, 1024}},
		{"a hypervisor that says nothing", nil, ordinary},
		{"one that sums up over its CPUs", map[[2]uint32]registers{
			{0, 0}: {4, vendorIntel}, {4, 0}: listed4(1, 1, 4096, 64, 1024, 1<<20), {4, 1}: listed4(3, 2, 1, 4096, 8, 1<<31),
		}, ordinary},
	} {
		if got := fromCPUID(answers(c.table)).Bounded(); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

// folder is a folder of Linux as on a Graviton 3, or with other contents of some files.
func folder(other map[string]string) fstest.MapFS {
	files := map[string]string{
		"index0/type": "Data\n", "index0/level": "1\n", "index0/size": "64K\n", "index0/coherency_line_size": "64\n",
		"index0/ways_of_associativity": "4\n", "index0/shared_cpu_list": "0\n",
		"index1/type": "Instruction\n", "index1/level": "1\n", "index1/size": "64K\n",
		"index2/type": "Unified\n", "index2/level": "2\n", "index2/size": "1024K\n", "index2/coherency_line_size": "64\n",
		"index2/ways_of_associativity": "8\n", "index2/shared_cpu_list": "0\n",
		"index3/type": "Unified\n", "index3/level": "3\n", "index3/size": "32M\n", "index3/coherency_line_size": "64\n",
		"index3/ways_of_associativity": "16\n", "index3/shared_cpu_list": "0-31,33\n",
	}
	for name, text := range other {
		files[name] = text
	}
	f := fstest.MapFS{}
	for name, text := range files {
		f[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return f
}

func TestSysfs(t *testing.T) {
	want := CPU{Level{64 << 10, 64, 4, 1}, Level{1 << 20, 64, 8, 1}, Level{32 << 20, 64, 16, 33}, 64, 1024}
	if got := fromSysfs(folder(nil)).Bounded(); got != want {
		t.Errorf("as on a Graviton 3: %+v, want %+v", got, want)
	}
	if got := fromSysfs(fstest.MapFS{}).Bounded(); got != ordinary {
		t.Errorf("an empty folder: %+v, want %+v", got, ordinary)
	}
	for name, other := range map[string]map[string]string{
		"sizes beyond all": {"index0/size": "99999999999999999999K", "index2/size": "-1K", "index3/size": "4096000M"},
		"words":            {"index0/size": "large", "index2/size": "", "index3/size": "K"},
	} {
		got := fromSysfs(folder(other)).Bounded()
		got.L3 = ordinary.L3
		if got != ordinary {
			t.Errorf("%s: %+v, want %+v", name, got, ordinary)
		}
	}
	if got := identity(fstest.MapFS{"regs/identification/midr_el1": &fstest.MapFile{Data: []byte("0x411fd401\n")}}); got != "0x411fd401" {
		t.Errorf("the CPU identifies itself as %q", got)
	}
	odd := fromSysfs(folder(map[string]string{"index0/ways_of_associativity": "0", "index0/coherency_line_size": "48", "index3/shared_cpu_list": "5-2"})).Bounded()
	if odd.L1 != (Level{64 << 10, 64, 8, 1}) || odd.L3.Sharers != 1 {
		t.Errorf("odd files: %+v", odd)
	}
}

// Whatever a hypervisor says, the values are those of some CPU.
func TestBoundedOfNonsense(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		c := fromCPUID(func(leaf, sub uint32) (a, b, c, d uint32) {
			vendor := [...]uint32{vendorIntel, vendorAMD, r.Uint32()}[r.IntN(3)]
			if leaf == leafVendor {
				return r.Uint32N(40), vendor, 0, 0
			}
			return r.Uint32() >> r.IntN(32), r.Uint32() >> r.IntN(32), r.Uint32() >> r.IntN(32), r.Uint32() >> r.IntN(32)
		}).Bounded()
		for i, l := range []Level{c.L1, c.L2, c.L3} {
			if l.Size == 0 && i == 2 {
				continue
			}
			if l.Size < leastFirst || l.Size > mostThird || l.Line < 16 || l.Line > 256 || l.Ways < 1 || l.Ways > mostWays || l.Sharers < 1 || l.Sets() < 1 || c.Share(l) < 0 {
				t.Fatalf("level %d of %+v", i+1, c)
			}
		}
		if c.L2.Size < c.L1.Size || c.Pages < 8 || c.FarPages < c.Pages || c.Share(c.L2) < leastSecond {
			t.Fatalf("%+v", c)
		}
	}
}

func TestHereIsPlausible(t *testing.T) {
	c := Here()
	if c.L1.Size < leastFirst || c.L2.Size < c.L1.Size || c.Pages < 8 {
		t.Errorf("this CPU: %+v", c)
	}
	t.Logf("%s: %+v", Name(), c)
}
