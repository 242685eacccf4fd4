package allreduce

import (
	"fmt"

	"ringmaster/internal/plan"
)

// MaxKinds is the number of kinds of gathers.
const MaxKinds = 16

// MaxGather limits the total size, in bytes, of all seats' records in one gather.
const MaxGather = 1 << 26

// gather is the state of one kind of records in one step.
type gather struct {
	size        int // of a seat's record; 0: none has arrived yet
	records     []byte
	at          []int // how much of each worker's records has arrived, in bytes
	left        int   // bytes that have not arrived yet
	contributed bool
}

func (g *gather) rewind() {
	g.size, g.left, g.contributed = 0, 0, false
	clear(g.at)
}

// laneOf is the interval of the worker's records among all seats'.
func (r *Ring) laneOf(g *gather, owner int) lane {
	arc := r.id.View.Members[owner].Arc
	return lane{Begin: arc.Begin * g.size, End: arc.End * g.size}
}

// expect sets the size of the records, which the first one to arrive decides; the caller holds the lock.
func (r *Ring) expect(g *gather, kind uint8, size int) error {
	if g.size == size {
		return nil
	}
	if g.size != 0 {
		return fmt.Errorf("gather %d of step %d: expected records of %d bytes, got %d", kind, r.step, g.size, size)
	}
	if total := size * r.id.View.Seats; size < 1 || size > MaxGather || total > MaxGather {
		return fmt.Errorf("gather %d of step %d: records of %d bytes for %d seats, the limit is %d altogether",
			kind, r.step, size, r.id.View.Seats, MaxGather)
	}
	g.size, g.left = size, size*r.id.View.Seats
	if cap(g.records) < g.left {
		g.records = make([]byte, g.left)
	}
	g.records = g.records[:g.left]
	if g.at == nil {
		g.at = make([]int, r.workers)
	}
	for v := range g.at {
		g.at[v] = r.laneOf(g, v).Begin
	}
	return nil
}

// Contribute adds the local seats' records, one each in the arc's order and all of one size, to this step's gather of that kind.
// They are copied; it does not block. Wrong records (a programming error) end the session, and Collect reports it.
func (r *Ring) Contribute(kind uint8, local [][]byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return
	}
	if err := r.contribute(kind, local); err != nil {
		r.failLocked(err)
	}
}

func (r *Ring) contribute(kind uint8, local [][]byte) error {
	if kind >= MaxKinds || len(local) != r.grad.arc.Len() {
		return fmt.Errorf("gather %d with %d records: there are %d kinds, and %d local seats", kind, len(local), MaxKinds, r.grad.arc.Len())
	}
	g := &r.gathers[kind][r.parity]
	if !r.begun || g.contributed {
		panic(fmt.Sprintf("allreduce: gather %d of step %d contributed to twice, or before the step began", kind, r.step))
	}
	if r.left != nil {
		return r.left
	}
	if err := r.expect(g, kind, len(local[0])); err != nil {
		return err
	}
	own := r.laneOf(g, r.self)
	for s, record := range local {
		if len(record) != g.size {
			return fmt.Errorf("gather %d of step %d: records of %d and %d bytes", kind, r.step, g.size, len(record))
		}
		copy(g.records[own.Begin+s*g.size:], record)
	}
	g.contributed = true
	if r.board != nil && r.board.hold() {
		r.board.contribute(kind, r.parity, r.begins, local)
		r.board.release()
	}
	if r.onBoard(g) {
		return nil
	}
	r.pending++
	for begin := own.Begin; r.workers > 1 && begin < own.End; begin += frameBytes {
		r.push(item{phase: phaseRecord, kind: kind, parity: r.parity, step: r.step, segment: r.self, begin: begin})
	}
	r.gathered(g, own.End-own.Begin)
	return nil
}

// gathered counts bytes that have arrived; the caller holds the lock.
func (r *Ring) gathered(g *gather, n int) {
	g.left -= n
	if g.left == 0 {
		r.pending--
		r.wakeTrainer()
	}
}

// Collect waits for the records of all seats and returns them in seat order. They are valid until the step after the next begins.
func (r *Ring) Collect(kind uint8) ([]byte, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	defer r.endWait()
	for {
		if kind < MaxKinds {
			g := &r.gathers[kind][r.parity]
			if g.contributed && r.onBoard(g) {
				return r.collectFromBoard(kind, g)
			}
			if g.contributed && g.left == 0 {
				return g.records, nil
			}
		}
		if r.err != nil {
			return nil, r.err
		}
		if kind >= MaxKinds || !r.gathers[kind][r.parity].contributed {
			panic(fmt.Sprintf("allreduce: gather %d of step %d collected before it was contributed to", kind, r.step))
		}
		r.startWait(Waiting{Bucket: len(r.buckets), Doing: "receiving"})
		r.pause()
	}
}

// firstUngathered is the first seat whose record is still missing from a gather; the caller holds the lock.
func (r *Ring) firstUngathered() int {
	for k := range r.gathers {
		g := &r.gathers[k][r.parity]
		for v, m := range r.id.View.Members {
			if g.contributed && v != r.self && g.at[v] < r.laneOf(g, v).End {
				return m.Arc.Begin
			}
		}
	}
	return 0
}

// recordFrame completes the header of an item of a gather, and returns its payload.
func (r *Ring) recordFrame(f *Header, it item) []byte {
	r.mu.Lock()
	g := &r.gathers[it.kind][it.parity]
	l := r.laneOf(g, it.segment)
	at := l.frame(it.begin, frameBytes)
	f.Bucket, f.Offset, f.Length = uint32(g.size), uint32(at.Begin-l.Begin), uint32(at.Len())
	records := g.records[at.Begin:at.End]
	r.mu.Unlock()
	return records
}

// takeRecord stores the records of a frame, which may arrive before this worker's own ones, and passes them on.
func (r *Ring) takeRecord(f *Frame) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	g, at, _, err := r.admitRecord(&f.Header, true)
	if err != nil {
		return err
	}
	copyPayload(g.records[at.Begin:at.End], f)
	r.recorded(g, &f.Header, at)
	return nil
}

// admitRecord waits until the own worker has reached the frame's step, or says that it has not, and checks the frame: at is where its payload belongs among the
// records. The caller holds the lock.
func (r *Ring) admitRecord(f *Header, wait bool) (g *gather, at plan.Interval, ready bool, err error) {
	refuse := func(err error) (*gather, plan.Interval, bool, error) {
		return nil, plan.Interval{}, false, fmt.Errorf("refused a record frame of step %d, gather %d, segment %d: %w", f.Step, f.Kind, f.Segment, err)
	}
	owner := int(f.Segment)
	if f.Kind >= MaxKinds || int64(f.Segment) >= int64(r.workers) || owner == r.self {
		return refuse(fmt.Errorf("no such frame is sent to position %d", r.self))
	}
	if ready, err := r.awaitStep(f.Step, wait); err != nil {
		return refuse(err)
	} else if !ready {
		return nil, at, false, nil
	}
	g = &r.gathers[f.Kind][r.parity]
	if err := r.expect(g, f.Kind, int(f.Bucket)); err != nil {
		return refuse(err)
	}
	l := r.laneOf(g, owner)
	at = l.frame(g.at[owner], frameBytes)
	if int(f.Offset) != at.Begin-l.Begin || int(f.Length) != at.Len() || at.Len() <= 0 {
		return refuse(fmt.Errorf("expected %d bytes at %d, got %d at %d", max(at.Len(), 0), at.Begin-l.Begin, f.Length, f.Offset))
	}
	return g, at, true, nil
}

// recorded counts the records of a frame, which are in their place, and passes them on; the caller holds the lock.
func (r *Ring) recorded(g *gather, f *Header, at plan.Interval) {
	owner := int(f.Segment)
	g.at[owner] = at.End
	if sends(phaseRecord, owner, r.self, r.workers) {
		r.push(item{phase: phaseRecord, kind: f.Kind, parity: r.parity, step: f.Step, segment: owner, begin: at.Begin})
	}
	r.gathered(g, at.Len())
}

// copyPayload copies a frame's payload, which has dst's length.
func copyPayload(dst []byte, f *Frame) {
	skip := f.skip
	for _, buffer := range f.Data {
		b := buffer.ReadOnlyData()
		n := min(skip, len(b))
		skip -= n
		dst = dst[copy(dst, b[n:]):]
	}
}
