package allreduce

import (
	"fmt"
	"sync/atomic"
	"time"
	"unsafe"

	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trace"
)

// A board is memory that all workers of a session share, which they can where all of them are processes of one host. Every worker writes its seats'
// gradients there, part by part; whoever waits adds up parts that all have written, in the order that the schedule says; and everybody reads the sums. So a step
// needs no messages, and a worker sleeps at most once. The ring's links stay: they say who joins and who has gone.
//
// Nothing on a board is ever reset. Its numbers only grow: a round is a step whose buckets became ready, and a part's number counts the parts of all rounds.
//
//	line 0        shape of the plan
//	line 1, 2     claimed, summed: parts that somebody adds up or has added up
//	line 3, 4     the alarms: the end of a round, a gather that is complete
//	a line each   by worker: posted, the number of parts that it has written; adding, that of the part that it adds up, plus one
//	8 bytes each  by part: the rounds in which it is summed
//	8 bytes each  by kind, half and worker: the gather that the worker has contributed to, and the size of its records
//	pages         by kind and half: all seats' records
//	pages         by seat: the gradient; then the sum
type board struct {
	self, workers, seats int
	arc                  plan.Arc
	parts                []part // in the order in which they become ready: from the last elements to the first
	bounds               []int  // by bucket: how many parts are ready when it is
	plan                 layout
	memory               []byte
	holders              atomic.Int64 // the session, and who is at work on the board; with the last one the memory goes

	trace  *trace.Recorder
	step   uint64        // that is traced
	rounds uint64        // that this worker has finished
	wrote  uint64        // what it has posted: nobody else's writing leads it astray
	taken  int           // parts of this round whose sums this worker has
	spin   time.Duration // how long a wait looks again and again before it sleeps
	naps   int           // sleeps in vain in this wait
}

// part is an interval of a bucket that is written and summed as one.
type part struct {
	plan.Interval
	bucket plan.Bucket
	number int32 // of the bucket
}

// partLen is the length of a full part: what is left to sum when the last worker is ready should be little, and more than a claim is worth.
const partLen = 1 << 14

// boardLimit is the largest board, in bytes.
const boardLimit = 96 << 20

// boardRecord is the room for a seat's record in a gather. Larger ones go round the ring.
const boardRecord = 256

// spinTime is how long a worker that has a processor for itself looks for the others before it sleeps: waking it takes as long.
const spinTime = 100 * time.Microsecond

// wakeForAdditions is the number of additions from which on the last worker wakes the others to help with them, if they have processors.
const wakeForAdditions = 1 << 19

// boardsHere is the number of boards in this process. With several a sleeping worker must leave its processor to the scheduler: another one may have to run there.
var boardsHere atomic.Int64

const (
	lineBytes = 64
	pageBytes = 4096
	// The first lines.
	claimedLine, summedLine, roundAlarm, gatherAlarm, postedLine = 1, 2, 3, 4, 5
)

// layout is where things are on a board, in bytes.
type layout struct {
	done, gathers, records, gradients int
	stride                            int // from one seat's gradient to the next one's
	room                              int // for the records of a gather
	size                              int
}

func pages(n int) int { return (n + pageBytes - 1) / pageBytes * pageBytes }

func layoutOf(workers, seats, params, parts int) (l layout) {
	l.done = (postedLine + workers) * lineBytes
	l.gathers = l.done + 8*parts
	l.records = pages(l.gathers + 8*2*MaxKinds*workers)
	l.room = pages(boardRecord * seats)
	l.gradients = l.records + 2*MaxKinds*l.room
	l.stride = pages(4 * params)
	l.size = l.gradients + (seats+1)*l.stride
	return l
}

// newBoard is a session's board without its memory.
func newBoard(r *Ring) *board {
	b := &board{self: r.self, workers: r.workers, seats: r.id.View.Seats, arc: r.grad.arc, trace: r.id.Trace, bounds: make([]int, len(r.buckets))}
	for k := len(r.buckets) - 1; k >= 0; k-- {
		of := r.buckets[k].Bucket
		for end := of.End; end > of.Begin; end -= partLen {
			b.parts = append(b.parts, part{plan.Interval{Begin: max(of.Begin, end-partLen), End: end}, of, int32(k)})
		}
		b.bounds[k] = len(b.parts)
	}
	b.plan = layoutOf(b.workers, b.seats, len(r.grad.flat[0]), len(b.parts))
	return b
}

func (b *board) number(at int) *atomic.Uint64     { return (*atomic.Uint64)(unsafe.Pointer(&b.memory[at])) }
func (b *board) claimed() *atomic.Uint64          { return b.number(claimedLine * lineBytes) }
func (b *board) summed() *atomic.Uint64           { return b.number(summedLine * lineBytes) }
func (b *board) posted(worker int) *atomic.Uint64 { return b.number((postedLine + worker) * lineBytes) }
func (b *board) adding(worker int) *atomic.Uint64 { return b.number((postedLine+worker)*lineBytes + 8) }
func (b *board) done(part int) *atomic.Uint64     { return b.number(b.plan.done + 8*part) }

// contribution is the gather that a worker has contributed to last, of this kind and half: which begun step's, and the size of its records.
func (b *board) contribution(kind uint8, parity, worker int) *atomic.Uint64 {
	return b.number(b.plan.gathers + 8*((2*int(kind)+parity)*b.workers+worker))
}

// records is all seats' records of a gather of this kind and half.
func (b *board) records(kind uint8, parity int) []byte {
	begin := b.plan.records + (2*int(kind)+parity)*b.plan.room
	return b.memory[begin : begin+b.plan.room]
}

// gradient is a seat's gradient on the board; that of seat b.seats is the sum.
func (b *board) gradient(seat int, at plan.Interval) []float32 {
	first := (*float32)(unsafe.Pointer(&b.memory[b.plan.gradients+seat*b.plan.stride]))
	return unsafe.Slice(first, b.plan.stride/4)[at.Begin:at.End:at.End]
}

func (b *board) sum(at plan.Interval) []float32 { return b.gradient(b.seats, at) }

// hold keeps the memory until release. false: it has gone.
func (b *board) hold() bool {
	for {
		n := b.holders.Load()
		if n == 0 || b.holders.CompareAndSwap(n, n+1) {
			return n > 0
		}
	}
}

func (b *board) release() {
	if b.holders.Add(-1) == 0 {
		boardsHere.Add(-1)
		unmapBoard(b.memory)
	}
}

// first is the number of this round's first part.
func (b *board) first() uint64 { return b.rounds * uint64(len(b.parts)) }

// post writes the parts of this round up to one, of which the elements are final.
func (b *board) post(flat [][]float32, upTo int) {
	from := int(b.wrote - b.first())
	if from >= upTo {
		return
	}
	for _, p := range b.parts[from:upTo] {
		for k, g := range flat {
			copy(b.gradient(b.arc.Begin+k, p.Interval), g[p.Begin:p.End])
		}
	}
	b.wrote = b.first() + uint64(upTo)
	b.posted(b.self).Store(b.wrote)
	if b.spin > 0 && upTo == len(b.parts) && b.left()*partLen*b.seats > wakeForAdditions {
		b.ring(roundAlarm)
	}
}

// left is the number of this round's parts that nobody adds up yet, once all are written; 0 before.
func (b *board) left() int {
	all := b.first() + uint64(len(b.parts))
	if b.writtenByAll() < all {
		return 0
	}
	return int(all - b.claimed().Load())
}

// written is the number of elements that this worker has written in this round.
func (b *board) written() int {
	n := b.wrote - b.first()
	if n == 0 {
		return 0
	}
	return b.parts[0].End - b.parts[n-1].Begin
}

// final is how many parts are final if the elements from one on are, in the bucket that is filled.
func (b *board) final(from int) int {
	n := int(b.wrote - b.first())
	for n < len(b.parts) && b.parts[n].Begin >= from {
		n++
	}
	return n
}

// writtenByAll is the number of parts that all workers have written.
func (b *board) writtenByAll() uint64 {
	least := b.posted(0).Load()
	for v := 1; v < b.workers; v++ {
		least = min(least, b.posted(v).Load())
	}
	return least
}

// help adds up a part that all have written and nobody adds up. false: there is none.
func (b *board) help() bool {
	claimed := b.claimed()
	number := claimed.Load()
	if number >= b.writtenByAll() {
		return false
	}
	adding := b.adding(b.self)
	adding.Store(number + 1)
	if claimed.CompareAndSwap(number, number+1) {
		k := int(number % uint64(len(b.parts)))
		began := b.trace.Now()
		b.add(&b.parts[k])
		b.trace.Span(trace.Folding, b.step, b.parts[k].number, began)
		b.done(k).Store(number/uint64(len(b.parts)) + 1)
		if b.summed().Add(1)%uint64(len(b.parts)) == 0 {
			b.ring(roundAlarm)
		}
	}
	adding.Store(0)
	return true
}

// add sums a part over all seats, in the order of the schedule.
func (b *board) add(p *part) {
	for rest := p.Interval; rest.Len() > 0; {
		c := p.bucket.ChunkOf(rest.Begin, b.seats)
		in := plan.Interval{Begin: rest.Begin, End: min(rest.End, p.bucket.Chunk(c, b.seats).End)}
		for at := range blocks(in) {
			b.addChunk(c, at)
		}
		rest.Begin = in.End
	}
}

func (b *board) addChunk(c int, at plan.Interval) {
	sum, seat := b.sum(at), func(k int) []float32 { return b.gradient((c+k)%b.seats, at) }
	kernel.Add(sum, seat(1), seat(2))
	for k := 3; k <= b.seats; k++ {
		kernel.AddTo(sum, seat(k))
	}
}

// take copies sums of this round that are there, up to a part, and reports whether that was the last of them.
func (b *board) take(into []float32, upTo int) bool {
	for ; b.taken < upTo; b.taken++ {
		if b.done(b.taken).Load() <= b.rounds {
			return false
		}
		p := &b.parts[b.taken]
		copy(into[p.Begin:p.End], b.sum(p.Interval))
	}
	return true
}

// finish ends the round of this worker, which has taken all sums.
func (b *board) finish() { b.rounds, b.taken = b.rounds+1, 0 }

// missing is a worker without which the first parts cannot be summed, or a gather is not complete, as far as can be seen.
func (b *board) missing() int {
	all := b.first() + uint64(len(b.parts))
	for k := 1; k < b.workers; k++ {
		if v := (b.self + k) % b.workers; b.posted(v).Load() < all {
			return v
		}
	}
	for k := 1; k < b.workers; k++ {
		if v := (b.self + k) % b.workers; b.adding(v).Load() > b.first() {
			return v
		}
	}
	return (b.self + b.workers - 1) % b.workers
}

// contribute writes the local seats' records of a gather, which may be the whole gather's last ones.
func (b *board) contribute(kind uint8, parity int, begun uint32, local [][]byte) {
	size := len(local[0])
	if b.carries(size) {
		to := b.records(kind, parity)[b.arc.Begin*size:]
		for k, record := range local {
			copy(to[k*size:], record)
		}
	}
	b.contribution(kind, parity, b.self).Store(uint64(begun)<<32 | uint64(size))
	if b.lacks(kind, parity, begun) < 0 {
		b.ring(gatherAlarm)
	}
}

// carries reports whether records of this size are gathered on the board.
func (b *board) carries(size int) bool { return size <= boardRecord }

// lacks is a worker that has not contributed to a gather yet; -1: there is none.
func (b *board) lacks(kind uint8, parity int, begun uint32) int {
	for k := 1; k <= b.workers; k++ {
		v := (b.self + k) % b.workers
		if uint32(b.contribution(kind, parity, v).Load()>>32) != begun {
			return v
		}
	}
	return -1
}

// gathered copies the records of a gather that is complete.
func (b *board) gathered(kind uint8, parity int, into []byte) error {
	own := b.contribution(kind, parity, b.self).Load()
	for v := range b.workers {
		if its := b.contribution(kind, parity, v).Load(); its != own {
			return fmt.Errorf("gather %d: records of %d and %d bytes", kind, uint32(own), uint32(its))
		}
	}
	copy(into, b.records(kind, parity))
	return nil
}

// alarm is what sleepers wait for: a number that changes, and how many sleep.
func (b *board) alarm(line int) (rung, sleepers *atomic.Uint32) {
	at := unsafe.Pointer(&b.memory[line*lineBytes])
	return (*atomic.Uint32)(at), (*atomic.Uint32)(unsafe.Add(at, 4))
}

// ring wakes who sleeps until this alarm.
func (b *board) ring(line int) {
	rung, sleepers := b.alarm(line)
	rung.Add(1)
	if sleepers.Load() > 0 {
		wakeAll(rung)
	}
}

// await returns when it is over, or after a sleep. Meanwhile it helps with the additions.
func (b *board) await(line int, over func() bool) {
	if b.naps == 0 && b.watch(over) {
		return
	}
	rung, sleepers := b.alarm(line)
	sleepers.Add(1)
	was := rung.Load()
	if !over() && !b.open() {
		sleepUntil(rung, was, b.naps == 0 && boardsHere.Load() == 1)
		b.naps++
	}
	sleepers.Add(^uint32(0))
	for b.help() {
	}
	if over() {
		b.naps = 0
	}
}

// open reports whether there is something to add up.
func (b *board) open() bool { return b.claimed().Load() < b.writtenByAll() }

// watch adds up what there is, and looks for a while whether it is over.
func (b *board) watch(over func() bool) bool {
	var began time.Time
	for {
		for b.help() {
		}
		for range 64 {
			if over() {
				return true
			}
			if b.open() {
				break
			}
		}
		if b.spin == 0 {
			return false
		}
		if began.IsZero() {
			began = time.Now()
		} else if time.Since(began) > b.spin {
			return false
		}
	}
}
