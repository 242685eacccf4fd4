package allreduce

import "sync/atomic"

// Opening shows which links of a session that is being opened are open already.
type Opening struct{ next, prev atomic.Bool }

// Stands reports whether the link to the next worker and the one from the previous worker are open.
func (o *Opening) Stands() (next, prev bool) { return o.next.Load(), o.prev.Load() }

// Meter counts the bytes of all sessions that are given it, headers included.
type Meter struct{ Sent, Received atomic.Uint64 }

// Traffic counts the frames that this session has given the link to the next worker, and taken from the link from the
// previous one. While a ring stalls, frames that were sent and have not been received are in the link between.
func (r *Ring) Traffic() (sent, received uint64) { return r.sent.Load(), r.received.Load() }
