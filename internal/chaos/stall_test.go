package chaos

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/rpc"
)

// An answer is right only if all it says is.
func TestAStallIsNamedRightOnlyIfAllThatIsSaidIs(t *testing.T) {
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	part := int32(1)
	for _, test := range []struct {
		kind   Kind
		change func(*rpc.Stall)
		want   string
	}{
		{FreezeWorker, func(s *rpc.Stall) { s.Doing = "not answering" }, ""},
		{FreezeWorker, func(s *rpc.Stall) { s.Doing = "computing" }, "not what it does"},
		{FreezeWorker, func(s *rpc.Stall) { s.Doing, s.Worker = "not answering", "w1" }, "not the worker"},
		{FreezeWorker, func(s *rpc.Stall) { s.Doing, s.Host = "not answering", "elsewhere" }, "not the host"},
		{FreezeWorker, func(s *rpc.Stall) { s.Doing, s.Step = "not answering", 12 }, "not the step"},
		{SlowData, func(s *rpc.Stall) { s.Doing, s.Step = "reading data", 12 }, ""},
		{HalfSpeed, func(s *rpc.Stall) { s.Doing = "computing" }, ""},
		{CutLink, func(s *rpc.Stall) { s.Doing, s.Peer = "partitioned", "w3" }, ""},
		{CutLink, func(s *rpc.Stall) { s.Doing, s.Peer = "partitioned", "w1" }, "not from whom"},
	} {
		s := &rpc.Stall{Worker: "w2", Host: host, Step: 8, Bucket: &part, Chunk: &part}
		test.change(s)
		h := &hit{fault: Fault{Kind: test.kind, Target: "w2"}, at: time.Now(), named: naming{next: "w3"}}
		h.named.see(h, &rpc.JobStatus{Step: 7, Stalled: &rpc.Stall{Worker: "w9"}}, h.at.Add(nameBeat-1)) // what was before
		h.named.see(h, &rpc.JobStatus{Step: 7}, h.at.Add(nameBeat))
		h.named.see(h, &rpc.JobStatus{Step: 7, Stalled: s}, h.at.Add(300*time.Millisecond))
		if !strings.Contains(h.named.wrong, test.want) || (test.want == "") != (h.named.wrong == "") || (test.want == "") != (h.named.after == 300*time.Millisecond) {
			t.Errorf("%s, %v: %+v", test.kind, s, h.named)
		}
	}
}

func TestAttribution(t *testing.T) {
	const ms = time.Millisecond
	hits := []*hit{
		{fault: Fault{Kind: KillLeader}},
		{fault: Fault{Kind: FreezeWorker}, named: naming{after: 400 * ms, part: true}},
		{fault: Fault{Kind: FreezeWorker}, named: naming{after: 999 * ms}},
		{fault: Fault{Kind: CutLink}, named: naming{after: 400 * ms, wrong: "after 600 ms: w1 (not the worker)"}},
		{fault: Fault{Kind: HalfSpeed}, named: naming{after: 1001 * ms}},
		{fault: Fault{Kind: HalfSpeed}},
	}
	a := &Attribution{}
	a.conclude(a.attributed(hits, 3))
	if a.Faults != 5 || a.Right != 2 || a.Parts != 1 || len(a.Wrong) != 3 || a.good() {
		t.Errorf("%+v", a)
	}
	if k := a.Kinds[0]; k.Kind != "freeze-worker" || k.Faults != 2 || k.Recoveries != 2 || k.MaxMs != 999 {
		t.Errorf("%+v", k)
	}
	for _, want := range []string{"2 of 5", "not the worker", "named after 1001 ms", "nobody was named", "run 3"} {
		if !strings.Contains(a.table(), want) {
			t.Errorf("%q is missing in %s", want, a.table())
		}
	}
	if a = (&Attribution{Faults: 100, Right: 95}); !a.good() {
		t.Error("95 of 100 are not enough")
	}
}

// Stalls are drawn for each worker and kind, and nothing else is.
func TestStallsAreDrawn(t *testing.T) {
	shape := Shape{Workers: 3, Coordinators: 1, Most: 4, Kinds: StallKinds()}
	faults, err := Schedule(5, 200, shape)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Schedule(5, 200, shape)
	if err != nil || !slices.Equal(faults, again) {
		t.Errorf("the same seed draws other faults: %v", err)
	}
	seen := map[string]bool{}
	for _, f := range faults {
		if f.Overlap || f.Pause == 0 || (f.Delay > 0) != (f.Kind == SlowData) {
			t.Errorf("%+v", f)
		}
		seen[string(f.Kind)+f.Target] = true
	}
	if len(seen) != 12 {
		t.Errorf("%d kinds and targets, want 12: %v", len(seen), seen)
	}
}
