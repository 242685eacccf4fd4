package decide

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// act adds to a report what its worker is doing. Times are in milliseconds:
//
//	doing=computing/400 busy=420 reading=0   what, for how long, and how the step under way was spent
//	waits=w1/2/3                             it receives bucket 2, chunk 3 from w1; with /sending it sends to it
//	sent=10 received=10                      frames; linked=next,prev: which links stand while it connects
//	spent=100/300/400                        reading, computing and waiting in all; usual=10: the step time
func act(r *rpc.Report, o map[string]string) {
	a := &rpc.Activity{Step: r.Step + 1, Sent: uint64(number(o, "sent", 0)), Received: uint64(number(o, "received", 0)),
		StepBusyUs: 1000 * uint64(number(o, "busy", 0)), StepReadingUs: 1000 * uint64(number(o, "reading", 0)),
		ReachedNext: strings.Contains(o["linked"], "next"), ReachedByPrevious: strings.Contains(o["linked"], "prev")}
	r.Activity = a
	r.Progress = &rpc.Progress{Step: r.Step, StepMs: float64(number(o, "usual", 10))}
	if doing, ok := o["doing"]; ok {
		name, since, _ := strings.Cut(doing, "/")
		ms, _ := strconv.Atoi(since)
		a.Doing, a.SinceUs = rpc.Doing(rpc.Doing_value["DOING_"+strings.ToUpper(name)]), uint64(1000*ms)
	}
	if waits, ok := o["waits"]; ok {
		parts := strings.Split(waits, "/")
		r.Waiting = &rpc.Waiting{Worker: parts[0], Step: a.Step, Doing: "receiving"}
		if len(parts) == 3 {
			bucket, _ := strconv.Atoi(parts[1])
			chunk, _ := strconv.Atoi(parts[2])
			r.Waiting.Bucket, r.Waiting.Chunk = int32(bucket), int32(chunk)
		} else {
			r.Waiting.Doing = "sending"
		}
	}
	if spent, ok := o["spent"]; ok {
		var reading, computing, waiting uint64
		fmt.Sscanf(spent, "%d/%d/%d", &reading, &computing, &waiting)
		a.ReadingUs, a.ComputingUs, a.WaitingUs = 1000*reading, 1000*computing, 1000*waiting
	}
}

// A stall is shown for a moment after it was seen last, and how long a slow one lasts is counted from its beginning.
func TestStallIsHeld(t *testing.T) {
	var w stallWatch
	at := time.Unix(1000, 0)
	stopped := &stall{culprit: plan.Member{Worker: "w2", Incarnation: 2}, doing: notAnswering, since: 500 * time.Millisecond}
	w.take(stopped, at)
	w.take(nil, at.Add(stallHold))
	if w.shown != stopped {
		t.Errorf("shown after %v: %+v", stallHold, w.shown)
	}
	w.take(nil, at.Add(stallHold+1))
	if w.shown != nil {
		t.Errorf("still shown: %+v", w.shown)
	}
	slow := func() *stall {
		return &stall{culprit: plan.Member{Worker: "w2", Incarnation: 2}, doing: "computing", since: paceSpan, slow: true}
	}
	w.take(slow(), at)
	w.take(slow(), at.Add(10*time.Second))
	if got := w.shown.since; got != paceSpan+10*time.Second {
		t.Errorf("slow for %v", got)
	}
	other := slow()
	other.culprit.Incarnation = 3
	w.take(other, at.Add(10*time.Second))
	if w.shown != other || other.since != paceSpan {
		t.Errorf("another one: %+v", w.shown)
	}
}

func TestStallMessage(t *testing.T) {
	s := &stall{culprit: plan.Member{Worker: "w1", Host: "a"}, peer: plan.Member{Worker: "w2", Host: "b"}, doing: partitioned,
		since: 840 * time.Millisecond, step: 812, wait: &rpc.Waiting{Bucket: 3, Chunk: 5}}
	m := s.message()
	want := "waiting for w1 on a: partitioned from w2 on b for 0.8 s, step 812 bucket 3 chunk 5"
	if m.Reason != want || m.GetBucket() != 3 || m.GetChunk() != 5 || m.Peer != "w2" || m.PeerHost != "b" || m.SinceMs != 840 {
		t.Errorf("%v", m)
	}
	s.wait = nil
	if m := s.message(); m.Bucket != nil || m.Chunk != nil {
		t.Errorf("%v", m)
	}
}
