package plan

import (
	"cmp"
	"slices"
	"strings"
)

// nearness is how much two workers share.
const (
	sameMachine = 3 // a unix socket of one reaches the other
	sameNetwork = 2 // a network namespace, as two services of one machine
	sameKernel  = 1 // as two containers of one machine
	apart       = 0
)

// nearness compares two machines by their leading words.
func nearness(a, b string) int {
	for level := sameMachine; level > apart && a != "" && b != ""; level-- {
		if leading(a, level) == leading(b, level) {
			return level
		}
	}
	return apart
}

// leading is what a machine shares with all that are as near as the level says: the whole of it, or its first words.
func leading(machine string, level int) string {
	if level == sameMachine {
		return machine
	}
	at := 0
	for range level {
		next := strings.IndexByte(machine[at:], ' ')
		if next < 0 {
			return machine
		}
		at += next + 1
	}
	return machine[:at-1]
}

// Distance says how far a hop from one worker to another goes: 0 within a machine, a little more between two that share its network or only its
// kernel, as services and containers do, and most over a network. A machine of which nothing is known is another one than all others.
func Distance(a, b Member) int {
	if near := nearness(a.Machine, b.Machine); near > apart {
		return sameMachine - near
	}
	return 100
}

// Beside orders workers so that those of one machine sit beside each other, and so do those that share its network or its kernel: a ring in that order
// leaves every machine once. Machines come in the order of their first workers, and a machine's workers keep theirs, so an order that
// is right already stays. The result holds positions among the members.
func Beside(members []Member) []int {
	type place [sameMachine + 1]int // by level: the first worker that shares it
	var seen [sameMachine + 1]map[string]int
	for level := range seen {
		seen[level] = map[string]int{}
	}
	order, places := make([]int, len(members)), make([]place, len(members))
	for i, m := range members {
		order[i] = i
		for level := sameKernel; level <= sameMachine; level++ {
			places[i][level] = i
			if m.Machine != "" {
				places[i][level] = first(seen[level], leading(m.Machine, level), i)
			}
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		x, y := &places[a], &places[b]
		return cmp.Or(cmp.Compare(x[sameKernel], y[sameKernel]), cmp.Compare(x[sameNetwork], y[sameNetwork]), cmp.Compare(x[sameMachine], y[sameMachine]))
	})
	return order
}

// first is the number under which a name was seen first.
func first(seen map[string]int, name string, now int) int {
	was, known := seen[name]
	if !known {
		seen[name], was = now, now
	}
	return was
}
