package allreduce

import "sync/atomic"

// Opening is how far a session's links are that are being opened.
type Opening struct{ next, prev atomic.Bool }

// Stands says which of the links stand: to the next worker, and from the previous one.
func (o *Opening) Stands() (next, prev bool) { return o.next.Load(), o.prev.Load() }

// Traffic counts the frames that this session has given the link to the next worker, and taken from the link from the
// previous one. While a ring stalls, frames that were sent and have not been received are in the link between.
func (r *Ring) Traffic() (sent, received uint64) { return r.sent.Load(), r.received.Load() }
