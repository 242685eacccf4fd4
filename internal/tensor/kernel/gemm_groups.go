package kernel

// This file says how the tile kernels go through the steps of a panel: one by one, or a group of steps at a time. Other tenants of a
// machine often have the other thread of a core, which then begins about half as many instructions a cycle for us; a multiply-add
// beside as few others as possible loses least. Groups need about three instructions a step less.

// loop is a way through the steps of a tile. The assembly knows them.
type loop int

const (
	loopSingle loop = iota // step by step, with any strides
	loopAlong              // in groups: elements of a row of A lie side by side
	loopAcross             // in groups: elements of a column of A lie side by side
)

// groupSteps is the steps of a group. The assembly knows it.
const groupSteps = 4

// chooseLoop decides how the kernel goes through the steps of q. Masked panels have single steps only.
func (t *strip) chooseLoop(q *panels) {
	q.loop = loopSingle
	switch {
	case !t.shape.groups || q.k < groupSteps || q.mask != 0:
		return
	case q.aStep == 4:
		q.loop = loopAlong
	case q.aRow == 4:
		q.loop = loopAcross
	default:
		return
	}
	q.groups, q.groupsLast, q.fetch, q.rest = q.k/groupSteps, 0, 0, q.k%groupSteps
	switch {
	case t.panelAhead != nil:
		q.fetch = 4 * panelAhead
	case q.first > 0:
		q.groups, q.groupsLast, q.fetch = q.first/groupSteps, aheadRows/groupSteps, aheadRows*q.bStep
	}
}

// paces is how many times a tile fetches something of what comes next.
func (q *panels) paces() int {
	if q.loop != loopSingle {
		return q.k / groupSteps
	}
	return q.first
}
