// Package caches describes the caches of the CPU that this process runs on, and how many pages it can address without a look at
// the page table. amd64 asks the CPU itself, Linux elsewhere the system; what neither says, or says wrongly, gets an ordinary value.
package caches

import "sync"

// Level is one level of a CPU's caches, for data.
type Level struct {
	Size    int // bytes, 0 if there is no such level
	Line    int // bytes
	Ways    int // lines that addresses of one set compete for
	Sharers int // threads of hardware that share it
}

// Sets is how many sets the lines are divided into.
func (l Level) Sets() int {
	if l.Size == 0 {
		return 0
	}
	return max(1, l.Size/(l.Line*l.Ways))
}

// CPU is what a CPU says of itself.
type CPU struct {
	L1, L2, L3 Level
	// Pages are the translations of addresses, of 4 KiB each, that a core remembers next to it, and FarPages those in the second
	// level behind.
	Pages, FarPages int
}

// Share is the bytes of a level that one core may take for its own: its part among the cores that share the level. Two threads that
// share even the first level are one core.
func (c CPU) Share(l Level) int {
	if l.Size == 0 {
		return 0
	}
	return l.Size / max(1, l.Sharers/c.L1.Sharers)
}

// Ordinary values, of the most common CPUs, for what is not told.
var ordinary = CPU{
	L1:       Level{Size: 32 << 10, Line: 64, Ways: 8, Sharers: 1},
	L2:       Level{Size: 512 << 10, Line: 64, Ways: 8, Sharers: 1},
	L3:       Level{Line: 64, Ways: 16, Sharers: 1},
	Pages:    64,
	FarPages: 1024,
}

// Bounds of what is believed: hypervisors report zeros and sums over CPUs.
const (
	leastFirst, mostFirst   = 8 << 10, 512 << 10
	leastSecond, mostSecond = 128 << 10, 64 << 20
	leastThird, mostThird   = 1 << 20, 2 << 30
	mostSharers             = 1 << 10
	mostWays                = 64
)

// Bounded returns c with ordinary values in the place of those that no CPU has.
func (c CPU) Bounded() CPU {
	c.L1 = c.L1.bounded(ordinary.L1, leastFirst, mostFirst)
	c.L2 = c.L2.bounded(ordinary.L2, max(leastSecond, c.L1.Size), mostSecond)
	if c.Share(c.L2) < leastSecond { // a sum over sockets
		c.L2.Sharers = c.L1.Sharers
	}
	if c.L3.Size < max(leastThird, c.L2.Size) || c.L3.Size > mostThird {
		c.L3 = Level{}
	}
	c.L3 = c.L3.bounded(ordinary.L3, 0, mostThird)
	if c.Pages < 8 || c.Pages > 4096 {
		c.Pages = ordinary.Pages
	}
	if c.FarPages < c.Pages || c.FarPages > 1<<16 {
		c.FarPages = max(c.Pages, ordinary.FarPages)
	}
	return c
}

func (l Level) bounded(ordinary Level, least, most int) Level {
	if l.Size < least || l.Size > most {
		l = ordinary
	}
	if l.Line < 16 || l.Line > 256 || l.Line&(l.Line-1) != 0 {
		l.Line = ordinary.Line
	}
	if l.Ways < 1 || l.Ways > mostWays {
		l.Ways = ordinary.Ways
	}
	if l.Sharers < 1 || l.Sharers > mostSharers {
		l.Sharers = 1
	}
	return l
}

// Here describes this machine's CPU. All its CPUs are taken to be like the first.
var Here = sync.OnceValue(func() CPU { return here().Bounded() })

// Name identifies the model of this machine's CPU, to keep by it what was measured on it.
func Name() string { return name() }
