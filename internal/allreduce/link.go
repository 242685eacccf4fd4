package allreduce

import (
	"context"
	"fmt"
	"hash/fnv"

	"ringmaster/internal/plan"
	"ringmaster/internal/trace"
)

// Identity says which session of which ring this is: one worker's life in one view of one job.
type Identity struct {
	Cluster plan.Incarnation // the cluster's
	Job     string           // the job's id
	View    plan.View
	Self    int             // this worker's position in the view
	Opening *Opening        // records which of the session's links are open; nil: nobody asks
	Meter   *Meter          // counts the session's bytes; nil: nobody asks
	Trace   *trace.Recorder // records buckets and waits; may be nil

	shape uint64 // hash of the arcs and buckets, on which neighbours must agree
}

func (id *Identity) own() plan.Member  { return id.View.Members[id.Self] }
func (id *Identity) next() plan.Member { return id.View.Members[id.View.Next(id.Self)] }
func (id *Identity) prev() plan.Member { return id.View.Members[id.View.Prev(id.Self)] }

// header is the identity that every frame from one member to another carries.
func (id *Identity) header(from, to plan.Member) Header {
	return Header{Cluster: id.Cluster, Job: jobHash(id.Job), Generation: id.View.Generation, From: from.Incarnation, To: to.Incarnation}
}

// hello is the identity of the frame with which a link begins. Its step is the shape of the plan.
func (id *Identity) hello(from, to plan.Member) Header {
	h := id.header(from, to)
	h.Phase, h.Step = phaseHello, id.shape
	return h
}

// shapeOf is a hash of who has which seats and of the buckets.
func shapeOf(view *plan.View, buckets []plan.Bucket) uint64 {
	hash := fnv.New64a()
	for _, m := range view.Members {
		fmt.Fprintf(hash, "%v ", m.Arc)
	}
	for _, b := range buckets {
		fmt.Fprintf(hash, "%v", b.Interval)
		if b.Borders != nil {
			fmt.Fprintf(hash, "%v", b.Borders)
		}
	}
	return hash.Sum64()
}

// Links makes the two links of a session: Transport over gRPC, InProcess within one.
type Links interface {
	// Dial opens the link to the next worker and returns once that worker has its session open. A StaleError or PeerLostError
	// says why it never will.
	Dial(ctx context.Context, id *Identity) (Outgoing, error)
	// Accept waits for the link from the previous worker.
	Accept(ctx context.Context, id *Identity) (Incoming, error)
}

// Outgoing is the link to the next worker. Send and Finish are called by one goroutine, Await by another.
type Outgoing interface {
	// Send sends one frame. It may block, and may return before the bytes have left; the frame is freed when they have.
	Send(Frame) error
	// Await returns the frames that the next worker sends back (at most a farewell) and then the reason why the link ended.
	Await() (Frame, error)
	// Finish says that no more frames follow. Await then ends once the next worker has read everything.
	Finish() error
	// Close tears the link down, which ends Send and Await. It may be called more than once.
	Close()
}

// Incoming is the link from the previous worker.
type Incoming interface {
	// Receive waits for the next frame. io.EOF: the previous worker has finished.
	Receive() (Frame, error)
	// Close ends the link, which ends Receive, with a farewell where one is given. Only the first call has an effect.
	Close(bye *Frame)
}
