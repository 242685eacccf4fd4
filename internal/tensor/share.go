package tensor

import "ringmaster/internal/plan"

// share divides independent outputs among the team's threads: elements, rows, columns or samples. How they are divided
// never shows in the results.
type share struct {
	body    func(begin, end int, room []float32)
	task    func(part int) // made once, so that a run allocates nothing
	outputs plan.Interval
	parts   int
	rooms   [][]float32 // of parts that need some
	room    int         // floats of each
}

func newShare(body func(begin, end int)) *share {
	return newRoomShare(0, func(begin, end int, _ []float32) { body(begin, end) })
}

// newRoomShare gives each part that runs so many floats of scratch.
func newRoomShare(room int, body func(begin, end int, room []float32)) *share {
	s := &share{body: body, room: room}
	s.task = func(part int) {
		i := s.outputs.Part(part, s.parts)
		s.body(i.Begin, i.End, s.rooms[part])
	}
	return s
}

// grain is the number of elements below which a hand-off to another thread costs more than it gains.
const grain = 1 << 13

// run computes n outputs that touch about cost elements each.
func (s *share) run(c *Context, n, cost int) { s.span(c, plan.Interval{End: n}, cost) }

// span computes some of the outputs, each of which touches about cost elements.
func (s *share) span(c *Context, outputs plan.Interval, cost int) {
	n := outputs.Len()
	s.outputs = outputs
	s.parts = max(min(c.Team.Threads(), n, n*cost/grain), 1)
	for len(s.rooms) < s.parts {
		s.rooms = append(s.rooms, make([]float32, s.room))
	}
	if s.parts == 1 {
		s.body(outputs.Begin, outputs.End, s.rooms[0])
		return
	}
	c.Team.Run(s.parts, s.task)
}
