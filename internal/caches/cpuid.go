package caches

import "fmt"

// cpuid is the instruction of that name: its results are the registers A, B, C and D.
type cpuid func(leaf, sub uint32) (a, b, c, d uint32)

// The leaves of cpuid that are read. Intel's manual volume 2A ("CPUID") and AMD's volume 3, appendix E describe them.
const (
	leafVendor       = 0
	leafDescriptors  = 2
	leafCaches       = 4
	leafTranslations = 0x18
	leafExtended     = 0x80000000
	leafFeatures     = 0x80000001
	leafAMDFirst     = 0x80000005
	leafAMDSecond    = 0x80000006
	leafAMDCaches    = 0x8000001d
)

// mostLeaves bounds lists that the CPU ends by itself, as a hypervisor may not.
const mostLeaves = 32

// vendorIntel is what B says of leaf 0.
const vendorIntel = 'G' | 'e'<<8 | 'n'<<16 | 'u'<<24

// signature is the vendor, family, model and stepping of a CPU.
func signature(read cpuid) string {
	const leafFamily = 1
	_, b, c, d := read(leafVendor, 0)
	a, _, _, _ := read(leafFamily, 0)
	return fmt.Sprintf("%08x%08x%08x-%08x", b, d, c, a)
}

func fromCPUID(read cpuid) CPU {
	last, vendor, _, _ := read(leafVendor, 0)
	extended, _, _, _ := read(leafExtended, 0)
	if vendor == vendorIntel {
		var c CPU
		if last >= leafCaches {
			c.listLevels(read, leafCaches)
		}
		if last >= leafTranslations {
			c.listTranslations(read)
		}
		if c.Pages == 0 && last >= leafDescriptors {
			c.describeTranslations(read)
		}
		return c
	}
	return fromAMD(read, extended)
}

// fromAMD reads what AMD's CPUs, and those that follow them, say.
func fromAMD(read cpuid, extended uint32) (c CPU) {
	if extended >= leafAMDFirst {
		_, pages, first, _ := read(leafAMDFirst, 0)
		c.Pages = int(pages >> 16 & 0xff)
		c.L1 = Level{Size: int(first>>24) << 10, Ways: int(first >> 16 & 0xff), Line: int(first & 0xff), Sharers: 1}
	}
	if extended >= leafAMDSecond {
		_, pages, second, third := read(leafAMDSecond, 0)
		c.FarPages = int(pages >> 16 & 0xfff)
		c.L2 = Level{Size: int(second>>16) << 10, Ways: waysAMD[second>>12&15], Line: int(second & 0xff), Sharers: 1}
		c.L3 = Level{Size: int(third>>18) * 512 << 10, Ways: waysAMD[third>>12&15], Line: int(third & 0xff), Sharers: 1}
	}
	if extended < leafAMDCaches {
		return c
	}
	const listed = 1 << 22 // "topology extensions"
	if _, _, features, _ := read(leafFeatures, 0); features&listed != 0 {
		c.listLevels(read, leafAMDCaches)
	}
	return c
}

// waysAMD are the ways that four bits of AMD's leaves stand for; 9 says that another leaf has them, 15 all.
var waysAMD = [16]int{1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 16, 10: 32, 11: 48, 12: 64}

// listLevels reads a leaf that has one level under each of its numbers.
func (c *CPU) listLevels(read cpuid, leaf uint32) {
	const data, unified = 1, 3
	for sub := range uint32(mostLeaves) {
		a, b, sets, _ := read(leaf, sub)
		kind := a & 31
		if kind == 0 {
			return
		}
		level := Level{Line: int(b&0xfff) + 1, Ways: int(b>>22) + 1, Sharers: int(a>>14&0xfff) + 1}
		size := uint64(level.Line) * uint64(b>>12&0x3ff+1) * uint64(level.Ways) * (uint64(sets) + 1)
		level.Size = int(min(size, mostThird+1))
		if kind == data || kind == unified {
			c.put(int(a>>5&7), level)
		}
	}
}

// put sets one level, if it has a size.
func (c *CPU) put(number int, l Level) {
	if l.Size <= 0 {
		return
	}
	switch number {
	case 1:
		c.L1 = l
	case 2:
		c.L2 = l
	case 3:
		c.L3 = l
	}
}

// listTranslations reads Intel's list of translation caches. Those for loads alone count as well as those for data.
func (c *CPU) listTranslations(read cpuid) {
	const data, unified, loads = 1, 3, 4
	last, _, _, _ := read(leafTranslations, 0)
	for sub := range min(last, mostLeaves) + 1 {
		_, b, sets, d := read(leafTranslations, sub)
		kind := d & 31
		if b&1 == 0 || kind != data && kind != unified && kind != loads { // without pages of 4 KiB
			continue
		}
		entries := int(min(uint64(b>>16)*uint64(sets), 1<<20))
		if d>>5&7 == 1 {
			c.Pages = max(c.Pages, entries)
		} else {
			c.FarPages = max(c.FarPages, entries)
		}
	}
}

// pagesNear and pagesFar are the entries that the bytes of Intel's older leaf stand for, of pages of 4 KiB for data.
var (
	pagesNear = map[byte]int{0x03: 64, 0x57: 16, 0x59: 16, 0xa0: 32, 0xb3: 128, 0xb4: 256, 0xba: 64, 0xc0: 8, 0xc2: 16}
	pagesFar  = map[byte]int{0x64: 512, 0x6b: 256, 0xc1: 1024, 0xc3: 1536, 0xca: 512}
)

// describeTranslations reads Intel's older leaf, a set of bytes each of which stands for one fact.
func (c *CPU) describeTranslations(read cpuid) {
	a, b, cc, d := read(leafDescriptors, 0)
	for i, register := range [...]uint32{a &^ 0xff, b, cc, d} { // the lowest byte of A is always 1, and no fact
		if register>>31 != 0 {
			continue // holds no facts
		}
		for at := range 4 {
			fact := byte(register >> (8 * at))
			if i == 0 && at == 0 {
				continue
			}
			c.Pages = max(c.Pages, pagesNear[fact])
			c.FarPages = max(c.FarPages, pagesFar[fact])
		}
	}
}
