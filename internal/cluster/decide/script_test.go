package decide

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

var rewrite = flag.Bool("rewrite", false, "write what the scenarios print into their scripts")

// TestScenarios runs the text scripts in testdata: lines of commands, then ---- and what they print. The state machine and
// the leader's decisions are the real ones; workers are their reports.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) { runScript(t, name) })
	}
}

func runScript(t *testing.T, name string) {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	sc := newScenario()
	var out strings.Builder
	for i, block := range strings.Split(strings.TrimRight(string(text), "\n")+"\n", "\n\n") {
		commands, want, _ := strings.Cut(block+"\n", "----\n")
		var got strings.Builder
		for line := range strings.Lines(commands) {
			if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
				if err := sc.run(line, &got); err != nil {
					t.Fatalf("%s: block %d: %s: %v", name, i+1, line, err)
				}
			}
		}
		if !*rewrite && strings.TrimSpace(got.String()) != strings.TrimSpace(want) {
			t.Errorf("%s: block %d:\n%s---- got\n%s---- want\n%s", name, i+1, commands, got.String(), want)
		}
		if i > 0 {
			out.WriteString("\n")
		}
		out.WriteString(strings.TrimRight(commands, "\n") + "\n----\n" + got.String())
	}
	if *rewrite {
		if err := os.WriteFile(name, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// scenario is a coordinator without network, disk or clock.
type scenario struct {
	state *fsm.State
	obs   *observations
	now   time.Time
	ids   map[string]plan.Incarnation

	closed, untried map[string][]string // of each worker's ways
	watch           stallWatch
}

func newScenario() *scenario {
	sc := &scenario{state: &fsm.State{Cluster: 1}, now: time.Unix(1000, 0), ids: map[string]plan.Incarnation{},
		closed: map[string][]string{}, untried: map[string][]string{}}
	sc.lead()
	return sc
}

func (sc *scenario) lead() {
	sc.obs = &observations{workers: map[plan.Incarnation]*seen{}, since: sc.now, moved: sc.now, rebuilds: map[plan.Incarnation]int{}, best: map[string]uint64{}, voters: []string{"c1", "c2", "c3"},
		describe: func(j *fsm.Job, shares []*rpc.ShareFact) (fsm.Checkpoint, error) {
			return fsm.Checkpoint{Job: j.ID, Generation: j.View.Generation, Step: shares[0].Step, Digest: shares[0].Digest}, nil
		}}
}

// options are the key=value words of a line.
func options(words []string) map[string]string {
	o := map[string]string{}
	for _, w := range words {
		k, v, _ := strings.Cut(w, "=")
		o[k] = v
	}
	return o
}

func number(o map[string]string, key string, missing int) int {
	if v, ok := o[key]; ok {
		n, err := strconv.Atoi(v)
		if err != nil {
			panic(fmt.Sprintf("%s=%s is not a number", key, v))
		}
		return n
	}
	return missing
}

func (sc *scenario) run(line string, out *strings.Builder) error {
	words := strings.Fields(line)
	o := options(words[1:])
	switch words[0] {
	case "submit":
		c := fsm.Submit{ID: "job", Incarnation: 7, Name: "job", Seats: number(o, "seats", 4), Workers: number(o, "workers", 0),
			Keep: number(o, "keep", 0), Fingerprint: []byte("data"), MinWorkers: number(o, "min", 0), Even: o["balance"] == "false"}
		if at, ok := o["resume"]; ok {
			step, _ := strconv.Atoi(at)
			c.Origin = &fsm.Checkpoint{Step: uint64(step), Generation: plan.Generation(number(o, "generation", 1))}
		}
		sc.apply(fsm.Command{Submit: &c}, out)
	case "stop":
		sc.apply(fsm.Command{Stop: &fsm.Stop{Job: "job"}}, out)
	case "scale":
		sc.apply(fsm.Command{Scale: &fsm.Scale{Job: "job", Workers: number(o, "workers", 1)}}, out)
	case "stale-start":
		sc.apply(fsm.Command{Start: &fsm.Start{Job: "job", Generation: plan.Generation(number(o, "g", 1)), Sources: []string{"w1"}}}, out)
	case "stale-epoch":
		sc.apply(fsm.Command{Epoch: &fsm.Epoch{Job: "job", Generation: plan.Generation(number(o, "g", 1)), Epoch: number(o, "epoch", 1)}}, out)
	case "report":
		sc.report(words[1], o)
	case "close":
		sc.obs.workers[sc.ids[words[1]]].connected = false
	case "restart":
		sc.obs.workers[sc.ids[words[1]]].stale = true
		delete(sc.ids, words[1])
	case "advance":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			return err
		}
		sc.now = sc.now.Add(d)
	case "beat":
		for _, w := range sc.obs.workers {
			if w.connected {
				w.heard = sc.now
			}
		}
	case "new-leader":
		encoded, err := sc.state.Encode()
		if err != nil {
			return err
		}
		if sc.state, err = fsm.Decode(encoded); err != nil {
			return err
		}
		sc.lead()
		sc.watch = stallWatch{}
	case "decide":
		sc.decide(out)
	case "stall":
		sc.stall(out)
	default:
		return fmt.Errorf("unknown command")
	}
	return nil
}

func (sc *scenario) apply(c fsm.Command, out *strings.Builder) {
	if err := sc.state.Apply(c); err != nil {
		fmt.Fprintf(out, "refused: %v\n", err)
	}
}

// report sets a worker's condition: report w1 READY g=1 step=5 digest=aa epoch=1,2 share=1/2 outcome=complete lost=w2
// It has tried its ways to all others that the scenario knows, but for untried=w3, and all are open but for cut=w4,w5.
func (sc *scenario) report(name string, o map[string]string) {
	id, ok := sc.ids[name]
	if !ok {
		id = plan.Incarnation(100 + len(sc.obs.workers))
		sc.ids[name] = id
	}
	r := &rpc.Report{Worker: name, Host: "host-" + name, Incarnation: uint64(id), Job: "job", Fingerprint: []byte("data"),
		Generation: uint64(number(o, "g", 0)), Step: uint64(number(o, "step", 0)), Failure: o["failure"], LostReason: o["why"]}
	for key := range o {
		if phase, ok := rpc.Phase_value["PHASE_"+key]; ok {
			r.Phase = rpc.Phase(phase)
		}
	}
	_, r.Leaving = o["leaving"]
	if d, ok := o["digest"]; ok {
		r.StateDigest = []byte((d + "-digest")[:max(6, len(d))])
	} else {
		r.StateDigest = fmt.Appendf(nil, "state at %d", r.Step)
	}
	for _, e := range strings.FieldsFunc(o["epoch"], func(r rune) bool { return r == ',' }) {
		r.Epochs = append(r.Epochs, &rpc.EpochFact{Epoch: uint32(number(map[string]string{"epoch": e}, "epoch", 0)), Step: r.Step})
	}
	if share, ok := o["share"]; ok {
		var index, of uint32
		fmt.Sscanf(share, "%d/%d", &index, &of)
		r.Shares = append(r.Shares, &rpc.ShareFact{Generation: r.Generation, Step: r.Step, Share: index, Shares: of,
			File:    &rpc.StoredFile{Name: fmt.Sprintf("model-%05d-of-%05d.safetensors", index+1, of)},
			Holders: []string{"c1", "c2", "c3"}[:number(o, "holders", 2)]})
	}
	if out, ok := o["outcome"]; ok {
		r.Outcome = &rpc.Outcome{Generation: r.Generation, Step: r.Step, Complete: out == "complete"}
	}
	for _, place := range strings.FieldsFunc(o["unsaved"], func(r rune) bool { return r == ',' }) { // unsaved=c1,c2 failing=31s short=false away=true
		failing, _ := time.ParseDuration(o["failing"])
		r.Unsaved = append(r.Unsaved, &rpc.Unsaved{Place: place, What: fmt.Sprintf("the checkpoint at step %d", r.Step), Step: r.Step, Reason: "no space",
			Blocking: o["short"] != "false", Away: o["away"] == "true", SinceMs: uint64(failing.Milliseconds())})
	}
	r.Probed = uint64(number(o, "probed", int(r.Generation)))
	sc.closed[name], sc.untried[name] = strings.Split(o["cut"], ","), strings.Split(o["untried"], ",")
	act(r, o)
	sc.speeds(r, o)
	if lost, ok := o["lost"]; ok {
		r.LostPeers = []uint64{uint64(sc.ids[lost])}
	}
	w := sc.obs.workers[id]
	if w == nil {
		sc.obs.moved = sc.now
		w = &seen{}
		sc.obs.workers[id] = w
	}
	w.note(r, sc.now)
	if r.Phase == rpc.Phase_PHASE_BROKEN && w.brokenSince.IsZero() {
		w.brokenSince = sc.now
	} else if r.Phase != rpc.Phase_PHASE_BROKEN {
		w.brokenSince = time.Time{}
	}
	w.report, w.connected, w.heard = r, true, sc.now
	sc.obs.best["job"] = max(sc.obs.best["job"], r.Step)
}

// tryWays puts into all reports what became of their workers' ways.
func (sc *scenario) tryWays() {
	for name, id := range sc.ids {
		w := sc.obs.workers[id]
		if w == nil {
			continue
		}
		w.report.Ways = nil
		for _, other := range slices.Sorted(maps.Keys(sc.ids)) {
			if other != name && !slices.Contains(sc.untried[name], other) {
				w.report.Ways = append(w.report.Ways, &rpc.Way{Worker: other, Incarnation: uint64(sc.ids[other]), Open: !slices.Contains(sc.closed[name], other)})
			}
		}
	}
}

// speeds adds what a worker reports of its speed and memory, in milliseconds and bytes:
// seat-ms=20 step-ms=250 left=1000 machine=m1 memory=100 limit=80 job=10 seat=5
func (sc *scenario) speeds(r *rpc.Report, o map[string]string) {
	r.Machine = o["machine"]
	r.MachineMemory, r.MemoryLimit = uint64(number(o, "memory", 0)), uint64(number(o, "limit", 0))
	r.JobMemory, r.SeatMemory = uint64(number(o, "job", 0)), uint64(number(o, "seat", 0))
	if ms := number(o, "seat-ms", 0); ms > 0 {
		r.Progress = &rpc.Progress{Step: r.Step, StepsTotal: r.Step + uint64(number(o, "left", 10000)), SeatMs: float64(ms), SeatSpans: 1, StepMs: float64(number(o, "step-ms", 0))}
	}
}

func (sc *scenario) decide(out *strings.Builder) {
	sc.tryWays()
	for range 20 {
		sc.obs.weigh(sc.state, sc.now, DefaultTiming())
		d := decide(sc.state, sc.obs, sc.now, DefaultTiming())
		if d.Command == nil {
			if d.Wait != "" {
				fmt.Fprintf(out, "waits: %s\n", d.Wait)
			}
			return
		}
		sc.obs.note(d, sc.now, DefaultTiming())
		fmt.Fprintf(out, "%s\n", d.Reason)
		if v := d.Command.View; v != nil {
			fmt.Fprintf(out, "  %s\n", describeView(v.View))
		}
		if s := d.Command.Start; s != nil {
			fmt.Fprintf(out, "  from %s halt=%v lost=%d\n", strings.Join(s.Sources, ","), s.Halt, s.LostSteps)
		}
		if err := sc.state.Apply(*d.Command); err != nil {
			fmt.Fprintf(out, "refused: %v\n", err)
			return
		}
	}
	fmt.Fprintf(out, "still deciding after 20 commands\n")
}

func describeView(v fsm.View) string {
	var parts []string
	for _, m := range v.Members {
		parts = append(parts, fmt.Sprintf("%s%v", m.Worker, m.Arc))
	}
	if v.Orderly {
		parts = append(parts, "orderly")
	}
	return strings.Join(parts, " ")
}

// TestDecideIsPure decides twice from the same arguments at every point of every scenario.
func TestDecideIsPure(t *testing.T) {
	sc := newScenario()
	var sink strings.Builder
	for _, line := range []string{"submit seats=4 workers=2", "report w1 READY", "report w2 READY"} {
		if err := sc.run(line, &sink); err != nil {
			t.Fatal(err)
		}
	}
	for range 10 {
		before, err := sc.state.Encode()
		if err != nil {
			t.Fatal(err)
		}
		workers := slices.Sorted(maps.Keys(sc.obs.workers))
		a, b := decide(sc.state, sc.obs, sc.now, DefaultTiming()), decide(sc.state, sc.obs, sc.now, DefaultTiming())
		after, _ := sc.state.Encode()
		if a.Reason != b.Reason || a.Wait != b.Wait || string(before) != string(after) || !slices.Equal(workers, slices.Sorted(maps.Keys(sc.obs.workers))) {
			t.Fatalf("decide changed something: %q/%q, then %q/%q", a.Reason, a.Wait, b.Reason, b.Wait)
		}
		if a.Command == nil {
			break
		}
		sc.apply(*a.Command, &sink)
	}
	if sc.state.Active().View == nil {
		t.Fatal("no view was decided")
	}
}
