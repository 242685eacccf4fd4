package decide

import (
	"cmp"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/metric"
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
	sc := newScenario(t.Fatalf)
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

// scenario is a leader without network, disk or clock. Workers are their reports, which reach it as they do in a cluster: Leader's methods
// are all that it is driven by.
type scenario struct {
	state     *fsm.State
	leader    *Leader
	now       time.Time
	processes map[plan.Incarnation]*workerProcess
	ids       map[string]plan.Incarnation // the newest process of each worker

	closed, untried map[string][]string // of each worker's links

	point func() // called at every point at which something may be decided; nil: nothing
	again bool   // decide everything twice
	fail  func(format string, args ...any)
}

// workerProcess is a worker's process and what it told the leader last.
type workerProcess struct {
	worker   string
	report   *rpc.Report
	told     time.Time
	attached bool // to the present leader
}

func newScenario(fail func(format string, args ...any)) *scenario {
	sc := &scenario{state: &fsm.State{Cluster: 1}, now: time.Unix(1000, 0), ids: map[string]plan.Incarnation{}, processes: map[plan.Incarnation]*workerProcess{},
		closed: map[string][]string{}, untried: map[string][]string{}, point: func() {}, fail: fail}
	sc.lead()
	return sc
}

func (sc *scenario) lead() {
	sc.leader = NewLeader(DefaultTiming(), func(j *fsm.Job, shares []*rpc.ShareFact) (fsm.Checkpoint, error) {
		return fsm.Checkpoint{Job: j.ID, Generation: j.View.Generation, Step: shares[0].Step, Digest: shares[0].Digest}, nil
	}, sc.now)
	sc.leader.SetVoters([]string{"c1", "c2", "c3"})
	for _, p := range sc.processes {
		p.attached = false
	}
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

func (sc *scenario) submit(o map[string]string, out *strings.Builder) {
	id := cmp.Or(o["id"], "job")
	token := plan.Incarnation(7)
	for _, letter := range []byte(o["id"]) {
		token = 256*token + plan.Incarnation(letter)
	}
	c := fsm.Submit{ID: id, Incarnation: token, Name: id, Priority: number(o, "priority", 0), Seats: number(o, "seats", 4), Workers: number(o, "workers", 0),
		Keep: number(o, "keep", 0), Fingerprint: []byte("data"), MinWorkers: number(o, "min", 0), MaxWorkers: number(o, "max", 0), Even: o["balance"] == "false"}
	if at, ok := o["resume"]; ok {
		step, _ := strconv.Atoi(at)
		c.Origin = &fsm.Checkpoint{Step: uint64(step), Generation: plan.Generation(number(o, "generation", 1))}
	}
	if best, ok := o["best"]; ok {
		c.KeepBest = &metric.Rule{Metric: best}
	}
	if earlier, ok := o["earlier"]; ok {
		c.Earlier = strings.Split(earlier, ",")
	}
	sc.apply(fsm.Command{Submit: &c}, out)
}

func (sc *scenario) run(line string, out *strings.Builder) error {
	defer sc.point()
	words := strings.Fields(line)
	o := options(words[1:])
	switch words[0] {
	case "submit":
		sc.submit(o, out)
	case "kept": // what is kept beside the job's own checkpoints
		fmt.Fprintf(out, "own %v, inherited %v\n", sc.ownSteps(), sc.state.Job("job").Inherited())
	case "save", "saving":
		sc.save(words[0] == "save", cmp.Or(o["id"], "job"), o, out)
	case "stop", "pause", "resume", "cancel", "priority":
		sc.apply(asked(words[0], cmp.Or(o["id"], "job"), number(o, "to", 0)), out)
	case "jobs":
		sc.listJobs(out)
	case "workers":
		sc.listWorkers(out)
	case "scale":
		sc.apply(fsm.Command{Scale: &fsm.Scale{Job: cmp.Or(o["id"], "job"), Workers: number(o, "workers", 1)}}, out)
	case "start", "stale-start": // what another leader had the log take
		sc.apply(fsm.Command{Start: &fsm.Start{Job: "job", Generation: plan.Generation(number(o, "g", 1)), Sources: []string{"w1"}}}, out)
	case "stale-epoch":
		sc.apply(fsm.Command{Epoch: &fsm.Epoch{Job: "job", Generation: plan.Generation(number(o, "g", 1)), Epoch: number(o, "epoch", 1)}}, out)
	case "report":
		sc.tell(words[1], sc.report(words[1], o), out)
	case "close":
		sc.close(words[1])
	case "restart": // the next report comes from another process
		delete(sc.ids, words[1])
	case "advance":
		d, err := time.ParseDuration(words[1])
		if err != nil {
			return err
		}
		sc.now = sc.now.Add(d)
	case "beat":
		sc.beat()
	case "new-leader":
		encoded, err := sc.state.Encode()
		if err != nil {
			return err
		}
		if sc.state, err = fsm.Decode(encoded); err != nil {
			return err
		}
		sc.lead()
	case "decide":
		sc.decide(out)
	case "stall":
		sc.stall(out)
	default:
		return fmt.Errorf("unknown command")
	}
	return nil
}

// save has a person ask for a checkpoint, or prints which one is asked for.
func (sc *scenario) save(now bool, job string, o map[string]string, out *strings.Builder) {
	if now {
		sc.apply(fsm.Command{Save: &fsm.Save{Job: job, Generation: plan.Generation(number(o, "g", 1)), Step: uint64(number(o, "step", 0))}}, out)
		return
	}
	fmt.Fprintf(out, "wanted from step %d\n", sc.state.Job(job).SaveFrom)
}

// asked is the command by which a person does something to a job.
func asked(what, job string, priority int) fsm.Command {
	switch what {
	case "stop":
		return fsm.Command{Stop: &fsm.Stop{Job: job}}
	case "pause":
		return fsm.Command{Pause: &fsm.Pause{Job: job}}
	case "resume":
		return fsm.Command{Resume: &fsm.Resume{Job: job}}
	case "cancel":
		return fsm.Command{Cancel: &fsm.Cancel{Job: job}}
	}
	return fsm.Command{Prioritize: &fsm.Prioritize{Job: job, Priority: priority}}
}

func (sc *scenario) apply(c fsm.Command, out *strings.Builder) {
	if err := sc.state.Apply(c); err != nil {
		fmt.Fprintf(out, "refused: %v\n", err)
	}
}

// report is what a worker says: report w1 READY g=1 step=5 digest=aa epoch=1,2 share=1/2 outcome=complete lost=w2
// It has tested its links to all other workers of the scenario, except untried=w3, and all are open except cut=w4,w5.
func (sc *scenario) report(name string, o map[string]string) *rpc.Report {
	id, ok := sc.ids[name]
	if !ok {
		id = plan.Incarnation(100 + len(sc.processes))
		sc.ids[name], sc.processes[id] = id, &workerProcess{worker: name}
	}
	r := &rpc.Report{Worker: name, Host: "host-" + name, Incarnation: uint64(id), Job: cmp.Or(o["of"], "job"), Parked: uint64(number(o, "parked", 0)), Fingerprint: []byte("data"),
		Generation: uint64(number(o, "g", 0)), Step: uint64(number(o, "step", 0)), Failure: o["failure"], LostReason: o["why"]}
	for key := range o {
		if phase, ok := rpc.Phase_value["PHASE_"+key]; ok {
			r.Phase = rpc.Phase(phase)
		}
	}
	_, r.Leaving = o["leaving"]
	_, r.ConfigDiffers = o["changed"]
	if d, ok := o["digest"]; ok {
		r.StateDigest = []byte((d + "-digest")[:max(6, len(d))])
	} else {
		r.StateDigest = fmt.Appendf(nil, "state at %d", r.Step)
	}
	for _, e := range strings.FieldsFunc(o["epoch"], func(r rune) bool { return r == ',' }) {
		fact := &rpc.EpochFact{Epoch: uint32(number(map[string]string{"epoch": e}, "epoch", 0)), Step: r.Step}
		if loss, ok := o["loss"]; ok {
			value, _ := strconv.ParseFloat(loss, 64)
			fact.HasEval, fact.EvalLoss = true, math.Float64bits(value)
		}
		r.Epochs = append(r.Epochs, fact)
	}
	if share, ok := o["share"]; ok {
		var index, of uint32
		fmt.Sscanf(share, "%d/%d", &index, &of)
		r.Shares = append(r.Shares, &rpc.ShareFact{Generation: r.Generation, Step: r.Step, Share: index, Shares: of,
			File:    &rpc.StoredFile{Name: fmt.Sprintf("model-%05d-of-%05d.safetensors", index+1, of)},
			Holders: []string{"c1", "c2", "c3"}[:number(o, "holders", 2)]})
	}
	if out, ok := o["outcome"]; ok {
		r.Outcome = &rpc.Outcome{Generation: r.Generation, Step: r.Step, Complete: out == "complete", Reason: o["reason"]}
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
	return r
}

// listJobs prints whose turn it is, and who waits.
func (sc *scenario) listJobs(out *strings.Builder) {
	for _, j := range sc.state.Jobs {
		fmt.Fprintf(out, "%s %s", j.ID, j.Phase)
		switch {
		case slices.Contains(sc.state.Active(), j):
			fmt.Fprint(out, ", its turn")
		case slices.Contains(sc.state.Queue(), j):
			fmt.Fprintf(out, ", place %d", 1+slices.Index(sc.state.Queue(), j))
		}
		if j.Yields != "" {
			fmt.Fprintf(out, ", yields: %s", j.Yields)
		}
		if j.Bound > 0 {
			fmt.Fprintf(out, ", at most %d", j.Bound)
		}
		fmt.Fprintln(out)
	}
}

// listWorkers prints for which job each worker is.
func (sc *scenario) listWorkers(out *strings.Builder) {
	of := sc.leader.obs.assign(sc.state.Active(), sc.now, sc.leader.timing)
	for _, id := range slices.SortedFunc(maps.Keys(of), func(a, b plan.Incarnation) int { return cmp.Compare(sc.processes[a].worker, sc.processes[b].worker) }) {
		fmt.Fprintf(out, "%s for %s\n", sc.processes[id].worker, of[id].ID)
	}
}

func (sc *scenario) ownSteps() (steps []uint64) {
	for _, c := range sc.state.Job("job").Checkpoints {
		steps = append(steps, c.Step)
	}
	return steps
}

// tell brings a report to the leader: over the process's line, or over one that it opens with it.
func (sc *scenario) tell(name string, r *rpc.Report, out *strings.Builder) {
	p := sc.processes[sc.ids[name]]
	if p.attached {
		sc.observe(p, r, sc.now)
		return
	}
	if _, err := sc.leader.Attach(sc.state, r, sc.now); err != nil {
		fmt.Fprintf(out, "refused: %v\n", err)
		return
	}
	p.report, p.told, p.attached = r, sc.now, true
}

func (sc *scenario) observe(p *workerProcess, r *rpc.Report, at time.Time) {
	if !sc.leader.Observe(r, at) {
		sc.fail("the leader does not know %s, who is attached", p.worker)
	}
	p.report, p.told = r, at
}

// close closes the lines of a worker's processes.
func (sc *scenario) close(name string) {
	for id, p := range sc.processes {
		if p.worker == name && p.attached {
			p.attached = false
			sc.leader.Detach(id, sc.now)
		}
	}
}

// reportInterval is how often workers report.
const reportInterval = 100 * time.Millisecond

// beat has all that are attached report as before, ten times a second since they did last.
func (sc *scenario) beat() {
	for _, p := range sc.attached() {
		for at := p.told.Add(reportInterval); at.Before(sc.now); at = at.Add(reportInterval) {
			sc.observe(p, p.report, at)
		}
		sc.observe(p, p.report, sc.now)
	}
}

func (sc *scenario) attached() (all []*workerProcess) {
	for _, id := range slices.Sorted(maps.Keys(sc.processes)) {
		if p := sc.processes[id]; p.attached {
			all = append(all, p)
		}
	}
	return all
}

// tryWays has those workers report again that now know more about their links to the others.
func (sc *scenario) tryWays() {
	for _, p := range sc.attached() {
		r := proto.CloneOf(p.report)
		r.Ways = nil
		for _, other := range slices.Sorted(maps.Keys(sc.ids)) {
			if other != p.worker && !slices.Contains(sc.untried[p.worker], other) {
				r.Ways = append(r.Ways, &rpc.Way{Worker: other, Incarnation: uint64(sc.ids[other]), Open: !slices.Contains(sc.closed[p.worker], other)})
			}
		}
		if !proto.Equal(r, p.report) {
			sc.observe(p, r, p.told)
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
		d := sc.next()
		if d.Command == nil {
			for _, w := range d.Waits {
				if about := about(d.Waits, w.Job); w.Reason != "" {
					fmt.Fprintf(out, "%swaits: %s\n", about, w.Reason)
				}
			}
			return
		}
		fmt.Fprintf(out, "%s%s\n", about(sc.state.Active(), d.job), d.Reason)
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
		sc.leader.Confirm(d, sc.now)
		sc.point()
	}
	fmt.Fprintf(out, "still deciding after 20 commands\n")
}

// next asks the leader what is next, and where everything is decided twice, that it says the same again and remembers nothing new.
func (sc *scenario) next() Decision {
	d := sc.leader.Next(sc.state, sc.now)
	if sc.again {
		before := dump(sc.leader)
		sc.same("decided", d, sc.leader.Next(sc.state, sc.now))
		sc.same("remembered", before, dump(sc.leader))
	}
	return d
}

// stall prints who holds the job up.
func (sc *scenario) stall(out *strings.Builder) {
	all := sc.leader.Stalls(sc.state, sc.now)
	if sc.again {
		before := dump(sc.leader)
		for i, twice := range sc.leader.Stalls(sc.state, sc.now) {
			sc.same("who stalls", all[i].Stall.GetReason(), twice.Stall.GetReason())
			sc.same("news", false, twice.News)
		}
		sc.same("remembered", before, dump(sc.leader))
	}
	for _, s := range all {
		fmt.Fprintf(out, "%s%s\n", about(all, s.Job), cmp.Or(s.Stall.GetReason(), "nobody"))
	}
}

// about names the job where there are several.
func about[T any](all []T, job string) string {
	if len(all) < 2 {
		return ""
	}
	return job + ": "
}

func (sc *scenario) same(what string, once, twice any) {
	if !reflect.DeepEqual(once, twice) {
		sc.fail("%s: %+v, and with the same inputs again %+v", what, once, twice)
	}
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
