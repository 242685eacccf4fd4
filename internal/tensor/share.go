package tensor

import "ringmaster/internal/plan"

// share divides independent outputs among the team's threads: elements, rows, columns or samples. How they are divided
// never shows in the results.
type share struct {
	body    func(begin, end int)
	task    func(part int) // made once, so that a run allocates nothing
	outputs plan.Interval
	parts   int
}

func newShare(body func(begin, end int)) *share {
	s := &share{body: body}
	s.task = func(part int) {
		i := s.outputs.Part(part, s.parts)
		s.body(i.Begin, i.End)
	}
	return s
}

// grain is the number of elements below which a hand-off to another thread costs more than it gains.
const grain = 1 << 13

// run computes n outputs that touch about cost elements each.
func (s *share) run(c *Context, n, cost int) {
	s.outputs.End = n
	s.parts = max(min(c.Team.Threads(), n, n*cost/grain), 1)
	if s.parts == 1 {
		s.body(0, n)
		return
	}
	c.Team.Run(s.parts, s.task)
}
